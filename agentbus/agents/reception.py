"""What arrives from other nodes: one method per kind of envelope. On the I/O loop; agents work elsewhere.

A body is decoded by its recipient, on the recipient's thread. What can be refused without it (no such agent,
unknown type, no permission) is refused here, so that the sender knows within one round trip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from agentbus.agents.address import Address, parse_address
from agentbus.agents.admission import admit
from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import Spent, spent_of
from agentbus.agents.calls import type_and_version
from agentbus.agents.cancelling import AskedHere
from agentbus.agents.control import carry_out, decode_order
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.envelope import Envelope, Kind, Stamp, decode_envelope, encode_body
from agentbus.agents.failures import describe, is_own
from agentbus.agents.guests import as_guest
from agentbus.agents.headers import headers_of
from agentbus.agents.hosted import Hosted, LocalAgent
from agentbus.agents.hosting import House
from agentbus.agents.link import Inbound
from agentbus.agents.message import Message
from agentbus.agents.outcome import Outcome
from agentbus.agents.parking import Parking, Visit
from agentbus.agents.versions import can_downgrade, downgrade
from agentbus.errors import (
    AskTimeoutError,
    BodyTooLargeError,
    EncodeError,
    InvalidNameError,
    NoSuchAgentError,
    NotTrustedError,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime import Future, Loop

Answer = Callable[[Stamp, Envelope | None, int | None, Outcome | None], None]
Bury = Callable[[str, str, Any, str | None, str, Exception], None]
OnKind = Callable[[Stamp, int, Envelope, float | None], None]


class Reception:
    """Hands what arrives to the agents of this node, and their answers back.

    Args:
        house: the agents.
        answer: see `Exchange.answer`.
        replied: see `Exchange.replied`.
        down: told that an agent of another node is dead.
        bury: told of messages that nobody handles.
        parking: where messages for full agents wait.
        guest_peer: gives the peer id of a guest; None for a node.
        here: this node's namespace and id.
        loop: the I/O loop.
    """

    def __init__(
        self,
        house: House,
        *,
        answer: Answer,
        replied: Callable[[Stamp, Envelope], None],
        down: Callable[[Address, str], None],
        bury: Bury,
        parking: Parking,
        guest_peer: Callable[[Stamp], str | None],
        here: tuple[str, str],
        loop: Loop,
    ) -> None:
        self._house = house
        self._answer = answer
        self._replied = replied
        self._down = down
        self._bury = bury
        self.parking = parking
        self._namespace, self._node = here
        self._loop = loop
        self._watchers: dict[tuple[Stamp, str], None] = {}
        self._guest_peer = guest_peer
        self.asked = AskedHere(loop, guest_peer)
        self._followed: dict[str, Hosted] = {}
        self._kinds: dict[str, OnKind] = {
            Kind.TELL: self._on_tell,
            Kind.ASK: self._on_ask,
            Kind.STOP: self._on_stop,
            Kind.WATCH: self._on_watch,
            Kind.UNWATCH: self._on_unwatch,
            Kind.CONTROL: self._on_control,
            Kind.VERSIONS: self._on_versions,
            Kind.REPLY: self._on_reply,
            Kind.ERROR: self._on_reply,
            Kind.DOWN: self._on_down,
        }
        self._open_to_guests: set[str] = {Kind.TELL, Kind.ASK, Kind.REPLY, Kind.ERROR, Kind.VERSIONS}
        self.serve(Kind.CANCEL, self.asked.on_cancel, guests=True)

    def serve(self, kind: str, handler: OnKind, *, guests: bool = False) -> None:
        """Hand envelopes of one more kind to `handler(stamp, sequence, envelope, deadline)`; it settles them.

        Args:
            kind: see `Kind`.
            handler: on the I/O loop.
            guests: whether peers without a node's token may send it; where it names a recipient, that must be
                public.
        """
        self._kinds[kind] = handler
        if guests:
            self._open_to_guests.add(kind)

    def take(self, stamp: Stamp, inbound: Inbound, *, trusted: bool) -> None:
        """Take an envelope that has arrived on a link."""
        try:
            envelope = decode_envelope(inbound.envelope)
        except UndecodableMessageError as error:
            self._bury(self._address(""), "undecodable", inbound.envelope, None, "", error)
            self._answer(stamp, None, inbound.sequence, Outcome.DEAD_LETTERED)
            return
        if not trusted:
            envelope = as_guest(envelope, self._namespace, self._guest_peer(stamp) or "")
        if not trusted and envelope.kind not in self._open_to_guests:
            self._refuse(stamp, inbound.sequence, envelope, "not_trusted", _not_trusted())
        elif (on_kind := self._kinds.get(envelope.kind)) is not None:
            problem = None if trusted else self._guest_problem(envelope)
            if problem is None:
                on_kind(stamp, inbound.sequence, envelope, inbound.deadline)
            else:
                self._refuse(stamp, inbound.sequence, envelope, "not_trusted", problem)
        else:
            unknown = UndecodableMessageError(f"this node knows no envelope of kind {envelope.kind!r}")
            self._refuse(stamp, inbound.sequence, envelope, "undecodable", unknown)

    def _guest_problem(self, envelope: Envelope) -> NotTrustedError | None:
        if not envelope.recipient and envelope.kind not in {Kind.TELL, Kind.ASK, Kind.VERSIONS}:
            return None
        hosted = self._house.get(envelope.recipient)
        return None if hosted is not None and hosted.entry.public else _not_trusted()

    # -- messages --------------------------------------------------------------------------------------------

    def find(self, stamp: Stamp, sequence: int, envelope: Envelope) -> LocalAgent | None:
        """Give the recipient, or refuse the envelope."""
        hosted = self._house.get(envelope.recipient)
        agent = None if hosted is None else hosted.pick()
        if agent is None:
            error = NoSuchAgentError(self._address(envelope.recipient))
            self._refuse(stamp, sequence, envelope, "no_such_agent", error)
            return None
        try:
            if agent.table is not None:
                agent.table.check_known(envelope.type, envelope.version)
        except UndecodableMessageError as error:
            self._refuse(stamp, sequence, envelope, "undecodable", error)
        except UnhandledMessageError as error:
            self._refuse(stamp, sequence, envelope, "unhandled", error)
        else:
            return agent
        return None

    def _address(self, agent: str) -> str:
        try:
            return str(Address(self._namespace, self._node, agent))
        except InvalidNameError:
            return f"{self._namespace}/{self._node}/"

    def _refuse(self, stamp: Stamp, sequence: int, envelope: Envelope, reason: str, error: Exception) -> None:
        reply = None
        if envelope.kind in {Kind.ASK, Kind.STOP, Kind.CONTROL, Kind.STREAM, Kind.VERSIONS}:
            reply = error_envelope(envelope.id, error, Spent() if envelope.budget is not None else None)
        elif envelope.kind == Kind.TELL:
            body = Body(envelope.type, envelope.version, envelope.body)
            self._bury(self._address(envelope.recipient), reason, body, envelope.sender, envelope.type, error)
        self._answer(stamp, reply, sequence, Outcome.DEAD_LETTERED)

    def _on_tell(self, stamp: Stamp, sequence: int, envelope: Envelope, deadline: float | None) -> None:
        agent = self.find(stamp, sequence, envelope)
        if agent is None:
            return

        def settle(outcome: Outcome) -> None:
            self._loop.call_soon(self._answer, stamp, None, sequence, outcome)

        delivery = self._delivery(agent, envelope, deadline, settle)
        if agent in self.parking or not agent.try_tell(delivery):
            visit = Visit(stamp, envelope.recipient, len(envelope.body), partial(agent.try_tell, delivery))
            if not self.parking.put(agent, visit):
                agent.refuse_full(delivery)

    def _on_ask(self, stamp: Stamp, sequence: int, envelope: Envelope, deadline: float | None) -> None:
        if self.asked.is_cancelled(stamp, envelope.id):
            self._answer(stamp, None, sequence, Outcome.EXPIRED)
            return
        agent = self.find(stamp, sequence, envelope)
        if agent is not None:
            delivery = self._delivery(agent, envelope, deadline, None)
            future = admit(self.parking, agent, delivery, stamp, envelope)
            self.asked.opened(stamp, envelope.id, future, deadline)
            answered = partial(self.answered, stamp, sequence, envelope, account=delivery.headers.budget)
            future.add_done_callback(answered)

    def _on_versions(self, stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        """Say which versions of a type of message an agent reads; a plain actor reads them all."""
        hosted = self._house.get(envelope.recipient)
        if hosted is None:
            error = NoSuchAgentError(self._address(envelope.recipient))
            self._refuse(stamp, sequence, envelope, "no_such_agent", error)
            return
        versions = () if hosted.table is None else hosted.table.readable(envelope.type)
        known = Future.completed(versions)
        self.answered(stamp, sequence, envelope, known)

    @staticmethod
    def _delivery(
        agent: LocalAgent,
        envelope: Envelope,
        deadline: float | None,
        settle: Callable[[Outcome], object] | None,
    ) -> Delivery:
        body = Body(envelope.type, envelope.version, envelope.body)
        return Delivery(agent, body, headers_of(envelope, deadline), settle)

    def answered(
        self,
        stamp: Stamp,
        sequence: int,
        asked: Envelope,
        future: Future[Any],
        account: BudgetAccount | None = None,
    ) -> None:
        """Encode the reply where it was made, and let it leave from the loop."""
        envelope, outcome = reply_envelope(asked, future)
        if account is not None and envelope is not None:
            envelope = msgspec.structs.replace(envelope, spent=spent_of(account))
        self._loop.call_soon(self._send_reply, stamp, sequence, asked.id, envelope, outcome)

    def _send_reply(
        self, stamp: Stamp, sequence: int, asked: str, envelope: Envelope | None, outcome: Outcome
    ) -> None:
        self.asked.closed(stamp, asked)
        try:
            self._answer(stamp, envelope, sequence, outcome)
        except BodyTooLargeError as error:
            spent = None if envelope is None else envelope.spent
            self._answer(stamp, error_envelope(asked, error, spent), sequence, outcome)

    def _on_reply(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        self._replied(stamp, envelope)

    # -- lives -----------------------------------------------------------------------------------------------

    def _on_stop(self, stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        hosted = self._house.get(envelope.recipient)
        now = bytes(envelope.body) == b"true"
        stopped: Future[bool] = Future()
        if hosted is None:
            stopped.set(False)
        else:
            stopped = hosted.stop(now=now)
        stopped.add_done_callback(partial(self.answered, stamp, sequence, envelope))

    def _on_control(self, stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        hosted = self._house.get(envelope.recipient)
        if hosted is None:
            error = NoSuchAgentError(self._address(envelope.recipient))
            self._refuse(stamp, sequence, envelope, "no_such_agent", error)
            return
        try:
            applied = carry_out(hosted, decode_order(envelope.body))
        except UndecodableMessageError as undecodable:
            self._refuse(stamp, sequence, envelope, "undecodable", undecodable)
            return
        self.asked.opened(stamp, envelope.id, applied, None)
        applied.add_done_callback(partial(self.answered, stamp, sequence, envelope))

    def _on_watch(self, stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        self._answer(stamp, None, sequence, Outcome.DELIVERED)
        hosted = self._house.get(envelope.recipient)
        if hosted is None:
            self._notify(stamp, envelope.recipient, "no_such_agent")
        elif (stamp, envelope.recipient) not in self._watchers:
            self._watchers[stamp, envelope.recipient] = None
            self._follow(hosted)

    def _follow(self, hosted: Hosted) -> None:
        """Learn of an agent's end, once for all who watch it, however often they begin to."""
        if self._followed.get(hosted.name) is not hosted:
            self._followed[hosted.name] = hosted
            hosted.ended().add_done_callback(lambda _f: self._loop.call_soon(self._agent_ended, hosted))

    def _on_unwatch(self, stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        self._watchers.pop((stamp, envelope.recipient), None)
        self._answer(stamp, None, sequence, Outcome.DELIVERED)

    def _agent_ended(self, hosted: Hosted) -> None:
        if self._followed.get(hosted.name) is hosted:
            del self._followed[hosted.name]
        for stamp, agent in [key for key in self._watchers if key[1] == hosted.name]:
            del self._watchers[stamp, agent]
            self._notify(stamp, agent, "ended")

    def _notify(self, stamp: Stamp, agent: str, reason: str) -> None:
        body = msgspec.Raw(msgspec.json.encode(reason))
        notice = Envelope("", Kind.DOWN, sender=self._address(agent), body=body)
        self._answer(stamp, notice, None, None)

    def _on_down(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        try:
            address = parse_address(envelope.sender or "", namespace=self._namespace, node=stamp.node)
            reason = msgspec.json.decode(envelope.body, type=str)
        except (InvalidNameError, msgspec.DecodeError):
            return
        if address.node == stamp.node:  # nobody speaks for the agents of others
            self._down(address, reason)

    def node_dead(self, stamp: Stamp) -> None:
        """Forget the watches of a life that is over, cancel what it has asked, and tell it nothing more."""
        self.asked.node_dead(stamp)
        self.parking.node_dead(stamp)
        for key in [key for key in self._watchers if key[0] == stamp]:
            del self._watchers[key]

    def new_life(self) -> None:
        """Cancel what everybody has asked: this node was declared dead, and they know."""
        self.asked.new_life()
        self.parking.new_life()

    def close(self) -> None:
        """End: nobody waits for answers any more."""
        self.asked.close()


def _not_trusted() -> NotTrustedError:
    return NotTrustedError("the sender has no node's token, and the agent is not public")


def error_envelope(
    asked: str, error: BaseException, spent: Spent | None = None, *, declared: bool = False
) -> Envelope:
    """Put an error into the envelope that answers an ask."""
    failure = describe(error, declared=declared)
    return Envelope("", Kind.ERROR, correlation=asked, failure=failure, spent=spent)


def reply_envelope(asked: Envelope, future: Future[Any]) -> tuple[Envelope | None, Outcome]:
    """Put a handler's outcome into an envelope; an exception that is none of ours is one that it declared.

    What it did not declare is an `AgentFailed` by now. There is no envelope for an asker who waits no more.
    """
    error = future.exception()
    if error is None:
        try:
            return _value_envelope(asked, future.get()), Outcome.DELIVERED
        except (TypeError, ValueError, RecursionError) as problem:
            refused = EncodeError(f"the reply has no JSON form: {problem}")
            return error_envelope(asked.id, refused), Outcome.DELIVERED
        except UndecodableMessageError as problem:
            return error_envelope(asked.id, problem), Outcome.DELIVERED
    if not is_own(error):
        return error_envelope(asked.id, error, declared=True), Outcome.DELIVERED
    if future.cancelled() or isinstance(error, AskTimeoutError):
        return None, Outcome.EXPIRED
    return error_envelope(asked.id, error), Outcome.DEAD_LETTERED


def _value_envelope(asked: Envelope, value: object) -> Envelope:
    """Put a reply into an envelope, in the version that the asker reads if its class says how."""
    kind, version = type_and_version(value)
    if isinstance(value, Message) and version > asked.reads and can_downgrade(type(value)):
        version, body = asked.reads, downgrade(value, asked.reads)
    else:
        body = encode_body(value)
    return Envelope("", Kind.REPLY, correlation=asked.id, type=kind, version=version, body=body)
