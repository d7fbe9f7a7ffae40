"""The sending half of a link: a bounded queue, a bounded window, and everything until its fate is known.

An envelope passes through three places:

    queue ──transmit──► window ──ack──► unsettled ──receipt──► settled
      │ deadline passed    (kept to be sent again)
      └──────────────► expired, and it never left

Sequence numbers are given at the first transmission, so that what expires in the queue leaves no gap. What
was transmitted once stays the receiver's to judge: on its second way an expired envelope travels as an empty
item, and the receiver reports either what it did with the first copy or that it came too late.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any

import msgspec

from agentbus.agents.envelope import NOTHING, Item
from agentbus.agents.outcome import Outcome
from agentbus.errors import MailboxFullError

OUTCOMES = tuple(Outcome)
ITEM_BYTES = 48
RUN_BYTES = 32
MAX_RUNS = 40


class LinkOptions(msgspec.Struct, frozen=True):
    """Limits and times of a link.

    Attributes:
        window: items that may be on their way without an ack.
        window_bytes: bytes of envelopes that may be on their way without an ack; one envelope always may.
        capacity: envelopes that may wait for the window, in each of the two lanes.
        capacity_bytes: bytes that may wait for the window; at the limit `post` refuses.
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
    ack_delay: float = 0.1
    resend_after: float = 2.0
    resend_max: float = 16.0
    beat_interval: float | None = None


class Settled(msgspec.Struct, frozen=True):
    """The fate of one envelope, told to the one who posted it.

    Attributes:
        token: what was given to `post`.
        outcome: exactly one per token.
    """

    token: Any
    outcome: Outcome


class Unsent(msgspec.Struct, frozen=True):
    """An envelope that never left."""

    envelope: msgspec.Raw
    size: int
    deadline: float | None
    token: Any


class _Sent(msgspec.Struct):
    sequence: int
    envelope: msgspec.Raw
    size: int
    deadline: float | None
    receipts: tuple[tuple[int, int, int], ...]


class LinkSender:
    """Queue, number, keep, and send again. Knows nothing of packets' headers or of time-outs."""

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self._lanes: tuple[OrderedDict[int, Unsent], OrderedDict[int, Unsent]] = (
            OrderedDict(),
            OrderedDict(),
        )
        self._expiry: list[tuple[float, int]] = []
        self._posted = 0
        self._queued_bytes = 0
        self._window: deque[_Sent] = deque()
        self._window_bytes = 0
        self._next_sequence = 1
        self._cursor = 1
        self._reports: list[tuple[int, int]] = []
        self._unsettled: dict[int, Any] = {}
        self._settled: list[Settled] = []

    # -- what waits ------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Envelopes that wait for the window."""
        return len(self._lanes[0]) + len(self._lanes[1])

    @property
    def in_flight(self) -> int:
        """Items without an ack."""
        return len(self._window)

    @property
    def unsettled(self) -> int:
        """Envelopes that left and whose fate is unknown so far."""
        return len(self._unsettled)

    @property
    def has_urgent(self) -> bool:
        """Whether control traffic waits."""
        return bool(self._lanes[0])

    @property
    def has_reports(self) -> bool:
        """Whether receipts wait."""
        return bool(self._reports)

    @property
    def can_report(self) -> bool:
        """Whether receipts wait and the window lets them through."""
        return bool(self._reports) and self._window_open()

    @property
    def can_send(self) -> bool:
        """Whether an item is due that the window lets through; receipts not counted."""
        return self._cursor < self._next_sequence or (self.queued > 0 and self._window_open())

    def _window_open(self) -> bool:
        options = self._options
        return not self._window or (
            len(self._window) < options.window and self._window_bytes < options.window_bytes
        )

    # -- in --------------------------------------------------------------------------------------------------

    def post(self, envelope: bytes, *, deadline: float | None, token: Any, urgent: bool) -> int:
        """Queue an encoded envelope; gives its place, for `withdraw`.

        Raises:
            MailboxFullError: the queue is at its capacity; nothing was queued.
        """
        lane = self._lanes[0 if urgent else 1]
        full = self._queued_bytes + len(envelope) > self._options.capacity_bytes and not urgent
        if full or len(lane) >= self._options.capacity:
            raise MailboxFullError(self._options.capacity)
        return self._requeue(lane, Unsent(msgspec.Raw(envelope), len(envelope), deadline, token))

    def _requeue(self, lane: OrderedDict[int, Unsent], unsent: Unsent) -> int:
        self._posted += 1
        lane[self._posted] = unsent
        self._queued_bytes += unsent.size
        if unsent.deadline is not None:
            heapq.heappush(self._expiry, (unsent.deadline, self._posted))
        return self._posted

    def withdraw(self, place: int) -> bool:
        """Take back an envelope that nobody wants any more: expired. False if it has left."""
        for lane in self._lanes:
            unsent = lane.pop(place, None)
            if unsent is not None:
                self._queued_bytes -= unsent.size
                self._settled_now(unsent.token, Outcome.EXPIRED)
                return True
        return False

    def report(self, sequence: int, outcome: Outcome) -> None:
        """Queue a receipt for the other side's item."""
        self._reports.append((sequence, OUTCOMES.index(outcome)))

    # -- out -------------------------------------------------------------------------------------------------

    def next_item(self, room: int, now: float, *, alone: bool) -> tuple[Item, int] | None:
        """Give the next item to transmit and its bytes, or None if nothing is due, allowed, or fits.

        Args:
            room: bytes left in the frame.
            now: the time, for the seconds that are left of a deadline.
            alone: the frame is empty so far: an item that does not fit now never will, and goes out empty.
        """
        if self._cursor >= self._next_sequence and not self._fill_window(now):
            return None
        sent = self._window[self._cursor - self._window[0].sequence]
        size = ITEM_BYTES + sent.size
        if size > room and not alone:
            return None
        self._cursor += 1
        return self._render(sent, now, fits=size <= room or bool(sent.receipts)), size

    def _render(self, sent: _Sent, now: float, *, fits: bool) -> Item:
        if sent.deadline is not None and sent.deadline <= now:
            return Item(sent.sequence, 0.0)
        if not fits:
            return Item(sent.sequence)
        # rounded up: the other side must not give up before we do
        left = None if sent.deadline is None else math.ceil((sent.deadline - now) * 1000) / 1000
        return Item(sent.sequence, left, sent.envelope, sent.receipts)

    def _fill_window(self, now: float) -> bool:
        """Move one thing into the window: control first, then receipts, then the rest."""
        if not self._window_open():
            return False
        self.expire(now)
        urgent, ordinary = self._lanes
        if not urgent and self._reports:
            self._enter_window(NOTHING, 0, None, self._take_reports())
            return True
        lane = urgent or ordinary
        if not lane:
            return False
        unsent = lane.popitem(last=False)[1]
        self._queued_bytes -= unsent.size
        if unsent.token is not None:
            self._unsettled[self._next_sequence] = unsent.token
        self._enter_window(unsent.envelope, unsent.size, unsent.deadline, ())
        return True

    def _enter_window(
        self,
        envelope: msgspec.Raw,
        size: int,
        deadline: float | None,
        receipts: tuple[tuple[int, int, int], ...],
    ) -> None:
        sent = _Sent(self._next_sequence, envelope, size + RUN_BYTES * len(receipts), deadline, receipts)
        self._window.append(sent)
        self._window_bytes += sent.size
        self._next_sequence += 1

    def _take_reports(self) -> tuple[tuple[int, int, int], ...]:
        runs: list[tuple[int, int, int]] = []
        taken = 0
        for sequence, code in sorted(self._reports):
            if runs and runs[-1][1] + 1 == sequence and runs[-1][2] == code:
                runs[-1] = (runs[-1][0], sequence, code)
            elif len(runs) == MAX_RUNS:
                break
            else:
                runs.append((sequence, sequence, code))
            taken += 1
        self._reports = sorted(self._reports)[taken:]
        return tuple(runs)

    # -- back ------------------------------------------------------------------------------------------------

    def acked(self, sequence: int) -> bool:
        """Forget what has arrived; tell whether that was news. A number that was never sent is ignored."""
        if sequence >= self._next_sequence:
            return False
        progress = False
        while self._window and self._window[0].sequence <= sequence:
            self._window_bytes -= self._window.popleft().size
            progress = True
        self._cursor = max(self._cursor, min(sequence + 1, self._next_sequence))
        return progress

    def rewind(self) -> None:
        """Transmit everything in the window once more."""
        if self._window:
            self._cursor = self._window[0].sequence

    def settle(self, runs: Iterable[tuple[int, int, int]]) -> None:
        """Take the other side's receipts. Numbers that mean nothing here are ignored."""
        for first, last, code in runs:
            if not 0 <= code < len(OUTCOMES):
                continue
            if last - first < len(self._unsettled):
                known = [number for number in range(first, last + 1) if number in self._unsettled]
            else:
                known = [number for number in self._unsettled if first <= number <= last]
            self._settled += [Settled(self._unsettled.pop(number), OUTCOMES[code]) for number in known]

    def expire(self, now: float) -> None:
        """Settle what waits in the queue and is too late."""
        while self._expiry and self._expiry[0][0] <= now:
            self.withdraw(heapq.heappop(self._expiry)[1])

    def next_expiry(self) -> float | None:
        """When the earliest queued deadline passes; may be that of an envelope that has left meanwhile."""
        return self._expiry[0][0] if self._expiry else None

    def _settled_now(self, token: Any, outcome: Outcome) -> None:
        if token is not None:
            self._settled.append(Settled(token, outcome))

    def take_settled(self) -> list[Settled]:
        """Give the fates that became known since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> list[Unsent]:
        """End: what left and was not settled is unknown; what never left is given back."""
        for token in self._unsettled.values():
            self._settled_now(token, Outcome.UNKNOWN)
        unsent = [*self._lanes[0].values(), *self._lanes[1].values()]
        self._unsettled.clear()
        self._window.clear()
        self._expiry.clear()
        self._reports.clear()
        for lane in self._lanes:
            lane.clear()
        self._cursor = self._next_sequence
        self._window_bytes = self._queued_bytes = 0
        return unsent
