"""What a fork leaves in the child: copies whose threads are gone and whose sockets belong to the parent.

Using such a copy would hang, and closing it could take file descriptors out of the parent's epoll set. So an
object that lives on threads or sockets remembers the process generation it was made in, refuses with
`ForkedError` in a later one, and is left untouched, unclosed, for as long as the child lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from agentbus.errors import ForkedError

generation: int = 0
"""How many forks lie between the first process and this one; read it as `forks.generation`."""

_hooks: list[Callable[[], object]] = []
_inherited: list[object] = []


class ProcessBound:
    """An object that only the process that made it can use."""

    def __init__(self) -> None:
        self._generation = generation

    @property
    def forked(self) -> bool:
        """Whether this was made before a fork, on the other side of it."""
        return self._generation != generation

    def check_fork(self) -> None:
        """Refuse if this was made before a fork.

        Raises:
            ForkedError: it was.
        """
        if self._generation != generation:
            raise forked_error(self)


def forked_error(inherited: object) -> ForkedError:
    """Say that `inherited` came through a fork."""
    kind = type(inherited).__name__
    return ForkedError(
        f"this {kind} was made before a fork and can't be used in the child; make a new one there"
    )


def in_child(hook: Callable[[], object]) -> None:
    """Call `hook` in every forked child, before anything else of ours runs there; for module state only."""
    _hooks.append(hook)


def keep(inherited: object) -> None:
    """Keep an inherited object as long as the child lives: no finalizer is to close what the parent uses."""
    _inherited.append(inherited)


def _enter_child() -> None:
    global generation  # noqa: PLW0603 -- the one number that says which process this is
    generation += 1
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_enter_child)
