"use strict";
// The pages work without this. It brings them up to date once a second, says times in the reader's zone, and asks
// before it disconnects somebody.

const state = document.getElementById("state");
const live = document.getElementById("live");
const source = document.body.dataset.live;
let stream = null;

// -- times ---------------------------------------------------------------------------------------------------

const today = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const earlier = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function sayTimes(root) {
  const now = new Date().toDateString();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.textContent = (moment.toDateString() === now ? today : earlier).format(moment);
    time.title = whole.format(moment);
  }
}

// -- new content in place of the old: what is the same stays, and with it focus, selection and scroll --------

function bring(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || keyOf(from) !== keyOf(to)) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
  bringChildren(from, to);
}

function bringChildren(from, to) {
  const known = new Map();
  for (const child of from.children) if (keyOf(child)) known.set(keyOf(child), child);
  let place = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const same = known.get(keyOf(wanted));
    if (same && same !== place) {
      from.insertBefore(same, place);
      place = same;
    }
    if (place === null || (keyOf(wanted) !== keyOf(place) && (keyOf(wanted) || keyOf(place)))) {
      from.insertBefore(wanted, place);
    } else {
      const next = place.nextSibling;
      bring(place, wanted);
      place = next;
    }
  }
  while (place !== null) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function keyOf(node) {
  return (node.nodeType === Node.ELEMENT_NODE && node.dataset.key) || "";
}

function show(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  sayTimes(made.content);
  bringChildren(live, made.content);
}

// -- live updates --------------------------------------------------------------------------------------------

function say(name, text) {
  if (state.dataset.state === name) return;
  state.dataset.state = name;
  state.querySelector(".state-text").textContent = text;
}

function open() {
  if (stream !== null || document.hidden) return;
  stream = new EventSource(source);
  stream.onmessage = (event) => {
    show(JSON.parse(event.data));
    say("live", "live");
  };
  stream.addEventListener("over", () => location.reload());
  stream.onerror = () => {
    if (stream === null) return;
    if (stream.readyState === EventSource.CLOSED) {
      stream = null;
      say("still", "not live");
    } else {
      say("lost", "reconnecting");
    }
  };
}

function close() {
  if (stream !== null) stream.close();
  stream = null;
}

// -- asking first --------------------------------------------------------------------------------------------

function askFirst(event) {
  const form = event.target;
  const dialog = document.getElementById("ask");
  if (!form.dataset.ask || form.dataset.sure || !dialog?.showModal) return;
  event.preventDefault();
  document.getElementById("ask-title").textContent = form.dataset.title;
  document.getElementById("ask-text").textContent = form.dataset.ask;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.sure = "yes";
    // the row may have gone meanwhile: a form that is no part of the page cannot be sent
    if (!form.isConnected) document.body.append(form);
    form.submit();
  };
  dialog.showModal();
}

if (live && source) {
  sayTimes(document);
  document.addEventListener("submit", askFirst);
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}
