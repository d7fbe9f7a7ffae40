"""The sending half of a link: a bounded queue, a bounded window, and everything until its fate is known.

An envelope passes through three places:

    queue ──transmit──► window ──ack──► unsettled ──receipt──► settled
      │ deadline passed    (kept to be sent again)
      └──────────────► expired, and it never left

Sequence numbers are given at the first transmission, so that what expires in the queue leaves no gap. What
was transmitted once stays the receiver's to judge: on its second way an expired envelope travels as an empty
item, and the receiver reports either what it did with the first copy or that it came too late.

What does not fit a frame is cut into parts, one by one, as the window lets them through; control traffic and
receipts go between them. The number of the first part stands for the whole.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from agentbus.agents.envelope import NOTHING, Item, Part
from agentbus.agents.link_queue import LinkOptions, LinkQueue, Unsent
from agentbus.agents.outcome import Outcome
from agentbus.agents.parts import PART_BYTES, Splitter

OUTCOMES = tuple(Outcome)
CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}
ITEM_BYTES = 48
RUN_BYTES = 32
MAX_RUNS = 40
MAX_REPORTS = 20_000
"""Runs of receipts that may wait. Only a peer that sends and never acks gets there; it learns no more of the
oldest, as if we had died before we could tell."""
SPARE_REPORTS = 1000
MAX_SECONDS = 1e9
"""A later deadline is none: 30 years."""
MIN_PIECE = 4096
"""A smaller rest of a frame is not worth a part of its own."""


class Settled(msgspec.Struct, frozen=True):
    """The fate of one envelope, told to the one who posted it.

    Attributes:
        token: what was given to `post`.
        outcome: exactly one per token.
        never_left: it was given up while it waited here.
    """

    token: Any
    outcome: Outcome
    never_left: bool = False


class _Sent(msgspec.Struct):
    sequence: int
    envelope: msgspec.Raw
    size: int
    deadline: float | None
    receipts: tuple[tuple[int, int, int], ...]
    part: Part | None = None


class LinkSender:
    """Number, keep, and send again what the queue holds. Knows nothing of packets' headers or of time-outs.

    Attributes:
        queue: what waits.
    """

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self.queue = LinkQueue(options)
        self._splitting: Splitter | None = None
        self._window: deque[_Sent] = deque()
        self._window_bytes = 0
        self._next_sequence = 1
        self._cursor = 1
        self._reports: list[tuple[int, int, int]] = []
        self._runs: deque[tuple[int, int, int]] = deque()
        self._merge_at = SPARE_REPORTS
        self._unsettled: dict[int, Any] = {}
        self._settled: list[Settled] = []

    # -- what waits ------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Envelopes that wait for the window, or are partly through it."""
        return len(self.queue) + (self._splitting is not None)

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
        return bool(self.queue.urgent)

    @property
    def has_reports(self) -> bool:
        """Whether receipts wait."""
        return bool(self._reports or self._runs)

    @property
    def can_report(self) -> bool:
        """Whether receipts wait and the window lets them through."""
        return self.has_reports and self._window_open()

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

    def withdraw(self, place: int) -> bool:
        """Take back an envelope that nobody wants any more: expired. False if it has left.

        One that has left in part is not finished: the other side drops its half, as if its time were up.
        """
        splitting = self._splitting
        if splitting is not None and splitting.place == place and not splitting.withdrawn:
            splitting.withdrawn = True
            self._unsettled.pop(splitting.first, None)
            self._settled_now(splitting.unsent.token, Outcome.EXPIRED)
            if not splitting.first:
                self._stop_splitting()
            return True
        unsent = self.queue.withdraw(place)
        if unsent is not None:
            self._settled_now(unsent.token, Outcome.EXPIRED)
        return unsent is not None

    def report(self, sequence: int, outcome: Outcome) -> None:
        """Queue a receipt for the other side's item."""
        self._reports.append((sequence, sequence, CODES[outcome]))
        if len(self._reports) > self._merge_at:
            self._reports = _merged(self._reports)[-MAX_REPORTS:]
            self._merge_at = 2 * len(self._reports) + SPARE_REPORTS

    # -- out -------------------------------------------------------------------------------------------------

    def next_item(self, room: int, frame: int, now: float) -> tuple[Item, int] | None:
        """Give the next item to transmit and its bytes, or None if nothing is due, allowed, or fits.

        What has expired by now is to be taken out before; see `expire`.

        Args:
            room: bytes left in the frame.
            frame: bytes that an empty frame takes: an item that does not fit there never will, and goes out
                empty.
            now: the time, for the seconds that are left of a deadline.
        """
        if self._cursor >= self._next_sequence and not self._fill_window(room, frame, now):
            return None
        sent = self._window[self._cursor - self._window[0].sequence]
        size = ITEM_BYTES + sent.size
        if room < size and room < frame:
            return None
        self._cursor += 1
        return self._render(sent, now, fits=size <= room or bool(sent.receipts)), size

    def _render(self, sent: _Sent, now: float, *, fits: bool) -> Item:
        if sent.deadline is not None and sent.deadline <= now:
            return Item(sent.sequence, 0.0, part=sent.part)
        if not fits:
            return Item(sent.sequence, part=sent.part)
        left = None if sent.deadline is None else _seconds_left(sent.deadline - now)
        return Item(sent.sequence, left, sent.envelope, sent.receipts, sent.part)

    def _fill_window(self, room: int, frame: int, now: float) -> bool:
        """Move one thing into the window: control first, then receipts, then the rest."""
        if not self._window_open():
            return False
        queue = self.queue
        if queue.urgent and (urgent := queue.take_urgent(frame - ITEM_BYTES)) is not None:
            self._enter_whole(urgent)
        elif self._reports or self._runs:
            self._enter_window(NOTHING, 0, None, self._take_reports())
        elif self._splitting is not None:
            return self._enter_part(self._splitting, room, frame, now)
        elif not queue.ordinary:
            return False
        else:
            return self._enter_ordinary(room, frame, now)
        return True

    def _enter_ordinary(self, room: int, frame: int, now: float) -> bool:
        place, unsent = self.queue.take_ordinary()
        if unsent.size + ITEM_BYTES <= frame:
            self._enter_whole(unsent)
            return True
        self._splitting = Splitter(unsent, place)
        return self._enter_part(self._splitting, room, frame, now)

    def _enter_whole(self, unsent: Unsent) -> None:
        size = unsent.size
        self.queue.bytes -= size
        if unsent.token is not None:
            self._unsettled[self._next_sequence] = unsent.token
        self._window.append(_Sent(self._next_sequence, unsent.envelope, size, unsent.deadline, ()))
        self._window_bytes += size
        self._next_sequence += 1

    def _enter_window(
        self,
        envelope: msgspec.Raw,
        size: int,
        deadline: float | None,
        receipts: tuple[tuple[int, int, int], ...],
        part: Part | None = None,
    ) -> None:
        size += RUN_BYTES * len(receipts)
        self._window.append(_Sent(self._next_sequence, envelope, size, deadline, receipts, part))
        self._window_bytes += size
        self._next_sequence += 1

    # -- parts -----------------------------------------------------------------------------------------------

    def _enter_part(self, splitting: Splitter, room: int, frame: int, now: float) -> bool:
        """Move the next part into the window, as large as the frame takes."""
        before, sequence = splitting.left, self._next_sequence
        deadline = -math.inf if splitting.withdrawn else splitting.deadline
        if deadline is not None and deadline <= now:
            piece, part = NOTHING, splitting.give_up(sequence)
        elif room < min(frame, MIN_PIECE):
            return False
        elif (found := splitting.next(room - ITEM_BYTES - PART_BYTES, sequence)) is not None:
            piece, part = found
        elif room < frame:
            return False
        else:
            piece, part = NOTHING, splitting.give_up(sequence)
        if part.first == sequence and splitting.unsent.token is not None:
            self._unsettled[part.first] = splitting.unsent.token
        self._enter_window(piece, len(piece) + PART_BYTES, deadline, (), part)
        self.queue.bytes -= before - splitting.left
        if not splitting.left:
            self._splitting = None
        return True

    def _stop_splitting(self) -> Splitter | None:
        splitting, self._splitting = self._splitting, None
        if splitting is not None:
            self.queue.bytes -= splitting.left
        return splitting

    def _take_reports(self) -> tuple[tuple[int, int, int], ...]:
        if not self._runs:  # so each receipt is sorted about once, however many wait
            self._runs.extend(_merged(self._reports))
            self._reports.clear()
        return tuple(self._runs.popleft() for _ in range(min(MAX_RUNS, len(self._runs))))

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
            splitting = self._splitting
            if splitting is not None and splitting.first and first <= splitting.first <= last:
                self._stop_splitting()  # the other side wants no more of it

    def expire(self, now: float) -> None:
        """Settle what waits in the queue and is too late."""
        for unsent in self.queue.expire(now):
            if unsent.token is not None:
                self._settled.append(Settled(unsent.token, Outcome.EXPIRED, never_left=True))

    def _settled_now(self, token: Any, outcome: Outcome) -> None:
        if token is not None:
            self._settled.append(Settled(token, outcome))

    def take_settled(self) -> list[Settled]:
        """Give the fates that became known since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> list[Unsent]:
        """End: what left and was not settled is unknown; what never left, or not wholly, is given back."""
        splitting = self._stop_splitting()
        unsent = self.queue.close()
        if splitting is not None and not splitting.withdrawn:
            self._unsettled.pop(splitting.first, None)
            unsent.insert(0, splitting.unsent)
        for token in self._unsettled.values():
            self._settled_now(token, Outcome.UNKNOWN)
        self._unsettled.clear()
        self._window.clear()
        self._reports.clear()
        self._runs.clear()
        self._cursor = self._next_sequence
        self._window_bytes = 0
        return unsent


def _seconds_left(seconds: float) -> float | None:
    """Round up, so that the other side does not give up before we do; who waits for ever has no deadline."""
    return math.ceil(seconds * 1000) / 1000 if seconds <= MAX_SECONDS else None


def _merged(reports: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Give receipts in order, as few runs as possible."""
    runs: list[tuple[int, int, int]] = []
    for first, last, code in sorted(reports):
        if runs and runs[-1][1] + 1 == first and runs[-1][2] == code:
            runs[-1] = (runs[-1][0], last, code)
        else:
            runs.append((first, last, code))
    return runs
