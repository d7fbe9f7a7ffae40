"""Who listens to a client: one source per kind of event, and one per channel where somebody asked for that.

A callback's lane is made with its first event, because the loop that an async callback runs on may not be
known before somebody connects; if the program connects from another loop later, the callback moves there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from agentbus.client.events import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    EventLost,
    GoingAwayEvent,
    MessagesMissed,
    PresenceEvent,
    ServerErrorEvent,
    StateChange,
    TokenProviderErrorEvent,
)
from agentbus.client.payloads import Event
from agentbus.runtime import (
    Callbacks,
    EventSource,
    EventStream,
    Lane,
    Loop,
    Runtime,
    Subscription,
    SystemClock,
)
from agentbus.runtime.buffer import DEFAULT_CAPACITY
from agentbus.runtime.mailbox import Overflow

E = TypeVar("E", bound=Event)

KINDS: tuple[type[Event], ...] = (
    ConnectedEvent,
    DisconnectedEvent,
    StateChange,
    ChannelMessage,
    MessagesMissed,
    DirectMessage,
    PresenceEvent,
    ServerErrorEvent,
    GoingAwayEvent,
    TokenProviderErrorEvent,
)
OF_CHANNELS: tuple[type[Event], ...] = (ChannelMessage, MessagesMissed, PresenceEvent)


class Home:
    """Where async callbacks, and an async token provider, run.

    Args:
        fallback: the agents' loop, for synchronous programs.
        given: the loop that the caller named, if any; then nothing else counts.

    Attributes:
        loop: that loop.
    """

    __slots__ = ("_given", "_known", "loop")

    def __init__(self, fallback: Loop, given: asyncio.AbstractEventLoop | None = None) -> None:
        self._given = given is not None
        self._known = given
        self.loop = fallback if given is None else Loop("callbacks", given, SystemClock())

    def found(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note the loop that somebody connected from."""
        if not self._given and self._known is not loop:
            self._known = loop
            self.loop = Loop("callbacks", loop, SystemClock())


class _Listener(Generic[E]):
    """One callback, and its lane once there is something for it."""

    __slots__ = ("_callback", "_callbacks", "_home", "_lane", "_loop")

    def __init__(self, callbacks: Callbacks, callback: Callable[[E], object], home: Home) -> None:
        self._callbacks = callbacks
        self._callback = callback
        self._home = home
        self._loop: Loop | None = None
        self._lane: Lane[E] | None = None

    def put(self, event: E) -> None:
        lane = self._lane
        if lane is None or self._loop is not self._home.loop:
            lane = self._move()
        lane.post(event)

    def _move(self) -> Lane[E]:
        self._loop = self._home.loop
        lost = cast("Callable[[int], E]", EventLost)
        self._lane = self._callbacks.lane(self._callback, loop=self._loop, lost_event=lost)
        return self._lane

    def close(self) -> None:
        if self._lane is not None:
            self._lane.close()


class ClientEvents(EventSource[E]):
    """The events of one kind.

    Each listener has a buffer of 1024 events of its own; when it is full the oldest is dropped, and before
    the next one the listener gets an `EventLost(count)`.

    Args:
        callbacks: runs callbacks.
        home: the loop of async ones.
    """

    def __init__(self, callbacks: Callbacks, home: Home) -> None:
        super().__init__(callbacks)
        self._lanes = callbacks
        self._home = home

    def subscribe(
        self, callback: Callable[[E], object], *, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Call `callback(event)` for each event from now on, one at a time and in order.

        Args:
            callback: sync, for a pool of threads; or async.
            loop: where an async one runs; by default the loop that awaited `connect()`, else the agents'.
        """
        home = self._home if loop is None else Home(self._home.loop, loop)
        listener = _Listener(self._lanes, callback, home)
        attached = self.attach(listener.put)

        def undo() -> None:
            attached.cancel()
            listener.close()

        return Subscription(undo)

    def listen(
        self,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = Overflow.DROP_OLDEST,
        lost_event: Callable[[int], E] | None = None,
    ) -> EventStream[E]:
        """Give a stream of the events from now on, for `for` and `async for`."""
        return super().listen(capacity, overflow, lost_event or cast("Callable[[int], E]", EventLost))


class _OfOneChannel(ClientEvents[E]):
    """The events of one kind in one channel: a way into `ByChannel`, which may be thrown away."""

    def __init__(self, callbacks: Callbacks, home: Home, by_channel: ByChannel, channel: str) -> None:
        super().__init__(callbacks, home)
        self._by_channel = by_channel
        self._channel = channel

    def attach(self, put: Callable[[E], object], end: Callable[[], object] = lambda: None) -> Subscription:
        return self._by_channel.attach(self._channel, put, end)


class ByChannel:
    """The sources of one kind of event by channel, for as long as somebody listens.

    Changed on the I/O loop alone, in the order of the calls: a listener is there before anything that the
    same thread asks of the hub afterwards.

    Args:
        io: the I/O loop.

    Attributes:
        sources: what the read path looks up.
    """

    def __init__(self, io: Loop) -> None:
        self._io = io
        self._closed = False
        self.sources: dict[str, EventSource[Any]] = {}

    def attach(self, channel: str, put: Callable[[Any], object], end: Callable[[], object]) -> Subscription:
        """Do what `EventSource.attach` does, for one channel."""
        attached: list[Subscription] = []
        self._on_io(self._attach, channel, put, end, attached)
        return Subscription(lambda: self._on_io(self._detach, channel, attached))

    def _attach(
        self,
        channel: str,
        put: Callable[[Any], object],
        end: Callable[[], object],
        attached: list[Subscription],
    ) -> None:
        if self._closed:
            end()
            return
        source = self.sources.get(channel) or self.sources.setdefault(channel, EventSource())
        attached.append(source.attach(put, end))

    def _detach(self, channel: str, attached: list[Subscription]) -> None:
        for subscription in attached:
            subscription.cancel()
        source = self.sources.get(channel)
        if source is not None and not source.listened_to:
            del self.sources[channel]

    def _on_io(self, change: Callable[..., None], *args: Any) -> None:
        if self._io.is_current():
            change(*args)
        else:
            self._io.call_soon(change, *args)

    def close(self) -> None:
        """End every stream, now and later; on the I/O loop."""
        self._closed = True
        for source in self.sources.values():
            source.close()
        self.sources.clear()


class Listeners:
    """All sources of one client.

    Args:
        runtime: runs callbacks.
        home: the loop of async ones.
    """

    def __init__(self, runtime: Runtime, home: Home) -> None:
        self._callbacks = runtime.callbacks
        self._home = home
        self._kinds: dict[type[Event], ClientEvents[Any]] = {
            kind: ClientEvents(self._callbacks, home) for kind in KINDS
        }
        self._by_channel = {kind: ByChannel(runtime.io) for kind in OF_CHANNELS}

    def of(self, kind: type[E], channel: str | None = None) -> ClientEvents[E]:
        """Give the source of a kind of event, or of one channel's.

        Raises:
            TypeError: there is no such kind, or its events belong to no channel.
        """
        if kind not in self._kinds:
            names = ", ".join(each.__name__ for each in KINDS)
            raise TypeError(f"a client has no events of type {kind!r}; it has {names}")
        if channel is None:
            return self._kinds[kind]
        if kind not in self._by_channel:
            raise TypeError(f"a {kind.__name__} belongs to no channel")
        return _OfOneChannel(self._callbacks, self._home, self._by_channel[kind], channel)

    def by_channel(self, kind: type[Event]) -> dict[str, EventSource[Any]]:
        """Give the sources of a kind by channel, as they are at any time."""
        return self._by_channel[kind].sources

    def close(self) -> None:
        """End every stream; on the I/O loop."""
        for source in self._kinds.values():
            source.close()
        for sources in self._by_channel.values():
            sources.close()
