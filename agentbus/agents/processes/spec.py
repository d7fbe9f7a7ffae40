"""What a child process makes its agent of: a class by name, and arguments that pickle."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.processes.main_module import MAIN, MainModule, find_main, is_importing

if TYPE_CHECKING:
    from agentbus.agents.lives.store import Store


class ProcessSpec(msgspec.Struct, frozen=True):
    """What goes to the child.

    Attributes:
        target: `module:Class`.
        pickled: its `(args, kwargs, store)`.
        main: how to import the program itself, where the class lives there.
        takes_jobs: whether its messages may be jobs of a queue.
    """

    target: str
    pickled: bytes
    main: MainModule | None = None
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
        ValueError: a store that a child could not reach.
        TypeError: a class that a child could not import, or arguments that don't pickle.
        RuntimeError: this is a child, which is importing the program: it would start itself for ever.
    """
    if is_importing():
        raise RuntimeError(
            "this program spawns a process at its top level, so each process would spawn the next: "
            'put what it does behind `if __name__ == "__main__":`'
        )
    main = _check_importable(cls)
    if store is not None and not store.survives_process:
        raise ValueError("an agent in a process needs a store that outlives the process, say an SqliteStore")
    try:
        target = f"{cls.__module__}:{cls.__qualname__}"
        return ProcessSpec(target, pickle.dumps((args, kwargs, store)), main, takes_jobs)
    except Exception as error:  # noqa: BLE001 -- whatever the arguments' own pickling raises
        raise TypeError(
            f"the arguments of {cls.__qualname__} go to another process, and don't pickle: {error}"
        ) from None


def _check_importable(cls: type[Any]) -> MainModule | None:
    """Refuse a class that no other process can import; say how to import one of the program itself."""
    if "<locals>" in cls.__qualname__:
        raise TypeError(
            f"a process can't import {cls.__qualname__}: move the class to the top level of a module"
        )
    if cls.__module__ != MAIN:
        return None
    main = find_main()
    if main is None:
        raise TypeError(
            f"a process can't import {cls.__qualname__}, which was typed in, not loaded from a file: "
            "move the class into a module, a file beside the program, and import it from there"
        )
    return main
