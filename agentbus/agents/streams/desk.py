"""Streams between this node and others. On the I/O loop.

Who made the request names it: an envelope whose `id` is the request's goes from there to the agent, one whose
`re` is the request's goes back.

    to the agent    STREAM; CREDIT for the reply's chunks; CLOSE: nobody waits any more; CHUNK and END of what
                    is attached
    back            CHUNK and END of the reply; ERROR or REPLY, as for an ask; CREDIT for what is attached
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from agentbus.agents.admission import admit
from agentbus.agents.deadlines import Deadlines
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.envelope import Envelope, Kind, Stamp
from agentbus.agents.exchange import Exchange
from agentbus.agents.headers import headers_of
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.outcome import Outcome
from agentbus.agents.reception import Answer, Reception
from agentbus.agents.shares import Shares
from agentbus.agents.streams.flow_ask import FlowAsk
from agentbus.agents.streams.sender import RETRY_DELAY
from agentbus.agents.streams.serving import Serving
from agentbus.errors import MailboxFullError
from agentbus.runtime import Future, Loop

MAX_SERVED = 10_000
"""Streams for other nodes that are open here at a time; one more is refused as by a full mailbox. Guests
have a part of them: see `Shares`."""


class StreamDesk:
    """Takes and sends what belongs to streams.

    Args:
        reception: gets further kinds of envelopes from here.
        exchange: the links, and the requests that were made here.
        answer: has what was posted flushed.
        loop: the I/O loop.
    """

    def __init__(self, reception: Reception, exchange: Exchange, answer: Answer, loop: Loop) -> None:
        self._reception = reception
        self._exchange = exchange
        self._answer = answer
        self._loop = loop
        self._deadlines = Deadlines(loop)
        self._served: dict[tuple[Stamp, str], Serving] = {}
        self._shares = Shares(MAX_SERVED)
        handlers: dict[str, Callable[[Stamp, int, Envelope, float | None], None]] = {
            Kind.STREAM: self._on_stream,
            Kind.CHUNK: self._on_chunk,
            Kind.CREDIT: self._on_credit,
            Kind.END: self._on_end,
            Kind.CLOSE: self._on_close,
        }
        for kind, handler in handlers.items():
            reception.serve(kind, handler, guests=True)

    @property
    def serving(self) -> int:
        """Count the streams for other nodes that are open."""
        return len(self._served)

    # -- out -------------------------------------------------------------------------------------------------

    def post(self, stamp: Stamp, envelope: Envelope) -> None:
        """Send an envelope to a life of another node; if that is gone, nobody waits there.

        Raises:
            MailboxFullError: the link's queue is full.
            BodyTooLargeError: it is over the cap of a body.
        """
        self._exchange.answer(stamp, envelope, None, None)
        self._answer(stamp, None, None, None)

    def post_surely(self, stamp: Stamp, envelope: Envelope) -> None:
        """Send a small envelope whose order does not matter, as soon as the link takes it."""
        try:
            self.post(stamp, envelope)
        except MailboxFullError:
            self._loop.call_later(RETRY_DELAY, self.post_surely, stamp, envelope)

    # -- requests --------------------------------------------------------------------------------------------

    def _on_stream(self, stamp: Stamp, sequence: int, envelope: Envelope, deadline: float | None) -> None:
        agent = self._reception.find(stamp, sequence, envelope)
        if agent is None:
            return
        guest = self._exchange.guest_peer(stamp)
        if (stamp, envelope.id) in self._served or not self._shares.take(guest):
            refused: Future[Any] = Future.failed(MailboxFullError(self._shares.limit(guest)))
            self._reception.answered(stamp, sequence, envelope, refused)
            return
        serving = Serving(stamp, envelope, self._loop, self)
        serving.guest = guest
        self._served[stamp, envelope.id] = serving
        serving.begin(self._ask(agent, serving, envelope, deadline))
        if deadline is not None:
            self._deadlines.add(serving.future, deadline)
        serving.future.add_done_callback(partial(self._done, serving, sequence))

    def _ask(
        self, agent: LocalAgent, serving: Serving, envelope: Envelope, deadline: float | None
    ) -> Future[Any]:
        body = Body(envelope.type, envelope.version, envelope.body)
        headers = headers_of(envelope, deadline)
        serving.account = headers.budget
        delivery = Delivery(agent, body, headers, None, serving.outlet, serving.attachment)
        return admit(self._reception.parking, agent, delivery, serving.stamp, envelope)

    def _done(self, serving: Serving, sequence: int, future: Future[Any]) -> None:
        """Give the answer: one reply as for an ask, on the thread that has it; else what ends the chunks."""
        if serving.sender is None:
            self._reception.answered(serving.stamp, sequence, serving.request, future, serving.account)
            self._loop.call_soon(self._forget, serving)
        else:
            self._loop.call_soon(self._ended, serving, sequence, future)

    def _ended(self, serving: Serving, sequence: int, future: Future[Any]) -> None:
        envelope, outcome = serving.last(future)
        if serving.sender is not None and envelope is not None:
            serving.sender.end(envelope)
            outcome = Outcome.DELIVERED  # what ends it is its answer, and may wait for room in the link
        self._answer(serving.stamp, None, sequence, outcome)
        self._forget(serving)

    def _forget(self, serving: Serving) -> None:
        if self._served.pop((serving.stamp, serving.number), None) is not None:
            self._shares.give_back(serving.guest)
        serving.close()

    # -- what belongs to one ---------------------------------------------------------------------------------

    def _requested(self, stamp: Stamp, envelope: Envelope) -> FlowAsk | None:
        ask = self._exchange.asked(stamp, envelope.correlation)
        return ask if isinstance(ask, FlowAsk) else None

    def _serving(self, stamp: Stamp, envelope: Envelope) -> Serving | None:
        return self._served.get((stamp, envelope.id))

    def _on_chunk(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        if envelope.correlation is not None:
            ask = self._requested(stamp, envelope)
            if ask is not None:
                ask.chunks(envelope)
        elif (serving := self._serving(stamp, envelope)) is not None:
            serving.chunks(envelope)

    def _on_credit(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        if envelope.correlation is not None:
            ask = self._requested(stamp, envelope)
            sender = None if ask is None else ask.sender
        else:
            serving = self._serving(stamp, envelope)
            sender = None if serving is None else serving.sender
        if sender is not None:
            sender.outlet.grant(envelope.credit)

    def _on_end(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        if envelope.correlation is not None:
            ask = self._requested(stamp, envelope)
            if ask is not None:
                ask.ended(envelope)
        elif (serving := self._serving(stamp, envelope)) is not None:
            serving.attachment_ended(envelope)

    def _on_close(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        serving = self._serving(stamp, envelope)
        if serving is not None:
            serving.cancel()

    # -- lives -----------------------------------------------------------------------------------------------

    def node_dead(self, stamp: Stamp) -> None:
        """Stop what is done for a life that is over."""
        self._cancel([serving for key, serving in self._served.items() if key[0] == stamp])

    def new_life(self) -> None:
        """Stop what is done for everybody: this node was declared dead, and they know."""
        self._cancel(list(self._served.values()))

    @staticmethod
    def _cancel(servings: list[Serving]) -> None:
        for serving in servings:
            serving.cancel()
