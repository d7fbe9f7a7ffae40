"""A node's own standing: its id and life, its connection, the claim to its id, the list of its agents. Pure.

What must be sent and what became known is left in `take_effects`, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from agentbus.agents.announcing import Announcing
from agentbus.agents.directory import (
    AgentEntry,
    Bye,
    DirectoryMessage,
    Hello,
    NodeEntry,
)
from agentbus.agents.effects import Direct, Effect, Joined, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import AgentsChanged
from agentbus.agents.join import Join, JoinOptions, Step
from agentbus.agents.liveness import Liveness, LivenessOptions
from agentbus.agents.nodes import NodeRecord, NodeState, NodeTable
from agentbus.agents.own_list import OwnList
from agentbus.agents.statuses import StatusExchange, StatusOptions
from agentbus.errors import NotTrustedError


class MembershipOptions(msgspec.Struct, frozen=True):
    """Times and limits of membership.

    Attributes:
        beat_interval: seconds between beats where the credential shows no presence.
        page_bytes: bytes of JSON that one message may take; below every hub's limit.
        max_nodes: nodes that the directory holds.
        max_agents: agents of one node that it holds.
        join: see `JoinOptions`.
        liveness: see `LivenessOptions`.
        statuses: see `StatusOptions`.
    """

    beat_interval: float = 10.0
    page_bytes: int = 30_000
    max_nodes: int = 10_000
    max_agents: int = 10_000
    join: JoinOptions = JoinOptions()
    liveness: LivenessOptions = LivenessOptions()
    statuses: StatusOptions = StatusOptions()


class Standing:
    """A node's own place in its namespace.

    Attributes:
        nodes: who is there, this node included.
        liveness: who lives.
        statuses: how busy the agents are.
        announcing: who waits until others know of a change to the own list.
        established: whether the node id is ours.
        guest: whether the others do not trust us, so that we are not in the directory.

    Args:
        namespace: see agents.md.
        stamp: this node's id and life.
        options: times and limits.
        now: monotonic seconds.
    """

    def __init__(self, namespace: str, stamp: Stamp, options: MembershipOptions, now: float) -> None:
        self.namespace = namespace
        self.stamp = stamp
        self.options = options
        self.established = False
        self._effects: list[Effect] = []
        self._tell = self._effects.append
        self.nodes = NodeTable(namespace, options.max_nodes, options.max_agents)
        self.liveness = Liveness(self.nodes, stamp.node, options.liveness, self._tell, now)
        self.statuses = StatusExchange(namespace, self.nodes, options.statuses, self._tell)
        self._join = Join(options.join)
        self.announcing = Announcing()
        self._list = OwnList(namespace, options.page_bytes)
        self._page_bytes = options.page_bytes
        self._peer = ""
        self._online = self.guest = False
        self._beat_at: float | None = None
        self._enter_self((), now)

    def _enter_self(self, agents: Iterable[AgentEntry], now: float) -> None:
        hosted = tuple(agents)
        self.nodes.enter(self.stamp, self._peer, NodeState.ALIVE, now)
        self.nodes.take_entry(self.own, NodeEntry(self.stamp, 0, len(hosted), hosted))

    @property
    def own(self) -> NodeRecord:
        """This node's own record."""
        record = self.nodes.get(self.stamp.node)
        if record is None:
            raise AssertionError("a node always knows itself")
        return record

    def take_effects(self) -> list[Effect]:
        """Give what has to be sent or made known since the last call."""
        effects = list(self._effects)
        self._effects.clear()
        return effects

    # -- the connection --------------------------------------------------------------------------------------

    def online(
        self,
        peer: str,
        roster: Iterable[str] | None,
        *,
        now: float,
        twin_possible: bool = False,
        guest: bool = False,
    ) -> None:
        """Begin on a new connection: claim the id the first time, introduce ourselves again later.

        Args:
            peer: our peer id on it.
            roster: the other peers on the directory channel; None if the credential shows no presence.
            now: the time.
            twin_possible: another process may use the same peer id (it came from a token).
            guest: others do not trust us: we look at the directory, and are not in it.
        """
        self._online, self._peer, self.guest = True, peer, guest
        self._beat_at = now + self.options.beat_interval if roster is None else None
        self.nodes.move(self.own, peer)
        for record in self.nodes:
            record.told = False
        self.liveness.online(roster, now)
        self.statuses.online()
        twin_possible = twin_possible and not self.established
        self._follow(self._join.start(now, alone=self.liveness.alone, twin_possible=twin_possible))

    def offline(self) -> None:
        """The connection is gone."""
        self._online = False
        self._beat_at = None
        self._join.stop()
        self.liveness.offline()
        self.statuses.offline()
        self.announcing.offline()

    def begin_new_life(self, incarnation: str, now: float) -> None:
        """Go on as a new life of the same node, after `FencedOff`."""
        hosted = tuple(self.own.agents.values())
        self.stamp = Stamp(self.stamp.node, incarnation)
        self._enter_self(hosted, now)
        self._introduce(want=self._join.attempt if self._join.active else None)

    def presence(
        self, *, joined: Iterable[str], left: Iterable[str], now: float, snapshot: bool = False
    ) -> None:
        """Take a change of the roster of the directory channel, or with `snapshot` the whole of it."""
        self.liveness.presence(joined=joined, left=left, snapshot=snapshot, now=now)

    def leave(self) -> None:
        """Say goodbye."""
        if self._listed:
            self._tell(Spread(Bye(self.namespace, self.stamp)))

    @property
    def informed(self) -> bool:
        """Whether this node knows the directory."""
        return self.established and self._online and not self._join.active

    @property
    def _listed(self) -> bool:
        return self.established and self._online and not self.guest

    def _follow(self, step: Step) -> None:
        if step is Step.ASK and self._listed:
            self._introduce(want=self._join.attempt)
        elif step is Step.ASK:
            stamp = Stamp(self.stamp.node, "") if self.guest else self.stamp
            hello = Hello(self.namespace, NodeEntry(stamp), claim=not self.guest, want=self._join.attempt)
            self._tell(Spread(hello))
        elif step is Step.SETTLE:
            first, self.established = not self.established, True
            if first:
                self._introduce(want=None)
            self._tell(Joined())

    def _introduce(self, *, want: int | None, peer: str | None = None) -> None:
        if self._listed:
            messages = self._list.introduction(self.own, want=want)
            if peer is None:
                self._spread_all(list(messages))
            else:
                for message in messages:
                    self._tell(Direct(peer, message))

    def _spread_all(self, messages: Sequence[DirectoryMessage]) -> None:
        for message in messages[:-1]:
            self._tell(Spread(message))
        self._tell(Spread(messages[-1], self.announcing.attach()))

    # -- own agents ------------------------------------------------------------------------------------------

    def host(self, entry: AgentEntry) -> None:
        """List an agent of this node; it is found, and told to others, from the next `flush` on."""
        self._list.add(entry)

    def unhost(self, name: str) -> None:
        """Take an agent of this node off the list; others learn of it at the next `flush`."""
        self._list.remove(name)

    def flush(self) -> None:
        """Make the changes since the last call known."""
        deltas = list(self._list.take_deltas(self.own))
        for delta in deltas:
            self.nodes.take_delta(self.own, delta)
        if deltas:
            self._tell(AgentsChanged(self.stamp.node))
        if deltas and self._listed:
            self._spread_all(deltas)
        elif self._listed:
            self.announcing.nothing_to_say()
        elif self._online and self.guest:
            self.announcing.fail(NotTrustedError("others do not trust this node, and list nothing of it"))

    def limit(self, page_bytes: int) -> None:
        """Keep every message below so many bytes of JSON: the hub's limit became known."""
        self._page_bytes = min(page_bytes, self.options.page_bytes)
        self._list.limit(self._page_bytes)
