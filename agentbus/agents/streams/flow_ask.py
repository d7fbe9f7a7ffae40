"""A request to another node with chunks beside it: who asked, and both directions. Lives on the I/O loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.calls import Ask
from agentbus.agents.envelope import Envelope, Kind, Stamp
from agentbus.agents.failures import Failure, describe
from agentbus.agents.outcome import Outcome
from agentbus.agents.streams.chunks import take_chunks
from agentbus.agents.streams.sender import ChunkSender
from agentbus.agents.streams.sources import Attachable, feed
from agentbus.errors import BusClosedError
from agentbus.runtime import Future, Runtime
from agentbus.runtime.inlet import Inlet

if TYPE_CHECKING:
    from agentbus.agents.bus_node import BusNode
    from agentbus.agents.streams.desk import StreamDesk


class FlowAsk(Ask):
    """Somebody waits for chunks, or for the reply to a request with an attachment.

    Args:
        message: what is asked.
        credit: chunks of the reply that may come at first; 0 where one reply is wanted.
        node: this node.
        runtime: where it lives.
        budget: the account that pays for it; None without one.
        future: of the end; a new one by default.

    Attributes:
        inlet: takes the chunks of the reply; None where one reply is wanted.
        sender: sends what is attached; None without.
    """

    tells_its_end = True
    __slots__ = ("_desk", "_node", "_number", "_runtime", "_settled", "inlet", "sender")

    def __init__(
        self,
        message: Any,
        credit: int,
        node: BusNode,
        runtime: Runtime,
        budget: BudgetAccount | None = None,
        future: Future[Any] | None = None,
    ) -> None:
        super().__init__(future or Future(cancellable_by_waiter=True), message, budget)
        self._node = node
        self._runtime = runtime
        self._number = ""
        self._desk: StreamDesk | None = None
        self._settled = False
        self.inlet: Inlet[Any] | None = None
        self.sender: ChunkSender | None = None
        if credit:
            self.inlet = Inlet(credit, self._grant)
            self.inlet.open()
            self.future.add_done_callback(self._end_inlet)

    def _end_inlet(self, _future: Future[Any]) -> None:
        if self.inlet is not None:
            self.inlet.end()

    def attach(self, source: Attachable) -> None:
        """Have a source read as the handler reads; from the thread that asks."""
        sender = ChunkSender(self._runtime.io, self._post, self._attachment_failed)
        self.sender = sender
        self.future.add_done_callback(lambda _future: sender.outlet.close())
        feed(source, sender.outlet, self._attachment_ended, self._runtime)

    # -- out -------------------------------------------------------------------------------------------------

    def sent(self, number: str, stamp: Stamp) -> None:
        """Note that it is on its way; whoever gives up from now on has the other side told."""
        super().sent(number, stamp)
        self._number = number
        if self.sender is not None:
            self.sender.head = Envelope(number, Kind.CHUNK)
        if self._node.parts is not None:
            self._desk = self._node.parts.streams
        self.future.add_done_callback(self._over)

    def _over(self, _future: Future[Any]) -> None:
        self._runtime.io.call_soon(self._tell_end)

    def _tell_end(self) -> None:
        if not self._settled:
            self._settled = True
            self._post_surely(Envelope(self._number, Kind.CLOSE))

    def _grant(self, limit: int) -> None:
        if self._number:  # the first grant travels with the request
            self._runtime.io.call_soon(self._post_surely, Envelope(self._number, Kind.CREDIT, credit=limit))

    def _post(self, envelope: Envelope) -> None:
        if self._desk is not None and self.stamp is not None:
            self._desk.post(self.stamp, envelope)

    def _post_surely(self, envelope: Envelope) -> None:
        if self._desk is not None and self.stamp is not None:
            self._desk.post_surely(self.stamp, envelope)

    # -- the attachment --------------------------------------------------------------------------------------

    def _attachment_failed(self, error: Exception) -> None:
        self.future.try_set_exception(error)

    def _attachment_ended(self, error: Exception | None) -> None:
        """Tell the reader of the end; on the thread that read the source."""
        failure = None if error is None else describe(error)
        self._runtime.io.call_soon(partial(self._end_attachment, failure))

    def _end_attachment(self, failure: Failure | None) -> None:
        if self.sender is not None and self._number and not self.future.done():
            self.sender.end(Envelope(self._number, Kind.END, failure=failure))

    # -- in --------------------------------------------------------------------------------------------------

    def chunks(self, envelope: Envelope) -> None:
        """Take chunks of the reply."""
        if self.inlet is not None:
            problem = take_chunks(envelope, self.inlet.put, self.decode)
            if problem is not None:
                self.future.try_set_exception(problem)

    def reply(self, envelope: Envelope) -> None:
        """Take the reply."""
        self._settled = True
        super().reply(envelope)

    def error(self, envelope: Envelope) -> None:
        """Take the error that came instead."""
        self._settled = True
        super().error(envelope)

    def ended(self, envelope: Envelope) -> None:
        """Take the end of the chunks."""
        self._settled = True
        if envelope.failure is None:
            self._settle_budget(envelope.spent)
            self.future.try_set(None)
        else:
            self.error(envelope)

    def settle(self, outcome: Outcome) -> None:
        """Take the link's word of what became of the request."""
        if outcome is not Outcome.DELIVERED:
            self._settled = True
        super().settle(outcome)

    def fail(self, error: Exception, outcome: Outcome) -> None:
        """It never left, or never will."""
        self._settled = self._settled or isinstance(error, BusClosedError)
        super().fail(error, outcome)
