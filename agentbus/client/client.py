"""`SignallingClient`: what callers hold. It keeps no protocol state; it turns calls into messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar, Unpack, cast, overload

from msgspec import Struct

from agentbus.client.connection import ConnectionActor
from agentbus.client.events import ConnectedEvent, Event, EventLost, PresencePeer
from agentbus.client.listeners import KINDS, OF_CHANNELS, Home, Listeners
from agentbus.client.options import SignallingClientFields, SignallingClientOptions, SubscribeOptions
from agentbus.client.requests import Reply, not_connected
from agentbus.client.states import SignallingClientState
from agentbus.client.streams import Streams
from agentbus.client.subscription import ChannelClaim
from agentbus.client.supervisor import SupervisorActor
from agentbus.client.view import ClientView
from agentbus.errors import (
    ActorStoppedError,
    ClientDisposedError,
    EncodeError,
    InvalidNameError,
    MailboxFullError,
    SignallingConnectError,
    SignallingError,
)
from agentbus.protocol.codec import encode_data
from agentbus.protocol.codes import CloseCode
from agentbus.protocol.names import check_channel, check_peer_id
from agentbus.runtime import EventStream, Future, Runtime, default_runtime
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.down import StartOptions
from agentbus.runtime.ref import LoopActorRef
from agentbus.wire.framing import check_close_code

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., object])

CLOSE_REASON: Final = "client requested close"


class ClientStatistics(Struct, frozen=True):
    """What operators read of a client.

    Attributes:
        state: what a caller may expect of it.
        connects: how many times the hub said welcome.
        subscriptions: channels that it keeps subscribed.
        frames_dropped: inbound frames that could not be used.
    """

    state: SignallingClientState
    connects: int
    subscriptions: int
    frames_dropped: int


class SignallingClient(Streams):
    """Publish/subscribe and directed messages over one WebSocket connection, which it keeps alive.

    Methods that take time return a `Future`: `.get(timeout)` in a thread, `await` on any event loop. All of
    them are safe from any thread. The constructor does not connect.

    Args:
        options: everything that can be set, as one object.
        runtime: the loops and threads to live on; by default the process's own.
        loop: where async callbacks run; by default the loop that awaited `connect()`, else the agents' loop.
        fields: the fields of `SignallingClientOptions`, instead of `options`.

    Raises:
        ValueError: not exactly one of `api_key` and `token_provider`, or another value that makes no sense.
        InvalidUrlError: a URL that the protocol refuses.
        TypeError: both options and keywords, or a keyword that does not exist.
    """

    def __init__(
        self,
        options: SignallingClientOptions | None = None,
        *,
        runtime: Runtime | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **fields: Unpack[SignallingClientFields],
    ) -> None:
        try:
            if options is not None and fields:
                raise TypeError("give a client either options or keywords, not both")
            self._settings = options if options is not None else SignallingClientOptions(**fields)
        finally:
            cast(
                "dict[str, Any]", fields
            ).clear()  # a traceback shows the locals of this frame, and one of them was the key
        self._runtime = runtime or default_runtime()
        self._home = Home(self._runtime.agents, loop)
        self._listeners = Listeners(self._runtime, self._home)
        self._view = ClientView()
        self._most_waiting = self._settings.max_pending_requests
        self._log = self._settings.logger or logging.getLogger("agentbus.client")
        self._once: dict[str, Any] = {}  # made at most once, by `setdefault`, from whatever thread
        super().__init__(self._listeners)

    # -- connect and disconnect ------------------------------------------------------------------------------

    def connect(self) -> Future[ConnectedEvent]:
        """Connect; while connecting or connected, share the result.

        A first failure is the caller's: the state is *closed* then, and `connect()` may be called again. A
        connection that is lost later comes back by itself. Cancelling the future ends nothing; `close()`
        does.

        Returns:
            The future of the welcome. It fails with `SignallingConnectError` (`close_code`, `reason`) or
            `TokenProviderError`.

        Raises:
            ClientDisposedError: `dispose()` was called.
        """
        if "disposed" in self._once:
            raise self._gone()
        reply: Future[ConnectedEvent] = Future()
        if not self._ask(SupervisorActor.Connect(reply, self._caller_s_loop())):
            reply.try_set_exception(self._gone())
        return reply

    def close(self, code: int = 1000, reason: str = CLOSE_REASON) -> Future[None]:
        """End the connection, or the attempt to make one, and don't reconnect; idempotent.

        Args:
            code: close code: 1000, or 3000 to 4999.
            reason: for the hub's log; cut to 123 bytes.

        Returns:
            The future of the end; the goodbye takes 1 s at most. Afterwards `connect()` may be called again.

        Raises:
            ValueError: the code can't be sent.
        """
        check_close_code(code)
        reply: Future[None] = Future()
        if "disposed" in self._once:
            return cast("Future[None]", self._once["disposed"])
        if not self._ask(SupervisorActor.Close(code, reason, reply)):
            reply.try_set(None)
        return reply

    def dispose(self) -> Future[None]:
        """Close, then end every event stream; `connect()` raises from then on. Idempotent.

        Returns:
            The future of the end.
        """
        mine: Future[None] = Future()
        reply: Future[None] = self._once.setdefault("disposed", mine)
        if reply is mine and not self._ask(SupervisorActor.Dispose(reply)):
            self._listeners.close()
            reply.try_set(None)
        return reply

    def __enter__(self) -> Self:
        try:
            self.connect().get()
        except BaseException:
            self.dispose()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.dispose().get()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            self.dispose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.dispose()

    # -- requests --------------------------------------------------------------------------------------------

    def subscribe(self, channel: str, *, include_sender_metadata: bool = False) -> Future[None]:
        """Subscribe to a channel; it stays subscribed across reconnects.

        Args:
            channel: 1 to 256 bytes of UTF-8.
            include_sender_metadata: whether messages of this channel carry their publisher's metadata.

        Returns:
            The future of the hub's ack. Before it, messages may be missed. It fails with
            `SignallingServerError` (the channel is dropped again), `InvalidNameError`, `NotConnectedError`
            (nothing was sent), `DisconnectedError` or `AckTimeoutError` (the channel stays subscribed).
        """
        reply: Future[None] = Future()
        options = SubscribeOptions(include_sender_metadata)
        claim = self._claim(channel, options, reply)
        if self._fits(check_channel, channel, reply):
            self._request(ConnectionActor.Subscribe(channel, include_sender_metadata, claim), claim)
        return reply

    def unsubscribe(self, channel: str) -> Future[None]:
        """Give a channel up; success also where it was not subscribed. A reconnect won't bring it back.

        Returns:
            The future of the hub's ack; it fails as that of `subscribe`.
        """
        reply: Future[None] = Future()
        claim = self._claim(channel, None, reply)
        if self._fits(check_channel, channel, reply):
            self._request(ConnectionActor.Unsubscribe(channel, claim), claim)
        return reply

    def publish(self, channel: str, data: Any) -> Future[None]:
        """Send `data` to every other connection that is subscribed to the channel.

        Args:
            channel: 1 to 256 bytes of UTF-8; it need not be subscribed.
            data: what msgspec encodes to JSON, or `msgspec.Raw` of JSON text; encoded before this returns.

        Returns:
            The future of the hub's ack. It fails with `SignallingServerError`, `InvalidNameError`,
            `EncodeError`, `OversizedPayloadError`, `NotConnectedError` or `MailboxFullError` (nothing was
            sent), `DisconnectedError` or `AckTimeoutError` (the hub may or may not have handled it).
        """
        reply: Future[None] = Future()
        try:
            check_channel(channel)
            message = ConnectionActor.Publish(channel, encode_data(data), reply)
        except (InvalidNameError, EncodeError) as error:
            reply.set_exception(error)
            return reply
        self._request(message, reply)
        return reply

    def send(self, to_peer_id: str, data: Any) -> Future[None]:
        """Send `data` to every connection of one peer.

        Args:
            to_peer_id: 1 to 128 bytes of UTF-8.
            data: see `publish`.

        Returns:
            The future of the hub's ack; it fails as that of `publish`, likeliest with `peer_not_found`.
        """
        reply: Future[None] = Future()
        try:
            check_peer_id(to_peer_id)
            message = ConnectionActor.Send(to_peer_id, encode_data(data), reply)
        except (InvalidNameError, EncodeError) as error:
            reply.set_exception(error)
            return reply
        self._request(message, reply)
        return reply

    # -- listeners -------------------------------------------------------------------------------------------

    def on(self, kind: type[Event], *, channel: str | None = None) -> Callable[[F], F]:
        """Call the decorated function for each event of a kind; it is returned unchanged.

        Args:
            kind: `ChannelMessage`, `DirectMessage`, `PresenceEvent`, ...
            channel: only those of this channel.

        Raises:
            TypeError: there is no such kind of event, or its events belong to no channel.
        """
        source = self._listeners.of(kind, channel)

        def decorate(callback: F) -> F:
            source.subscribe(callback)
            return callback

        return decorate

    @overload
    def events(self, *, channel: str | None = None, capacity: int = 1024) -> EventStream[Event]: ...

    @overload
    def events(self, *kinds: type[E], channel: str | None = None, capacity: int = 1024) -> EventStream[E]: ...

    def events(self, *kinds: type[Any], channel: str | None = None, capacity: int = 1024) -> EventStream[Any]:
        """Give a stream of events of these kinds (of all, if none is named) from now on, in order.

        Args:
            kinds: what to listen to.
            channel: only those of this channel.
            capacity: events that wait for a slow reader; then the oldest is dropped, and the reader gets an
                `EventLost(count)`.

        Returns:
            A stream for `for`, `async for` or `.get(timeout)`; it ends when the client is disposed.

        Raises:
            TypeError: as in `on`.
        """
        stream: EventStream[Any] = EventStream(capacity, lost_event=EventLost)
        every = KINDS if channel is None else OF_CHANNELS
        for source in [self._listeners.of(kind, channel) for kind in kinds or every]:
            stream.follow(source)
        return stream

    # -- snapshots -------------------------------------------------------------------------------------------

    @property
    def options(self) -> SignallingClientOptions:
        """What the client was made of."""
        return self._settings

    @property
    def state(self) -> SignallingClientState:
        """What a caller may expect right now."""
        return self._view.state

    @property
    def peer_id(self) -> str | None:
        """Who the hub takes this client for; None while not connected."""
        return self._view.peer_id

    @property
    def max_message_size(self) -> int | None:
        """Bytes that the hub takes per message; None while not connected."""
        return self._view.max_message_size

    @property
    def subscriptions(self) -> frozenset[str]:
        """The channels that the client keeps subscribed."""
        return frozenset(self._view.tracked)

    def roster(self, channel: str) -> tuple[PresencePeer, ...]:
        """Give the other peers in a subscribed channel, as far as the hub told."""
        roster = self._view.rosters.get(channel)
        return () if roster is None else roster.peers()

    def statistics(self) -> ClientStatistics:
        """Give what operators read."""
        view = self._view
        return ClientStatistics(view.state, view.connects, len(view.tracked), view.frames_dropped)

    def __repr__(self) -> str:
        if "_view" not in self.__dict__:
            return "<SignallingClient, never made>"
        return f"<SignallingClient {self._settings.origin.text} {self._view.state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not pickled: connections stay in their process")

    # -- the way to the actors -------------------------------------------------------------------------------

    def _supervisor(self) -> LoopActorRef[SupervisorActor]:
        ref: LoopActorRef[SupervisorActor] | None = self._once.get("supervisor")
        return ref if ref is not None else self._start()

    def _start(self) -> LoopActorRef[SupervisorActor]:
        start = StartOptions(runtime=self._runtime, loop=self._runtime.io, name="supervisor")
        args = (self._settings, self._view, self._listeners, self._home, self._log)
        mine = SupervisorActor.start_with(start, *args)
        ref: LoopActorRef[SupervisorActor] = self._once.setdefault("supervisor", mine)
        if ref is not mine:  # another thread was faster
            mine.stop(block=False)
        else:
            self._once["at exit"] = self._runtime.on_close(self.dispose)
        return ref

    def _ask(self, message: Any) -> bool:
        """Tell the supervisor; False if it has ended."""
        self._runtime.check_fork()
        try:
            self._supervisor().tell(message)
        except ActorStoppedError:
            return False
        return True

    def _gone(self) -> SignallingError:
        if "disposed" in self._once:
            return ClientDisposedError("dispose() was called on this client; make a new one")
        explanation = "what ran this client has ended; make a new one"
        return SignallingConnectError(CloseCode.ABNORMAL, explanation=explanation)

    def _claim(self, channel: str, options: SubscribeOptions | None, reply: Future[None]) -> ChannelClaim:
        def tell(message: Any) -> None:
            self._supervisor().tell(SupervisorActor.ForChannel(channel, message))

        return ChannelClaim(tell, options, reply)

    def _request(self, message: Any, reply: Reply) -> None:
        """Hand a request to the connection. Whatever happens to it, its reply hears of it."""
        self._runtime.check_fork()
        inbox = self._view.inbox
        if inbox is None:
            reply.try_set_exception(not_connected())
        elif len(inbox) >= self._most_waiting:
            reply.try_set_exception(MailboxFullError(self._most_waiting))
        else:
            try:
                inbox.put(message)
            except ActorStoppedError:
                reply.try_set_exception(not_connected())
            # The connection may have ended before it saw this; if it did see it, it has answered.
            if inbox.refuses:
                reply.try_set_exception(not_connected())

    @staticmethod
    def _fits(check: Callable[[str], None], name: str, reply: Future[Any]) -> bool:
        try:
            check(name)
        except InvalidNameError as error:
            reply.set_exception(error)
            return False
        return True

    def _caller_s_loop(self) -> asyncio.AbstractEventLoop | None:
        if self._runtime.io.is_current() or self._runtime.agents.is_current():
            return None
        return running_loop()
