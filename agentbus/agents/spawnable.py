"""What can be spawned: a class with usable handlers, and arguments that its constructor takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pykka

from agentbus.agents.agent import Agent, AgentActor, AsyncAgentActor, check_receive_timeout
from agentbus.agents.handlers import HandlerTable, handler_table
from agentbus.runtime import LoopActor


def table_of(cls: type[Any]) -> HandlerTable | None:
    """Give the handlers of a class; None for a plain pykka actor.

    Raises:
        TypeError: it can't be spawned.
    """
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers may be untyped
        kind = type(cls).__qualname__
        raise TypeError(f"spawn takes a class and its arguments, not an object: spawn({kind}, …)")
    if issubclass(cls, Agent):
        if not issubclass(cls, AgentActor | AsyncAgentActor):
            raise TypeError(f"{cls.__qualname__} is neither an AgentActor nor an AsyncAgentActor")
        table = handler_table(cls)
        if cls.receive_timeout is not None:
            check_receive_timeout(cls, table)
        if issubclass(cls, AgentActor):
            _check_sync(cls, table)
        return table
    if issubclass(cls, pykka.Actor) and not issubclass(cls, LoopActor):
        return None
    raise TypeError(
        f"{cls.__qualname__} can't be spawned: subclass AgentActor or AsyncAgentActor, or give a pykka actor"
    )


_HOOKS = ("on_start", "on_stop", "on_failure", "on_child_lost", "on_control")


def _check_sync(cls: type[Any], table: HandlerTable) -> None:
    if getattr(cls, "reentrant", False):
        raise TypeError(
            f"{cls.__qualname__} has a thread of its own, which can't be entered; use AsyncAgentActor"
        )
    hooks = [name for name in _HOOKS if _is_async(cls, name)]
    found = [*hooks, *(handler.method for handler in table.handlers if handler.asynchronous)]
    if found:
        raise TypeError(
            f"{cls.__qualname__} has a thread of its own, so {found[0]} can't be async; use AsyncAgentActor"
        )


def _is_async(cls: type[Any], name: str) -> bool:
    return inspect.iscoroutinefunction(getattr(cls, name))


def check_arguments(cls: type[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse at once what would fail only when the agent is made, on a thread or in a process of its own.

    Raises:
        TypeError: the constructor does not take these arguments.
    """
    if cls.__init__ is object.__init__:
        if args or kwargs:
            extra = next(iter(kwargs), None)
            what = "positional arguments" if extra is None else f"an unexpected keyword argument {extra!r}"
            raise TypeError(f"{cls.__qualname__} has no __init__, and got {what}")
        return
    try:
        signature = inspect.signature(cls.__init__)
    except ValueError:
        return  # not written in Python: it will say for itself
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}{_shown(signature)} can't be made of that: {error}") from None


def _shown(signature: inspect.Signature) -> str:
    names = [
        str(parameter.replace(annotation=inspect.Parameter.empty))
        for parameter in list(signature.parameters.values())[1:]
    ]
    return f"({', '.join(names)})"
