"""How far the messages of a channel have come, over all connections of a client: a pure rule."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agentbus.protocol.extensions import Position


class Gap(Struct, frozen=True):
    """Messages were missed for good.

    Attributes:
        count: how many; None where the hub can't say.
    """

    count: int | None


UNKNOWN_GAP: Final = Gap(None)


class Recovery:
    """The position of one channel: what of its history was told to the listeners.

    A subscribe asks for what comes after it, on each new connection once. The hub then gives all of it, or
    says that it can't; this finds out which, and tells it once.
    """

    __slots__ = ("_connection", "_epoch", "_failed", "_offset")

    def __init__(self) -> None:
        self._epoch: str | None = None
        self._offset = 0
        self._connection: object = None  # on which the hub has acked a position
        self._failed: Position | None = None

    @property
    def position(self) -> Position | None:
        """What the client has; None while it knows of none."""
        return None if self._epoch is None else Position(self._epoch, self._offset)

    def ask(self, connection: object) -> Position | None:
        """Give what a subscribe on `connection` has to say as its `since`, if anything."""
        return None if connection is self._connection else self.position

    def answered(
        self, connection: object, position: Position | None, asked: Position | None, *, recovered: bool
    ) -> Gap | None:
        """Take the ack of a subscribe.

        Args:
            connection: that it came on.
            position: where the history stands; None where there is none.
            asked: the `since` of that subscribe.
            recovered: whether all since then follows.

        Returns:
            What was missed for good, if anything, once for each time that it was.
        """
        known, self._connection = self._connection is connection, connection
        if position is None:
            return self._lose_track()
        if asked is None:
            if not known or self._epoch is None:
                self._move_to(position)
            return None
        if recovered or asked.epoch != self._epoch or asked == self._failed:
            return None
        self._failed = asked
        self._move_to(position)
        missed = position.offset - asked.offset
        return Gap(missed) if position.epoch == asked.epoch and missed >= 0 else UNKNOWN_GAP

    def is_new(self, offset: int) -> bool:
        """Take the number of a message; False where that message was told already."""
        if offset <= self._offset:
            return False
        self._offset = offset
        return True

    def _move_to(self, position: Position) -> None:
        self._epoch, self._offset = position.epoch, position.offset

    def _lose_track(self) -> Gap | None:
        """Follow nothing: this channel has no history, or not any more."""
        if self._epoch is None:
            return None
        self._epoch, self._offset = None, 0
        return UNKNOWN_GAP
