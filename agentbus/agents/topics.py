"""Broadcast: typed messages on topics, at most once, to whoever listens at that moment. On the I/O loop.

The hub never echoes to the publisher's own connection, so the publisher's node hands its broadcasts to its
own listeners itself. Each listener has a lane of its own: a slow one holds up nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from agentbus.agents.address import topic_channel
from agentbus.agents.delivery import Body
from agentbus.agents.message import Message, decode_message, message_types
from agentbus.agents.permissions import is_refusal
from agentbus.agents.traffic import Traffic
from agentbus.agents.uplink import Uplink
from agentbus.errors import MailboxFullError, MissingPermission, UndecodableMessageError
from agentbus.runtime import Future

_log = logging.getLogger("agentbus.agents")


class Cast(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="agentbus", tag="cast/1"):
    """A broadcast on the wire.

    Attributes:
        type: wire name of the message.
        version: of the type.
        body: its JSON.
        sender: address of the agent that sent it, or None.
    """

    type: str
    version: int
    body: msgspec.Raw
    sender: str | None = None


_decoder = msgspec.json.Decoder(Cast)


def decode_cast(data: bytes) -> Body | None:
    """Read a broadcast; None if it is none."""
    try:
        cast = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Body(cast.type, cast.version, cast.body)


class Listener:
    """One handler of one topic.

    Args:
        kind: the messages that it takes: a class, or `Message` for all.
        put: hands something to its lane.
    """

    def __init__(self, kind: type[Message], put: Callable[[Any], object]) -> None:
        self._kind = kind
        self._put = put

    def offer(self, item: Message | Body) -> None:
        """Hand it over if it may be of the right kind."""
        if isinstance(item, Message):
            if isinstance(item, self._kind):
                self._put(item)
        elif self._kind is Message or (item.type, item.version) == _wire_type(self._kind):
            self._put(item)

    def read(self, item: Message | Body) -> Message | None:
        """Decode what came over the wire, on the lane; None, and a warning, if it can't be."""
        if isinstance(item, Message):
            return item
        try:
            kind = message_types.find(item.type, item.version) if self._kind is Message else self._kind
            return decode_message(kind, item.json)
        except UndecodableMessageError as error:
            _log.warning("a broadcast could not be read: %s", error)
            return None


def _wire_type(kind: type[Message]) -> tuple[str, int]:
    return kind.__wire_name__, kind.__wire_version__


class Topics:
    """Who listens to what."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, Listener]] = {}

    def add(self, topic: str, key: object, listener: Listener) -> bool:
        """Enter a listener; tell whether it is the topic's first."""
        first = topic not in self._listeners
        self._listeners.setdefault(topic, {})[key] = listener
        return first

    def remove(self, topic: str, key: object) -> bool:
        """Remove a listener; tell whether it was the topic's last."""
        listeners = self._listeners.get(topic, {})
        if listeners.pop(key, None) is None or listeners:
            return False
        del self._listeners[topic]
        return True

    def offer(self, topic: str, item: Message | Body) -> None:
        """Hand a message to those who listen to its topic."""
        for listener in list(self._listeners.get(topic, {}).values()):
            listener.offer(item)


class Broadcasts:
    """Broadcasts in and out, and the channels that they need. On the I/O loop.

    Args:
        uplink: the way to the hub.
        traffic: paces what leaves.
        namespace: of the channels.
    """

    def __init__(self, uplink: Uplink, traffic: Traffic, namespace: str) -> None:
        self._uplink = uplink
        self._traffic = traffic
        self._namespace = namespace
        self._topics = Topics()
        self._by_channel: dict[str, str] = {}
        self._asked: dict[str, list[Future[None]]] = {}
        self._online = False

    # -- listeners -------------------------------------------------------------------------------------------

    def listen(self, topic: str, key: object, listener: Listener, ready: Future[None]) -> None:
        """Enter a listener; `ready` is done once the hub knows of the topic's first one."""
        if not self._topics.add(topic, key, listener) and topic not in self._asked:
            ready.try_set(None)
            return
        self._by_channel[topic_channel(self._namespace, topic)] = topic
        self._asked.setdefault(topic, []).append(ready)
        if self._online:
            self._subscribe(topic)

    def unlisten(self, topic: str, key: object) -> None:
        """Remove a listener; with the topic's last one its channel goes too."""
        if not self._topics.remove(topic, key):
            return
        channel = topic_channel(self._namespace, topic)
        del self._by_channel[channel]
        self._asked.pop(topic, None)
        if self._online:
            self._uplink.client.unsubscribe(channel).quiet()

    def _subscribe(self, topic: str) -> None:
        channel = topic_channel(self._namespace, topic)
        subscribed = self._uplink.client.subscribe(channel, include_sender_metadata=True)
        subscribed.quiet().add_done_callback(partial(self._subscribed, topic))

    def _subscribed(self, topic: str, done: Future[None]) -> None:
        error = done.exception()
        if error is not None and not is_refusal(error):
            return  # the connection is gone: the next one asks again
        for ready in self._asked.pop(topic, []):
            if error is None:
                ready.try_set(None)
            else:
                ready.try_set_exception(MissingPermission("subscribe", f"the topic {topic!r}"))

    # -- the connection --------------------------------------------------------------------------------------

    def online(self) -> None:
        """Subscribe what could not be subscribed so far; the client sees to the rest."""
        self._online = True
        for topic in list(self._asked):
            self._subscribe(topic)

    def offline(self) -> None:
        """Wait."""
        self._online = False

    def close(self, error: Exception) -> None:
        """Fail what waits."""
        for waiting in self._asked.values():
            for ready in waiting:
                ready.try_set_exception(error)
        for cast in self._traffic.take_casts():
            cast.token.try_set_exception(error)

    # -- messages --------------------------------------------------------------------------------------------

    def send(
        self, topic: str, message: Message, body: msgspec.Raw, sender: str | None, sent: Future[None]
    ) -> None:
        """Publish a message, and hand it to the listeners here."""
        cast = Cast(message.__wire_name__, message.__wire_version__, body, sender)
        try:
            if self._uplink.grants is not None:
                self._uplink.grants.check_broadcast()
            self._traffic.cast(topic_channel(self._namespace, topic), msgspec.json.encode(cast), sent)
        except (MissingPermission, MailboxFullError) as error:
            sent.try_set_exception(error)
        else:
            self._topics.offer(topic, message)

    def arrived(self, channel: str, raw: bytes) -> None:
        """Take what somebody published on a topic."""
        topic, body = self._by_channel.get(channel), decode_cast(raw)
        if topic is not None and body is not None:
            self._topics.offer(topic, body)
