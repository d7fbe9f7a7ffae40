"""What waits for a link's window: two lanes, and beside them what is held back for agents that are full.

    post ─► urgent ──┐
    post ─► ordinary ┴─► window                    an agent's mailbox is full:  hold(agent)
              │    ▲                               it has room again:           release(agent)
              ▼    └─ release
             held, per agent

Each place has a capacity of its own, so that one full agent takes no room from the others.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from agentbus.errors import MailboxFullError

SPARE_EXPIRIES = 64

Lane = OrderedDict[int, "Unsent"]


class LinkOptions(msgspec.Struct, frozen=True):
    """Limits and times of a link.

    Attributes:
        window: items that may be on their way without an ack.
        window_bytes: bytes of envelopes that may be on their way without an ack; one item always may.
        capacity: envelopes that may wait for the window, in each of the two lanes.
        capacity_bytes: bytes that may wait for the window; at the limit `post` refuses.
        max_parked_bytes: of messages that have arrived and wait for agents here whose mailbox is full.
        held_capacity: envelopes that may wait for one agent whose mailbox is full.
        held_bytes: bytes that may wait for one such agent, one envelope always; for all, `capacity_bytes`.
        held_agents: agents that envelopes are held back for; of more the other side refuses what is too much.
        max_body_bytes: of a message's body, in both directions; what does not fit a frame travels in parts.
        max_guest_body_bytes: of what a peer without a node's token sends.
        max_assembly_bytes: of all unfinished bodies of all nodes together.
        max_guest_assembly_bytes: of all unfinished bodies of all guests together.
        max_asks: asks of this node, to all others together, that may have no reply yet.
        assembly_timeout: seconds without a next part after which an unfinished body is dropped.
        ack_delay: seconds that an ack waits for something to travel with.
        resend_after: seconds without an ack before everything in the window is sent again; doubles each time.
        resend_max: where the doubling ends.
        beat_interval: seconds without a packet of ours after which an empty one asks for a sign of life;
            None for never: then the hub's own pings have to do.
    """

    window: int = 256
    window_bytes: int = 1 << 20
    capacity: int = 10_000
    capacity_bytes: int = 32 << 20
    max_parked_bytes: int = 64 << 20
    held_capacity: int = 2000
    held_bytes: int = 8 << 20
    held_agents: int = 1000
    max_body_bytes: int = 8 << 20
    max_guest_body_bytes: int = 256 << 10
    max_assembly_bytes: int = 256 << 20
    max_guest_assembly_bytes: int = 16 << 20
    max_asks: int = 100_000
    assembly_timeout: float = 60.0
    ack_delay: float = 0.1
    resend_after: float = 2.0
    resend_max: float = 16.0
    beat_interval: float | None = None


class Unsent(msgspec.Struct, frozen=True):
    """An envelope that never left.

    Attributes:
        envelope: its JSON.
        size: bytes of it.
        deadline: on this side's clock.
        token: who is told what becomes of it.
        agent: the recipient, if it may be held back for that one.
    """

    envelope: msgspec.Raw
    size: int
    deadline: float | None
    token: Any
    agent: str | None = None


class LinkQueue:
    """The lanes of one link, and what is held.

    Attributes:
        urgent: control traffic, by number.
        ordinary: the rest.
        bytes: of what waits for the window; who takes an envelope out counts them off as they leave.

    Args:
        options: limits.
    """

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self.urgent: Lane = OrderedDict()
        self.ordinary: Lane = OrderedDict()
        self._held: dict[str, Lane] = {}
        self._held_bytes: dict[str, int] = {}
        self._all_held_bytes = 0
        self._expiry: list[tuple[float, int]] = []
        self._forget_at = SPARE_EXPIRIES
        self._posted = 0
        self.bytes = 0

    def __len__(self) -> int:
        """Count what waits for the window alone."""
        return len(self.urgent) + len(self.ordinary)

    @property
    def held(self) -> int:
        """Envelopes that wait for agents which are full."""
        return sum(map(len, self._held.values()))

    # -- in --------------------------------------------------------------------------------------------------

    def post(
        self, envelope: bytes, deadline: float | None, token: Any, *, urgent: bool, agent: str | None
    ) -> int:
        """Queue an encoded envelope; gives its place, for `withdraw`.

        Raises:
            MailboxFullError: its place is at its capacity; nothing was queued.
        """
        unsent = Unsent(msgspec.Raw(envelope), len(envelope), deadline, token, agent)
        if self._held and agent in self._held:
            return self._hold_one(agent, unsent)
        lane = self.urgent if urgent else self.ordinary
        full = self.bytes + unsent.size > self._options.capacity_bytes and not urgent
        if full or len(lane) >= self._options.capacity:
            raise MailboxFullError(self._options.capacity)
        self.bytes += unsent.size
        return self._enter(lane, unsent)

    def post_notice(self, envelope: bytes) -> None:
        """Queue what must get through, whatever the capacity: its caller sends few."""
        self.bytes += len(envelope)
        self._enter(self.urgent, Unsent(msgspec.Raw(envelope), len(envelope), None, None))

    def _hold_one(self, agent: str, unsent: Unsent) -> int:
        lane, options = self._held[agent], self._options
        too_many = len(lane) >= options.held_capacity
        too_much = lane and self._held_bytes[agent] + unsent.size > options.held_bytes
        if too_many or too_much or self._all_held_bytes + unsent.size > options.capacity_bytes:
            raise MailboxFullError(len(lane))
        self._held_bytes[agent] += unsent.size
        self._all_held_bytes += unsent.size
        return self._enter(lane, unsent)

    def _enter(self, lane: Lane, unsent: Unsent) -> int:
        self._posted += 1
        lane[self._posted] = unsent
        if unsent.deadline is not None:
            heapq.heappush(self._expiry, (unsent.deadline, self._posted))
            if len(self._expiry) > self._forget_at:
                self._forget_expiries()
        return self._posted

    def _forget_expiries(self) -> None:
        """Drop the deadlines of what has left."""
        waiting = set[int]().union(self.urgent, self.ordinary, *self._held.values())
        self._expiry = [each for each in self._expiry if each[1] in waiting]
        heapq.heapify(self._expiry)
        self._forget_at = SPARE_EXPIRIES + 2 * len(self._expiry)

    # -- out -------------------------------------------------------------------------------------------------

    def take_urgent(self, room: int) -> Unsent | None:
        """Remove and give the first urgent envelope; its bytes are still counted.

        One that is larger than `room` goes in front of the ordinary ones: in parts it overtakes nothing.
        """
        while self.urgent:
            number, unsent = self.urgent.popitem(last=False)
            if unsent.size <= room:
                return unsent
            self.ordinary[number] = unsent
            self.ordinary.move_to_end(number, last=False)
        return None

    def take_ordinary(self) -> tuple[int, Unsent]:
        """Remove and give the first ordinary envelope, its place first; its bytes are still counted."""
        return self.ordinary.popitem(last=False)

    def withdraw(self, place: int) -> Unsent | None:
        """Remove and give what waits in a place; None if it is not there any more."""
        for lane in (self.urgent, self.ordinary):
            if (unsent := lane.pop(place, None)) is not None:
                self.bytes -= unsent.size
                return unsent
        for agent, held in self._held.items():
            if (unsent := held.pop(place, None)) is not None:
                self._held_bytes[agent] -= unsent.size
                self._all_held_bytes -= unsent.size
                return unsent
        return None

    # -- full agents -----------------------------------------------------------------------------------------

    def hold(self, agent: str) -> None:
        """Hold back what is for an agent, what waits already included."""
        if agent in self._held or len(self._held) >= self._options.held_agents:
            return
        lane: Lane = OrderedDict()
        for number in [number for number, unsent in self.ordinary.items() if unsent.agent == agent]:
            lane[number] = self.ordinary.pop(number)
        self._held[agent] = lane
        self._held_bytes[agent] = size = sum(unsent.size for unsent in lane.values())
        self.bytes -= size
        self._all_held_bytes += size

    def release(self, agent: str) -> None:
        """Let what was held back for an agent go on, in its order, whatever the capacity: it was taken."""
        lane = self._held.pop(agent, None)
        if lane is not None:
            self.ordinary.update(lane)
            size = self._held_bytes.pop(agent)
            self.bytes += size
            self._all_held_bytes -= size

    # -- time, and the end -----------------------------------------------------------------------------------

    def expire(self, now: float) -> Sequence[Unsent]:
        """Remove and give what is too late."""
        if not self._expiry or self._expiry[0][0] > now:
            return ()
        late: list[Unsent] = []
        while self._expiry and self._expiry[0][0] <= now:
            if (unsent := self.withdraw(heapq.heappop(self._expiry)[1])) is not None:
                late.append(unsent)
        return late

    def next_expiry(self) -> float | None:
        """When the earliest deadline passes; may be that of an envelope that has left meanwhile."""
        return self._expiry[0][0] if self._expiry else None

    def close(self) -> list[Unsent]:
        """Remove and give all, each lane in its order, what was held in the place it would have had."""
        ordinary = dict(self.ordinary)
        for held in self._held.values():
            ordinary.update(held)
        unsent = [*self.urgent.values(), *(ordinary[number] for number in sorted(ordinary))]
        for lane in (self.urgent, self.ordinary):
            lane.clear()
        self._held.clear()
        self._held_bytes.clear()
        self._expiry.clear()
        self._forget_at = SPARE_EXPIRIES
        self.bytes = self._all_held_bytes = 0
        return unsent
