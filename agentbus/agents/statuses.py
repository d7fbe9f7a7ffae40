"""How busy agents are, told between nodes: only to who asks, only changes, and rarely. Pure.

Who wants to know spreads an *interest*, which holds for a minute. A node that somebody is interested in looks
at its agents every two seconds, and sends what has changed in one frame: to each who is interested while
those are few, else published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agentbus.agents.directory import AgentCondition, Interest, Statuses
from agentbus.agents.effects import Direct, Effect, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.nodes import NodeTable

BARE_BYTES = 200
"""What a message takes besides the conditions in it: names of namespace and node, and its fields."""


class StatusOptions(msgspec.Struct, frozen=True):
    """Times in seconds, and limits.

    Attributes:
        interval: between two messages of a node about its agents.
        interest_timeout: how long an interest holds.
        renew_after: an interest that lasts is repeated after so long.
        max_direct: to so many who are interested a node sends one frame each; beyond, it publishes one.
        max_interested: peers whose interest a node keeps in mind; it ignores more.
    """

    interval: float = 2.0
    interest_timeout: float = 60.0
    renew_after: float = 30.0
    max_direct: int = 3
    max_interested: int = 10_000


class StatusExchange:
    """What this node tells of its agents, and what it knows of others'.

    Args:
        namespace: of the messages.
        nodes: the table in whose records it enters what others tell.
        options: see `StatusOptions`.
        tell: takes what has to be sent.

    Attributes:
        sample: gives how the agents of this node are doing now.
    """

    def __init__(
        self, namespace: str, nodes: NodeTable, options: StatusOptions, tell: Callable[[Effect], object]
    ) -> None:
        self._namespace = namespace
        self._nodes = nodes
        self._options = options
        self._tell = tell
        self.sample: Callable[[], Iterable[AgentCondition]] = tuple[AgentCondition]
        self._online = False
        self._wanted_at: float | None = None
        self._said_at: float | None = None
        self._again_at: float | None = None
        self._interested: dict[str, float] = {}
        self._reported: dict[str, AgentCondition] = {}
        self._report_at: float | None = None
        self._earliest_report = 0.0

    # -- the connection --------------------------------------------------------------------------------------

    def online(self) -> None:
        """Begin on a new connection."""
        self._online = True

    def offline(self) -> None:
        """Forget who is interested: they will say so again, and so will we."""
        self._online = False
        self._said_at = self._again_at = self._report_at = None
        self._interested.clear()
        self._reported.clear()

    # -- what we want to know --------------------------------------------------------------------------------

    def want(self, now: float) -> None:
        """Somebody here wants to know how agents elsewhere are doing."""
        self._wanted_at = now
        if not self._online:
            return
        lapsed = self._said_at is None or now - self._said_at >= self._options.interest_timeout
        if lapsed:
            for record in self._nodes:
                record.conditions.clear()
        if lapsed or now - (self._said_at or 0.0) >= self._options.renew_after:
            self._say(now, afresh=lapsed)

    def _say(self, now: float, *, afresh: bool) -> None:
        self._said_at, self._again_at = now, None
        self._tell(Spread(Interest(self._namespace, afresh)))

    def node_up(self, now: float) -> None:
        """A node is new, and does not know of our interest: repeat it soon, once for all that are new."""
        if self._said_at is not None and self._again_at is None and self._is_wanted(now):
            self._again_at = now + self._options.interval

    def _is_wanted(self, now: float) -> bool:
        return self._wanted_at is not None and now - self._wanted_at < self._options.interest_timeout

    def heard(self, message: Statuses) -> None:
        """Take how the agents of another node are doing."""
        record = self._nodes.living(message.stamp)
        if record is None or self._said_at is None:
            return
        for condition in message.conditions:
            if condition.name in record.agents:
                record.conditions[condition.name] = condition

    # -- what others want to know ----------------------------------------------------------------------------

    def heard_interest(self, message: Interest, peer: str, now: float) -> None:
        """Somebody on another node wants to know how the agents here are doing."""
        known = self._interested.get(peer, now) > now
        if not known and len(self._interested) >= self._options.max_interested:
            return
        self._interested[peer] = now + self._options.interest_timeout
        if message.afresh or not known:
            self._reported.clear()
        if self._report_at is None:
            self._report_at = max(now, self._earliest_report)

    def report(self, stamp: Stamp, room: int, now: float) -> None:
        """Send what has changed since the last time, if somebody is interested; to be called when it is due.

        Args:
            stamp: this node's life.
            room: bytes of JSON that one message may take; the rest waits for the next.
            now: the time.
        """
        self._interested = {peer: until for peer, until in self._interested.items() if until > now}
        if not self._interested:
            self._report_at = None
            self._reported.clear()
            return
        self._report_at = self._earliest_report = now + self._options.interval
        conditions = tuple(self._take_changes(room - BARE_BYTES))
        if conditions:
            self._send(Statuses(self._namespace, stamp, conditions))

    def _send(self, message: Statuses) -> None:
        if len(self._interested) > self._options.max_direct:
            self._tell(Spread(message))
            return
        for peer in self._interested:
            self._tell(Direct(peer, message))

    def _take_changes(self, room: int) -> Iterator[AgentCondition]:
        """Give the changes that fit, those first of whom nothing was told for the longest time."""
        current = {condition.name: condition for condition in self.sample()}
        self._reported = {name: told for name, told in self._reported.items() if name in current}
        silent = [name for name in current if name not in self._reported]
        for name in [*silent, *self._reported]:
            condition = current[name]
            if self._reported.get(name) == condition:
                continue
            room -= len(msgspec.json.encode(condition)) + 1
            if room < 0:
                return
            self._reported.pop(name, None)
            self._reported[name] = condition
            yield condition

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, stamp: Stamp, room: int, now: float) -> None:
        """Let time pass; see `report`."""
        if self._report_at is not None and self._report_at <= now:
            self.report(stamp, room, now)
        if self._again_at is not None and self._again_at <= now:
            self._say(now, afresh=False)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next."""
        if self._report_at is None or self._again_at is None:
            return self._report_at if self._again_at is None else self._again_at
        return min(self._report_at, self._again_at)
