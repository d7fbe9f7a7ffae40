"""The first moments of the `agentbus` command: a Ctrl-C ends it without a word.

Importing takes a few tenths of a second, in which nothing has begun that could be closed, and an interrupt
would show a traceback through somebody's imports. So this is the first that the package imports; a program
that merely uses the package is left alone.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what importing typing and signal takes is a time in which nothing is quiet yet
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

INTERRUPTED = 130


def is_command(arguments: Sequence[str]) -> bool:
    """Whether a process is the command, by `sys.orig_argv`: `agentbus …`, or `python -m agentbus …`."""
    options = list(arguments[1:])
    while options and options[0].startswith("-") and options[0] != "-m":
        del options[: 2 if options[0] in {"-X", "-W"} else 1]
    if options[:1] == ["-m"]:
        return options[1:2] == ["agentbus"]
    return bool(options) and os.path.basename(options[0]) == "agentbus"  # noqa: PTH119 -- pathlib takes longer


def end_quietly_on_ctrl_c() -> None:
    """Let an interrupt end the process at once with 130, unless it was told to ignore interrupts."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_ctrl_c() -> None:
    """Let an interrupt be a `KeyboardInterrupt` again: there is something to close from now on."""
    import signal

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if is_command(sys.orig_argv):
    try:
        end_quietly_on_ctrl_c()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
