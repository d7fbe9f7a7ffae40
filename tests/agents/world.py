"""A hub without a hub: directory and direct messages among memberships, on a clock that the test turns."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import msgspec

from agentbus.agents.directory import AgentEntry, DirectoryMessage, Hello, decode_bus_data
from agentbus.agents.effects import Direct, Effect, FencedOff, Joined, Refused, Spread
from agentbus.agents.envelope import Packet, Stamp
from agentbus.agents.events import BusEvent, NodeDead
from agentbus.agents.membership import Membership
from agentbus.agents.standing import MembershipOptions

DELAY = 0.01


class Member:
    """One node: its membership, its connection, and what it was told."""

    def __init__(self, world: World, node: str, incarnation: str, *, trusted: bool) -> None:
        self.world = world
        self.trusted = trusted
        self.membership = Membership("ns", Stamp(node, incarnation), world.options, world.now)
        self.peer: str | None = None
        self.frames = 0
        self.events: list[Effect] = []
        self.largest = 0

    @property
    def joined(self) -> bool:
        return any(isinstance(event, Joined) for event in self.events)

    @property
    def refused(self) -> bool:
        return any(isinstance(event, Refused) for event in self.events)

    def deaths(self) -> list[NodeDead]:
        return [event for event in self.events if isinstance(event, NodeDead)]

    def sees(self) -> dict[str, set[str]]:
        """Give what this node believes: agents by node."""
        return {record.stamp.node: set(record.agents) for record in self.membership.nodes}

    def host(self, *names: str, capabilities: tuple[str, ...] = (), public: bool = False) -> None:
        for name in names:
            self.membership.host(AgentEntry(name, capabilities, public))
        self.membership.flush()
        self.world.carry_out(self)


class World:
    """Members, their connections, and a queue of what is on its way."""

    def __init__(
        self, *, presence: bool = True, shared_peers: bool = False, options: MembershipOptions | None = None
    ) -> None:
        self.options = options or MembershipOptions()
        self.presence = presence
        self.shared_peers = shared_peers
        self.now = 1000.0
        self.members: list[Member] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections = count(1)
        self.lose: Callable[[DirectoryMessage], bool] = lambda _message: False

    # -- members ---------------------------------------------------------------------------------------------

    def add(self, node: str, incarnation: str = "1", *, trusted: bool = True, connect: bool = True) -> Member:
        member = Member(self, node, incarnation, trusted=trusted)
        self.members.append(member)
        if connect:
            self.connect(member)
        return member

    def connect(self, member: Member) -> None:
        connection = f"peer-{next(self._connections)}"
        member.peer = member.membership.stamp.node if self.shared_peers else connection
        others = [other.peer for other in self.members if other.peer and other.peer != member.peer]
        roster = others if self.presence else None
        member.membership.online(
            member.peer, roster, now=self.now, twin_possible=self.shared_peers, guest=not member.trusted
        )
        self.announce(member.peer, joined=True)
        self.carry_out(member)

    def disconnect(self, member: Member) -> None:
        peer, member.peer = member.peer, None
        member.membership.offline()
        if peer is not None:
            self.announce(peer, joined=False)

    def announce(self, peer: str, *, joined: bool) -> None:
        for member in self.members:
            if self.presence and member.peer and member.peer != peer:
                self.later(lambda member=member: self.presence_of(member, peer, joined=joined))

    def presence_of(self, member: Member, peer: str, *, joined: bool) -> None:
        if member.peer:
            member.membership.presence(
                joined=[peer] if joined else [], left=[] if joined else [peer], now=self.now
            )
            self.carry_out(member)

    # -- frames ----------------------------------------------------------------------------------------------

    def carry_out(self, member: Member) -> None:
        for effect in member.membership.take_effects():
            match effect:
                case Spread(message):
                    self.send(member, message, None)
                case Direct(peer, message):
                    self.send(member, message, peer)
                case FencedOff():
                    member.events.append(effect)
                    member.membership.begin_new_life(f"{member.membership.stamp.incarnation}+", self.now)
                    self.carry_out(member)
                case _:
                    member.events.append(effect)

    def send(self, sender: Member, message: DirectoryMessage, to: str | None) -> None:
        if sender.peer is None or self.lose(message):
            return
        frame = msgspec.json.encode(message)
        sender.frames += 1
        sender.largest = max(sender.largest, len(frame))
        origin = sender.peer
        for member in self.members:
            if member is not sender and member.peer and to in {None, member.peer}:
                self.later(lambda member=member: self.receive(member, frame, origin, sender))

    def receive(self, member: Member, frame: bytes, origin: str, sender: Member) -> None:
        message = decode_bus_data(frame)
        if member.peer and not isinstance(message, Packet):
            member.membership.receive(message, origin, trusted=sender.trusted, now=self.now)
            self.carry_out(member)

    # -- time ------------------------------------------------------------------------------------------------

    def later(self, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + DELAY, next(self._order), action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [at for member in self.members if (at := member.membership.next_deadline()) is not None]
            arrival = self._queue[0][0] if self._queue else end + 1
            at = min([*due, arrival])
            if at > end:
                break
            self.now = max(self.now, at)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
                continue
            for member in self.members:
                deadline = member.membership.next_deadline()
                if deadline is not None and deadline <= self.now:
                    member.membership.tick(self.now)
                    self.carry_out(member)
        self.now = end

    def agree(self, *members: Member) -> None:
        """Check that these members have one view, which is the truth about them."""
        truth = {member.membership.stamp.node: set(member.membership.own.agents) for member in members}
        for member in members:
            assert member.sees() == truth, member.membership.stamp


def is_claim(message: DirectoryMessage) -> bool:
    return isinstance(message, Hello) and message.claim


__all__ = ["BusEvent", "Member", "World", "is_claim"]
