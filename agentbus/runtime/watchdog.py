"""Says which line holds up a loop.

A thread of its own asks the loop for a sign of life, and when none comes within the threshold it looks at
what the loop's thread is doing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from agentbus.runtime.clock import SystemClock

_log = logging.getLogger("agentbus.runtime")

_NOT_USER_CODE = (
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parent.parent) + os.sep,
    "<frozen",
)


class BlockReport(msgspec.Struct, frozen=True):
    """One handler that held up a loop.

    Attributes:
        loop: the loop's name.
        seconds: for how long, when it was looked at.
        line: the user's line that did: "file:line in function".
        stack: all of the thread's stack, as text.
    """

    loop: str
    seconds: float
    line: str
    stack: str


class BlockPolicy:
    """When a loop counts as blocked: pure, it is told the time.

    Args:
        threshold: seconds without a sign of life.
    """

    __slots__ = ("_asked", "_reported", "threshold")

    def __init__(self, threshold: float) -> None:
        if not threshold > 0:
            raise ValueError(f"the threshold is a positive number of seconds, not {threshold}")
        self.threshold = threshold
        self._asked: float | None = None
        self._reported = False

    def ask(self, now: float) -> bool:
        """Whether to ask for a sign of life at `now`: not while an answer is due."""
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def answered(self) -> None:
        """Note the sign of life."""
        self._asked = None
        self._reported = False

    def blocked_for(self, now: float) -> float | None:
        """Give the seconds since the question, once per block, if they pass the threshold."""
        asked = self._asked
        if asked is None or self._reported or now - asked < self.threshold:
            return None
        self._reported = True
        return now - asked


class Watchdog:
    """Watch one loop.

    Args:
        threshold: seconds that a handler may take.
        report: told of each that takes longer, on the watchdog's thread; by default a line in the log.
    """

    def __init__(self, threshold: float = 0.1, report: Callable[[BlockReport], object] | None = None) -> None:
        self._policy = BlockPolicy(threshold)
        self._report = report or _log_report
        self._stopped = threading.Event()
        self._clock = SystemClock()
        self._thread_id: int | None = None
        self.blocked = 0

    def watch(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        """Begin to watch `loop`; `name` is for reports."""
        target = self._watch
        threading.Thread(target=target, args=(loop, name), name=f"{name}-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        try:
            while not self._stopped.wait(self._policy.threshold / 2):
                self._look(loop, name)
        except RuntimeError:
            return  # the loop is closed

    def _look(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        now = self._clock.monotonic()
        if self._policy.ask(now):
            loop.call_soon_threadsafe(self._answer)
        seconds = self._policy.blocked_for(now)
        frame = _frame_of(self._thread_id)
        if seconds is not None and frame is not None:
            self.blocked += 1
            self._tell(describe(name, seconds, frame))

    def _tell(self, report: BlockReport) -> None:
        try:
            self._report(report)
        except Exception:  # noqa: BLE001 -- watching goes on
            _log.exception("the report of a blocked loop failed")

    def _answer(self) -> None:
        self._thread_id = threading.get_ident()
        self._policy.answered()


def describe(loop: str, seconds: float, frame: FrameType) -> BlockReport:
    """Make the report of a thread that is at `frame`."""
    stack = traceback.extract_stack(frame)
    users = [entry for entry in stack if not entry.filename.startswith(_NOT_USER_CODE)]
    culprit = (users or stack)[-1]
    line = f"{culprit.filename}:{culprit.lineno} in {culprit.name}"
    return BlockReport(loop, seconds, line, "".join(traceback.format_list(stack)))


def _frame_of(thread_id: int | None) -> FrameType | None:
    if thread_id is None:
        return None
    return sys._current_frames().get(thread_id)  # pyright: ignore[reportPrivateUsage] -- documented, only named so


def _log_report(report: BlockReport) -> None:
    _log.warning("%s: blocked for %.3f s by %s\n%s", report.loop, report.seconds, report.line, report.stack)
