"""Which actors of a runtime are alive. One instance per runtime, and nothing in it is shared with strangers.

Pykka's own registry is a list behind a lock, one per process: removing is linear, and an actor that meets
`SystemExit` stops everybody in it. This one is a dictionary: it adds and removes in constant time, and
nobody's exit reaches anybody else.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Literal, Protocol, TypeVar, overload, runtime_checkable

import pykka

from agentbus.runtime import forks
from agentbus.runtime.clock import SystemClock

A = TypeVar("A", bound=pykka.Actor)

_registries: weakref.WeakSet[ActorRegistry] = weakref.WeakSet()


@runtime_checkable
class Severable(Protocol):
    """A ref that can lose what it leads to; pykka's own can't."""

    def abandon(self) -> None:
        """End the actor without another turn: its loop is closed."""
        ...

    def inherit(self) -> None:
        """Refuse everything from now on: a fork has copied the ref."""
        ...


class ActorRegistry:
    """The live actors of one runtime, in the order of their start.

    Safe from any thread: each operation is one atomic step on a dictionary.

    Args:
        scope: makes this registry's URNs unique among registries; from the runtime's `new_id`.
    """

    __slots__ = ("__weakref__", "_numbers", "_refs", "_scope")

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._numbers = itertools.count(1)
        self._refs: dict[str, pykka.ActorRef[Any]] = {}
        _registries.add(self)

    def __len__(self) -> int:
        """Count the live actors."""
        return len(self._refs)

    def __contains__(self, ref: object) -> bool:
        """Say whether the actor is registered."""
        return isinstance(ref, pykka.ActorRef) and ref.actor_urn in self._refs

    def new_urn(self) -> str:
        """Name one more actor: cheap, unique, and the same again under the same scope."""
        return f"urn:agentbus:{self._scope}:{next(self._numbers)}"

    def register(self, ref: pykka.ActorRef[Any]) -> None:
        """Add an actor; done by its start."""
        self._refs[ref.actor_urn] = ref

    def unregister(self, ref: pykka.ActorRef[Any]) -> bool:
        """Remove an actor; done by its end. False if it was not there."""
        return self._refs.pop(ref.actor_urn, None) is not None

    def get_all(self) -> list[pykka.ActorRef[Any]]:
        """Give all live actors, the oldest first."""
        return list(self._refs.values())

    def get_by_urn(self, urn: str) -> pykka.ActorRef[Any] | None:
        """Give the actor of that URN."""
        return self._refs.get(urn)

    def get_by_class(self, actor_class: type[A]) -> list[pykka.ActorRef[A]]:
        """Give the actors of that class or of a subclass."""
        return [ref for ref in self.get_all() if issubclass(ref.actor_class, actor_class)]

    def get_by_class_name(self, name: str) -> list[pykka.ActorRef[Any]]:
        """Give the actors whose class has that name."""
        return [ref for ref in self.get_all() if ref.actor_class.__name__ == name]

    def broadcast(self, message: Any, target_class: str | type[pykka.Actor] | None = None) -> None:
        """Tell `message` to all actors, or to those of one class or class name."""
        for ref in self._targets(target_class):
            try:
                ref.tell(message)
            except pykka.ActorDeadError:
                continue

    def _targets(self, target_class: str | type[pykka.Actor] | None) -> list[pykka.ActorRef[Any]]:
        if target_class is None:
            return self.get_all()
        if isinstance(target_class, str):
            return self.get_by_class_name(target_class)
        return self.get_by_class(target_class)

    @overload
    def stop_all(self, *, block: Literal[True] = True, timeout: float | None = None) -> list[bool]: ...

    @overload
    def stop_all(
        self, *, block: Literal[False], timeout: float | None = None
    ) -> list[pykka.Future[bool]]: ...

    def stop_all(
        self, *, block: bool = True, timeout: float | None = None
    ) -> list[bool] | list[pykka.Future[bool]]:
        """Ask every actor to stop, the youngest first, each after what is in its mailbox.

        All are asked before one is waited for, so they end in parallel; a parent that needs its children gone
        first stops them itself.

        Args:
            block: wait for their ends; never on a loop's thread.
            timeout: seconds for all of them together; None = for ever.

        Returns:
            For each actor whether it stopped in time, or with `block=False` the futures of that.
        """
        futures = [ref.stop(block=False) for ref in reversed(self.get_all())]
        return _outcomes(futures, timeout) if block else futures

    def abandon(self) -> None:
        """End every actor that is left without another turn: their loops are closed, their threads gone."""
        for ref in self.get_all():
            if isinstance(ref, Severable):
                ref.abandon()


def _enter_child() -> None:
    """Cut the refs that a fork has copied off: what they lead to stayed in the parent."""
    for registry in list(_registries):
        for ref in registry.get_all():
            if isinstance(ref, Severable):
                ref.inherit()


forks.in_child(_enter_child)


def _outcomes(futures: list[pykka.Future[bool]], timeout: float | None) -> list[bool]:
    deadline = None if timeout is None else SystemClock.monotonic() + timeout
    return [_outcome(future, deadline) for future in futures]


def _outcome(future: pykka.Future[bool], deadline: float | None) -> bool:
    remaining = None if deadline is None else max(0.0, deadline - SystemClock.monotonic())
    try:
        return future.get(timeout=remaining)
    except (pykka.Timeout, TimeoutError):
        return False
