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
from agentbus.runtime.blocking import running_loop

MAX_WATCHERS = 64
"""Cycles that may be looked for at a time through one wait; a further one ends at its deadline."""

LOOK_AGAIN = 0.25
"""Seconds between looks at a wait that a handler may still come to await, through a task that it awaits."""


class Wait:
    """One ask of a handler, and whether that handler is blocked by it.

    Args:
        scope: the handler that sent it.
    """

    __slots__ = ("_task", "_waiting", "over", "scope", "watchers")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.over = False
        self.watchers: list[Callable[[], object]] = []
        self._waiting = 0
        self._task: asyncio.Task[object] | None = None

    def note(self, *, begins: bool) -> None:
        """Note that somebody begins, or ceases, to wait for the answer; on the thread that does."""
        if current_scope.get() is not self.scope:
            return  # a stranger, who has got hold of the future
        if running_loop() is not None:
            self._task = asyncio.current_task()
        self._waiting += 1 if begins else -1

    @property
    def blocked(self) -> bool:
        """Whether the handler can do nothing until the answer comes."""
        return bool(self._waiting) and not self.over and self._is_own()

    def _is_own(self) -> bool:
        """Whether the handler itself waits, or a task that it awaits: not one that works beside it."""
        own = self.scope.task
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
        return f"{next(self._numbers):x}"

    def open(self, scope: Scope) -> str:
        """Know of an ask that a handler is about to send; `follow` it then."""
        number = self.new_id()
        self._waits[number] = Wait(scope)
        return number

    def follow(self, number: str, future: Future[Any]) -> None:
        """Know of an ask until its answer is there."""
        wait = self._waits[number]

        def observe(begins: bool) -> None:
            wait.note(begins=begins)
            if begins and wait.watchers:
                self._loop.call_soon(self._look)

        def answered(_future: object) -> None:
            wait.over = True
            self._waits.pop(number, None)

        future.observe_waits(observe)
        future.add_done_callback(answered)

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
        wait.watchers.append(callback)
        self._watched[number] = wait
        self._look()

    def _look(self) -> None:
        for number, wait in list(self._watched.items()):
            if wait.over or wait.blocked:
                del self._watched[number]
                watchers, wait.watchers = wait.watchers, []
                for callback in () if wait.over else watchers:
                    callback()
        if self._watched and not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        self._look()
