"""When a failed child is started again, how long after, and when its supervisor gives up. Pure rules.

A child may fail `intensity` times within `period` seconds, and each failure is followed by a restart; one
failure more within the period is *giving up*. The delay before a restart grows with the number of failures
that the period still remembers, so a child that behaves for a whole period starts from the shortest delay
again. Each child is counted by itself. ONE_FOR_ALL: a failure restarts all children, giving up ends all.

Time and randomness are arguments: seconds on any clock that does not run backwards, and an object with
`random() -> float` in [0, 1).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol


class RandomSource(Protocol):
    """What draws the jitter."""

    def random(self) -> float:
        """Draw from [0, 1)."""
        ...


class RestartMode(enum.Enum):
    """What follows a failure."""

    STOP = "stop"
    RESTART = "restart"


class Strategy(enum.Enum):
    """Whom the failure of one child concerns."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays between a failure and the restart.

    Attributes:
        initial_delay: seconds after the first failure.
        multiplier: growth from one failure to the next.
        max_delay: seconds at most, before jitter.
        jitter_ratio: the delay is multiplied by a factor drawn from 1 ± this.
    """

    initial_delay: float = 0.1
    multiplier: float = 2.0
    max_delay: float = 10.0
    jitter_ratio: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what would shrink, explode or run backwards."""
        if self.initial_delay < 0 or self.max_delay < self.initial_delay:
            raise ValueError("a backoff needs 0 <= initial_delay <= max_delay")
        if self.multiplier < 1:
            raise ValueError("a backoff's multiplier is at least 1")
        if not 0 <= self.jitter_ratio <= 1:
            raise ValueError("a backoff's jitter_ratio is between 0 and 1")

    def delay(self, failures: int, random: RandomSource) -> float:
        """Give the seconds to wait after so many failures in a row (1 = the first)."""
        delay = self.initial_delay
        for _ in range(failures - 1):
            delay *= self.multiplier
            if delay >= self.max_delay:
                break
        jitter = self.jitter_ratio * (2.0 * random.random() - 1.0)
        return min(delay, self.max_delay) * (1.0 + jitter)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What a supervisor does about failures.

    Attributes:
        mode: restart the child, or let it end.
        intensity: restarts that are allowed within `period`.
        period: seconds that a failure is remembered.
        backoff: delays before a restart.
        strategy: whom a failure concerns; matters to children that share a `CellGroup`.
        retry_poison: times that a message whose handling failed is tried again before it is dead-lettered.
    """

    mode: RestartMode = RestartMode.STOP
    intensity: int = 5
    period: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    retry_poison: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be counted."""
        if self.intensity < 0 or self.retry_poison < 0:
            raise ValueError("intensity and retry_poison are counts: 0 or more")
        if self.period <= 0:
            raise ValueError("the period is a number of seconds above 0")


@dataclass(frozen=True, slots=True)
class Restart:
    """The verdict: start again.

    Attributes:
        delay: seconds to wait before.
        attempt: which restart within the period this is, from 1.
    """

    delay: float
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The verdict: it ends here.

    Attributes:
        failures: failures within the period, the last one included.
    """

    failures: int


class RestartTracker:
    """Counts one child's failures and judges each.

    Args:
        policy: the rules.
        random: draws the jitter.
    """

    __slots__ = ("_failures", "_policy", "_random")

    def __init__(self, policy: RestartPolicy, random: RandomSource) -> None:
        self._policy = policy
        self._random = random
        self._failures: deque[float] = deque(maxlen=policy.intensity + 1)

    def failed(self, now: float) -> Restart | GiveUp:
        """Judge a failure at `now`."""
        self._forget(now)
        self._failures.append(now)
        count = len(self._failures)
        if self._policy.mode is RestartMode.STOP or count > self._policy.intensity:
            return GiveUp(count)
        return Restart(self._policy.backoff.delay(count, self._random), count)

    def _forget(self, now: float) -> None:
        while self._failures and now - self._failures[0] >= self._policy.period:
            self._failures.popleft()


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and whom it concerns, in the order in which they joined.

    Attributes:
        verdict: what is to be done.
        children: to whom.
    """

    verdict: Restart | GiveUp
    children: tuple[Hashable, ...]


class Supervision:
    """Several children under one policy.

    Args:
        policy: the rules.
        random: draws the jitter.
    """

    __slots__ = ("_policy", "_random", "_trackers")

    def __init__(self, policy: RestartPolicy, random: RandomSource) -> None:
        self._policy = policy
        self._random = random
        self._trackers: dict[Hashable, RestartTracker] = {}

    def join(self, child: Hashable) -> None:
        """Count a child from now on."""
        self._trackers.setdefault(child, RestartTracker(self._policy, self._random))

    def leave(self, child: Hashable) -> None:
        """Forget a child that has ended."""
        self._trackers.pop(child, None)

    def failed(self, child: Hashable, now: float) -> Decision:
        """Judge a child's failure at `now`; KeyError if it never joined."""
        verdict = self._trackers[child].failed(now)
        everyone = self._policy.strategy is Strategy.ONE_FOR_ALL
        return Decision(verdict, tuple(self._trackers) if everyone else (child,))
