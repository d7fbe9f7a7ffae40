"""The connection actor: one socket from dial to death. It never reconnects; its supervisor does."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from agentbus.client.credentials import Credential
from agentbus.client.heartbeat import Heartbeat
from agentbus.client.inbound import Inbound
from agentbus.client.keepalive import Keepalive
from agentbus.client.leftovers import answer_leftovers
from agentbus.client.mailbox import MailboxClaim
from agentbus.client.options import SignallingClientOptions
from agentbus.client.recovery import Recovery
from agentbus.client.reports import ConnectionDown, ConnectionUp, Life
from agentbus.client.requests import NOBODY, Claim, Reply, Requests, WhenAcked, not_connected
from agentbus.client.router import Router
from agentbus.errors import ActorStoppedError
from agentbus.protocol.codec import NO_ACK_TAIL, encode, frame_head
from agentbus.protocol.codes import CloseCode
from agentbus.protocol.extensions import MAILBOX_CHANNEL, RECOVER_EXTENSION
from agentbus.protocol.frames import Ack, ClientFrame, Ping, Welcome
from agentbus.protocol.frames import Subscribe as SubscribeFrame
from agentbus.protocol.frames import Unsubscribe as UnsubscribeFrame
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.dispatch import receives
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import LoopActorRef
from agentbus.wire.transport import Transport

WELCOME_TIMEOUT = 10.0
"""Seconds from the dial to the welcome. Spec section 7."""
CLOSE_TIMEOUT = 1.0
"""Seconds that the closing handshake may take. Spec section 7."""

_OPEN = Life.OPEN  # requests ask for it, and Python 3.11 takes 0.1 us to look up a member of an enum


class ConnectionActor(LoopActor):
    """Own one transport, correlate requests with acks, keep the connection alive.

    Owns:  the transport, the pending requests, the deadlines of welcome, acks, silence and goodbye.
    Told:  Submit, Post, Subscribe, Unsubscribe (by the facade and the subscriptions), Announced, Close
           (by the supervisor); by the transport, in calls between messages: bytes, congestion and loss.
    Tells: the supervisor ConnectionUp at most once and ConnectionDown exactly once and last; the router each
           usable frame, in the order of the wire.
    """

    class Submit(Struct, frozen=True):
        """Publish JSON text to a channel or send it to a peer, as the head of its frame says."""

        head: bytes
        data: bytes
        reply: Reply
        message_id: str | None = None

    class Post(Struct, frozen=True):
        """The same without an ack."""

        head: bytes
        data: bytes
        reply: Reply = NOBODY

    class Subscribe(Struct, frozen=True):
        """Subscribe to a channel."""

        channel: str
        include_sender_metadata: bool
        reply: Claim
        recover: bool = False

    class Unsubscribe(Struct, frozen=True):
        """Give a channel up."""

        channel: str
        reply: Claim

    class Announced(Struct, frozen=True):
        """Everybody knows that the connection is up: let the frames through."""

    class Close(Struct, frozen=True):
        """Say goodbye."""

        code: int
        reason: str

    def __init__(
        self,
        options: SignallingClientOptions,
        credential: Credential,
        supervisor: LoopActorRef[Any],
        router: Router,
        log: logging.Logger,
    ) -> None:
        super().__init__()
        self._settings = options
        self._credential = credential
        self._supervisor = supervisor
        self._router = router
        self._log = log
        self._life = Life.OPENING
        self._was_open = False
        self._offers: tuple[str, ...] = ()
        self._goodbye: tuple[int, str] | None = None
        self._transport: Transport | None = None
        self._welcome_timer: OwnedTimer | None = None
        self._ack_timer: OwnedTimer | None = None
        self._now = self.loop.clock.monotonic
        self._requests = Requests(options)
        self._heartbeat = Heartbeat(self, Keepalive(options.inactivity_timeout), self._ping, self._too_silent)
        self._inbound = Inbound(router, self._requests, self._heartbeat, credential.redact, log, self._now)
        self.on_activity = self._heartbeat.heard  # the hot ones of a transport's calls go straight there
        self.on_text = self._inbound.read

    # -- a life, in order ------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Dial, and give the whole way to the welcome its time."""
        self._inbound.expect_welcome(self._welcome)
        self._welcome_timer = self.call_later(
            WELCOME_TIMEOUT, self._close, CloseCode.CLIENT_INACTIVITY, "no welcome in time"
        )
        target = self._credential.target(self._settings.origin)
        self._transport = self._settings.dialler()(target, self, self.loop)
        self._requests.send = self._transport.send_text

    def on_open(self) -> None:
        """Hear that the upgrade is done."""
        if self._life is Life.OPENING:
            self._life = Life.AWAITING_WELCOME

    def _welcome(self, frame: Welcome) -> None:
        self._life = Life.OPEN
        self._was_open = True
        self._offers = frame.extensions
        self._requests.cap(frame.max_message_size)
        _cancel(self._welcome_timer)
        self._supervisor.tell(ConnectionUp(self.actor_ref, frame))

    @receives(Announced)
    def on_announced(self, _message: Announced) -> None:
        """Let the frames through, and begin to listen to the silence between them."""
        if self._life is Life.OPEN:
            self._heartbeat.start()
            self._inbound.flow()
            if self._settings.mailbox and RECOVER_EXTENSION in self._offers:
                claim = MailboxClaim(self._log)
                self.on_subscribe(self.Subscribe(MAILBOX_CHANNEL, False, claim, recover=True))  # noqa: FBT003

    @receives(Close)
    def on_close(self, message: Close) -> None:
        """Begin the closing handshake, and wait for its end no longer than it may take."""
        self._close(message.code, message.reason)

    def _too_silent(self) -> None:
        self._close(CloseCode.CLIENT_INACTIVITY, "no frame in time")

    def _close(self, code: int, reason: str) -> None:
        if self._life in {Life.CLOSING, Life.CLOSED}:
            return
        self._goodbye = code, reason
        self._fall_silent(Life.CLOSING, code)
        self.call_later(CLOSE_TIMEOUT, self._no_goodbye)
        if self._transport is not None:
            self._transport.close(code, reason)

    def _no_goodbye(self) -> None:
        self._abort()
        self._lost(CloseCode.ABNORMAL, "")

    def on_closed(
        self,
        code: int,
        reason: str,
        http_status: int | None = None,
        retry_after: float | None = None,
        /,
    ) -> None:
        """Report the end: the transport's last word."""
        self._lost(CloseCode.of(code), self._credential.redact(reason), http_status, retry_after)

    def _lost(
        self, code: CloseCode, reason: str, http_status: int | None = None, retry_after: float | None = None
    ) -> None:
        if self._life is Life.CLOSED:
            return
        if self._goodbye is not None:  # spec 7: what we closed with is reported, whatever the peer answers
            code, reason = CloseCode.of(self._goodbye[0]), self._goodbye[1]
        self._fall_silent(Life.CLOSED, code)
        down = ConnectionDown(self.actor_ref, code, reason, self._was_open, http_status, retry_after)
        with contextlib.suppress(ActorStoppedError):  # it has ended, and with it all who could care
            self._supervisor.tell(down)
        self.stop()

    def _fall_silent(self, life: Life, code: int) -> None:
        self._life = life
        self._inbound.stop()
        self._heartbeat.stop()
        _cancel(self._welcome_timer)
        _cancel(self._ack_timer)
        self._requests.fail_all(code)

    def on_stop(self) -> None:
        """Leave nothing behind, whoever asked for the end."""
        self._abort()
        self._lost(CloseCode.ABNORMAL, "the client was stopped")
        answer_leftovers(self)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """End like any connection that broke."""
        del exception_type, exception_value, traceback  # logged by whoever called this
        self._abort()
        self._lost(CloseCode.ABNORMAL, "the client failed")
        answer_leftovers(self)

    def _abort(self) -> None:
        if self._transport is not None and self._life is not Life.CLOSED:
            self._transport.abort()

    # -- requests --------------------------------------------------------------------------------------------

    @receives(Submit)
    def on_submit(self, message: Submit) -> None:
        """Track, then send."""
        if self._life is not _OPEN:
            message.reply.try_set_exception(not_connected())
            return
        self._requests.submit(message.head, message.data, message.reply, self._now())
        if self._ack_timer is None:
            self._await_acks()

    @receives(Post)
    def on_post(self, message: Post) -> None:
        """Send, and forget."""
        if self._life is _OPEN:
            self._requests.post(b"".join((message.head, message.data, NO_ACK_TAIL)))

    @receives(Subscribe)
    def on_subscribe(self, message: Subscribe) -> None:
        """Let the subscription track the channel, then send. After the ack, a snapshot is due."""
        channel, metadata = message.channel, message.include_sender_metadata
        view = self._router.view
        offered = message.recover and RECOVER_EXTENSION in self._offers
        recovery = self._recovery(channel, wanted=message.recover, offered=offered)
        since = recovery.ask(view.connects) if recovery is not None and offered else None
        acked = functools.partial(self._router.subscribed, channel, recovery, (view.connects, since))
        frame = SubscribeFrame(channel, metadata)
        if offered:
            frame = SubscribeFrame(channel, metadata, None, offered, since, view.producer.name)
        self._request(frame, message.reply, acked)

    def _recovery(self, channel: str, *, wanted: bool, offered: bool) -> Recovery | None:
        """Give how far a channel has come; if the hub offers no recovery, only where one did before."""
        if self._life is not Life.OPEN:
            return None
        if not wanted:
            self._router.view.recoveries.pop(channel, None)
        return self._router.recovery(channel) if offered else self._router.view.recoveries.get(channel)

    @receives(Unsubscribe)
    def on_unsubscribe(self, message: Unsubscribe) -> None:
        """Let the subscription untrack the channel, then send."""
        channel = message.channel
        if self._life is Life.OPEN:
            self._router.view.recoveries.pop(channel, None)
        self._request(UnsubscribeFrame(channel), message.reply, lambda _ack: self._router.forget(channel))

    def _request(self, frame: ClientFrame, claim: Claim, acked: Callable[[Ack | None], object]) -> None:
        if self._life is not Life.OPEN:
            claim.try_set_exception(not_connected())
            return
        claim.leaving()
        self._requests.submit_small(frame_head(frame), WhenAcked(claim, acked), self._now())
        if self._ack_timer is None:
            self._await_acks()

    def _await_acks(self) -> None:
        deadline = self._requests.next_deadline()
        wait = None if deadline is None else max(0.0, deadline - self._now())
        self._ack_timer = None if wait is None else self.call_later(wait, self._acks_overdue)

    def _acks_overdue(self) -> None:
        self._requests.expire(self._now())
        self._await_acks()

    # -- the transport's calls -------------------------------------------------------------------------------

    def on_binary(self, size: int, /) -> None:
        """Drop a message that the protocol does not use."""
        self._inbound.drop(f"a binary message of {size} bytes")

    def on_pause_writing(self) -> None:
        """Let requests wait: the network takes no more."""
        self._requests.hold()

    def on_resume_writing(self) -> None:
        """Send what has waited."""
        self._requests.release()

    def _ping(self) -> None:
        self._requests.send(encode(Ping()))


def _cancel(timer: OwnedTimer | None) -> None:
    if timer is not None:
        timer.cancel()
