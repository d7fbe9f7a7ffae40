"""Envelopes over one frame: cut into parts by the sender, put together by the receiver. Pure.

Parts are items of the link like others, so they arrive in order and once; what is checked here is what a link
does not promise: that a peer means well, and that it goes on.

    nothing ──first part──► assembling ──last part──► the envelope
                              │ │ │
                              │ │ └ cap, sum, order or checksum wrong, no next part in time ─► dead-lettered
                              │ └ deadline passed ─► expired
                              └ another first part: the sender broke the rule ─► dead-lettered

Whatever ends it, the sequence number of the first part stands for the whole, and is settled once.
"""

from __future__ import annotations

import zlib

import msgspec

from agentbus.agents.envelope import NOTHING, Item, Part
from agentbus.agents.link_queue import Unsent
from agentbus.agents.outcome import Outcome

PART_BYTES = 56
"""What a `Part` may take in an item's JSON."""

_MIN_TEXT = 16
_encode = msgspec.json.Encoder().encode
_text_decoder = msgspec.json.Decoder(str)


def cut(data: bytes, start: int, room: int) -> tuple[msgspec.Raw, int] | None:
    """Cut the next piece off an envelope, as a JSON string of at most `room` bytes.

    A JSON string of JSON text costs its escapes: nothing for bodies in base64 or in other scripts than ASCII,
    8 % for prose, 25 % for dense records. Base64 costs 33 % always, and takes twice the time.

    Returns:
        The piece and where it ends, never within a character; None if there is no room for anything.

    Raises:
        UnicodeDecodeError: the data is no UTF-8.
    """
    length = room - 2
    while length >= _MIN_TEXT:
        end = _end_of_character(data, start + length)
        text = _encode(data[start:end].decode())
        if len(text) <= room:
            return msgspec.Raw(text), end
        length = min(length - 1, length * room // len(text))
    return None


def _end_of_character(data: bytes, end: int) -> int:
    """Give the nearest place not after `end` where a character of UTF-8 ends."""
    if end >= len(data):
        return len(data)
    for back in range(4):
        if data[end - back] & 0xC0 != 0x80:
            return end - back
    return end


class Splitter:
    """An envelope that is being sent in parts.

    Attributes:
        unsent: the envelope, as it waited.
        place: where it waited.
        deadline: of it.
        first: the sequence number of its first part; 0 before there is one.
        withdrawn: nobody wants it any more: no piece of it is to follow.

    Args:
        unsent: see above.
        place: see above.
    """

    def __init__(self, unsent: Unsent, place: int = 0) -> None:
        self.unsent = unsent
        self.place = place
        self.withdrawn = False
        self.deadline = unsent.deadline
        self.first = 0
        self._envelope = bytes(unsent.envelope)
        self._offset = 0
        self._checksum = zlib.crc32(self._envelope)

    @property
    def left(self) -> int:
        """Bytes that no part carries so far."""
        return len(self._envelope) - self._offset

    def next(self, room: int, sequence: int) -> tuple[msgspec.Raw, Part] | None:
        """Give the next piece; None if there is no room for one.

        A piece that can't be made is `NOTHING`, and ends the envelope at both sides.

        Args:
            room: bytes that the piece may take.
            sequence: of the item that will carry it.
        """
        try:
            found = cut(self._envelope, self._offset, room)
        except UnicodeDecodeError:
            return NOTHING, self.give_up(sequence)
        if found is None:
            return None
        part = self._part(sequence)
        piece, self._offset = found
        return piece, part

    def give_up(self, sequence: int) -> Part:
        """End it; give the part that tells the other side, with no piece."""
        part = self._part(sequence)
        self._offset = len(self._envelope)
        return part

    def _part(self, sequence: int) -> Part:
        self.first = self.first or sequence
        return Part(self.first, self._offset, len(self._envelope), self._checksum)


class AssemblyRoom:
    """What all links of one kind may hold in unfinished envelopes.

    Args:
        capacity_bytes: together.

    Attributes:
        used_bytes: at present.
        dropped: envelopes that were not finished because of the peer: too large, wrong, or never ending.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self.dropped = 0

    def take(self, size: int) -> bool:
        """Take room if there is some."""
        if self.used_bytes + size > self._capacity_bytes:
            return False
        self.used_bytes += size
        return True

    def give(self, size: int) -> None:
        """Give room back."""
        self.used_bytes -= size


class Verdict(msgspec.Struct, frozen=True):
    """How an envelope in parts has ended.

    Attributes:
        first: the sequence number that stands for it.
        outcome: None if it is complete.
        envelope: its JSON then.
        deadline: on this side's clock.
    """

    first: int
    outcome: Outcome | None
    envelope: msgspec.Raw = NOTHING
    deadline: float | None = None


class _Assembly:
    """One envelope on its way."""

    __slots__ = ("checksum", "data", "deadline", "first", "total", "touched_at")

    def __init__(self, part: Part, now: float) -> None:
        self.first = part.first
        self.total = part.total
        self.checksum = part.checksum
        self.data = bytearray()
        self.deadline: float | None = None
        self.touched_at = now

    def follows(self, part: Part) -> bool:
        """Whether a part is the next one of this envelope."""
        return (part.total, part.checksum, part.offset) == (self.total, self.checksum, len(self.data))


class Assembler:
    """Puts the parts of one link together: one envelope at a time.

    Args:
        cap_bytes: of an envelope; a larger one is refused at its first part, before anything is kept.
        timeout: seconds without a next part, while the other side is connected, after which it is dropped.
        room: what all links share.
    """

    def __init__(self, cap_bytes: int, timeout: float, room: AssemblyRoom) -> None:
        self._cap_bytes = cap_bytes
        self._timeout = timeout
        self._room = room
        self._current: _Assembly | None = None

    def take(self, item: Item, part: Part, now: float) -> list[Verdict]:
        """Take the next item with a part; give what has ended by it."""
        verdicts: list[Verdict] = []
        if part.first == item.sequence:
            verdicts += self.drop(Outcome.DEAD_LETTERED)
            self._current = _Assembly(part, now)
        current = self._current
        if current is None or part.first != current.first:
            return verdicts  # the rest of what was settled before it was through
        current.touched_at = now
        if item.left is not None:
            current.deadline = now + item.left
        if item.envelope == NOTHING:
            late = item.left is not None and item.left <= 0
            return verdicts + self.drop(Outcome.EXPIRED if late else Outcome.DEAD_LETTERED)
        if not (part.total <= self._cap_bytes and current.follows(part) and self._append(current, item)):
            return verdicts + self.drop(Outcome.DEAD_LETTERED)
        if len(current.data) == current.total:
            verdicts += self._finish(current)
        return verdicts

    def _append(self, current: _Assembly, item: Item) -> bool:
        try:
            piece = _text_decoder.decode(item.envelope).encode()
        except (msgspec.DecodeError, UnicodeError):
            return False
        if not piece or len(current.data) + len(piece) > current.total or not self._room.take(len(piece)):
            return False
        current.data += piece
        return True

    def _finish(self, current: _Assembly) -> list[Verdict]:
        if zlib.crc32(current.data) != current.checksum:
            return self.drop(Outcome.DEAD_LETTERED)
        self._current = None
        self._room.give(len(current.data))
        return [Verdict(current.first, None, msgspec.Raw(bytes(current.data)), current.deadline)]

    def drop(self, outcome: Outcome) -> list[Verdict]:
        """Forget an unfinished envelope; give its verdict, if there was one."""
        current, self._current = self._current, None
        if current is None:
            return []
        self._room.give(len(current.data))
        if outcome is Outcome.DEAD_LETTERED:
            self._room.dropped += 1
        return [Verdict(current.first, outcome)]

    # -- time ------------------------------------------------------------------------------------------------

    def touch(self, now: float) -> None:
        """Begin the wait for the next part anew: there is a new connection."""
        if self._current is not None:
            self._current.touched_at = now

    def tick(self, now: float, *, reachable: bool) -> list[Verdict]:
        """Drop what is too late, or has waited too long for its next part."""
        current = self._current
        if current is None:
            return []
        if current.deadline is not None and current.deadline <= now:
            return self.drop(Outcome.EXPIRED)
        if reachable and current.touched_at + self._timeout <= now:
            return self.drop(Outcome.DEAD_LETTERED)
        return []

    def next_deadline(self, *, reachable: bool) -> float | None:
        """When `tick` has something to do next."""
        current = self._current
        if current is None:
            return None
        at = current.deadline
        if reachable:
            given_up = current.touched_at + self._timeout
            at = given_up if at is None else min(at, given_up)
        return at
