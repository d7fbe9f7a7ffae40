"""A link: ordered, exactly-once envelopes between one life of this node and one life of another.

Pure: time comes in, packets go in and come out. Whoever owns the link sends what `take` gives, in that
order, calls `receive` with what came, `tick` when `next_deadline` has come, and `rewind` when frames may
have been lost.

Promise (agents.md, "Link"): in order and exactly once between two live incarnations; otherwise exactly one
named outcome. How: sequence numbers; cumulative acks, piggybacked or alone after at most 100 ms; everything
unacked is sent again after a reconnect, on a gap, or after 2 s without an ack; the receiver takes only the
number that comes next.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from agentbus.agents.envelope import NOTHING, Item, Packet, Part, Stamp
from agentbus.agents.link_queue import LinkOptions, Unsent
from agentbus.agents.link_sender import LinkSender, Settled
from agentbus.agents.outcome import Outcome
from agentbus.agents.parts import Assembler, AssemblyRoom, Verdict

ENVELOPE_BYTES = 64 << 10
"""What an envelope may take beside its body."""


class Want(enum.IntEnum):
    """How much a link has to say."""

    NOTHING = 0
    RECEIPTS = 1
    """Receipts wait, and may go on waiting until the ack is due: worth a frame while the pace leaves room."""
    ACK = 2
    """An ack or a beat is due."""
    ENVELOPES = 3
    CONTROL = 4


class Inbound(msgspec.Struct, frozen=True):
    """An envelope that has arrived, once.

    Attributes:
        sequence: for `settle`.
        envelope: its JSON.
        deadline: on this side's clock, or None.
    """

    sequence: int
    envelope: msgspec.Raw
    deadline: float | None


class Link:
    """Both halves of a link, its timers and its packets.

    Attributes:
        heard_at: when the other side was heard last.

    Args:
        here: this node's stamp.
        there: the other's.
        options: limits and times.
        now: monotonic seconds.
        room: what this link's unfinished bodies share with those of others; by default nothing.
    """

    def __init__(
        self, here: Stamp, there: Stamp, options: LinkOptions, now: float, room: AssemblyRoom | None = None
    ) -> None:
        self.here = here
        self.there = there
        self._options = options
        self._sender = LinkSender(options)
        self._assembler = Assembler(
            options.max_body_bytes + ENVELOPE_BYTES,
            options.assembly_timeout,
            room or AssemblyRoom(options.max_assembly_bytes),
        )
        self._header_bytes = len(msgspec.json.encode(Packet(here, there))) + 24
        self._received = 0
        self._unacked = 0
        self._unacked_bytes = 0
        self._gap = False
        self._ack_at: float | None = None
        self._resend_at: float | None = None
        self._resend_delay = options.resend_after
        self._quiet_until = now
        self._spoke_at = now
        self._ping = False
        self.heard_at = now

    # -- in --------------------------------------------------------------------------------------------------

    def post(
        self,
        envelope: bytes,
        *,
        deadline: float | None = None,
        token: Any = None,
        urgent: bool = False,
        agent: str | None = None,
    ) -> int:
        """Queue an encoded envelope; gives its place, for `withdraw`.

        Args:
            envelope: see `encode_envelope`.
            deadline: on this side's clock.
            token: comes back in exactly one `Settled`; None if nobody asks.
            urgent: control traffic: overtakes what waits, not what was sent. What needs parts does not.
            agent: the recipient, if it may be held back for that one.

        Raises:
            MailboxFullError: the queue is at its capacity.
        """
        return self._sender.queue.post(envelope, deadline, token, urgent=urgent, agent=agent)

    def withdraw(self, place: int) -> bool:
        """Take back what nobody wants any more: its outcome is *expired*. False if it has left.

        What has left in part is not finished, and the other side drops its half.
        """
        return self._sender.withdraw(place)

    def post_notice(self, envelope: bytes) -> None:
        """Queue control traffic that must get through, whatever the capacity; for what is rare."""
        self._sender.queue.post_notice(envelope)

    def hold(self, agent: str) -> None:
        """Hold back what is for an agent: its mailbox is full."""
        self._sender.queue.hold(agent)

    def release(self, agent: str) -> None:
        """Let go on what was held back for an agent."""
        self._sender.queue.release(agent)

    def settle(self, sequence: int, outcome: Outcome, now: float) -> None:
        """Say what became of an inbound envelope; once each."""
        self._sender.report(sequence, outcome)
        if self._ack_at is None:
            self._ack_at = now + self._options.ack_delay

    def receive(self, packet: Packet, now: float) -> list[Inbound]:
        """Take a packet of the other side; give what is new, in order.

        What comes too late is settled here and not given.
        """
        if self._sender.acked(packet.ack):
            self._resend_delay = self._options.resend_after
            self._resend_at = now + self._resend_delay if self._sender.in_flight else None
        self.heard_at = now
        if packet.ping and self._ack_at is None:
            self._ack_at = now + self._options.ack_delay
        if packet.gap and now >= self._quiet_until:
            self._rewind_for_a_while(now)
        inbound: list[Inbound] = []
        before = self._received
        for item in packet.items:
            if item.sequence <= self._received:
                self._ack_at = now
                continue
            if item.sequence > self._received + 1:
                self._gap, self._ack_at = True, now
                break
            self._received = item.sequence
            self._take_item(item, now, inbound)
        if self._received > before:
            self._owe_ack(self._received - before, now)
        return inbound

    def _take_item(self, item: Item, now: float, inbound: list[Inbound]) -> None:
        if item.part is not None:
            self._take_part(item, item.part, now, inbound)
        elif item.receipts:
            self._sender.settle(item.receipts)
        elif item.left is not None and item.left <= 0:
            self.settle(item.sequence, Outcome.EXPIRED, now)
        elif item.envelope == NOTHING:
            self.settle(item.sequence, Outcome.DEAD_LETTERED, now)
        else:
            deadline = None if item.left is None else now + item.left
            inbound.append(Inbound(item.sequence, item.envelope, deadline))

    def _take_part(self, item: Item, part: Part, now: float, inbound: list[Inbound]) -> None:
        self._unacked_bytes += len(item.envelope)
        if self._unacked_bytes >= self._options.window_bytes // 4:
            self._ack_at = now
        for verdict in self._assembler.take(item, part, now):
            if verdict.outcome is None:
                inbound.append(Inbound(verdict.first, verdict.envelope, verdict.deadline))
            else:
                self._settle_verdict(verdict, now)

    def _settle_verdict(self, verdict: Verdict, now: float) -> None:
        if verdict.outcome is not None:
            self.settle(verdict.first, verdict.outcome, now)

    def _owe_ack(self, count: int, now: float) -> None:
        self._unacked += count
        if self._ack_at is None:
            self._ack_at = now + self._options.ack_delay
        if self._unacked >= self._options.window // 4:
            self._ack_at = now

    # -- out -------------------------------------------------------------------------------------------------

    def wants(self, now: float) -> Want:
        """Say what `take` would give now."""
        if self._sender.can_send:
            return Want.CONTROL if self._sender.has_urgent else Want.ENVELOPES
        if self._ack_at is not None and self._ack_at <= now:
            return Want.ACK
        return Want.RECEIPTS if self._sender.can_report else Want.NOTHING

    def take(self, room: int, now: float) -> Packet | None:
        """Give the next packet, or None if there is nothing to send.

        Args:
            room: bytes that the packet's JSON may take.
            now: the time.
        """
        ack_due = self._ack_at is not None and self._ack_at <= now
        items = self._take_items(room - self._header_bytes, now)
        if not items and not ack_due:
            return None
        packet = Packet(self.here, self.there, self._received, items, self._gap, self._ping)
        self._ack_at, self._unacked, self._unacked_bytes, self._gap, self._ping = None, 0, 0, False, False
        self._spoke_at = now
        if items and self._resend_at is None:
            self._resend_at = now + self._resend_delay
        return packet

    def _take_items(self, room: int, now: float) -> tuple[Item, ...]:
        items: list[Item] = []
        frame = room
        self._sender.expire(now)
        while (found := self._sender.next_item(room, frame, now)) is not None:
            items.append(found[0])
            room -= found[1]
        return tuple(items)

    def take_settled(self) -> list[Settled]:
        """Give the fates that became known since the last call."""
        return self._sender.take_settled()

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float, *, reachable: bool = True) -> None:
        """Expire what is too late, send again what got no ack, show that we live.

        Args:
            now: the time.
            reachable: whether the other side is connected: what it does not send meanwhile is not its fault.
        """
        self._sender.expire(now)
        for verdict in self._assembler.tick(now, reachable=reachable):
            self._settle_verdict(verdict, now)
        if self._resend_at is not None and self._resend_at <= now:
            self._sender.rewind()
            self._resend_delay = min(self._resend_delay * 2, self._options.resend_max)
            self._resend_at = None
        beat = self._options.beat_interval
        if beat is not None and now - self._spoke_at >= beat:
            self._ack_at, self._ping = now, True

    def next_deadline(self, *, reachable: bool = True) -> float | None:
        """When `tick`, then `take`, should be called next; None if only input can change anything.

        Args:
            reachable: whether a packet could be sent; if not, no ack and no beat is due.
        """
        times = [
            self._resend_at,
            self._sender.queue.next_expiry(),
            self._assembler.next_deadline(reachable=reachable),
        ]
        if reachable:
            beat = self._options.beat_interval
            times += [self._ack_at, None if beat is None else self._spoke_at + beat]
        return min((time for time in times if time is not None), default=None)

    def rewind(self, now: float) -> None:
        """Send everything unacked again: there is a new connection, or a frame was refused."""
        self._sender.rewind()
        self._resend_delay = self._options.resend_after
        self._resend_at = None
        self._assembler.touch(now)
        if self._received:
            self._ack_at = now

    def _rewind_for_a_while(self, now: float) -> None:
        """Answer a gap once; the packets behind it, already on their way, complain of the same gap."""
        self._sender.rewind()
        self._quiet_until = now + self._options.resend_after / 4

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Envelopes that have not left, those that are held back included."""
        return self._sender.queued + self._sender.queue.held

    @property
    def in_flight(self) -> int:
        """Items without an ack."""
        return self._sender.in_flight

    @property
    def idle(self) -> bool:
        """Whether every envelope posted here has its fate and every receipt is through."""
        sender = self._sender
        return not (self.queued or sender.in_flight or sender.unsettled or sender.has_reports)

    def close(self) -> list[Unsent]:
        """End the link: the other incarnation is gone.

        Returns:
            What never left. All that did leave and was not settled is `Outcome.UNKNOWN` in `take_settled`.
        """
        self._assembler.drop(Outcome.UNKNOWN)
        return self._sender.close()
