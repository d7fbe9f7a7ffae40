"""The child's side: the kernel ends this process with its parent, whatever its threads are doing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""See prctl(2): the signal that this process gets when the thread that made it ends."""

ORPHANED = 1
"""The exit code of a process whose parent was gone before it had begun."""


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends. Where it can't, nothing changes.

    A parent that ends before the kernel is told is noticed here: this process has another one then.

    Args:
        parent: the process id of the parent, as it said when it started this one.
    """
    if sys.platform != "linux":
        return
    process = ctypes.CDLL(None, use_errno=True)
    if process.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0 and os.getppid() != parent:
        os._exit(ORPHANED)
