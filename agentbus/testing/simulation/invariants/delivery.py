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
from agentbus.client.events import Event
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

    Spec section 8, *Delivery*. Who is subscribed is counted here once more, from the frames alone.
    """
    subscribers: dict[str, dict[int, None]] = {}
    peers: dict[int, str] = {}
    for event in evidence.events:
        if isinstance(event, Took):
            yield from _check_delivery(event, subscribers, peers)
            _count(event, subscribers)
        elif isinstance(event, Admitted):
            peers[event.session.number] = event.session.peer_id
        elif isinstance(event, Left):
            peers.pop(event.session.number, None)
            for members in subscribers.values():
                members.pop(event.session.number, None)
        elif isinstance(event, HubEnded):
            peers.clear()
            subscribers.clear()


def _check_delivery(
    event: Took, subscribers: dict[str, dict[int, None]], peers: dict[int, str]
) -> Iterator[str]:
    frame, number = event.frame, event.session.number
    if event.answer != "ack":
        if event.delivered and isinstance(frame, Publish | Send):
            yield f"#{number} was answered {event.answer}, and {frame} was delivered to {event.delivered}"
        return
    if isinstance(frame, Publish):
        expected = [each for each in subscribers.get(frame.channel, {}) if each != number]
    elif isinstance(frame, Send):
        expected = [each for each, peer in peers.items() if peer == frame.to]
    else:
        return
    if sorted(expected) != sorted(event.delivered):
        yield f"{frame} of #{number} went to {event.delivered}, not to {expected}"


def _count(event: Took, subscribers: dict[str, dict[int, None]]) -> None:
    if event.answer != "ack":
        return
    if isinstance(event.frame, Subscribe):
        subscribers.setdefault(event.frame.channel, {})[event.session.number] = None
    elif isinstance(event.frame, Unsubscribe):
        subscribers.get(event.frame.channel, {}).pop(event.session.number, None)


def nobody_hears_himself(evidence: Evidence) -> Iterator[str]:
    """The publishing connection never gets its own message back. Spec section 2, *publish*."""
    publishers = {
        payload_id(event.frame.data): event.session.number
        for event in evidence.events
        if isinstance(event, Took) and isinstance(event.frame, Publish) and event.frame.data is not None
    }
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
) -> Iterator[tuple[SessionLog, list[Event], bool]]:
    """Give a client's connections: the hub's session, what was heard, and whether it lived at rest."""
    session: SessionLog | None = None
    heard: list[Event] = []
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


def _is_of_frame(event: Event) -> bool:
    return isinstance(event, ChannelMessage | DirectMessage | PresenceEvent | GoingAwayEvent)


def _of_event(event: Event) -> Heardable:
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
            int(payload_id(event.frame.data).rpartition("-")[2])
            for event in evidence.events
            if isinstance(event, Took)
            and event.session is session
            and isinstance(event.frame, Publish | Send)
            and event.frame.data is not None
        ]
        if numbers != sorted(numbers):
            yield f"#{session.number} of {session.address} asked in the order {numbers}"


def outcomes_are_true(evidence: Evidence) -> Iterator[str]:
    """What a future says of a publish or a send is what the hub did with it, at most once.

    Spec section 7: *disconnect* (a frame that never left), *size check*; section 2: one ack or error each.
    """
    answers: dict[str, list[Took]] = {}
    for event in evidence.events:
        if isinstance(event, Took) and isinstance(event.frame, Publish | Send) and event.frame.data:
            answers.setdefault(payload_id(event.frame.data), []).append(event)
    for name, account in evidence.clients.items():
        for call in account.calls:
            if call.payload is None:
                continue
            took = answers.get(call.payload, [])
            said = [event.answer for event in took]
            error = call.error
            if len(took) > 1:
                yield f"{call.payload} reached the hub {len(took)} times"
            elif isinstance(error, NEVER_LEFT) and took:
                yield f"{name} was told that {call.payload} never left ({error!r}), and the hub took it"
            elif isinstance(error, SignallingServerError) and said != [error.code]:
                yield f"{name} was told {error.code} about {call.payload}, and the hub said {said}"
            elif call.succeeded and said != ["ack"]:
                yield f"{name} was told that {call.payload} was acked, and the hub said {said}"
