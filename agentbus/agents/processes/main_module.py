"""What a program runs as `__main__`, imported by a child process, in the way of `multiprocessing`'s spawn.

The child runs the program's file, or module, once more under the name `__mp_main__`, so that what stands
behind `if __name__ == "__main__":` is left out; then the two names mean the same module there.
"""

from __future__ import annotations

import runpy
import sys
import types
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

MAIN = "__main__"
IMPORTED_AS = "__mp_main__"
_importing: list[bool] = []
_replaced: list[types.ModuleType] = []  # a module that is gone would take its globals along


class MainModule(Struct, frozen=True):
    """How a child imports its parent's `__main__`; exactly one of the two is set.

    Attributes:
        name: of the module, for a program that was started by `python -m`.
        path: of the file, for a program that was started as a script.
    """

    name: str | None = None
    path: str | None = None


def find_main() -> MainModule | None:
    """Give how a child can import this process's `__main__`; None where there is no file of it."""
    main: Any = sys.modules[MAIN]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return MainModule(name=spec.name)
    path = getattr(main, "__file__", None)
    return MainModule(path=str(Path(path).absolute())) if path and Path(path).is_file() else None


def is_importing() -> bool:
    """Whether this is a child that imports its parent's program: it starts no processes meanwhile."""
    return bool(_importing)


def import_main(main: MainModule) -> None:
    """Import a parent's `__main__`, in a child; its classes have the same names there as in the parent.

    Raises:
        Exception: whatever the program raises at its top level.
    """
    module = types.ModuleType(IMPORTED_AS)
    with _marked():
        if main.name is not None:
            found = runpy.run_module(main.name, run_name=IMPORTED_AS, alter_sys=True)
        else:
            found = runpy.run_path(str(main.path), run_name=IMPORTED_AS)
    module.__dict__.update(found)
    for value in found.values():
        if isinstance(value, type) and value.__module__ == IMPORTED_AS:
            value.__module__ = MAIN
    _replaced.append(sys.modules[MAIN])
    sys.modules[MAIN] = sys.modules[IMPORTED_AS] = module


@contextmanager
def _marked() -> Generator[None]:
    _importing.append(True)
    try:
        yield
    finally:
        _importing.pop()
