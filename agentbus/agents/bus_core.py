"""A bus's making, its life in order, and what its own agents tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from agentbus.agents.address import Address, encode_part
from agentbus.agents.bus_node import BusNode
from agentbus.agents.calls import Parcel
from agentbus.agents.deadlock.detector import Detector
from agentbus.agents.delivery import Delivery
from agentbus.agents.directory import AgentEntry
from agentbus.agents.envelope import Kind, encode_body
from agentbus.agents.events import BusEvent
from agentbus.agents.headers import Waiting
from agentbus.agents.home import Home, HomeSource, is_simulated
from agentbus.agents.hosting import House
from agentbus.agents.letters import DeadLetters
from agentbus.agents.node import NodeActor
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.post import PostOffice
from agentbus.agents.processes.frames import Invited
from agentbus.agents.processes.invitation import invitation
from agentbus.agents.trust import TrustMode
from agentbus.agents.way import Way
from agentbus.errors import AgentBusError, BusClosedError
from agentbus.runtime import (
    EventSource,
    Future,
    Runtime,
    Subscription,
)

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus

Closer = Callable[[float | None], Future[Any]]

STOP_TIMEOUT = 5.0
"""Seconds that agents get to end when the bus is closed."""


class BusCore:
    """What `Bus`, the only subclass, is made of.

    Args:
        way: how it reaches its hub.
        namespace: see `Bus`, as for the rest.
        node: its id; None for a fresh one.
        options: times and limits.
        runtime: the loops and threads to live on.
        loop: where async callbacks run; None to find out.
    """

    def __init__(
        self,
        way: Way,
        *,
        namespace: str,
        node: str | None,
        options: NodeOptions | None,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.runtime = runtime
        self.namespace = namespace
        self.node = runtime.new_id() if node is None else node
        self._way = way
        encode_part(namespace, "namespace")
        encode_part(self.node, "node")
        self._home = Home(loop)
        self.events: EventSource[BusEvent] = HomeSource(self.runtime.callbacks, self._home)
        kept = (options or NodeOptions()).dead_letters
        self.dead_letters = DeadLetters(self.runtime, self, self._home, kept)
        self._house = House(cast("Bus", self), self.runtime, self, threads=not is_simulated(self.runtime))
        self._node = BusNode(
            namespace,
            self.node,
            self._way,
            self._house,
            options or NodeOptions(),
            runtime=self.runtime,
            report=self.report,
            bury=self.dead_letters.bury,
            on_begin=self._begun,
        )
        self._post = PostOffice(
            namespace,
            self.node,
            self._house,
            self._node,
            self.dead_letters,
            runtime,
            self._home,
            (options or NodeOptions()).link.capacity,
        )
        self._detector = Detector(self._post.waits, (namespace, self.node), self._probe, runtime.io)
        self._node.serve = self._detector.serve
        self.dead_letters.resend_by(self._post.resend)
        self._once: dict[str, Future[None]] = {}
        self._closers: dict[Closer, None] = {}
        self._at_exit: Subscription | None = None

    # -- a life, in order ------------------------------------------------------------------------------------

    def start(self) -> Future[None]:
        """Connect and join the namespace; implied by `with`, and by the first thing that needs it.

        Returns:
            The future of having joined; it waits for the hub as long as that takes. It fails with
            `MissingPermission`, `NodeTakenError`, `BusClosedError`, or `HubConfigError` for a port that is
            taken.
        """
        if "closed" in self._once:
            return Future.failed(BusClosedError())
        self._node.start()
        return self._node.started

    def _begun(self) -> None:
        """End with the runtime from now on; a bus that nobody starts may be forgotten."""
        self._at_exit = self.runtime.on_close(self.close)

    def __enter__(self) -> Self:
        try:
            self.start().get()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close().get()

    async def __aenter__(self) -> Self:
        self._home.found()
        try:
            await self.start()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def ended(self) -> Future[None]:
        """The future of the end; it fails with what ended the bus against its will."""
        return self._node.ended

    def drain(self, timeout: float = 30.0) -> Future[bool]:
        """Let agents finish what is in their mailboxes and the answers arrive, then close.

        Args:
            timeout: seconds for that; what is not finished then is stopped.

        Returns:
            The future of the end: whether all was finished.
        """
        return self.runtime.io.run(self._drain(timeout))

    async def _drain(self, timeout: float) -> bool:  # noqa: ASYNC109 -- as drain() has it
        try:
            async with asyncio.timeout(timeout):
                await self._end_owned(timeout)
                for stopped in [hosted.stop() for hosted in self._house.first_to_end()]:
                    await stopped
                await self._end_last()
                await self._node.quiet()
            finished = True
        except TimeoutError:
            finished = False
        await self.close()
        return finished

    def close(self) -> Future[None]:
        """Stop the agents at once, say goodbye, and end the connection; idempotent.

        Returns:
            The future of the end.
        """
        mine: Future[None] = Future()
        closed = self._once.setdefault("closed", mine)
        if closed is mine:
            if self._at_exit is not None:
                self._at_exit.cancel()
            if self._node.begun or self._house.all():
                self.runtime.io.run(self._close()).add_done_callback(lambda _done: mine.try_set(None))
            else:
                self._forget()
                mine.set(None)
        return closed

    def before_close(self, closer: Closer) -> Callable[[], None]:
        """Call `closer(timeout)` when the bus is closed or drained; the rest ends after its future.

        Args:
            closer: gets the seconds that a drain takes at most; None if the bus is closed at once.

        Returns:
            What to call when there is nothing to close any more.
        """
        self._closers[closer] = None
        return lambda: self._closers.pop(closer, None) and None

    async def _end_owned(self, timeout: float | None) -> None:  # noqa: ASYNC109 -- it is the closers'
        closers, self._closers = list(self._closers), {}
        for future in [closer(timeout) for closer in closers]:
            await future

    def _last_to_end(self) -> list[Future[None]]:
        """End what the other agents may have needed to their end; gives the futures of that."""
        return []

    async def _end_last(self) -> None:
        for ended in self._last_to_end():
            with suppress(AgentBusError):
                await ended

    async def _close(self) -> None:
        await self._end_owned(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                for stopped in [hosted.stop(now=True) for hosted in self._house.first_to_end()]:
                    await stopped
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._end_last()
        await self._node.close()
        self._forget()

    def _forget(self) -> None:
        self._node.over_for_good()
        self._post.deadlines.clear()
        self.events.close()
        self.dead_letters.close()

    # -- for the agents here ---------------------------------------------------------------------------------

    def listed(self, entry: AgentEntry) -> None:
        """Announce an agent of this node."""
        self._node.tell(NodeActor.Listed(entry))

    def unlisted(self, name: str) -> None:
        """Announce that an agent of this node is gone."""
        with suppress(BusClosedError):
            self._node.tell(NodeActor.Unlisted(name))

    @property
    def trust(self) -> TrustMode:
        """Whom this bus believes: "all", or "tokens"."""
        return self._way.trust

    def invitation(self) -> Future[Invited]:
        """Give what an agent in a child process joins the hub with; asked by such an agent only."""
        return self.runtime.io.run(self._invite())

    async def _invite(self) -> Invited:
        await self.start()
        return await invitation(self._way, self.runtime, self.runtime.agents)

    def suspect(self, cycle: tuple[Waiting, ...], future: Future[Any]) -> None:
        """Look whether an ask that came back to an agent can ever be answered."""
        self.runtime.io.call_soon(self._detector.suspect, cycle, future)

    def _probe(self, address: Address, wait: str, number: str) -> None:
        with suppress(BusClosedError):
            self._node.tell(Parcel(address, Kind.PROBE, encode_body([wait, number])))

    def report(self, event: BusEvent) -> None:
        """Emit an event."""
        self.events.emit(event)

    def bury(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> None:
        """Publish a dead letter."""
        self.dead_letters.bury_delivery(delivery, reason, error)
