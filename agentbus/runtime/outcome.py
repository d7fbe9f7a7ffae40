"""What becomes of a future, and a failure that wants to be noticed."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Final

from agentbus.runtime.failure_line import failure_line

# what a future's state is once it is settled; while it is pending, the number is negative
VALUE: Final = 0
FAILED: Final = 1
CANCELLED: Final = 2
HOOKED: Final = 3

NAMES: Final = {VALUE: "done", FAILED: "failed", CANCELLED: "cancelled", HOOKED: "computed on demand"}

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_log = logging.getLogger("agentbus.runtime")


class Failure:
    """What a future failed with; says so in the log if nobody ever looked, unless it follows an end."""

    __slots__ = ("error", "read", "traceback")

    def __init__(self, error: BaseException, traceback: TracebackType | None, *, read: bool) -> None:
        self.error = error
        self.traceback = traceback
        self.read = read

    def __del__(self) -> None:
        if self.read or getattr(self.error, "follows_an_end", False):
            return
        error = self.error.with_traceback(self.traceback)
        _log.error("a Future failed and nobody looked at it: %s", failure_line(error))
        _log.debug("the traceback of that failure", exc_info=error)

    def as_new(self) -> BaseException:
        """Give the error with the traceback of its origin, however often it was raised since."""
        self.read = True
        return self.error.with_traceback(self.traceback)


def as_error(given: BaseException | ExcInfo | None) -> tuple[BaseException, TracebackType | None]:
    """Give the exception that is meant: itself, of an `exc_info` triple, or the one that is being handled."""
    if isinstance(given, BaseException):
        return given, given.__traceback__
    kind, error, traceback = sys.exc_info() if given is None else given
    if error is None:
        if kind is None:
            raise TypeError("set_exception() needs an exception, or one that is being handled")
        error = kind()
    return error, traceback
