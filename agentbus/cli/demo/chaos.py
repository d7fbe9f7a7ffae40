"""When the demo harms itself: one worker process killed, one connection cut, both in the middle of work."""

from __future__ import annotations

from enum import Enum


class Harm(Enum):
    """What is done to the worker that a file was just handed to."""

    KILL = "kill"
    CUT = "cut"


class Chaos:
    """Decide at each hand-out whether the worker that got the file is harmed.

    The kill comes after a quarter of the answers, the cut after half of them; in a small folder each comes
    with the last file that waits, so that both always happen, and always to a worker that holds a file.

    Args:
        files: how many there are.
        enabled: nothing is harmed otherwise.
    """

    def __init__(self, files: int, *, enabled: bool) -> None:
        self._kill_after = files // 4
        self._cut_after = files // 2
        self._planned = [Harm.KILL, Harm.CUT] if enabled else []
        self._dying: str | None = None

    def on_hand_out(self, worker: str, *, answered: int, waiting: int) -> Harm | None:
        """Decide about one worker.

        Args:
            worker: who got a file just now.
            answered: files that have their answer.
            waiting: files that wait for a worker.
        """
        if not self._planned or worker == self._dying:
            return None
        after = self._kill_after if self._planned[0] is Harm.KILL else self._cut_after
        if answered < after and waiting:
            return None
        harm = self._planned.pop(0)
        self._dying = worker if harm is Harm.KILL else self._dying
        return harm

    def on_death(self, worker: str) -> None:
        """Note that a worker is known to be dead: whoever comes under its name is another one."""
        if worker == self._dying:
            self._dying = None
