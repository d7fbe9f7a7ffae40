"""`HostLine`: the way to whoever hosts a queue, over its restarts and moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from agentbus.agents.message import Request
from agentbus.agents.queues.names import CAPABILITY
from agentbus.agents.ref import AgentRef
from agentbus.runtime import Future, Loop, Subscription

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus

Reply = TypeVar("Reply")

ANSWER_TIMEOUT = 10.0
"""Seconds after which a host that has not answered is asked again, or its successor."""


class HostLine:
    """Finds the host of a queue, keeps to it while it answers, and says when one appears.

    On the agents' loop.

    Args:
        bus: where to look.
        queue: name of the queue.
        loop: where `appeared` is called.
        appeared: called when there is a host after there was none, or after the last one was lost.
    """

    def __init__(self, bus: Bus, queue: str, loop: Loop, appeared: Callable[[], object]) -> None:
        self._bus = bus
        self._metadata = {"queue": queue}
        self._loop = loop
        self._appeared = appeared
        self._host: AgentRef | None = None
        self._waiting: Future[list[AgentRef]] | None = None
        self._watching: Subscription | None = None
        self._closed = False

    def ask(self, message: Request[Reply]) -> Future[Reply] | None:
        """Ask the host; None if there is none, and then `appeared` is called once there is."""
        host = self._host or self._find(None)
        self._keep_to(host)
        if host is None:
            self._wait()
            return None
        return host.ask(message, timeout=ANSWER_TIMEOUT)

    @property
    def is_here(self) -> bool:
        """Whether the host is on this node, so that it is reached without a hub."""
        return self._host is not None and self._host.node == self._bus.node

    def failed(self) -> None:
        """Learn that the host has not answered: the next one is asked, if there is another."""
        self._keep_to(self._find(self._host))

    def _keep_to(self, host: AgentRef | None) -> None:
        """Ask this host from now on, and learn at once of its end."""
        if host == self._host:
            return
        if self._watching is not None:
            self._watching.cancel()
        self._host = host
        self._watching = None
        if host is not None:
            self._watching = host.watch(lambda _down: self._loop.call_soon(self._gone, host))

    def _gone(self, host: AgentRef) -> None:
        if host == self._host:
            self._keep_to(None)
            self._wait()

    def _find(self, after: AgentRef | None) -> AgentRef | None:
        """Give the host; of several, as there are for a moment, the next after one that has not answered."""
        found = self._bus.find(capability=CAPABILITY, metadata=self._metadata)
        if after is not None and after in found:
            return found[(found.index(after) + 1) % len(found)]
        return found[0] if found else None

    def _wait(self) -> None:
        if self._waiting is None and not self._closed:
            self._waiting = self._bus.wait_for(capability=CAPABILITY, metadata=self._metadata).quiet()
            self._waiting.add_done_callback(lambda _refs: self._loop.call_soon(self._found))

    def _found(self) -> None:
        if self._closed:
            return
        self._waiting = None
        self._appeared()

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._keep_to(None)
        if self._waiting is not None:
            self._waiting.cancel()
