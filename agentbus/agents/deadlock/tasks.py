"""Whether a task can't go on before another has ended: by `await`, `asyncio.gather` or `asyncio.TaskGroup`.

asyncio does not say what waits for what, but its tasks and groups know. What they no longer show in a later
version is not seen: then the deadline has to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeGuard

MAX_NESTING = 16
"""Groups in groups that are looked through."""

Task = asyncio.Task[Any]


def holds_up(task: Task, other: Task) -> bool:
    """Whether `other` awaits the end of `task`, itself or through the tasks that it awaits.

    Of what `gather` awaits only the last that goes on counts: any other might fail, and end the wait by that.
    A member of a task group that fails has the others cancelled, so each of them counts.

    Args:
        task: what waits for something.
        other: what may be stuck for it.
    """
    for _ in range(MAX_NESTING):
        if task is other:
            return True
        awaiting = _group_parent(task)
        if awaiting is None:
            return _awaits(other, task)
        task = awaiting
    return False


def _awaits(other: Task, task: Task) -> bool:
    for _ in range(MAX_NESTING):
        awaited = getattr(other, "_fut_waiter", None)
        if awaited is task:
            return True
        last = _last_pending(awaited)
        if last is None or last is task:
            return last is task
        other = last
    return False


def _last_pending(awaited: Any) -> Task | None:
    """Give the only task that has to end for an awaited future to be done, if it is one."""
    children: Sequence[Any] = getattr(awaited, "_children", (awaited,))
    pending = [child for child in children if child is not None and not child.done()]
    return pending[0] if len(pending) == 1 and _is_task(pending[0]) else None


def _is_task(value: object) -> TypeGuard[Task]:
    return isinstance(value, asyncio.Task)


def _group_parent(task: Task) -> Task | None:
    """Give the task that awaits the end of the task group that this one is in, at the end of its block."""
    for callback, _context in getattr(task, "_callbacks", None) or ():
        group = getattr(callback, "__self__", None)
        if isinstance(group, asyncio.TaskGroup):
            parent: Task | None = getattr(group, "_parent_task", None)
            end = getattr(group, "_on_completed_fut", None)
            awaits = end is not None and getattr(parent, "_fut_waiter", None) is end
            return parent if awaits else None
    return None
