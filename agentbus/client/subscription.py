"""The subscription actor: what the caller wants of one channel, across connections.

The caller's request goes straight to the connection, so that frames leave in the order of the calls. What
this actor has to know travels with the request as its `ChannelClaim`: that it is about to leave, and what
became of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from agentbus.client.connection import ConnectionActor
from agentbus.client.events import ServerErrorEvent
from agentbus.client.leftovers import answer_leftovers
from agentbus.client.listeners import Listeners
from agentbus.client.options import SignallingClientOptions, SubscribeOptions
from agentbus.client.replay import ReplayBudget
from agentbus.client.view import ClientView
from agentbus.errors import (
    ActorStoppedError,
    DisconnectedError,
    MailboxFullError,
    NotConnectedError,
    SignallingServerError,
)
from agentbus.runtime import Future
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.dispatch import receives
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import LoopActorRef

REFUSALS = (SignallingServerError, NotConnectedError, MailboxFullError)
"""Outcomes that undo the tracking: the hub said no, or the frame never left. Spec section 7, *tracking*."""


class ChannelClaim:
    """A caller's subscribe or unsubscribe on its way: tells the channel's actor, which answers the caller.

    Args:
        tell: takes messages for the channel's actor.
        options: what is wanted of the channel; None to give it up.
        reply: the caller's future.
    """

    __slots__ = ("_settled", "_tell", "options", "reply")

    def __init__(
        self, tell: Callable[[Any], object], options: SubscribeOptions | None, reply: Future[None]
    ) -> None:
        self._tell = tell
        self._settled = False
        self.options = options
        self.reply = reply

    def leaving(self) -> None:
        """Hear that the frame is about to be sent."""
        with contextlib.suppress(ActorStoppedError):  # `_settle` will notice, too
            self._tell(SubscriptionActor.Leaving(self))

    def try_set(self, value: None = None) -> bool:
        """Hear that the hub said yes."""
        return self._settle(value)

    def try_set_exception(self, error: BaseException) -> bool:
        """Hear that it said no, or nothing, or that the frame never left."""
        return self._settle(error)

    def _settle(self, error: BaseException | None) -> bool:
        if self._settled:
            return False
        self._settled = True
        try:
            self._tell(SubscriptionActor.Settled(self, error, self.reply))
        except ActorStoppedError:  # the client was disposed meanwhile
            _answer(self.reply, error)
        return True


class _Replay:
    """A replay on its way: tells its actor what became of it."""

    __slots__ = ("_actor", "_connection", "_options")

    def __init__(
        self,
        actor: LoopActorRef[Any],
        connection: LoopActorRef[ConnectionActor],
        options: SubscribeOptions,
    ) -> None:
        self._actor = actor
        self._connection = connection
        self._options = options

    def leaving(self) -> None:
        """Hear that it leaves; the channel is tracked already."""

    def try_set(self, value: None = None) -> bool:
        """Hear that the hub said yes."""
        return self._tell(value)

    def try_set_exception(self, error: BaseException) -> bool:
        """Hear that it said no, or nothing."""
        return self._tell(error)

    def _tell(self, error: BaseException | None) -> bool:
        with contextlib.suppress(ActorStoppedError):  # nobody wants to know any more
            self._actor.tell(SubscriptionActor.Replayed(self._connection, self._options, error))
        return True


class SubscriptionActor(LoopActor):
    """Own what is wanted of one channel, and ask each new connection for it.

    Owns:  the desired options, the claims on their way, the tries that are left to a replay.
    Told:  Leaving, Settled (by claims), Replayed (by replays); ConnectionUp, ConnectionDown (by the
           supervisor).
    Tells: the connection Subscribe, for a replay; the supervisor when there is nothing left to own.
    """

    class Leaving(Struct, frozen=True):
        """A claim's frame is about to leave: track what it wants, now."""

        claim: ChannelClaim

    class Settled(Struct, frozen=True):
        """A claim's outcome is known."""

        claim: ChannelClaim
        error: BaseException | None
        reply: Future[None]

    class ConnectionUp(Struct, frozen=True):
        """There is a new connection, which knows nothing of this channel."""

        connection: LoopActorRef[ConnectionActor]

    class ConnectionDown(Struct, frozen=True):
        """The connection is gone."""

    class Replayed(Struct, frozen=True):
        """A replay's outcome is known."""

        connection: LoopActorRef[ConnectionActor]
        options: SubscribeOptions
        error: BaseException | None

    def __init__(
        self,
        channel: str,
        options: SignallingClientOptions,
        view: ClientView,
        listeners: Listeners,
        on_idle: Callable[[int], object],
        log: logging.Logger,
    ) -> None:
        super().__init__()
        self._channel = channel
        self._auto_resubscribe = options.auto_resubscribe
        self._view = view
        self._listeners = listeners
        self._on_idle = on_idle
        self._log = log
        self._wanted: SubscribeOptions | None = None
        self._under_way: dict[ChannelClaim, SubscribeOptions | None] = {}
        self._connection: LoopActorRef[ConnectionActor] | None = None
        self._budget = ReplayBudget()
        self._retry: OwnedTimer | None = None
        self._handled = 0

    # -- what the caller wants -------------------------------------------------------------------------------

    @receives(Leaving)
    def on_leaving(self, message: Leaving) -> None:
        """Track, or untrack, before the frame is sent."""
        claim = message.claim
        self._under_way[claim] = self._wanted
        self._want(claim.options)
        self._handled_one()

    @receives(Settled)
    def on_settled(self, message: Settled) -> None:
        """Keep what was tracked, or undo it; then the caller hears of it."""
        claim, error = message.claim, message.error
        if claim.options is None and claim not in self._under_way:
            self._want(None)
        before = self._under_way.pop(claim, None)
        if claim.options is not None and isinstance(error, REFUSALS):
            self._undo(claim.options, before)
        _answer(claim.reply, error)
        self._handled_one()

    def _undo(self, refused: SubscribeOptions, before: SubscribeOptions | None) -> None:
        """Go back to what was wanted before, also in the memory of claims that came after."""
        if self._wanted is refused:
            self._want(before)
        for claim, remembered in self._under_way.items():
            if remembered is refused:
                self._under_way[claim] = before

    def _want(self, options: SubscribeOptions | None) -> None:
        self._wanted = options
        self._cancel_retry()
        if options is None:
            self._view.tracked.pop(self._channel, None)
        else:
            self._view.tracked[self._channel] = options

    # -- connections come and go -----------------------------------------------------------------------------

    @receives(ConnectionUp)
    def on_connection_up(self, message: ConnectionUp) -> None:
        """Ask the new connection for the channel. Spec section 7, *replay*."""
        self._connection = message.connection
        self._budget = ReplayBudget()
        self._replay()
        self._handled_one()

    @receives(ConnectionDown)
    def on_connection_down(self, _message: ConnectionDown) -> None:
        """Wait for the next connection, unless the caller subscribes again by itself."""
        self._connection = None
        self._cancel_retry()
        if not self._auto_resubscribe:
            self._want(None)
        self._handled_one()

    def _replay(self) -> None:
        connection, wanted = self._connection, self._wanted
        if connection is None or wanted is None:
            return
        replay = _Replay(self.actor_ref, connection, wanted)
        metadata = wanted.include_sender_metadata
        with contextlib.suppress(ActorStoppedError):  # it is gone, and the supervisor will say so
            connection.tell(ConnectionActor.Subscribe(self._channel, metadata, replay, wanted.recover))

    @receives(Replayed)
    def on_replayed(self, message: Replayed) -> None:
        """Try again what the hub refused or did not answer, a few times; it stays tracked in any case."""
        error = message.error
        outdated = message.connection is not self._connection or message.options is not self._wanted
        if outdated or error is None or isinstance(error, NotConnectedError | DisconnectedError):
            return
        delay = self._budget.next_delay()
        self._log.warning(
            "channel %a was not re-subscribed (%s), %s",
            self._channel,
            type(error).__name__,
            "giving up until the next connection" if delay is None else f"trying again in {delay:g} s",
        )
        if delay is not None:
            self._retry = self.call_later(delay, self._replay)
        elif isinstance(error, SignallingServerError):
            event = ServerErrorEvent(error.code, error.server_message, error.request_id)
            self._listeners.of(ServerErrorEvent).emit(event)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()

    # -- the end ---------------------------------------------------------------------------------------------

    def _handled_one(self) -> None:
        """Count what the supervisor sent: only it knows whether more is on its way."""
        self._handled += 1
        if self._wanted is None and not self._under_way:
            self._on_idle(self._handled)

    def on_stop(self) -> None:
        """Answer whoever still waits: the client is being disposed."""
        answer_leftovers(self)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Answer whoever still waits; the channel counts as given up."""
        del exception_type, exception_value, traceback  # logged by whoever called this
        self._want(None)
        answer_leftovers(self)


def _answer(reply: Future[None], error: BaseException | None) -> None:
    if error is None:
        reply.try_set(None)
    else:
        reply.try_set_exception(error)
