"""The node behind a bus: started when it is first needed, ended once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from agentbus.agents.envelope import Stamp
from agentbus.agents.events import BusEvent
from agentbus.agents.hosting import House
from agentbus.agents.node import NodeActor
from agentbus.agents.node_core import NodeCore
from agentbus.agents.node_parts import Bury, NodeOptions, NodeParts
from agentbus.agents.reception import Answer, Reception
from agentbus.agents.trust import Trust
from agentbus.agents.uplink import Uplink
from agentbus.agents.way import Way
from agentbus.client import SignallingClient
from agentbus.errors import ActorStoppedError, AgentBusError, BusClosedError
from agentbus.runtime import Down, DownReason, Future, LoopActorRef, Runtime, StartOptions

_log = logging.getLogger("agentbus.agents")


class BusNode:
    """A node actor, and how it is made.

    Args:
        namespace: see agents.md.
        node: this node's id.
        way: how it reaches its hub.
        house: its agents.
        options: see `NodeOptions`.
        runtime: where it lives.
        report: takes events.
        bury: takes what nobody handles.
        on_begin: called once, when it is first started.

    Attributes:
        started: done when it has joined its namespace.
        ended: done when it is over; fails with what ended it against its will.
        parts: what it is made of; None before it is started. Others may only look.
        serve: lets one more subject answer envelopes, once there is a reception.
    """

    def __init__(
        self,
        namespace: str,
        node: str,
        way: Way,
        house: House,
        options: NodeOptions,
        *,
        runtime: Runtime,
        report: Callable[[BusEvent], object],
        bury: Bury,
        on_begin: Callable[[], object],
    ) -> None:
        self._namespace = namespace
        self._node = node
        self._way = way
        self._house = house
        self._options = options
        self._runtime = runtime
        self._report = report
        self._bury = bury
        self._on_begin = on_begin
        self._once: dict[str, LoopActorRef[NodeActor]] = {}
        self.started: Future[None] = Future[None]().quiet()
        self.ended: Future[None] = Future[None]().quiet()
        self.parts: NodeParts | None = None
        self.serve: Callable[[Reception, Answer], None] | None = None

    # -- the actor -------------------------------------------------------------------------------------------

    def start(self) -> LoopActorRef[NodeActor]:
        """Start the node, unless it is; from any thread."""
        ref = self._once.get("node")
        if ref is not None:
            return ref
        options = StartOptions(
            runtime=self._runtime, loop=self._runtime.io, name=f"node {self._node}", on_exit=self._exited
        )
        args = (self._make_parts, self._report, self.started, self.ended)
        mine = NodeActor.start_with(options, *args)
        ref = self._once.setdefault("node", mine)
        if ref is mine:
            self._on_begin()
        return ref

    async def _make_parts(self, actor: NodeCore) -> NodeParts:
        mine = cast("LoopActorRef[NodeActor]", actor.actor_ref)
        if self._once.setdefault("node", mine) is not mine:
            raise BusClosedError("another thread was faster to start this node")
        client = SignallingClient(await self._way.open(), runtime=self._runtime)
        uplink = Uplink(client, self._namespace, self._node, self._runtime.random, self._way.grants)
        self.parts = NodeParts(
            self._namespace,
            Stamp(self._node, self._runtime.new_id()),
            self._options,
            uplink,
            self._house,
            Trust(self._way.trust, self._namespace),
            bury=self._bury,
            loop=self._runtime.io,
            answer=actor.answer,
            flush=lambda: mine.tell(NodeActor.Flush()),
        )
        if self.serve is not None:
            self.serve(self.parts.reception, actor.answer)
        return self.parts

    def _exited(self, down: Down) -> None:
        if down.ref is not self._once.get("node"):
            return
        if down.reason is DownReason.START_FAILED and down.error is not None:
            self.started.try_set_exception(down.error)
            self.ended.try_set_exception(down.error)

    def tell(self, message: Any) -> None:
        """Tell the node something.

        Raises:
            BusClosedError: it is over.
        """
        try:
            self.start().tell(message)
        except ActorStoppedError:
            raise self.over() from None

    @property
    def queued(self) -> int:
        """Count what it was told and has not come to."""
        node = self._once.get("node")
        return 0 if node is None else len(node.actor_inbox.items)

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a message's body between nodes."""
        return self._options.link.max_body_bytes

    def over(self) -> BusClosedError:
        """Make the error for who uses a bus that is closed."""
        error = self.ended.exception() if self.ended.done() else None
        if isinstance(error, BusClosedError):
            return BusClosedError(str(error), error.close_code)
        closed = BusClosedError()
        closed.__cause__ = error
        return closed

    @property
    def begun(self) -> bool:
        """Whether it was ever started."""
        return "node" in self._once

    # -- the end ---------------------------------------------------------------------------------------------

    def over_for_good(self) -> None:
        """Leave nobody waiting for a start or an end."""
        self.ended.try_set(None)
        self.started.try_set_exception(BusClosedError())

    async def quiet(self) -> None:
        """Wait until nothing is on its way any more."""
        quiet: Future[None] = Future()
        with suppress(BusClosedError):
            self.tell(NodeActor.Settle(quiet))
            await quiet

    async def close(self) -> None:
        """Say goodbye, end the connection, and the bus's own hub with it."""
        if self.begun:
            with suppress(BusClosedError):
                self.tell(NodeActor.Leave())
            with suppress(AgentBusError):
                await self.ended
        try:
            await self._way.close()
        except Exception:  # noqa: BLE001 -- the bus is closed all the same
            _log.exception("the bus's own hub could not be stopped")
