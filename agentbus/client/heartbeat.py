"""The heartbeat of one connection: the rule of `keepalive`, a clock, a timer, and what they lead to."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.client.keepalive import Act, Keepalive
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.owned import OwnedTimer

LATE_LOOK = 1.0
"""A look at the silence that comes this many seconds late says more about this process than about the hub."""
SECOND_LOOK = 0.05
"""Seconds in which a loop that was held up reads what has come meanwhile."""


class Heartbeat:
    """Listen to the silence of a connection, ping into it, and give up on it.

    Args:
        actor: whose timers these are.
        rule: when to do what.
        ping: sends a ping.
        give_up: ends the connection.
    """

    __slots__ = (
        "_actor",
        "_give_up",
        "_heard_at",
        "_look_at",
        "_now",
        "_ping",
        "_pinged_at",
        "_rule",
        "_timer",
        "_unanswered",
    )

    def __init__(
        self, actor: LoopActor, rule: Keepalive, ping: Callable[[], object], give_up: Callable[[], object]
    ) -> None:
        self._actor = actor
        self._rule = rule
        self._ping = ping
        self._give_up = give_up
        self._now = actor.loop.clock.monotonic
        self._heard_at = self._pinged_at = self._look_at = self._now()
        self._unanswered = 0
        self._timer: OwnedTimer | None = None

    def start(self) -> None:
        """Begin to listen, unless the rule says never."""
        if self._rule.enabled:
            self._look_later(self._rule.ping_interval)

    def stop(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()

    def heard(self) -> None:
        """Note that the hub lives."""
        self._heard_at = self._now()

    def answered(self) -> None:
        """Note that the hub knows pings."""
        self._unanswered = 0

    def forgive(self) -> bool:
        """Whether an error that names no request is an old hub's answer to a ping; each ping excuses one."""
        if not self._unanswered:
            return False
        self._unanswered -= 1
        return True

    def _look_later(self, delay: float) -> None:
        self._look_at = self._now() + delay
        self._timer = self._actor.call_later(delay, self._look)

    def _look(self) -> None:
        now = self._now()
        act, delay = self._rule.look(now, self._heard_at, self._pinged_at)
        if act is Act.GIVE_UP and now - self._look_at > LATE_LOOK:
            self._look_later(
                SECOND_LOOK
            )  # what came while this process stood still lies unread in the socket
        elif act is Act.GIVE_UP:
            self._give_up()
        else:
            if act is Act.PING:
                self._pinged_at = now
                self._unanswered += 1
                self._ping()
            self._look_later(delay)
