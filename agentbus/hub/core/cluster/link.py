"""The way between this hub and one other: numbered streams out and in, so that nothing is missed unnoticed.

What goes out to one hub is one stream of numbered batches, and each stream begins with all seats (`Begin`,
each `Seat`, `End`). Who sees a number missing asks for a `Restart`: the next stream then replaces what was
known. The backplane itself need only keep the order between two hubs, and may lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from agentbus.hub.core.cluster.messages import (
    AnyMessage,
    Batch,
    Begin,
    End,
    Seat,
    encode_message,
    encode_packet,
)
from agentbus.hub.core.cluster.seats import Seats

MAX_BATCH_BYTES = 256 * 1024
"""A batch is sent when it has so many; one larger message goes alone."""


class Outbound:
    """One stream at a time to one hub.

    Attributes:
        waiting: what is to be sent, in order.
    """

    __slots__ = ("_number", "_sender", "_stream", "waiting")

    def __init__(self, sender: str) -> None:
        self._sender = sender
        self._stream = 0
        self._number = 0
        self.waiting: list[AnyMessage] = []

    def begin(self, stream: int, seats: Iterable[Seat]) -> None:
        """Begin a new stream: all seats, then what waits and is none."""
        rest = [message for message in self.waiting if not isinstance(message, Begin | Seat | End)]
        self._stream, self._number = stream, 0
        self.waiting = [Begin(), *seats, End(), *rest]

    def take(self) -> list[bytes]:
        """Encode what waits, as packets."""
        waiting, self.waiting = self.waiting, []
        packets: list[bytes] = []
        for messages in _portions(waiting):
            self._number += 1
            packets.append(encode_packet(Batch(self._sender, self._stream, self._number, messages)))
        return packets

    def repeat(self) -> bytes:
        """Encode a batch without messages, which shows whether the latest one was missed."""
        return encode_packet(Batch(self._sender, self._stream, self._number, []))


def _portions(messages: Iterable[AnyMessage]) -> Iterator[list[msgspec.Raw]]:
    portion: list[msgspec.Raw] = []
    size = 0
    for message in messages:
        encoded = encode_message(message)
        if portion and size + len(encoded) > MAX_BATCH_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(msgspec.Raw(encoded))
        size += len(encoded)
    if portion:
        yield portion


class Link:
    """What this hub knows of another one's life.

    Args:
        life: the other hub's life.
        sender: this hub's.
        now: monotonic seconds at which it was heard of.

    Attributes:
        life: see above.
        out: the stream to it.
        seats: what it has told of its connections.
        heard: monotonic seconds at which it was heard last.
        synced: whether its seats are whole, or becoming so.
        asked: monotonic seconds at which a new stream was asked for last.
    """

    __slots__ = ("_number", "_stream", "asked", "heard", "life", "out", "seats", "synced")

    def __init__(self, life: str, sender: str, now: float) -> None:
        self.life = life
        self.out = Outbound(sender)
        self.seats = Seats()
        self.heard = now
        self.synced = False
        self.asked = float("-inf")
        self._stream = 0
        self._number = 0

    def accept(self, batch: Batch) -> bool:
        """Tell whether a batch is news; note whether something before it was missed."""
        if batch.stream < self._stream:
            return False
        if batch.stream > self._stream:
            self._stream, self._number = batch.stream, 0
            self.synced = False
        expected = self._number + bool(batch.messages)
        if batch.number < expected:
            return False
        if batch.number > expected:
            self.synced = False
        self._number = batch.number
        return bool(batch.messages)
