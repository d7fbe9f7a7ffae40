"""What a child process makes its agent of: a class by name, and arguments that pickle."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agentbus.agents.lives.store import Store


class ProcessSpec(msgspec.Struct, frozen=True):
    """What goes to the child.

    Attributes:
        target: `module:Class`.
        pickled: its `(args, kwargs, store)`.
        takes_jobs: whether its messages may be jobs of a queue.
    """

    target: str
    pickled: bytes
    takes_jobs: bool = False


def importable_name(cls: type[Any]) -> str:
    """Give `module:Class` for a class that another process can import.

    Raises:
        ValueError: it lives in a script or inside a function.
    """
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        raise ValueError(f"another process can't import {cls.__qualname__}: put it into a module")
    return f"{cls.__module__}:{cls.__qualname__}"


def process_spec(
    cls: type[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    store: Store | None,
    *,
    takes_jobs: bool = False,
) -> ProcessSpec:
    """Give what a child process makes an agent of.

    Raises:
        ValueError: a class that a child could not import, or a store that it could not reach.
        TypeError: arguments that don't pickle.
    """
    target = importable_name(cls)
    if store is not None and not store.survives_process:
        raise ValueError("an agent in a process needs a store that outlives the process, say an SqliteStore")
    try:
        return ProcessSpec(target, pickle.dumps((args, kwargs, store)), takes_jobs)
    except Exception as error:  # noqa: BLE001 -- whatever the arguments' own pickling raises
        raise TypeError(
            f"the arguments of {cls.__qualname__} go to another process, and don't pickle: {error}"
        ) from None
