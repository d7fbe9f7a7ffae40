"""`QueueCalls`: asks the host of a queue, wherever it is, and its successor where it was lost on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from agentbus.agents.message import Request, Streaming
from agentbus.agents.queues.absence import why_silent
from agentbus.agents.queues.claim import best_host
from agentbus.agents.queues.names import query_for
from agentbus.agents.ref import AgentRef
from agentbus.agents.scope import Scope, current_scope
from agentbus.agents.streams.stream import AgentStream
from agentbus.errors import (
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
)
from agentbus.runtime import Future
from agentbus.runtime.cell_job import shielded

if TYPE_CHECKING:
    from agentbus.agents.bus_queues import BusQueues

T = TypeVar("T")

MIN_PAUSE, MAX_PAUSE = 0.05, 2.0
"""Seconds before the same question is put again: at first, and after many times."""

GONE = (AgentRestarted, AgentStopped, MailboxFullError, NoSuchAgentError, OutcomeUnknownError)
"""What says nothing of the question, but that somebody should answer it later: this host or its successor."""


class QueueCalls:
    """Puts questions to the host of one queue until there is an answer. `ask` is for any thread.

    A question may reach a host twice, or two hosts: those of `messages` are safe to say again.

    Args:
        bus: of the program.
        queue: its name.
        hosted: done once this bus hosts it, if it is to; fails with why it does not.
    """

    def __init__(self, bus: BusQueues, queue: str, hosted: Future[None] | None = None) -> None:
        self.hosted = hosted
        self._bus = bus
        self._loop = bus.runtime.agents
        self._name = queue
        self._query = query_for(queue)
        self._known: AgentRef | None = None
        self._search: asyncio.Task[AgentRef] | None = None

    def ask(self, message: Request[T], timeout: float | None = None) -> Future[T]:
        """Ask from anywhere; in a handler the answer is wanted no longer than the handler is.

        Args:
            message: the question.
            timeout: seconds until it is given up; None = never.

        Returns:
            The future of the answer. It fails with `AskTimeoutError`, with what the host says, with what kept
            this bus from being the host, and with `BusClosedError`.
        """
        scope = current_scope.get()
        deadline = self.deadline(timeout, scope)
        future = self._loop.run(self.answer(message, deadline))
        return future if scope is None else scope.agent.cell.track(future)

    def deadline(self, timeout: float | None, scope: Scope | None) -> float | None:
        """Give when an answer is wanted no more: the handler's own deadline holds, too."""
        own = None if timeout is None else self._bus.now() + timeout
        delivery = None if scope is None or shielded.get() else scope.delivery
        outer = None if delivery is None else delivery.headers.deadline
        return min((at for at in (own, outer) if at is not None), default=None)

    async def answer(self, message: Request[T], deadline: float | None = None) -> T:
        """Ask until there is an answer; on the agents' loop, and outside any handler."""
        if deadline is None:
            return await self._insist(message)
        try:
            async with asyncio.timeout(deadline - self._bus.now()):
                return await self._insist(message)
        except TimeoutError:
            raise self.late() from None

    def late(self) -> AskTimeoutError:
        """Make the error for a question without an answer in time; it says why, if that is known."""
        return AskTimeoutError(f"queue {self._name!r} did not answer in time: {self.why()}")

    def why(self) -> str:
        """Say why the queue does not answer."""
        return why_silent(self._name, self._bus.outlook())

    async def _insist(self, message: Request[T]) -> T:
        pause = MIN_PAUSE
        while True:
            host = await self.host()
            try:
                return await host.ask(message)
            except GONE:
                self.lost(host)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    def stream(self, message: Streaming[T], *, again: bool = False) -> Future[AgentStream[T]]:
        """Open a stream; from any thread.

        Args:
            message: what is asked for.
            again: the last one ended with its host, which is looked for anew, after a moment.
        """
        return self._loop.run(self._open(message, again=again)).quiet()

    async def _open(self, message: Streaming[T], *, again: bool) -> AgentStream[T]:
        if again:
            await asyncio.sleep(MIN_PAUSE)
            self._known = None
        host = self.known() or await self.host()
        return host.stream(message)

    def now(self) -> float:
        """Give the time on the clock of deadlines."""
        return self._bus.now()

    # -- who answers -----------------------------------------------------------------------------------------

    def known(self) -> AgentRef | None:
        """Give the host if it is known, and none of this bus is about to begin."""
        if self._known is None and (self.hosted is None or self.hosted.done()):
            self._known = self._look()
        return self._known

    def lost(self, host: AgentRef) -> None:
        """Look for the host anew: this one did not answer."""
        if self._known is host:
            self._known = None

    async def host(self) -> AgentRef:
        """Wait for a host.

        Raises:
            QueueTakenError: this bus was to host it, and another does.
            StoreError: this bus was to host it, and can't open its store.
            BusClosedError: the bus is closed.
        """
        if self.hosted is not None:
            await self.hosted
        known = self.known()
        if known is not None:
            return known
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._wait())
            self._search.add_done_callback(_heard)
        return await asyncio.shield(self._search)

    async def _wait(self) -> AgentRef:
        """Wait until the directory shows a host."""
        query = self._query
        found = await self._bus.wait_for(capability=query.capability, metadata=query.metadata)
        self._known = host = self._look() or found[0]
        return host

    def _look(self) -> AgentRef | None:
        address = best_host(self._bus.sightings(self._query))
        return None if address is None else self._bus.ref_of(address)


def _heard(search: asyncio.Task[AgentRef]) -> None:
    """Take note of a failure that all who waited for have given up."""
    if not search.cancelled():
        search.exception()
