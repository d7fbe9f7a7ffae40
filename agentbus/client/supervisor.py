"""The supervisor actor: the state of a client, and what follows each end of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from agentbus.client import reports, states
from agentbus.client.callers import Callers, Failure
from agentbus.client.capabilities import Capabilities
from agentbus.client.channels import Channels
from agentbus.client.connection import ConnectionActor
from agentbus.client.credentials import Credential
from agentbus.client.events import (
    ConnectedEvent,
    DisconnectedEvent,
    StateChange,
    TokenProviderErrorEvent,
    connected_event,
)
from agentbus.client.leftovers import answer_leftovers
from agentbus.client.listeners import Home, Listeners
from agentbus.client.options import SignallingClientOptions
from agentbus.client.payloads import Event
from agentbus.client.requests import Reply, not_connected
from agentbus.client.resender import Resender
from agentbus.client.router import Router
from agentbus.client.states import SignallingClientState
from agentbus.client.subscription import SubscriptionActor
from agentbus.client.tokens import Cancellable, Outcome, credential_source
from agentbus.client.view import ClientView
from agentbus.errors import ActorStoppedError, SignallingConnectError, TokenProviderError
from agentbus.protocol.backoff import retry_delay
from agentbus.protocol.codes import CloseCode
from agentbus.runtime import Future, Subscription
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.dispatch import receives
from agentbus.runtime.down import Down, DownReason, StartOptions
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import LoopActorRef

TOKEN_FAILURES_WORTH_AN_EVENT = 3
"""Failures in a row of the token provider, from which on each is an event. Spec section 7."""


class SupervisorActor(LoopActor):
    """Own the state of the client; spawn a new connection, with a fresh credential, for every attempt.

    Owns:  the state, the attempts and the timer of the next, the callers of `connect()` and `close()`, the
           connection, and the subscriptions.
    Told:  Connect, Close, Dispose, ForChannel (by the facade and its claims); Fetched (by a credential);
           ConnectionUp, ConnectionDown (by the connection).
    Tells: the connection Announced and Close; the subscriptions of connections that come and go; listeners.
    """

    class Connect(Struct, frozen=True):
        """Somebody wants a connection; `home` is the loop that they run on, if they do."""

        reply: Future[ConnectedEvent]
        home: asyncio.AbstractEventLoop | None

    class Close(Struct, frozen=True):
        """Somebody wants no connection any more."""

        code: int
        reason: str
        reply: Future[None]

    class Dispose(Struct, frozen=True):
        """It is over for good."""

        reply: Future[None]

    class ForChannel(Struct, frozen=True):
        """Something for the actor of a channel."""

        channel: str
        message: Any

        @property
        def reply(self) -> Future[None] | None:
            """Who waits for it, if anybody does."""
            return getattr(self.message, "reply", None)

    class Retry(Struct, frozen=True):
        """Something to be sent until it is acked; `request` makes it for a connection."""

        request: Callable[[Reply], Any]
        size: int
        reply: Future[None]

    class Fetched(Struct, frozen=True):
        """The credential of an attempt has come, or has not."""

        attempt: int
        outcome: Outcome

    ConnectionUp = reports.ConnectionUp
    ConnectionDown = reports.ConnectionDown

    def __init__(
        self,
        options: SignallingClientOptions,
        view: ClientView,
        listeners: Listeners,
        home: Home,
        log: logging.Logger,
    ) -> None:
        super().__init__()
        self._settings = options
        self._view = view
        self._listeners = listeners
        self._home = home
        self._log = log
        self._router = Router(listeners, view)
        self._channels = Channels(self._start_channel)
        self._credentials = credential_source(options, self.loop)
        self._token_failures = 0
        self._attempt = 0
        self._fetch: Cancellable | None = None
        self._redials = 0
        self._retry: OwnedTimer | None = None
        self._connection: LoopActorRef[ConnectionActor] | None = None
        self._connected: ConnectedEvent | None = None
        self._callers: Callers[SupervisorActor.Connect] = Callers()
        self._at_exit: Subscription | None = None
        self._resender = Resender(self, options)

    def on_start(self) -> None:
        """See to it that the client is disposed when its runtime ends."""
        self._at_exit = self.runtime.on_close(self._ask_for_the_end)

    # -- somebody wants a connection -------------------------------------------------------------------------

    @receives(Connect)
    def on_connect(self, message: Connect) -> None:
        """Begin the first attempt, or share the result of what is going on."""
        if message.home is not None:
            self._home.found(message.home)
        state = self._view.state
        if self._connection is not None and state is states.CLOSED:
            self._callers.postpone(message, message.reply)  # the last goodbye is still being said
        elif self._connected is not None and state is states.CONNECTED:
            message.reply.try_set(self._connected)
        else:
            self._callers.want_connection(message.reply)
            self._move(states.CONNECT)
            if state is not states.RECONNECTING and state is not states.CONNECTING:
                self._redials = 0
                self._begin_attempt()

    def _begin_attempt(self) -> None:
        self._attempt += 1
        self._retry = None
        number, ref = self._attempt, self.actor_ref

        def deliver(outcome: Outcome) -> None:
            with contextlib.suppress(ActorStoppedError):  # then nobody wants it
                ref.tell(SupervisorActor.Fetched(number, outcome))

        self._fetch = self._credentials.fetch(self._home.loop, deliver)

    @receives(Fetched)
    def on_fetched(self, message: Fetched) -> None:
        """Dial with the fresh credential, or count the attempt as failed."""
        if message.attempt != self._attempt or self._fetch is None:
            return
        self._fetch = None
        if isinstance(message.outcome, Credential):
            self._token_failures = 0
            self._connection = self._dial(message.outcome)
        else:
            self._token_failed(message.outcome)

    def _dial(self, credential: Credential) -> LoopActorRef[ConnectionActor]:
        self._log.debug("connecting to %s", self._settings.origin.text)
        start = self._child("connection", self._connection_exited)
        args = (self._settings, credential, self.actor_ref, self._router, self._log)
        return ConnectionActor.start_with(start, *args)

    def _child(self, name: str, on_exit: Callable[[Down], object] | None = None) -> StartOptions:
        return StartOptions(runtime=self.runtime, loop=self.loop, name=name, on_exit=on_exit)

    def _token_failed(self, error: TokenProviderError) -> None:
        self._token_failures += 1
        self._log.warning("%s (%d in a row)", error, self._token_failures)
        if self._token_failures >= TOKEN_FAILURES_WORTH_AN_EVENT:
            self._tell(TokenProviderErrorEvent(self._token_failures, error.__cause__ or error))
        self._ended(CloseCode.ABNORMAL, "the token provider failed", lambda: error)

    # -- the hub said welcome --------------------------------------------------------------------------------

    @receives(reports.ConnectionUp)
    def on_connection_up(self, message: reports.ConnectionUp) -> None:
        """Become *connected*, have the channels replayed, and only then let the frames through."""
        if message.connection is not self._connection or self._view.state is states.CLOSED:
            return
        is_reconnect = self._view.state is states.RECONNECTING
        event = self._connected = connected_event(message.welcome, is_reconnect=is_reconnect)
        self._redials = 0
        self._view.connected(message.connection, event)
        self._view.capabilities = Capabilities(frozenset(message.welcome.extensions))
        self._move(states.WELCOME)
        self._log.info("connected to %s", self._settings.origin.text)
        with contextlib.suppress(ActorStoppedError):  # it is gone already, and its last word is on the way
            message.connection.tell(ConnectionActor.Announced())
        self._channels.connection_up(message.connection)
        replayed = len(self._view.tracked)
        self._resender.connected(message.connection, message.welcome, event, replayed)
        self._tell(event)
        self._callers.connected(event)

    # -- a connection, or an attempt, has ended --------------------------------------------------------------

    @receives(reports.ConnectionDown)
    def on_connection_down(self, message: reports.ConnectionDown) -> None:
        """Do what the close code says."""
        if message.connection is not self._connection:
            return
        self._connection = self._connected = None
        self._view.disconnected()
        self._channels.connection_down()
        self._router.disconnected()
        self._resender.disconnected()
        self._ended(message.code, message.reason, functools.partial(_refusal, message), message.retry_after)

    def _connection_exited(self, down: Down) -> None:
        if down.reason is DownReason.START_FAILED:  # then it could not say so itself
            last_word = reports.ConnectionDown(
                down.ref, CloseCode.ABNORMAL, "the client failed", was_open=False
            )
            self.actor_ref.tell(last_word)

    def _ended(
        self, code: CloseCode, reason: str, failure: Failure, retry_after: float | None = None
    ) -> None:
        delay = self._delay(code, retry_after)
        if self._view.state is not states.CLOSED:
            self._move(states.END if delay is None else states.LOST)
        self._log_end(code, reason, delay)
        self._tell(DisconnectedEvent(code, reason, delay is not None))
        if delay is not None:
            self._retry = self.call_later(delay, self._begin_attempt)
        else:
            self._callers.failed(failure)
            self._closed()

    def _delay(self, code: CloseCode, retry_after: float | None) -> float | None:
        """Give the seconds to the next attempt; None if there is none. Spec section 5."""
        retries = (
            self._view.state in {states.CONNECTED, states.RECONNECTING} and self._settings.auto_reconnect
        )
        if not retries:
            return None
        self._redials += 1
        options, random = self._settings.reconnect, self.runtime.random
        return retry_delay(options, self._redials, code, random, retry_after or 0.0)

    def _log_end(self, code: CloseCode, reason: str, delay: float | None) -> None:
        then = "no further attempt" if delay is None else f"next attempt in {delay:.2f} s"
        self._log.info("connection ended: %d, %s (%a); %s", code, code.explanation, reason, then)

    # -- somebody wants no connection any more ---------------------------------------------------------------

    @receives(Close)
    def on_close(self, message: Close) -> None:
        """End what is going on, and wait for the goodbye if there is somebody to say it to."""
        self._move(states.CLOSE)
        self._callers.want_end(message.reply)
        self._cancel_retry()
        self._view.disconnected()
        failure = functools.partial(_closed_meanwhile, message)
        self._callers.refused(failure)
        if self._connection is not None:
            with contextlib.suppress(ActorStoppedError):  # its last word is on the way
                self._connection.tell(ConnectionActor.Close(message.code, message.reason))
        elif self._fetch is not None:
            self._fetch.cancel()
            self._fetch = None
            self._ended(CloseCode.of(message.code), message.reason, failure)
        else:
            self._closed()

    def _closed(self) -> None:
        self._resender.ended()
        for message in self._callers.ended():
            self.on_connect(message)

    @receives(Dispose)
    def on_dispose(self, message: Dispose) -> None:
        """Close; when that is done, end every stream and every actor of this client."""
        closed: Future[None] = Future()
        closed.add_done_callback(lambda _: self._disposed(message.reply))
        self.on_close(SupervisorActor.Close(CloseCode.NORMAL, "client disposed", closed))

    def _ask_for_the_end(self) -> Future[None]:
        """Dispose, on whatever thread ends the runtime."""
        reply: Future[None] = Future()
        try:
            self.actor_ref.tell(SupervisorActor.Dispose(reply))
        except ActorStoppedError:
            reply.try_set(None)
        return reply

    def _disposed(self, reply: Future[None]) -> None:
        self._channels.stop()
        self._listeners.close()
        self.stop()
        reply.try_set(None)

    def on_stop(self) -> None:
        """Leave nobody waiting."""
        self._cancel_retry()
        if self._fetch is not None:
            self._fetch.cancel()
        if self._connection is not None:
            self._connection.stop(block=False, now=True)
            self._tell(DisconnectedEvent(CloseCode.ABNORMAL, "the client was stopped", will_reconnect=False))
        self._view.disconnected()
        self._resender.ended()
        self._move(states.CLOSE)
        self._callers.refused(lambda: SignallingConnectError(CloseCode.ABNORMAL, "the client was stopped"))
        self._callers.ended()
        if self._at_exit is not None:
            self._at_exit.cancel()
        answer_leftovers(self, SupervisorActor.Close, SupervisorActor.Dispose)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """End everything: nobody is left who could go on."""
        del exception_type, exception_value, traceback  # logged by whoever called this
        self.on_stop()
        self._channels.stop()

    # -- what is sent until it is acked ----------------------------------------------------------------------

    @receives(Retry)
    def on_retry(self, message: Retry) -> None:
        """Send it now, or after the reconnect that is under way."""
        if self._view.state in {states.CONNECTED, states.RECONNECTING}:
            self._resender.add(message.request, message.size, message.reply)
        else:
            message.reply.try_set_exception(not_connected())

    # -- channels --------------------------------------------------------------------------------------------

    @receives(ForChannel)
    def on_for_channel(self, message: ForChannel) -> None:
        """Pass it on."""
        self._channels.tell(message.channel, message.message)

    def _start_channel(
        self, channel: str, on_idle: Callable[[int], object]
    ) -> LoopActorRef[SubscriptionActor]:
        start = self._child(f"channel {channel!r}", functools.partial(self._channels.exited, channel))
        args = (channel, self._settings, self._view, self._listeners, on_idle, self._log)
        return SubscriptionActor.start_with(start, *args)

    # -- what the above has in common ------------------------------------------------------------------------

    def _move(self, happening: states.Happening) -> None:
        previous: SignallingClientState = self._view.state
        current = self._view.state = states.after(previous, happening)
        if current is not previous:
            self._tell(StateChange(previous, current))

    def _tell(self, event: Event) -> None:
        self._listeners.of(type(event)).emit(event)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _refusal(down: reports.ConnectionDown) -> SignallingConnectError:
    explanation = down.code.explanation
    return SignallingConnectError(
        down.code, down.reason, explanation=explanation, http_status=down.http_status
    )


def _closed_meanwhile(message: SupervisorActor.Close) -> SignallingConnectError:
    return SignallingConnectError(message.code, message.reason, explanation="close() was called meanwhile")
