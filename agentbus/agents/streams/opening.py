"""How a request with chunks beside it begins: where both ends are on this node, and where they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.calls import Ask
from agentbus.agents.delivery import Delivery
from agentbus.agents.envelope import Kind
from agentbus.agents.headers import Headers
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.streams.attachment import Attachment
from agentbus.agents.streams.flow_ask import FlowAsk
from agentbus.agents.streams.sources import Attachable, check_attachable, feed
from agentbus.agents.streams.stream import AgentStream
from agentbus.errors import StreamClosedError
from agentbus.runtime import Future, Runtime
from agentbus.runtime.credit import check_credit
from agentbus.runtime.inlet import Inlet
from agentbus.runtime.outlet import Outlet

if TYPE_CHECKING:
    from agentbus.agents.bus_node import BusNode

RequestAnywhere = Callable[[Address, str, Any, Headers, Ask], Future[Any]]
Opened = tuple[Future[Any], Inlet[Any] | None]


class Flows:
    """Opens what refs ask for. Safe from any thread.

    Args:
        node: this node.
        runtime: where it lives.
        request: sends a request to an agent that is not here.
    """

    def __init__(self, node: BusNode, runtime: Runtime, request: RequestAnywhere) -> None:
        self._node = node
        self._runtime = runtime
        self._request = request

    def stream(
        self,
        address: Address,
        agent: LocalAgent | None,
        message: Any,
        headers: Headers,
        credit: int,
        attach: Attachable | None,
    ) -> AgentStream[Any]:
        """Ask for chunks.

        Args:
            address: of the recipient.
            agent: the recipient if it is here.
            message: what is asked.
            headers: what travels with it.
            credit: chunks that may wait here.
            attach: see `check_attachable`; None for nothing.

        Raises:
            TypeError: nothing can be attached that way.
            ValueError: the credit is out of range.
        """
        if attach is not None:
            check_attachable(attach)
        check_credit(credit)
        future, inlet = self._open(address, agent, message, headers, credit, attach)
        return AgentStream(inlet, future)

    def ask(
        self,
        address: Address,
        agent: LocalAgent | None,
        message: Any,
        headers: Headers,
        attach: Attachable,
        future: Future[Any],
    ) -> None:
        """Ask for one reply to a message with an attachment that was checked; see `stream`."""
        self._open(address, agent, message, headers, 0, attach, future)

    def _open(
        self,
        address: Address,
        agent: LocalAgent | None,
        message: Any,
        headers: Headers,
        credit: int,
        attach: Attachable | None,
        future: Future[Any] | None = None,
    ) -> Opened:
        if agent is not None:
            return self._open_here(agent, message, headers, credit, attach, future)
        ask = FlowAsk(message, credit, self._node, self._runtime, headers.budget, future)
        if attach is not None:
            ask.attach(attach)
        headers = msgspec.structs.replace(headers, credit=credit, attached=attach is not None)
        return self._request(address, Kind.STREAM, message, headers, ask), ask.inlet

    def _open_here(
        self,
        agent: LocalAgent,
        message: Any,
        headers: Headers,
        credit: int,
        attach: Attachable | None,
        future: Future[Any] | None,
    ) -> Opened:
        inlet, outlet = _tube(credit) if credit else (None, None)
        attachment, source = _attachment() if attach is not None else (None, None)
        future = agent.ask(Delivery(agent, message, headers, None, outlet, attachment), future)

        def ended(_future: Future[Any]) -> None:
            if inlet is not None and outlet is not None:
                outlet.close()
                inlet.end()
            if attachment is not None and source is not None:
                source.close()
                attachment.end(StreamClosedError("the request is over, and its attachment with it"))

        future.add_done_callback(ended)
        if attachment is not None and source is not None and attach is not None:
            feed(attach, source, attachment.end, self._runtime)
        return future, inlet


class _Meeting:
    """Lets an inlet, made first, grant credit to an outlet, which is made with it."""

    __slots__ = ("outlet",)

    outlet: Outlet[Any]

    def grant(self, limit: int) -> None:
        """Pass a grant on."""
        self.outlet.grant(limit)


def _tube(credit: int) -> tuple[Inlet[Any], Outlet[Any]]:
    """Make both ends of a stream on this node."""
    meeting = _Meeting()
    inlet: Inlet[Any] = Inlet(credit, meeting.grant)
    meeting.outlet = Outlet(inlet.put)
    inlet.open()
    return inlet, meeting.outlet


def _attachment() -> tuple[Attachment, Outlet[Any]]:
    """Make both ends of an attachment on this node; its reader opens it."""
    meeting = _Meeting()
    attachment = Attachment(meeting.grant)
    meeting.outlet = Outlet(attachment.put)
    return attachment, meeting.outlet
