"""When is an agent stalled? Pure rules: time is an argument.

A piece of work is one message in the hands of one agent. It is *stalled* once it has shown no mark for the
time-out, and *recovered* with its next mark or its end. A stall is told once; another one begins with the
mark that ended the last. Deadlines are not looked at: work that nobody waits for any more can stall too.
"""

from __future__ import annotations


class Work:
    """One message that is being handled.

    Attributes:
        message_type: what is reported.
        began: seconds on the clock, as all of them.
        marked: when it last showed that it goes on.
        stalled: whether it has been told to be stalled since.
    """

    __slots__ = ("began", "marked", "message_type", "stalled")

    def __init__(self, message_type: str, now: float) -> None:
        self.message_type = message_type
        self.began = now
        self.marked = now
        self.stalled = False


class Stalls:
    """What one agent works on, and what of it is stalled.

    Bounded by the agent's concurrency: it knows only what is being handled.

    Args:
        timeout: seconds without a mark.

    Raises:
        ValueError: the time-out is no time.
    """

    def __init__(self, timeout: float) -> None:
        if not timeout > 0:
            raise ValueError(f"a stall_timeout is a number of seconds above 0, not {timeout!r}")
        self._timeout = timeout
        self._works: dict[object, Work] = {}

    @property
    def any_stalled(self) -> bool:
        """Whether any work is stalled; from any thread."""
        return any(work.stalled for work in list(self._works.values()))

    def began(self, key: object, message_type: str, now: float) -> Work:
        """Count a piece of work from now on."""
        work = self._works[key] = Work(message_type, now)
        return work

    def marked(self, key: object, now: float) -> Work | None:
        """Take a mark; gives the work if that ends a stall."""
        work = self._works.get(key)
        if work is None:
            return None
        work.marked = now
        return self._recovered(work)

    def ended(self, key: object) -> Work | None:
        """Forget a piece of work; gives it if that ends a stall."""
        work = self._works.pop(key, None)
        return None if work is None else self._recovered(work)

    @staticmethod
    def _recovered(work: Work) -> Work | None:
        stalled, work.stalled = work.stalled, False
        return work if stalled else None

    def look(self, now: float) -> list[tuple[object, Work]]:
        """Give what has stalled since the last look; each is told once."""
        late = [
            (key, work)
            for key, work in list(self._works.items())
            if not work.stalled and now - work.marked >= self._timeout
        ]
        for _key, work in late:
            work.stalled = True
        return late

    def next_look(self) -> float | None:
        """Give the time at which the next may stall; None while nothing can."""
        marks = [work.marked for work in list(self._works.values()) if not work.stalled]
        return min(marks) + self._timeout if marks else None
