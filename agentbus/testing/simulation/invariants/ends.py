"""How things end: futures, faults, and everything at last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agentbus.client import ConnectedEvent
from agentbus.client.states import CONNECTED, CONNECTING, RECONNECTING
from agentbus.protocol import Subscribe
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.invariants.delivery import find_session
from agentbus.testing.simulation.record import Heard, SessionLog, Took

LONGEST: Final = {
    "publish": 15.0,
    "send": 15.0,
    "subscribe": 15.0,
    "unsubscribe": 15.0,
    "close": 1.0,
    "dispose": 1.0,
}
"""Seconds that a call may take. Spec section 7, *ack timeout* and *close*."""

MOMENT: Final = 0.001


def nothing_fails_unseen(evidence: Evidence) -> Iterator[str]:
    """Nothing raises where nobody catches it, and nothing is logged as an error."""
    yield from evidence.failures


def every_future_resolves(evidence: Evidence) -> Iterator[str]:
    """Every future is resolved, and in time: 15 s for a request, 1 s for a close. Spec section 7.

    A process that stands still hears of time passing when it goes on.
    """
    for name, account in evidence.clients.items():
        for call in account.calls:
            what = f"{name}: {call.verb} {call.target} {call.payload or ''} of {call.called_at:.3f}"
            if call.done_at is None:
                yield f"{what} was never resolved"
                continue
            taken = call.done_at - call.called_at - account.stalled(call.called_at, call.done_at)
            if taken > LONGEST.get(call.verb, taken) + MOMENT:
                yield f"{what} took {taken:.3f} s"


def everybody_comes_to_rest(evidence: Evidence) -> Iterator[str]:
    """In a world without faults no client is still on its way after a while. Spec section 5, *backoff*."""
    for name, client in evidence.quiet_clients.items():
        if client.state in {CONNECTING, RECONNECTING}:
            yield f"{name} is still {client.state}"


def the_hub_knows_who_is_there(evidence: Evidence) -> Iterator[str]:
    """The hub's open sessions are the clients' connections, none half-open. Spec section 8, *Liveness*."""
    believed = {
        session.number: name
        for name, client in evidence.quiet_clients.items()
        if client.state is CONNECTED and (session := _session_at_rest(evidence, name)) is not None
    }
    for number in evidence.quiet_hub.subscriptions:
        log = evidence.sessions[number]
        if log.address in evidence.clients and number not in believed:
            yield f"the hub still counts #{number} of {log.address}, which has no such connection"
    for number, name in believed.items():
        if number not in evidence.quiet_hub.subscriptions:
            yield f"{name} takes itself for #{number}, which the hub does not know"


def _session_at_rest(evidence: Evidence, name: str) -> SessionLog | None:
    entries = evidence.clients[name].entries[: evidence.quiet_clients[name].heard]
    for entry in reversed(entries):
        if isinstance(entry, Heard) and isinstance(entry.event, ConnectedEvent):
            return find_session(evidence, entry.event)
    return None


def _connected(evidence: Evidence) -> Iterator[tuple[str, SessionLog]]:
    for name, client in evidence.quiet_clients.items():
        session = _session_at_rest(evidence, name)
        known = session is not None and session.number in evidence.quiet_hub.subscriptions
        if client.state is CONNECTED and session is not None and known:
            yield name, session


def subscriptions_agree(evidence: Evidence) -> Iterator[str]:
    """What a client tracks is what the hub has it subscribed to. Spec section 7, *replay* and *tracking*.

    But for what the hub refused on this very connection: a refused replay stays tracked.
    """
    for name, session in _connected(evidence):
        tracked = frozenset(evidence.quiet_clients[name].rosters)
        held = evidence.quiet_hub.subscriptions[session.number]
        if tracked - _refused(evidence, session) != held:
            yield f"{name} tracks {sorted(tracked)}, the hub has {sorted(held)}"


def _refused(evidence: Evidence, session: SessionLog) -> set[str]:
    answers = {
        event.frame.channel: event.answer
        for event in evidence.events
        if isinstance(event, Took) and event.session is session and isinstance(event.frame, Subscribe)
    }
    return {channel for channel, answer in answers.items() if answer != "ack"}


def rosters_agree(evidence: Evidence) -> Iterator[str]:
    """A client's roster is the hub's, without the client itself. Spec section 4."""
    for name, session in _connected(evidence):
        held = evidence.quiet_hub.subscriptions[session.number]
        for channel, roster in evidence.quiet_clients[name].rosters.items():
            truth = dict(evidence.quiet_hub.peers.get(channel, {}))
            truth.pop(session.peer_id, None)
            if channel in held and roster != truth:
                yield f"{name} sees {roster} in {channel}, the hub {truth}"


def nothing_is_left(evidence: Evidence) -> Iterator[str]:
    """When everybody has disposed of everything, no actor, timer, task, connection or session is left."""
    yield from evidence.leftovers
