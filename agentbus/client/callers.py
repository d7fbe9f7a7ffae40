"""Who waits for the supervisor: for a connection, for the end of one, or for the one after that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from agentbus.client.events import ConnectedEvent
from agentbus.errors import SignallingError
from agentbus.runtime import Future

C = TypeVar("C")
Failure = Callable[[], SignallingError]

SHORTEST_SWEPT = 64
"""From so many callers on, those who have given up are forgotten now and then."""


class Callers(Generic[C]):
    """The callers of `connect()` and `close()` that have not been answered yet."""

    __slots__ = ("_closing", "_connecting", "_postponed", "_sweep_at")

    def __init__(self) -> None:
        self._sweep_at = SHORTEST_SWEPT
        self._connecting: list[Future[ConnectedEvent]] = []
        self._closing: list[Future[None]] = []
        self._postponed: list[tuple[C, Future[ConnectedEvent]]] = []

    def want_connection(self, reply: Future[ConnectedEvent]) -> None:
        """Wait for the next welcome, or for the reason why there will be none."""
        self._connecting.append(reply)
        if len(self._connecting) >= self._sweep_at:  # impatient callers ask again and again in a long outage
            self._connecting = [each for each in self._connecting if not each.done()]
            self._sweep_at = max(SHORTEST_SWEPT, 2 * len(self._connecting))

    def want_end(self, reply: Future[None]) -> None:
        """Wait for the end of the connection."""
        self._closing.append(reply)

    def postpone(self, request: C, reply: Future[ConnectedEvent]) -> None:
        """Keep a request for a connection until the last one has ended."""
        self._postponed.append((request, reply))

    def connected(self, event: ConnectedEvent) -> None:
        """Answer those who wait for a connection."""
        connecting, self._connecting = self._connecting, []
        for reply in connecting:
            reply.try_set(event)

    def failed(self, failure: Failure) -> None:
        """Answer those who wait for a connection: there will be none."""
        connecting, self._connecting = self._connecting, []
        for reply in connecting:
            reply.try_set_exception(failure())

    def refused(self, failure: Failure) -> None:
        """Answer those who wait for a connection, also those whose requests were kept: there will be none."""
        self.failed(failure)
        for _, reply in self._take_postponed():
            reply.try_set_exception(failure())

    def ended(self) -> list[C]:
        """Answer those who wait for the end, and give the requests that were kept until then."""
        closing, self._closing = self._closing, []
        for reply in closing:
            reply.try_set(None)
        return [request for request, _ in self._take_postponed()]

    def _take_postponed(self) -> list[tuple[C, Future[ConnectedEvent]]]:
        postponed, self._postponed = self._postponed, []
        return postponed
