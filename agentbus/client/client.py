"""`SignallingClient`: what callers hold. It keeps no protocol state; it turns calls into messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn, Self, Unpack, cast

from msgspec import Struct

from agentbus.client.capabilities import Capabilities
from agentbus.client.connection import ConnectionActor
from agentbus.client.events import ConnectedEvent, PresencePeer
from agentbus.client.options import SignallingClientFields, SignallingClientOptions, SubscribeOptions
from agentbus.client.requests import NOBODY
from agentbus.client.states import SignallingClientState
from agentbus.client.streams import Streams
from agentbus.client.supervisor import SupervisorActor
from agentbus.client.switchboard import Switchboard
from agentbus.errors import (
    ClientDisposedError,
    EncodeError,
    InvalidNameError,
    SignallingConnectError,
    SignallingError,
)
from agentbus.protocol.codec import encode_data, publish_head, send_head
from agentbus.protocol.codes import CloseCode
from agentbus.protocol.names import check_channel
from agentbus.runtime import Future, Runtime, default_runtime
from agentbus.wire.framing import check_close_code

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
        given = cast("dict[str, Any]", fields)
        try:
            settings = _settings(options, fields)
        finally:
            options = None  # a traceback shows the locals of this frame, and one of them may be a key
            given.clear()
        self._board = Switchboard(settings, runtime or default_runtime(), loop)
        self._ending: dict[str, Future[None]] = {}  # of `dispose`, made by one atomic step
        super().__init__(self._board.listeners)

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
        if self._ending:
            raise self._gone()
        reply: Future[ConnectedEvent] = Future(cancellable_by_waiter=True)
        if not self._board.ask(SupervisorActor.Connect(reply, self._board.caller_s_loop())):
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
        if self._ending:
            return self.dispose()
        if not self._board.ask(SupervisorActor.Close(code, reason, reply)):
            reply.try_set(None)
        return reply

    def dispose(self) -> Future[None]:
        """Close, then end every event stream; `connect()` raises from then on. Idempotent.

        Returns:
            The future of the end.
        """
        mine: Future[None] = Future()
        reply = self._ending.setdefault("disposed", mine)
        if reply is mine and not self._board.ask(SupervisorActor.Dispose(reply)):
            self._board.listeners.close()
            reply.try_set(None)
        return reply

    def _gone(self) -> SignallingError:
        if self._ending:
            return ClientDisposedError("dispose() was called on this client; make a new one")
        explanation = "what ran this client has ended; make a new one"
        return SignallingConnectError(CloseCode.ABNORMAL, explanation=explanation)

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

    def subscribe(
        self, channel: str, *, include_sender_metadata: bool = False, recover: bool = True
    ) -> Future[None]:
        """Subscribe to a channel; it stays subscribed across reconnects.

        Args:
            channel: 1 to 256 bytes of UTF-8.
            include_sender_metadata: whether messages of this channel carry their publisher's metadata.
            recover: after a reconnect, ask for the messages that were missed: they come in order before newer
                ones, or one `MessagesMissed` does. It means nothing where the hub keeps no history.

        Returns:
            The future of the hub's ack. Before it, messages may be missed. It fails with
            `SignallingServerError` (the channel is dropped again), `InvalidNameError`, `NotConnectedError`
            (nothing was sent), `DisconnectedError` or `AckTimeoutError` (the channel stays subscribed).
        """
        reply: Future[None] = Future()
        options = SubscribeOptions(include_sender_metadata, recover)
        claim = self._board.claim(channel, options, reply)
        if _fits(check_channel, channel, reply):
            message = ConnectionActor.Subscribe(channel, include_sender_metadata, claim, recover)
            self._board.request(message, claim)
        return reply

    def unsubscribe(self, channel: str) -> Future[None]:
        """Give a channel up; success also where it was not subscribed. A reconnect won't bring it back.

        Returns:
            The future of the hub's ack; it fails as that of `subscribe`.
        """
        reply: Future[None] = Future()
        claim = self._board.claim(channel, None, reply)
        if _fits(check_channel, channel, reply):
            self._board.request(ConnectionActor.Unsubscribe(channel, claim), claim)
        return reply

    def publish(self, channel: str, data: Any, *, retry: bool = False) -> Future[None]:
        """Send `data` to every other connection that is subscribed to the channel.

        Args:
            channel: 1 to 256 bytes of UTF-8; it need not be subscribed.
            data: what msgspec encodes to JSON, or `msgspec.Raw` of JSON text; encoded before this returns.
            retry: if the connection ends before the ack, send it again on the next one, under the same id, so
                that it takes effect once; while reconnecting, let it wait.

        Returns:
            The future of the hub's ack. It fails with `SignallingServerError`, `InvalidNameError`,
            `EncodeError`, `OversizedPayloadError`, `NotConnectedError` or `MailboxFullError` (nothing was
            sent), `DisconnectedError` or `AckTimeoutError` (the hub may or may not have handled it); with
            `retry`, with `ExtensionMissingError` where the hub does not recognise repeats.
        """
        reply: Future[None] = Future()
        try:
            head, text = publish_head(channel), encode_data(data)
        except (InvalidNameError, EncodeError, TypeError) as error:
            reply.set_exception(error)
            return reply
        if retry:
            self._board.retry(head, text, reply)
        else:
            self._board.request(ConnectionActor.Submit(head, text, reply), reply)
        return reply

    def send(self, to_peer_id: str, data: Any, *, retry: bool = False) -> Future[None]:
        """Send `data` to every connection of one peer.

        Args:
            to_peer_id: 1 to 128 bytes of UTF-8.
            data: see `publish`.
            retry: see there.

        Returns:
            The future of the hub's ack; it fails as that of `publish`, likeliest with `peer_not_found`.
        """
        reply: Future[None] = Future()
        try:
            head, text = send_head(to_peer_id), encode_data(data)
        except (InvalidNameError, EncodeError, TypeError) as error:
            reply.set_exception(error)
            return reply
        if retry:
            self._board.retry(head, text, reply)
        else:
            self._board.request(ConnectionActor.Submit(head, text, reply), reply)
        return reply

    def post(self, to_peer_id: str, data: Any) -> None:
        """Send `data` to every connection of one peer, without an ack: nobody hears what becomes of it.

        For protocols with acks of their own: it spares both ends, and the hub, one frame for each. It keeps
        its place among the other requests; while the client is not connected it is dropped.

        Args:
            to_peer_id: 1 to 128 bytes of UTF-8.
            data: see `publish`.

        Raises:
            InvalidNameError: that is no peer id.
            EncodeError: the data has no JSON form.
        """
        self._board.request(ConnectionActor.Post(send_head(to_peer_id), encode_data(data)), NOBODY)

    # -- snapshots -------------------------------------------------------------------------------------------

    @property
    def options(self) -> SignallingClientOptions:
        """What the client was made of."""
        return self._board.options

    @property
    def state(self) -> SignallingClientState:
        """What a caller may expect right now."""
        return self._board.view.state

    @property
    def peer_id(self) -> str | None:
        """Who the hub takes this client for; None while not connected."""
        return self._board.view.peer_id

    @property
    def max_message_size(self) -> int | None:
        """Bytes that the hub takes per message; None while not connected."""
        return self._board.view.max_message_size

    @property
    def capabilities(self) -> Capabilities:
        """What the hub offers beyond the common protocol, and what is missing; of the latest connection."""
        return self._board.view.capabilities

    @property
    def subscriptions(self) -> frozenset[str]:
        """The channels that the client keeps subscribed."""
        return frozenset(self._board.view.tracked)

    def roster(self, channel: str) -> tuple[PresencePeer, ...]:
        """Give the other peers in a subscribed channel, as far as the hub told."""
        roster = self._board.view.rosters.get(channel)
        return () if roster is None else roster.peers()

    def statistics(self) -> ClientStatistics:
        """Give what operators read."""
        view = self._board.view
        return ClientStatistics(view.state, view.connects, len(view.tracked), view.frames_dropped)

    def __repr__(self) -> str:
        if "_board" not in self.__dict__:
            return "<SignallingClient, never made>"
        return f"<SignallingClient {self._board.options.origin.text} {self._board.view.state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not pickled: connections stay in their process")


def _settings(options: object, fields: SignallingClientFields) -> SignallingClientOptions:
    if options is None:
        return SignallingClientOptions(**fields)
    if isinstance(options, SignallingClientOptions) and not fields:
        return options
    del options
    raise TypeError("give a client SignallingClientOptions or keywords such as api_key=, not both")


def _fits(check: Callable[[str], None], name: str, reply: Future[Any]) -> bool:
    try:
        check(name)
    except InvalidNameError as error:
        reply.set_exception(error)
        return False
    return True
