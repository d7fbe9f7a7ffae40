"""Bridge: a chat room where people meet agents. People use a page with Metered's official SDK.

    python -m agents_examples.bridge            # a program plays the person, and it ends
    python -m agents_examples.bridge --serve    # prints the page's address, and goes on until Ctrl-C

People and agents have a hub each, and only the bridge is on both: whoever holds the page's key reaches the
room, and never the agents' bus. The page loads the SDK from a CDN, or, with `REALTIME_SDK=index.umd.js`, from
that file of the npm package @metered-ca/realtime.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agentbus import AgentBusError, AsyncAgentActor, Bus, ChannelMessage, Message, SignallingClient, handles

ROOM = "rooms/lobby"
CDN = "https://unpkg.com/@metered-ca/realtime@1.2.0/dist/index.umd.js"
MAX_TEXT = 500

PAGE = """<!doctype html>
<meta charset="utf-8"><title>The lobby</title>
<ul id="said"></ul>
<form><input id="who" value="Ada" size="8"> <input id="text" size="60" placeholder="@counter hello">
<button>Say</button></form>
<script src="realtime.js"></script>
<script>
const room = "rooms/lobby", form = document.forms[0];
const show = ({who, text}) => {
  const line = document.createElement("li");
  line.textContent = `${who}: ${text}`;   // as text: others wrote it
  document.getElementById("said").append(line);
};
(async () => {
  const client = new MeteredPeer.SignallingClient(await (await fetch("settings.json")).json());
  client.on("message", ({channel, data}) => { if (channel === room) show(data); });
  await client.connect();
  await client.subscribe(room);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = {who: form.who.value, text: form.text.value};
    form.text.value = "";
    await client.publish(room, said);
    show(said);                           // a publisher never hears itself
  });
  document.body.dataset.ready = "yes";
})();
</script>
"""


class Said(Message):
    """Something that somebody said in the room, a person or an agent."""

    who: str
    text: str


class Counter(AsyncAgentActor):
    capabilities = ("chat",)

    @handles
    async def hear(self, said: Said) -> Said:
        return Said(who=self.name, text=f"{said.who}, that has {len(said.text.split())} words")


class Echo(AsyncAgentActor):
    capabilities = ("chat",)

    @handles
    async def hear(self, said: Said) -> Said:
        return Said(who=self.name, text=said.text.upper())


async def reply_to(agents: Bus, data: object) -> Said | None:
    """Ask the agent that is addressed with @name. What else people may send is ignored."""
    try:
        said = msgspec.convert(data, Said)
    except msgspec.ValidationError:
        return None
    name, _, text = said.text[:MAX_TEXT].removeprefix("@").partition(" ")
    found = agents.find(name=name, capability="chat")
    if not said.text.startswith("@") or not found:
        return None
    try:
        answer: Said = await found[0].ask(Said(who=said.who[:MAX_TEXT], text=text), timeout=10)
    except AgentBusError:
        return Said(who=name, text="can't answer now")
    return answer


async def enter(room: Bus, hear: Callable[[ChannelMessage], object]) -> SignallingClient:
    """Connect to the people's hub and hear what is said."""
    client = client_of(room)
    client.on(ChannelMessage, channel=ROOM)(hear)
    await client.connect()
    await client.subscribe(ROOM)
    return client


def client_of(room: Bus) -> SignallingClient:
    assert room.url is not None
    return SignallingClient(api_key=room.credentials_env()["AGENTBUS_KEY"], url=room.url)


@asynccontextmanager
async def bridge(agents: Bus, room: Bus) -> AsyncGenerator[None]:
    """Let agents hear and speak in the room."""
    bridge = client_of(room)

    @bridge.on(ChannelMessage, channel=ROOM)
    async def heard(message: ChannelMessage) -> None:
        answer = await reply_to(agents, message.data)
        if answer is not None:
            await bridge.publish(ROOM, {"who": answer.who, "text": answer.text})

    async with bridge:
        await bridge.subscribe(ROOM)
        yield


async def play_a_person(room: Bus) -> None:
    """Say what a person would type into the page, and print what comes back."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: ChannelMessage) -> None:
        await heard.put(f"{message.data['who']}: {message.data['text']}")

    ada = await enter(room, hear)
    async with asyncio.timeout(20):
        for text in ("@counter how long is this?", "@nobody hello", "@echo is anybody there?"):
            await ada.publish(ROOM, {"who": "Ada", "text": text})
            print(f"Ada: {text}")
            if "nobody" not in text:
                print(await heard.get())
    await ada.dispose()


async def serve_page(room: Bus) -> None:
    """Serve the page next to the hub until Ctrl-C."""
    sdk = os.environ.get("REALTIME_SDK")
    settings = {"url": room.url, "apiKey": room.credentials_env()["AGENTBUS_KEY"]}

    async def page(_request: HttpRequest) -> Response:
        return HTMLResponse(PAGE)

    async def settings_json(_request: HttpRequest) -> Response:
        return JSONResponse(settings)

    async def realtime_js(_request: HttpRequest) -> Response:
        return RedirectResponse(CDN) if sdk is None else FileResponse(Path(sdk))

    paths = {"/": page, "/settings.json": settings_json, "/realtime.js": realtime_js}
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"open http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


async def main() -> None:
    async with Bus() as agents, Bus(listen="127.0.0.1:0") as room:
        agents.spawn(Counter, name="counter")
        agents.spawn(Echo, name="echo")
        async with bridge(agents, room):
            await (serve_page(room) if "--serve" in sys.argv else play_a_person(room))


if __name__ == "__main__":
    asyncio.run(main())
