"""Where a program's own code runs: the loop of its async callbacks, and whether there are threads at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from agentbus.runtime import Callbacks, EventSource, LoopThread, Runtime, Subscription, VirtualLoop

T = TypeVar("T")


class Home:
    """The loop of a bus's async callbacks.

    Args:
        given: the loop that the caller named, if any; then nothing else counts.

    Attributes:
        loop: that loop; None for the agents' loop.
    """

    def __init__(self, given: asyncio.AbstractEventLoop | None) -> None:
        self._given = given is not None
        self.loop = given

    def found(self) -> None:
        """Note that the running loop is the program's."""
        if not self._given:
            self.loop = asyncio.get_running_loop()


class HomeSource(EventSource[T]):
    """Events whose async callbacks run at home.

    Args:
        callbacks: runs the callbacks.
        home: where async ones run.
    """

    def __init__(self, callbacks: Callbacks, home: Home) -> None:
        super().__init__(callbacks)
        self._home = home

    def subscribe(
        self, callback: Callable[[T], object], *, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Call `callback(event)` for each event from now on, one at a time and in order.

        Args:
            callback: sync, for a pool of threads; or async.
            loop: where an async one runs; by default the loop that entered `async with`, else the agents'
                loop.
        """
        return super().subscribe(callback, loop=loop or self._home.loop)


def is_simulated(runtime: Runtime) -> bool:
    """Whether the runtime lives on virtual time, where everything runs on the one loop."""
    loop = runtime.agents
    return not isinstance(loop, LoopThread) and isinstance(loop.asyncio_loop, VirtualLoop)
