"""Which asks the handlers of this bus have sent, and whether a handler is blocked until the answer comes.

A wait is written by the thread or loop that waits, and read on the I/O loop. Neither takes a lock:

    who waits                          who watches, on the I/O loop
    blocked = True                     append the watcher
    are there watchers? have a look    look

Whichever comes second sees what the other did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

from agentbus.agents.deadlock.tasks import holds_up
from agentbus.agents.scope import Scope, current_scope
from agentbus.runtime import Future, Loop
from agentbus.runtime.cell_job import Job, current_job

MAX_WATCHERS = 64
"""Cycles that may be looked for at a time through one wait; a further one ends at its deadline."""

LOOK_AGAIN = 0.25
"""Seconds between looks at a wait that a handler may still come to await, through a task that it awaits."""


_base: type[Future[Any]] = Future  # each ask makes a wait, and `super()` costs 0.1 us a time


class Wait(Future[Any]):
    """One ask of a handler: the future of its reply, and whether the handler is blocked by it.

    Args:
        waits: knows it until it is done.
        scope: the handler that sends it.
        job: the same, as its cell knows it.
        number: names it.

    Attributes:
        watchers: whom to tell once the handler is blocked by it; written on the I/O loop.
    """

    _cancellable_by_waiter = True

    def __init__(self, waits: Waits, scope: Scope, job: Job | None, number: str) -> None:
        _base.__init__(self)
        self.scope = scope
        self.number = number
        self._waits = waits
        self._cell = scope.agent.cell
        self._job = job
        self._waiting = 0
        self._task: asyncio.Task[object] | None = None
        self.watchers: tuple[Callable[[], object], ...] = ()

    def _resolve(self, state: int, result: Any) -> bool:
        settled = _base._resolve(self, state, result)
        if settled:
            self._waits.close(self.number)
            self._cell.drop(self, self._job)
        return settled

    def _wait_begins(self, woken: asyncio.Future[None] | None) -> None:
        if current_scope.get() is not self.scope:
            return  # a stranger, who has got hold of the future
        if woken is not None:
            self._task = asyncio.current_task(woken.get_loop())
        self._waiting += 1
        if self.watchers:
            self._waits.look_soon()

    def _wait_ends(self) -> None:
        if current_scope.get() is self.scope:
            self._waiting -= 1

    @property
    def blocked(self) -> bool:
        """Whether the handler can do nothing until the answer comes."""
        return bool(self._waiting) and not self.done() and self._is_own()

    def _is_own(self) -> bool:
        """Whether the handler itself waits, or a task that it awaits: not one that works beside it."""
        job = self._job
        if job is not None and job.ended:
            return False
        own = self.scope.task if job is None else job.task
        return own is None or (self._task is not None and holds_up(self._task, own))


class Waits:
    """The waits of one bus, by number.

    Args:
        loop: the I/O loop.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._numbers = count(1)
        self._waits: dict[str, Wait] = {}
        self._watched: dict[str, Wait] = {}
        self._looking = False

    def __len__(self) -> int:
        """Count the asks of handlers that have no answer yet."""
        return len(self._waits)

    # -- who asks, on any thread -----------------------------------------------------------------------------

    def new_id(self) -> str:
        """Give a number that this bus gives once."""
        return str(next(self._numbers))

    def open(self, scope: Scope) -> Wait:
        """Make the future of an ask that a handler is about to send; done at once if nobody wants it."""
        job = current_job.get()
        number = str(next(self._numbers))
        wait = self._waits[number] = Wait(self, scope, job, number)
        scope.agent.cell.keep(wait, job)
        return wait

    def close(self, number: str) -> None:
        """Forget an ask that is done."""
        self._waits.pop(number, None)

    def look_soon(self) -> None:
        """See who is blocked now; from any thread."""
        self._loop.call_soon(self._look)

    # -- who watches, on the I/O loop ------------------------------------------------------------------------

    def watch(self, agent: str, number: str, callback: Callable[[], object]) -> None:
        """Call back once the handler is blocked by that ask; never, if that does not come about.

        Args:
            agent: its name. One in a process of its own has its waits there, under numbers of others here.
            number: of the ask.
            callback: on the I/O loop.
        """
        wait = self._waits.get(number)
        if wait is None or wait.scope.agent.name != agent or len(wait.watchers) >= MAX_WATCHERS:
            return
        wait.watchers += (callback,)
        self._watched[number] = wait
        self._look()

    def _look(self) -> None:
        for number, wait in list(self._watched.items()):
            if wait.done() or wait.blocked:
                del self._watched[number]
                watchers, wait.watchers = wait.watchers, ()
                for callback in () if wait.done() else watchers:
                    callback()
        if self._watched and not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        self._look()
