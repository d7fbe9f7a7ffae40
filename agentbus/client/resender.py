"""The messages of a client that are sent until they are acked, on whatever connection there is."""

from __future__ import annotations

import functools
from typing import Any

from agentbus.client.events import ConnectedEvent
from agentbus.client.options import SignallingClientOptions
from agentbus.client.requests import not_connected
from agentbus.client.retries import Retries
from agentbus.errors import ActorStoppedError
from agentbus.protocol.extensions import DEDUPE_EXTENSION
from agentbus.protocol.frames import Welcome
from agentbus.protocol.pacer import Pace, pace_below
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import LoopActorRef


class Resender:
    """`Retries` with a clock, a timer and connections. On the loop's thread only.

    Args:
        owner: whose timers it sets.
        options: the limits.
    """

    def __init__(self, owner: LoopActor, options: SignallingClientOptions) -> None:
        self._owner = owner
        self._now = owner.loop.clock.monotonic
        self._retries = Retries(options.max_retried, options.max_unsent_bytes, self._now, self._plan)
        self._timer: OwnedTimer | None = None
        self.add = self._retries.add
        self.disconnected = self._retries.disconnected
        self.ended = self._retries.ended

    def connected(
        self, connection: LoopActorRef[Any], welcome: Welcome, event: ConnectedEvent, replayed: int
    ) -> None:
        """Go on with a new connection.

        Args:
            connection: takes requests.
            welcome: what its hub said.
            event: what listeners are told of it.
            replayed: subscribes that it is sent besides.
        """
        terms = welcome.dedupe if DEDUPE_EXTENSION in welcome.extensions else None
        self._retries.connected(functools.partial(_tell, connection), terms, _pace(event), replayed)

    def _plan(self) -> None:
        due = self._retries.due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._owner.call_later(max(0.0, due - self._now()), self._retries.pump)


def _tell(connection: LoopActorRef[Any], request: Any) -> None:
    try:
        connection.tell(request)
    except ActorStoppedError:  # its last word is on the way
        request.reply.try_set_exception(not_connected())


def _pace(event: ConnectedEvent) -> Pace:
    limits = event.limits
    return Pace() if limits is None else pace_below(limits.messages_per_second, limits.message_burst)
