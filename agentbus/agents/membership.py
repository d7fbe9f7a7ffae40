"""Membership: one node's view of its namespace, kept by talking to the others. Pure.

Input comes as calls: the connection's ups and downs, presence, and the directory's messages. What must be
sent and what became known is left in `take_effects`, in order. Who lives is `liveness`'s to say; a life that
was declared dead and speaks again is told so, and goes on as a new life.

A joiner publishes a *claim*: the holder of that id, if there is one, objects; one elected node (the lowest
living id) answers with pages of the directory; then everyone follows deltas. An unanswered claim is
repeated, and each time one more node answers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from agentbus.agents.directory import (
    Beat,
    Bye,
    Delta,
    DirectoryMessage,
    Exit,
    Fenced,
    Hello,
    Interest,
    NodeEntry,
    Page,
    Statuses,
    Taken,
    Who,
    make_pages,
)
from agentbus.agents.effects import Direct, FencedOff, NodeMoved, Refused, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import AgentsChanged, DeathReason, NodeUp
from agentbus.agents.nodes import NodeRecord, NodeState
from agentbus.agents.standing import MembershipOptions, Standing

CLAIM_SECONDS = 5.0


class Membership(Standing):
    """One node's view of its namespace: its own standing, and what the others say of theirs.

    Args:
        namespace: see agents.md.
        stamp: this node's id and life.
        options: times and limits.
        now: monotonic seconds.
    """

    def __init__(self, namespace: str, stamp: Stamp, options: MembershipOptions, now: float) -> None:
        super().__init__(namespace, stamp, options, now)
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
            Interest: self._on_interest,
            Statuses: lambda message, _peer, _now: self.statuses.heard(message),
        }

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

    def fence(self, stamp: Stamp, peer: str) -> None:
        """Tell a peer that its life is over here, so that it goes on as a new one."""
        self._tell(Direct(peer, Fenced(self.namespace, stamp)))

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
            self.liveness.look_again()
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
        self.liveness.look_again()
        self._claims.pop(stamp.node, None)
        if record is None:
            record = self.nodes.enter(stamp, peer, NodeState.ALIVE, now)
            if record is not None:
                self._tell(NodeUp(stamp.node, stamp.incarnation))
                self.statuses.node_up(now)
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
            if self.nodes.move(record, peer):
                self.liveness.look_again()
            self.liveness.revive(record, now)

    def _on_interest(self, message: Interest, peer: str, now: float) -> None:
        if self._listed:
            self.statuses.heard_interest(message, peer, now)

    def _answer(self, peer: str, question: Hello, *, public_only: bool) -> None:
        """Send the directory to a joiner, if we are the elected one, or one of the next after silence."""
        asking, attempt = question.entry.stamp.node, question.want or 0
        alive = (record.stamp.node for record in self.nodes if record.state is NodeState.ALIVE)
        before_us = (node for node in alive if node < self.stamp.node and node != asking)
        rank = sum(1 for _ in islice(before_us, attempt + 1))  # no further: each joiner asks every node
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
        self.statuses.tick(self.stamp, self._page_bytes, now)
        for peer in self.liveness.strangers.to_ask(now):
            self._tell(Direct(peer, Who(self.namespace)))
        if self._beat_at is not None and now >= self._beat_at:
            self._beat_at = now + self.options.beat_interval
            if self._listed:
                self._tell(Spread(Beat(self.namespace, self.stamp, self.own.version)))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next; None if only input can change anything."""
        times = (
            self.liveness.next_deadline(),
            self._join.deadline,
            self._beat_at,
            self.statuses.next_deadline(),
        )
        return min((time for time in times if time is not None), default=None)


def _as_entry(record: NodeRecord, *, public_only: bool) -> NodeEntry:
    agents = tuple(entry for entry in record.agents.values() if entry.public or not public_only)
    return NodeEntry(record.stamp, record.version, len(agents), agents, record.peer)
