"""What becomes of messages, between the hub's account and the clients'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentbus.client import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    GoingAwayEvent,
    PresenceEvent,
    PresencePeer,
)
from agentbus.errors import (
    EncodeError,
    InvalidNameError,
    MailboxFullError,
    NotConnectedError,
    OversizedPayloadError,
    SignallingServerError,
)
from agentbus.protocol import Publish, Send, Subscribe, Unsubscribe, decode_server_frame
from agentbus.protocol.frames import DirectFrame, GoingAway, MessageFrame, PresenceFrame
from agentbus.protocol.frames import PresencePeer as WirePeer
from agentbus.testing.simulation.client import payload_id
from agentbus.testing.simulation.evidence import ClientAccount, Evidence
from agentbus.testing.simulation.record import Admitted, Heard, HubEnded, Left, SessionLog, Took
from agentbus.testing.simulation.tokens import ticket_url

NEVER_LEFT = (NotConnectedError, OversizedPayloadError, EncodeError, InvalidNameError, MailboxFullError)

Heardable = tuple[Any, ...]
"""What a frame and the event made of it have in common."""


def acks_mean_delivery(evidence: Evidence) -> Iterator[str]:
    """An ack means that the message was handed to every subscribed connection but the publisher's.

    So does no answer to a direct message that asks for none.

    Spec section 8, *Delivery*. Who is subscribed is counted here once more, from the frames alone.
    """
    present: dict[int, SessionLog] = {}
    subscribed: dict[str, dict[int, None]] = {}
    for event in evidence.events:
        if isinstance(event, Took):
            yield from _check_delivery(event, subscribed, present)
            _count(event, subscribed)
        elif isinstance(event, Admitted):
            present[event.session.number] = event.session
        elif isinstance(event, Left):
            _forget([event.session.number], subscribed, present)
        elif isinstance(event, HubEnded):
            gone = [one.number for one in present.values() if one.incarnation == event.incarnation]
            _forget(gone, subscribed, present)


def _forget(gone: list[int], subscribed: dict[str, dict[int, None]], present: dict[int, SessionLog]) -> None:
    for number in gone:
        present.pop(number, None)
        for members in subscribed.values():
            members.pop(number, None)


def _check_delivery(
    event: Took, subscribed: dict[str, dict[int, None]], present: dict[int, SessionLog]
) -> Iterator[str]:
    frame, number = event.frame, event.session.number
    silent = event.answer is None and isinstance(frame, Send) and frame.request_id is None
    if event.answer != "ack" and not silent:
        if event.delivered and isinstance(frame, Publish | Send):
            yield f"#{number} was answered {event.answer}, and {frame} was delivered to {event.delivered}"
        return
    if isinstance(frame, Publish):
        expected = [each for each in subscribed.get(frame.channel, {}) if each != number]
    elif isinstance(frame, Send):
        expected = [each for each, session in present.items() if session.peer_id == frame.to]
    else:
        return
    if sorted(expected) != sorted(event.delivered):
        yield f"{frame} of #{number} went to {event.delivered}, not to {expected}"


def _count(event: Took, subscribed: dict[str, dict[int, None]]) -> None:
    if event.answer != "ack":
        return
    if isinstance(event.frame, Subscribe):
        subscribed.setdefault(event.frame.channel, {})[event.session.number] = None
    elif isinstance(event.frame, Unsubscribe):
        subscribed.get(event.frame.channel, {}).pop(event.session.number, None)


def _payloads(evidence: Evidence) -> Iterator[tuple[str, Took]]:
    """Give what clients published and sent, as the hub took it, in order."""
    for event in evidence.events:
        if not isinstance(event, Took) or event.session.address not in evidence.clients:
            continue
        if isinstance(event.frame, Publish | Send) and event.frame.data is not None:
            yield payload_id(event.frame.data), event


def nobody_hears_himself(evidence: Evidence) -> Iterator[str]:
    """The publishing connection never gets its own message back. Spec section 2, *publish*."""
    publishers = {payload: took.session.number for payload, took in _payloads(evidence)}
    for name, account in evidence.clients.items():
        for session, heard, _ in _connections(evidence, name, account):
            for event in heard:
                if isinstance(event, ChannelMessage) and publishers.get(event.data["id"]) == session.number:
                    yield f"{name} got its own {event} on #{session.number}"


def what_is_heard_is_what_was_handed(evidence: Evidence) -> Iterator[str]:
    """What a connection tells is a prefix of what the hub put into its buffer, and all of it if it lives.

    So order holds per connection and channel, nothing comes twice, and nothing is lost but at the end. Spec
    section 8, *Delivery*.
    """
    for name, account in evidence.clients.items():
        for session, events, lives in _connections(evidence, name, account):
            count = evidence.quiet_hub.handed.get(session.number) if lives else None
            handed = [*_of_frames(session.handed[:count])]
            heard = [_of_event(event) for event in events if _is_of_frame(event)]
            if heard != handed[: len(heard)]:
                yield f"{name} on #{session.number}: {_first_difference(heard, handed)}"
            elif lives and len(heard) != len(handed):
                yield f"{name} on #{session.number} never heard {handed[len(heard) :][:3]}"


def _connections(
    evidence: Evidence, name: str, account: ClientAccount
) -> Iterator[tuple[SessionLog, list[msgspec.Struct], bool]]:
    """Give a client's connections: the hub's session, what was heard, and whether it lived at rest."""
    session: SessionLog | None = None
    heard: list[msgspec.Struct] = []
    for entry in account.entries[: evidence.quiet_clients[name].heard]:
        if not isinstance(entry, Heard):
            continue
        if isinstance(entry.event, ConnectedEvent):
            session, heard = find_session(evidence, entry.event), []
        elif isinstance(entry.event, DisconnectedEvent):
            if session is not None:
                yield session, heard, False
            session = None
        else:
            heard.append(entry.event)
    if session is not None:
        yield session, heard, evidence.quiet_clients[name].peer_id is not None


def find_session(evidence: Evidence, event: ConnectedEvent) -> SessionLog | None:
    """Find the hub's side of a connection: by the peer id of a key, by the ticket of a token."""
    if not event.ice_servers:
        return next((each for each in evidence.sessions if each.peer_id == event.peer_id), None)
    url = event.ice_servers[0].urls[0]
    return next((each for each in evidence.sessions if each.ticket and ticket_url(each.ticket) == url), None)


def _is_of_frame(event: msgspec.Struct) -> bool:
    return isinstance(event, ChannelMessage | DirectMessage | PresenceEvent | GoingAwayEvent)


def _of_event(event: msgspec.Struct) -> Heardable:
    if isinstance(event, ChannelMessage):
        return "message", event.channel, event.sender, event.sender_metadata, event.raw
    if isinstance(event, DirectMessage):
        return "direct", event.sender, event.sender_metadata, event.raw
    if isinstance(event, PresenceEvent):
        return "presence", event.channel, _peers(event.joined), _peers(event.left)
    return "going away", getattr(event, "retry_after", None)


def _of_frames(payloads: list[bytes]) -> Iterator[Heardable]:
    for payload in payloads:
        frame = decode_server_frame(payload)
        if isinstance(frame, MessageFrame):
            yield "message", frame.channel, frame.sender, _decoded(frame.sender_metadata), bytes(frame.data)
        elif isinstance(frame, DirectFrame):
            yield "direct", frame.sender, _decoded(frame.sender_metadata), bytes(frame.data)
        elif isinstance(frame, PresenceFrame):
            yield "presence", frame.channel, _peers(frame.joined), _peers(frame.left)
        elif isinstance(frame, GoingAway):
            yield "going away", frame.retry_after_ms / 1000


def _peers(peers: tuple[PresencePeer, ...] | tuple[WirePeer, ...]) -> list[tuple[str, Any]]:
    return [(peer.peer_id, _decoded(peer.metadata)) for peer in peers]


def _decoded(metadata: Any) -> Any:
    return msgspec.json.decode(metadata) if isinstance(metadata, msgspec.Raw) else metadata


def _first_difference(heard: list[Heardable], handed: list[Heardable]) -> str:
    for index, one in enumerate(heard):
        if index >= len(handed) or one != handed[index]:
            other = handed[index] if index < len(handed) else "nothing"
            return f"{index} earlier ones agree, then it heard {one} where the hub handed over {other}"
    return "they agree"


def requests_arrive_in_order(evidence: Evidence) -> Iterator[str]:
    """Per connection, requests reach the hub in the order of the calls. Spec section 8, *Delivery*."""
    for session in evidence.sessions:
        numbers = [
            int(payload.rpartition("-")[2])
            for payload, took in _payloads(evidence)
            if took.session is session
        ]
        if numbers != sorted(numbers):
            yield f"#{session.number} of {session.address} asked in the order {numbers}"


def outcomes_are_true(evidence: Evidence) -> Iterator[str]:
    """What a future says of a publish or a send is what the hub did with it, at most once.

    Spec section 7: *disconnect* (a frame that never left), *size check*; section 2: one ack or error each.
    """
    answers: dict[str, list[Took]] = {}
    for payload, took in _payloads(evidence):
        answers.setdefault(payload, []).append(took)
    for name, account in evidence.clients.items():
        for call in account.calls:
            if call.payload is None:
                continue
            said = [took.answer for took in answers.get(call.payload, [])]
            error = call.error
            if len(said) > 1:
                yield f"{call.payload} reached the hub {len(said)} times"
            elif isinstance(error, NEVER_LEFT) and said:
                yield f"{name} was told that {call.payload} never left ({error!r}), and the hub took it"
            elif isinstance(error, SignallingServerError) and said != [error.code]:
                yield f"{name} was told {error.code} about {call.payload}, and the hub said {said}"
            elif call.succeeded and said != ["ack"]:
                yield f"{name} was told that {call.payload} was acked, and the hub said {said}"
