"""`FileClaim`: one live process holds a queue in a file; its end, however it comes, lets go of it.

The claim is a `flock` on a file beside the store, which the kernel drops with the process, also at a
`kill -9`. It may fail to hold (a file system without such locks, a lock file that somebody removed): so every
write also checks the epoch.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from pathlib import Path
from urllib.parse import quote

from agentbus.errors import QueueTakenError
from agentbus.runtime import forks

_LONGEST_NAME = 80
_LONGEST_OWNER = 500
_open_files: set[int] = set()


class FileClaim:
    """The claim of one queue in one file.

    Args:
        path: of the store; whatever links lead there, the claim is beside the file itself.
        queue: its name.
    """

    def __init__(self, path: Path, queue: str) -> None:
        path = path.resolve()
        name = quote(queue, safe="")[:_LONGEST_NAME]
        self._path = path.with_name(f"{path.name}.{name}.{zlib.crc32(queue.encode()):08x}.lock")
        self._queue = queue
        self._file: int | None = None

    def take(self, owner: str) -> str:
        """Take the claim; it stays where it is if this has it.

        Returns:
            Who had taken it and died with it; empty if nobody did.

        Raises:
            QueueTakenError: another live process has it, or another store of this one.
            OSError: the file can't be made or locked, or a link stands in its place.
        """
        if self._file is None:
            self._file = self._locked()
            _open_files.add(self._file)
        last = os.pread(self._file, _LONGEST_OWNER, 0).decode(errors="replace")
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, owner.encode()[:_LONGEST_OWNER], 0)
        return last

    def _locked(self) -> int:
        """Open the file and lock it; whatever goes wrong leaves it closed."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, _LONGEST_OWNER, 0).decode(errors="replace")
            os.close(file)
            raise QueueTakenError(self._queue, holder) from None
        except BaseException:
            os.close(file)
            raise
        return file

    def let_go(self) -> None:
        """Let go of the claim; idempotent. The file stays: another may be waiting at it."""
        file, self._file = self._file, None
        if file is not None and file in _open_files:
            _open_files.discard(file)
            os.ftruncate(file, 0)  # who is named in it has died with it
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # also for a child that was forked and has not closed its copy yet
            os.close(file)


def _close_inherited() -> None:
    """Close the child's copies: it must not hold the claim of a parent that has died."""
    for file in _open_files:
        os.close(file)
    _open_files.clear()


forks.in_child(_close_inherited)
