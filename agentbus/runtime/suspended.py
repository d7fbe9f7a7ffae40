"""A coroutine that was begun in a context of its own, and finished in it by a task that has another."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any


class Suspended:
    """A coroutine that has begun and waits for something; awaiting this runs the rest of it.

    The awaiting task is the one that is woken, and cancelled, as if it awaited the coroutine itself; it must
    be the one in which the coroutine has begun.

    Args:
        context: in which it has begun; the rest runs there too.
        coroutine: what has begun.
        awaited: what it has yielded.
    """

    __slots__ = ("_awaited", "context", "coroutine")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self.context = context
        self.coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        run, send, throw = self.context.run, self.coroutine.send, self.coroutine.throw
        awaited, self._awaited = self._awaited, None
        while True:
            value = thrown = None
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 -- it is the coroutine's
                thrown = error
            try:
                awaited = run(send, value) if thrown is None else run(throw, thrown)
            except StopIteration as end:
                return end.value
            finally:
                thrown = None  # its traceback holds this frame: a cycle would keep all it knows alive
