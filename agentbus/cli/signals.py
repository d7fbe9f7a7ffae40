"""What a command does about SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def terminated_like_ctrl_c() -> Generator[None]:
    """Let SIGTERM come out of the block as KeyboardInterrupt, so that what is open is closed; main thread."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
