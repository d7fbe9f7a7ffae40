"""Membership: one node's view of its namespace, kept by talking to the others. Pure.

Input comes as calls: the connection's ups and downs, presence, and the directory's messages. What must be
sent and what became known is left in `take_effects`, in order. Who lives is `liveness`'s to say; a life that
was declared dead and speaks again is told so, and goes on as a new life.

A joiner publishes a *claim*: the holder of that id, if there is one, objects; one elected node (the lowest
living id) answers with pages of the directory; then everyone follows deltas. An unanswered claim is
repeated, and each time one more node answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agentbus.agents.directory import (
    AgentEntry,
    Beat,
    Bye,
    Delta,
    DirectoryMessage,
    Exit,
    Fenced,
    Hello,
    NodeEntry,
    Page,
    Taken,
    Who,
    make_pages,
)
from agentbus.agents.effects import Direct, Effect, FencedOff, Joined, NodeMoved, Refused, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import AgentsChanged, DeathReason, NodeUp
from agentbus.agents.join import Join, JoinOptions, Step
from agentbus.agents.liveness import Liveness, LivenessOptions
from agentbus.agents.nodes import NodeRecord, NodeState, NodeTable
from agentbus.agents.own_list import OwnList

CLAIM_SECONDS = 5.0


class MembershipOptions(msgspec.Struct, frozen=True):
    """Times and limits of membership.

    Attributes:
        beat_interval: seconds between beats where the credential shows no presence.
        page_bytes: bytes of JSON that one message may take; below every hub's limit.
        max_nodes: nodes that the directory holds.
        max_agents: agents of one node that it holds.
        join: see `JoinOptions`.
        liveness: see `LivenessOptions`.
    """

    beat_interval: float = 10.0
    page_bytes: int = 30_000
    max_nodes: int = 10_000
    max_agents: int = 10_000
    join: JoinOptions = JoinOptions()
    liveness: LivenessOptions = LivenessOptions()


class Membership:
    """One node's view of its namespace.

    Attributes:
        nodes: who is there, this node included.
        liveness: who lives.
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
        self.nodes = NodeTable(options.max_nodes, options.max_agents)
        self.liveness = Liveness(self.nodes, stamp.node, options.liveness, self._tell, now)
        self._join = Join(options.join)
        self._list = OwnList(namespace, options.page_bytes)
        self._page_bytes = options.page_bytes
        self._peer = ""
        self._online = self.guest = False
        self._beat_at: float | None = None
        self._claims: dict[str, float] = {}
        self._handlers: dict[type, Callable[[Any, str, float], None]] = {
            Hello: self._on_hello,
            Page: self._on_page,
            Delta: self._on_delta,
            Beat: self._on_beat,
            Bye: lambda message, _peer, _now: self._certify(message.stamp, DeathReason.GOODBYE),
            Exit: lambda message, _peer, _now: self._certify(message.stamp, DeathReason.EXITED),
            Taken: lambda message, _peer, _now: self._refuse(message.stamp),
            Fenced: lambda message, _peer, _now: self._fence(message.stamp),
            Who: lambda _message, peer, _now: self._introduce(want=None, peer=peer),
        }
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
        twin_possible = twin_possible and not self.established
        self._follow(self._join.start(now, alone=self.liveness.alone, twin_possible=twin_possible))

    def offline(self) -> None:
        """The connection is gone."""
        self._online = False
        self._beat_at = None
        self._join.stop()
        self.liveness.offline()

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
            for message in self._list.introduction(self.own, want=want):
                self._tell(Spread(message) if peer is None else Direct(peer, message))

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
            if self._listed:
                self._tell(Spread(delta))
        if deltas:
            self._tell(AgentsChanged(self.stamp.node))

    # -- what others say -------------------------------------------------------------------------------------

    def receive(self, message: DirectoryMessage, peer: str, *, trusted: bool, now: float) -> None:
        """Take a message of the directory.

        Args:
            message: what was said.
            peer: by whom, as the hub stamped it.
            trusted: the hub's stamp proves the role of a node.
            now: the time.
        """
        if message.ns != self.namespace or not self._online:
            return
        if trusted:
            self._handlers[type(message)](message, peer, now)
        elif isinstance(message, Hello) and message.want is not None:
            self._answer(peer, message, public_only=True)

    def introduce_to(self, peer: str) -> None:
        """Answer a peer that takes us for an earlier life of ourselves."""
        self._introduce(want=None, peer=peer)

    def limit(self, page_bytes: int) -> None:
        """Keep every message below so many bytes of JSON: the hub's limit became known."""
        self._page_bytes = min(page_bytes, self.options.page_bytes)
        self._list.limit(self._page_bytes)

    def heard(self, stamp: Stamp, peer: str, now: float) -> bool:
        """Take a trusted packet as a sign of life; False if it comes from a life that is over, or is news."""
        record = self.nodes.get(stamp.node)
        if self.liveness.is_dead(stamp):
            self._tell(Direct(peer, Fenced(self.namespace, stamp)))
            return False
        if record is None:
            self.liveness.strangers.unclear(peer, now)
            return self._meet(stamp, peer, now) is not None
        if record.stamp != stamp:
            self.liveness.strangers.unclear(peer, now)
            return False
        if self.liveness.present(peer) and self.nodes.move(record, peer):
            self._tell(NodeMoved(stamp))
        self.liveness.revive(record, now)
        return True

    def _on_hello(self, message: Hello, peer: str, now: float) -> None:
        stamp = message.entry.stamp
        if stamp.node == self.stamp.node:
            self._meet_namesake(message, peer)
        elif self.liveness.is_dead(stamp):
            self._tell(Direct(peer, Fenced(self.namespace, stamp)))
        else:
            self.liveness.strangers.gone(peer)
            if message.claim:
                self._claims = {node: at for node, at in self._claims.items() if now - at < CLAIM_SECONDS}
                self._claims[stamp.node] = now
            record = None if message.claim else self._meet(stamp, peer, now)
            if record is not None:
                self._learn(record, message.entry)
            if message.want is not None:
                self._answer(peer, message, public_only=False)

    def may_appear(self, node: str, now: float) -> bool:
        """Whether an unknown node may be about to introduce itself: it made a claim, or a peer is unknown."""
        claimed_at = self._claims.get(node)
        recently = claimed_at is not None and now - claimed_at < CLAIM_SECONDS
        return recently or self.liveness.strangers.waiting

    def _meet_namesake(self, message: Hello, peer: str) -> None:
        """Two lives of one node id: the settled one stays; of two that claim, the lower incarnation does."""
        theirs = message.entry.stamp
        if theirs == self.stamp:
            return
        if self.established or (message.claim and self.stamp < theirs):
            self._tell(Direct(peer, Taken(self.namespace, theirs)))
        else:
            self._refuse(self.stamp)

    def _refuse(self, stamp: Stamp) -> None:
        if stamp == self.stamp:
            self.offline()
            self._tell(Refused())

    def _fence(self, stamp: Stamp) -> None:
        if stamp == self.stamp:
            self._tell(FencedOff())

    def _meet(self, stamp: Stamp, peer: str, now: float) -> NodeRecord | None:
        """A node itself spoke from that peer: it lives, there, in that life."""
        record = self.nodes.get(stamp.node)
        if record is not None and record.stamp != stamp:
            self.liveness.declare_dead(record, DeathReason.REPLACED)
            record = None
        self.liveness.strangers.known(peer)
        self._claims.pop(stamp.node, None)
        if record is None:
            record = self.nodes.enter(stamp, peer, NodeState.ALIVE, now)
            if record is not None:
                self._tell(NodeUp(stamp.node, stamp.incarnation))
            return record
        self.nodes.move(record, peer)
        self.liveness.revive(record, now)
        self._tell(NodeMoved(stamp))
        return record

    def _learn(self, record: NodeRecord, entry: NodeEntry) -> None:
        record.told = True
        if self.nodes.take_entry(record, entry):
            self._tell(AgentsChanged(record.stamp.node))

    def _on_page(self, message: Page, peer: str, now: float) -> None:
        for entry in message.entries:
            self._take_page_entry(entry, entry.peer or peer, now)
        if message.last:
            self._ask_the_untold(now)
            self._follow(self._join.answered())

    def _ask_the_untold(self, now: float) -> None:
        """Ask the nodes that a complete page left out: whoever wrote it was not sure of them."""
        for record in self.nodes:
            if not record.told and record is not self.own and self.liveness.present(record.peer):
                self.liveness.strangers.unclear(record.peer, now)

    def _take_page_entry(self, entry: NodeEntry, peer: str, now: float) -> None:
        if entry.stamp.node == self.stamp.node:
            if entry.stamp != self.stamp and not self.established and self.liveness.present(peer):
                self._join.contested(now)
            return
        if self.liveness.is_dead(entry.stamp):
            return
        record = self.nodes.get(entry.stamp.node)
        if record is None:
            record = self._meet(entry.stamp, peer, now)
            if record is not None and not self.liveness.present(peer):
                self.liveness.suspect(record, now)
        elif record.stamp != entry.stamp:
            # Two lives of one node, by hearsay: the one that is there will say which it is.
            self.liveness.strangers.unclear(peer, now)
            return
        elif not self.liveness.present(record.peer) and self.liveness.present(peer):
            self._meet(entry.stamp, peer, now)
        if record is not None:
            self._learn(record, entry)

    def _on_delta(self, message: Delta, peer: str, now: float) -> None:
        record = self.nodes.living(message.stamp)
        if record is not None and self.nodes.take_delta(record, message):
            self.liveness.revive(record, now)
            self._tell(AgentsChanged(record.stamp.node))
        elif self.liveness.is_dead(message.stamp):
            self._tell(Direct(peer, Fenced(self.namespace, message.stamp)))
        elif message.stamp.node != self.stamp.node:
            self.liveness.strangers.unclear(peer, now)

    def _certify(self, stamp: Stamp, reason: DeathReason) -> None:
        record = self.nodes.living(stamp)
        if record is not None and record is not self.own:
            self.liveness.declare_dead(record, reason)

    def certify_exit(self, node: str) -> None:
        """Declare a child process's node dead, here and everywhere: its parent saw it end."""
        record = self.nodes.get(node)
        if record is not None and record is not self.own:
            self._tell(Spread(Exit(self.namespace, record.stamp)))
            self.liveness.declare_dead(record, DeathReason.EXITED)

    def _on_beat(self, message: Beat, peer: str, now: float) -> None:
        record = self.nodes.living(message.stamp)
        if record is None or record.version != message.version:
            self.liveness.strangers.unclear(peer, now)
        if record is not None:
            self.nodes.move(record, peer)
            self.liveness.revive(record, now)

    def _answer(self, peer: str, question: Hello, *, public_only: bool) -> None:
        """Send the directory to a joiner, if we are the elected one, or one of the next after silence."""
        asking, attempt = question.entry.stamp.node, question.want or 0
        alive = (record for record in self.nodes if record.state is NodeState.ALIVE)
        rank = sum(
            1 for record in alive if record.stamp.node < self.stamp.node and record.stamp.node != asking
        )
        if rank > attempt or self._join.active or not self._listed:
            return  # who is about to ask for the directory itself knows yesterday's
        clear = [record for record in self.nodes if not self.liveness.strangers.is_unclear(record.peer)]
        entries = [_as_entry(record, public_only=public_only) for record in clear if record.version >= 0]
        for page in make_pages(self.namespace, entries, self._page_bytes):
            self._tell(Direct(peer, page))

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass; to be called when `next_deadline` has come."""
        self.liveness.tick(now)
        self._follow(self._join.tick(now))
        for peer in self.liveness.strangers.to_ask(now):
            self._tell(Direct(peer, Who(self.namespace)))
        if self._beat_at is not None and now >= self._beat_at:
            self._beat_at = now + self.options.beat_interval
            if self._listed:
                self._tell(Spread(Beat(self.namespace, self.stamp, self.own.version)))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next; None if only input can change anything."""
        times = (self.liveness.next_deadline(), self._join.deadline, self._beat_at)
        return min((time for time in times if time is not None), default=None)


def _as_entry(record: NodeRecord, *, public_only: bool) -> NodeEntry:
    agents = tuple(entry for entry in record.agents.values() if entry.public or not public_only)
    return NodeEntry(record.stamp, record.version, len(agents), agents, record.peer)
