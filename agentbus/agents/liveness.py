"""Who lives: alive, suspect and dead, from presence, signs of life and time. Pure.

    (unknown) ──hello, page──► alive ◄──sign of life── suspect ──20 s without one──► dead
                                 │  ──left, silence──►    │                           ▲
                                 └────────────── goodbye, exit, new life ─────────────┘

*Left* in presence means suspect, never dead: a cut, a hub restart and a token renewal look the same
(agents.md, "Liveness"). The time of a suspicion runs only while this node is connected and awake. A life
that was declared dead stays dead.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from agentbus.agents.effects import Effect
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import DeathReason, NodeBack, NodeDead, NodeSuspect
from agentbus.agents.nodes import NodeRecord, NodeState, NodeTable
from agentbus.agents.strangers import Strangers


class LivenessOptions(msgspec.Struct, frozen=True):
    """Times and limits, in seconds.

    Attributes:
        suspect_timeout: from suspicion to death.
        silence: where the credential shows no presence, so much silence makes a node suspect.
        unseen: where presence is shown, a node that spoke and is not in the roster is suspect so much later.
        pause: a tick that comes later than asked by more than this means that *we* slept: every suspicion
            starts again. While there is a suspicion, ticks are asked for at half this interval.
        stranger_delay: what a peer in the roster has to introduce itself before it is asked to.
        stranger_tries: how often it is asked.
        max_dead: past lives that are remembered.
        max_strangers: peers in the roster that are kept in mind.
    """

    suspect_timeout: float = 20.0
    silence: float = 25.0
    unseen: float = 3.0
    pause: float = 5.0
    stranger_delay: float = 3.0
    stranger_tries: int = 3
    max_dead: int = 10_000
    max_strangers: int = 10_000


class Liveness:
    """The verdicts over the nodes of a table.

    Args:
        nodes: the table; this node's own record in it is left alone.
        own: this node's id.
        options: see `LivenessOptions`.
        tell: takes what became known.
        now: monotonic seconds.
    """

    def __init__(
        self, nodes: NodeTable, own: str, options: LivenessOptions, tell: Callable[[Effect], None], now: float
    ) -> None:
        self._nodes = nodes
        self._own = own
        self._options = options
        self._tell = tell
        self._dead: OrderedDict[Stamp, DeathReason] = OrderedDict()
        self._roster: set[str] | None = None
        self._online = False
        self._watching_since = now
        self._watch_at: float | None = None
        self._next: float | None = None
        self._changed = True
        self.strangers = Strangers(options.stranger_delay, options.stranger_tries, options.max_strangers)

    # -- the connection --------------------------------------------------------------------------------------

    def online(self, roster: Iterable[str] | None, now: float) -> None:
        """Watch from now on; `roster` is None where the credential shows no presence."""
        self._online = self._changed = True
        self._watching_since = now
        for record in self._others():
            record.seen_at = now
        self._roster = None if roster is None else set()
        if roster is not None:
            self.presence(joined=roster, left=(), snapshot=True, now=now)
        self._keep_watch(now)

    def offline(self) -> None:
        """We see nobody, so we suspect nobody until the connection is back."""
        self._online = False
        self._watch_at = None
        self._roster = None
        self.strangers.clear()

    @property
    def alone(self) -> bool:
        """Whether the roster shows nobody else."""
        return self._roster is not None and not self._roster

    @property
    def roster(self) -> frozenset[str]:
        """The other peers on the directory channel, as far as they are shown."""
        return frozenset(self._roster or ())

    def present(self, peer: str) -> bool:
        """Whether that peer may be connected: it is in the roster, or there is no roster to tell."""
        return self._roster is None or peer in self._roster

    def presence(self, *, joined: Iterable[str], left: Iterable[str], snapshot: bool, now: float) -> None:
        """Take a roster, or a change of it."""
        if not self._online:
            return
        self._changed = True
        roster = self._roster if self._roster is not None else set[str]()
        roster = set(joined) if snapshot else roster.union(joined).difference(left)
        gone = self._nodes if snapshot else [self._nodes.at_peer(peer) for peer in left]
        self._roster = roster
        for peer in left:
            self.strangers.gone(peer)
        for record in gone:
            if record is not None and record.peer not in roster:
                self.suspect(record, now)
        for peer in joined:
            record = self._nodes.at_peer(peer)
            if record is None:
                self.strangers.seen(peer, now)
            else:
                self.revive(record, now)

    # -- verdicts --------------------------------------------------------------------------------------------

    def revive(self, record: NodeRecord, now: float) -> None:
        """Note a sign of life."""
        record.seen_at = now
        if record.state is NodeState.SUSPECT:
            record.state, record.since = NodeState.ALIVE, now
            self._changed = True
            self._tell(NodeBack(record.stamp.node, record.stamp.incarnation))

    def suspect(self, record: NodeRecord, now: float) -> None:
        """Note that a node's connection is gone or silent."""
        if record.state is NodeState.ALIVE and record.stamp.node != self._own:
            record.state, record.since = NodeState.SUSPECT, now
            self._changed = True
            if self._watch_at is None:
                self._keep_watch(now)
            self._tell(NodeSuspect(record.stamp.node, record.stamp.incarnation))

    def declare_dead(self, record: NodeRecord, reason: DeathReason) -> None:
        """End a life for good."""
        self._nodes.remove(record.stamp.node)
        self._dead[record.stamp] = reason
        if len(self._dead) > self._options.max_dead:
            self._dead.popitem(last=False)
        self._tell(NodeDead(record.stamp.node, record.stamp.incarnation, reason))

    def is_dead(self, stamp: Stamp) -> bool:
        """Whether that life was declared dead here."""
        return stamp in self._dead

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass: silence becomes suspicion, suspicion death."""
        if not self._online:
            return
        self._changed = True
        self._notice_own_sleep(now)
        for record in self._others():
            if record.state is NodeState.SUSPECT and self._doom(record) <= now:
                self.declare_dead(record, DeathReason.SILENT)
            elif record.state is NodeState.ALIVE and self._fade(record) <= now:
                self.suspect(record, now)

    def look_again(self) -> None:
        """Note that a node came, moved or went: another deadline may be the next."""
        self._changed = True

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next, or a little earlier; None while offline.

        It is asked for after every frame, so it is kept until something changes. A sign of life changes
        nothing: it only makes the answer too early.
        """
        if not self._online:
            return None
        if self._changed:
            self._changed = False
            self._next = self._earliest()
        stranger = self.strangers.next_deadline()
        if stranger is None or self._next is None:
            return self._next if stranger is None else stranger
        return min(self._next, stranger)

    def _earliest(self) -> float | None:
        times = [self._doom(record) for record in self._others() if record.state is NodeState.SUSPECT]
        times += [self._fade(record) for record in self._others() if record.state is NodeState.ALIVE]
        if self._watch_at is not None:
            times.append(self._watch_at)
        earliest = min(times, default=math.inf)
        return None if earliest == math.inf else earliest

    def _notice_own_sleep(self, now: float) -> None:
        """Start every suspicion again if this tick comes much too late: news may wait in our socket."""
        if self._watch_at is not None and now - self._watch_at > self._options.pause:
            self._watching_since = now
            for record in self._others():
                record.seen_at = now
        if self._watch_at is None or now >= self._watch_at:
            self._keep_watch(now)

    def _keep_watch(self, now: float) -> None:
        needed = self._roster is None or any(record.state is NodeState.SUSPECT for record in self._others())
        self._watch_at = now + self._options.pause / 2 if needed else None

    def _doom(self, record: NodeRecord) -> float:
        return max(record.since, self._watching_since) + self._options.suspect_timeout

    def _fade(self, record: NodeRecord) -> float:
        """When a living node becomes suspect for its silence.

        With presence that is never while it is in the roster. One that is not, although it spoke, may have
        come and gone within the time for which the hub gathers deltas: then there will be no *left*.
        """
        if self._roster is None:
            return record.seen_at + self._options.silence
        return math.inf if record.peer in self._roster else record.seen_at + self._options.unseen

    def _others(self) -> list[NodeRecord]:
        return [record for record in self._nodes if record.stamp.node != self._own]
