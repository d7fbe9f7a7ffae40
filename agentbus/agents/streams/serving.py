"""A request from another node with chunks beside it, while an agent here works on it.

Lives on the I/O loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import spent_of
from agentbus.agents.envelope import NOTHING, Envelope, Kind, Stamp
from agentbus.agents.failures import rebuild
from agentbus.agents.handlers import decode_reply
from agentbus.agents.outcome import Outcome
from agentbus.agents.reception import reply_envelope
from agentbus.agents.streams.attachment import Attachment
from agentbus.agents.streams.chunks import take_chunks
from agentbus.agents.streams.sender import ChunkSender
from agentbus.errors import StreamClosedError
from agentbus.runtime import Future, Loop
from agentbus.runtime.outlet import Outlet

if TYPE_CHECKING:
    from agentbus.agents.streams.desk import StreamDesk


class Serving:
    """One such request.

    Args:
        stamp: the life of the node that made it.
        envelope: the request.
        loop: the I/O loop.
        desk: the way back.

    Attributes:
        stamp: see above.
        request: the request, without its body.
        number: the request's id.
        guest: the peer id of the guest that made it; None for a node.
        account: pays for it; None without a budget.
        sender: sends the chunks of the reply; None where one reply is wanted.
        attachment: what the handler reads; None without.
        future: of the reply or of the end, once it has begun.
    """

    def __init__(self, stamp: Stamp, envelope: Envelope, loop: Loop, desk: StreamDesk) -> None:
        self.stamp = stamp
        self.request = msgspec.structs.replace(envelope, body=NOTHING)
        self.number = envelope.id
        self.guest: str | None = None
        self.account: BudgetAccount | None = None
        self.future: Future[Any] = Future()
        self._loop = loop
        self._desk = desk
        self._closed_there = False
        self.sender: ChunkSender | None = None
        self.attachment: Attachment | None = None
        if envelope.credit > 0:
            self.sender = ChunkSender(loop, self._post, self._failed, envelope.credit)
            self.sender.head = Envelope("", Kind.CHUNK, correlation=self.number)
        if envelope.attached:
            self.attachment = Attachment(self._grant)

    @property
    def outlet(self) -> Outlet[Any] | None:
        """Where the handler's chunks go."""
        return None if self.sender is None else self.sender.outlet

    def _post(self, envelope: Envelope) -> None:
        self._desk.post(self.stamp, envelope)

    def _failed(self, error: Exception) -> None:
        self.future.try_set_exception(error)

    def _grant(self, limit: int) -> None:
        """Let the attachment's source go on; on the handler's thread."""
        credit = Envelope("", Kind.CREDIT, correlation=self.number, credit=limit)
        self._loop.call_soon(self._desk.post_surely, self.stamp, credit)

    # -- a life, in order ------------------------------------------------------------------------------------

    def begin(self, future: Future[Any]) -> None:
        """An agent has it: this is the future of what it gives."""
        self.future = future
        if self.sender is not None:
            outlet = self.sender.outlet
            future.add_done_callback(lambda _future: outlet.close())

    def chunks(self, envelope: Envelope) -> None:
        """Take chunks of the attachment."""
        if self.attachment is not None:
            problem = take_chunks(envelope, self.attachment.put, _decode)
            if problem is not None:
                self.attachment.end(problem)

    def attachment_ended(self, envelope: Envelope) -> None:
        """Take the end of the attachment."""
        if self.attachment is not None:
            self.attachment.end(None if envelope.failure is None else rebuild(envelope.failure))

    def cancel(self) -> None:
        """Stop: who made the request wants no more, or is dead."""
        self._closed_there = True
        self.future.cancel()

    def last(self, future: Future[Any]) -> tuple[Envelope | None, Outcome]:
        """Give what ends the chunks of the reply, and what became of the request.

        An error before the first chunk is an ask's: it overtakes what waits. One after it must not overtake
        chunks, and the request was handled by then.
        """
        if self._closed_there:
            return None, Outcome.DELIVERED
        spent = None if self.account is None else spent_of(self.account)
        end = Envelope("", Kind.END, correlation=self.number, spent=spent)
        if future.exception() is None:
            return end, Outcome.DELIVERED
        envelope, outcome = reply_envelope(self.request, future)
        begun = self.sender is not None and self.sender.outlet.begun
        if envelope is None:  # who made the request waits no more
            return None, Outcome.DELIVERED if begun else outcome
        if begun:
            return msgspec.structs.replace(end, failure=envelope.failure), Outcome.DELIVERED
        return msgspec.structs.replace(envelope, spent=spent), outcome

    def close(self) -> None:
        """End what the handler has not read; whoever still reads it learns that it is cut short."""
        if self.attachment is not None:
            self.attachment.end(StreamClosedError("the request is over, and its attachment with it"))


def _decode(name: str, version: int, body: msgspec.Raw) -> Any:
    return decode_reply(name, version, body, expected=None, near=None)
