"""Joining: the few seconds in which a node claims its id and asks for the directory. Pure.

resting ──start──► asking ──answer, or nobody there──► settled ◄──silence── contested
│  ▲ silence: ask again,              ▲                    ▲
└──┘ one more node may answer         └────── answer says that the id is held
"""

from __future__ import annotations

import enum

import msgspec


class JoinOptions(msgspec.Struct, frozen=True):
    """Times of joining, in seconds.

    Attributes:
        answer_timeout: how long to wait for the directory before asking again.
        max_attempts: after so many without an answer the node takes itself to be the first.
        alone_timeout: how long a first node waits where a twin of it could share its peer id.
        objection_timeout: how long a holder of the same id has to object.
    """

    answer_timeout: float = 1.0
    max_attempts: int = 3
    alone_timeout: float = 0.25
    objection_timeout: float = 2.0


class Step(enum.Enum):
    """What joining wants done."""

    NOTHING = "nothing"
    ASK = "ask"
    SETTLE = "settle"


class Join:
    """Where the joining stands. `attempt` counts the questions of this round from 0."""

    def __init__(self, options: JoinOptions) -> None:
        self._options = options
        self.attempt = 0
        self.deadline: float | None = None
        self._contested = False
        self._alone = False

    @property
    def active(self) -> bool:
        """Whether a join is under way."""
        return self.deadline is not None

    def start(self, now: float, *, alone: bool, twin_possible: bool) -> Step:
        """Begin a round.

        Args:
            now: the time.
            alone: the roster shows nobody else.
            twin_possible: another process may use this peer id, so that the roster hides it.
        """
        self.attempt, self._contested, self._alone = 0, False, alone
        if alone and not twin_possible:
            self.stop()
            return Step.SETTLE
        self.deadline = now + (self._options.alone_timeout if alone else self._options.answer_timeout)
        return Step.ASK

    def contested(self, now: float) -> None:
        """The directory names a living holder of the id: give it time to object."""
        if self.active and not self._contested:
            self._contested = True
            self.deadline = now + self._options.objection_timeout

    def answered(self) -> Step:
        """The directory is complete."""
        if not self.active or self._contested:
            return Step.NOTHING
        self.stop()
        return Step.SETTLE

    def tick(self, now: float) -> Step:
        """Let time pass."""
        if self.deadline is None or now < self.deadline:
            return Step.NOTHING
        if self._contested or self._alone or self.attempt + 1 >= self._options.max_attempts:
            self.stop()
            return Step.SETTLE
        self.attempt += 1
        self.deadline = now + self._options.answer_timeout
        return Step.ASK

    def stop(self) -> None:
        """End the round: settled, refused, or the connection is gone."""
        self.deadline = None
