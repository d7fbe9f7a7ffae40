"""Which threads must not wait: those whose loop would have to run for the wait to end.

`forbid_on` names the loops; each blocking call of the runtime asks `check` first, and tells the thread's
`observer` of its wait, so that a pool of threads can put another thread to work meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from asyncio.events import _get_running_loop  # pyright: ignore[reportPrivateUsage] -- no exception off a loop
from collections.abc import Callable

from agentbus.errors import BlockingCallError

running_loop = _get_running_loop
"""Give the asyncio loop that runs on this thread, None if none does; the hot paths ask often."""

_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


class _PerThread(threading.local):
    on_wait: Callable[[bool], object] | None = None


_thread = _PerThread()


def forbid_on(loop: asyncio.AbstractEventLoop) -> None:
    """Let blocking calls on the thread that runs `loop` fail at once from now on."""
    _loops.add(loop)


def check(what: str) -> None:
    """Refuse a wait that would stop a loop the runtime lives on.

    Args:
        what: the call, as its user wrote it.

    Raises:
        BlockingCallError: this thread runs such a loop.
    """
    loop = running_loop()
    if loop is not None and loop in _loops:
        raise BlockingCallError(
            f"{what} would block the loop thread {threading.current_thread().name!r}; await it"
        )


def on_wait(observer: Callable[[bool], object] | None) -> None:
    """Tell `observer` True before and False after each wait of this thread."""
    _thread.on_wait = observer


def observer() -> Callable[[bool], object] | None:
    """Give whom to tell of this thread's waits."""
    return _thread.on_wait
