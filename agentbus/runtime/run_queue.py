"""Which cells of one loop have something to do, and the tasks that serve them.

A handler may need a task: `asyncio.timeout` and `TaskGroup` ask for the current one. Most handlers end
without having waited for anything, and a task costs more than they do, so they share one:

    any thread                          the serving task
    append the turn                     take turns, a bounded number, then let the loop go on
    if not serving: serve               a handler waits: the task is its own from now on, another serves
                                        nothing left for a while: serving = False, and look once more

Whichever comes second sees what the other did, so no turn is left behind. The task stays for a few rounds of
the loop after the last turn, for an answer often leads to the next question.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import TYPE_CHECKING, Any, cast

from agentbus.runtime.owned import is_interrupt
from agentbus.runtime.virtual import VirtualLoop

if TYPE_CHECKING:
    from agentbus.runtime.loop import Loop

TURNS_PER_ROUND = 64
"""After so many turns the loop looks at its sockets and timers."""

IDLE_ROUNDS = 2
"""Rounds of the loop without a turn after which the serving task ends."""

Turn = Callable[[], Awaitable[object] | None]
"""Gives what the serving task is to await, and to serve nobody else from then on; None for most."""


class RunQueue:
    """The turns that are due on one loop.

    Args:
        loop: where they are taken.

    Attributes:
        task: takes the turn that is taken now; there in a turn only.
    """

    __slots__ = ("_loop", "_ready", "_serving", "task")
    task: asyncio.Task[Any]

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._ready: deque[Turn] = deque()
        self._serving = False

    def post(self, turn: Turn) -> None:
        """Have a turn taken soon; from any thread.

        Raises:
            RuntimeFault: the loop is closed.
            ForkedError: the loop was made before a fork.
        """
        self._ready.append(turn)
        if not self._serving:
            self._begin()

    def _begin(self) -> None:
        self._serving = True
        try:
            if self._loop.is_current():
                self._start()
            else:
                self._loop.call_soon(self._start)
        except BaseException:
            self._serving = False
            raise

    # -- on the loop's own thread ---------------------------------------------------------------------------

    def _start(self) -> None:
        serving = self._serve()
        serving.send(None)  # to where it hears that it is cancelled: it has turns to pass on
        _start_task(self._loop, serving)

    async def _serve(self) -> object:
        ready, idle = self._ready, 0
        await _round(self)
        task = _own_task()
        while True:
            self.task = task
            idle = 0 if ready else idle + 1
            for _ in range(min(len(ready), TURNS_PER_ROUND)):
                try:
                    waiting = ready.popleft()()
                except BaseException as error:  # noqa: BLE001 -- one turn's failure is no other turn's
                    self._failed(error)
                    continue
                if waiting is not None:
                    self._hand_over()
                    _may_vanish(task, yes=False)
                    return await waiting
            del self.task  # a loop that is closed now is to forget it
            if idle == IDLE_ROUNDS:
                self._hand_over()
                return None
            await _round(self)

    def _failed(self, error: BaseException) -> None:
        if is_interrupt(error):
            self._hand_over()
            raise error
        self._loop.asyncio_loop.call_exception_handler({"message": "a turn failed", "exception": error})

    def closed(self) -> None:
        """The loop was closed under the serving task: who posts from now on is to learn of it."""
        self._serving = False

    def _hand_over(self) -> None:
        """Leave the turns that are due to another task."""
        self._serving = False
        if self._ready:
            self._begin()


def _own_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())


def _may_vanish(task: Any, *, yes: bool) -> None:
    """Say whether nothing is lost, and so nothing logged, if the loop is closed before the task has ended."""
    task._log_destroy_pending = not yes


@coroutine
def _round(queue: RunQueue) -> Generator[None, None, None]:
    """Let the loop go on, and return in its next round, whoever cancels all tasks that he finds."""
    try:
        yield
    except GeneratorExit:
        queue.closed()
        raise
    except asyncio.CancelledError:
        _own_task().uncancel()


def _start_task(loop: Loop, serving: Coroutine[Any, Any, object]) -> None:
    """Run it in a fresh context: what a caller has in its context variables is nobody else's business."""
    target = loop.asyncio_loop
    if isinstance(target, VirtualLoop):  # it names and counts its tasks
        task = target.create_task(serving, context=Context())
    else:
        task = asyncio.Task(serving, loop=target, context=Context())
    _may_vanish(task, yes=True)
