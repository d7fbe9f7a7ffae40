"""How clients live: states, events, and when they try again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from agentbus.client import ConnectedEvent, DisconnectedEvent, SignallingClientState, StateChange
from agentbus.client.states import CLOSED, CONNECTED, IDLE, RECONNECTING, TRANSITIONS
from agentbus.protocol.codes import CONCURRENT_LIMIT_FLOOR, CloseCode
from agentbus.testing.simulation.evidence import ClientAccount, Evidence
from agentbus.testing.simulation.plan import ClientSpec
from agentbus.testing.simulation.record import Attempted, Call, Called, Entry, Heard, SlowDown

MOMENT: Final = 1e-6
"""Seconds within which two things count as simultaneous."""

_MOVES: Final = {(before, after) for (before, _), after in TRANSITIONS.items() if before is not after}


def states_follow_the_table(evidence: Evidence) -> Iterator[str]:
    """A client only moves as its table of states allows, from where it was. `agentbus/client/states.py`."""
    for name, account in evidence.clients.items():
        state: SignallingClientState = IDLE
        for entry in account.entries:
            if isinstance(entry, Heard) and isinstance(entry.event, StateChange):
                change = entry.event
                if change.previous is not state or (change.previous, change.current) not in _MOVES:
                    yield f"{name} at {entry.at:.3f}: {change}, but it was {state}"
                state = change.current


def events_agree_with_states(evidence: Evidence) -> Iterator[str]:
    """A welcome is one connected event, and `is_reconnect` says whether the client came back by itself.

    Reference page, *Streams*: `onConnected` after every successful welcome.
    """
    for name, account in evidence.clients.items():
        events = [entry for entry in account.entries if isinstance(entry, Heard)]
        before: StateChange | None = None
        for entry in events:
            event = entry.event
            if isinstance(event, ConnectedEvent):
                if before is None or event.is_reconnect is not (before.previous is RECONNECTING):
                    yield f"{name} at {entry.at:.3f}: {event} after {before}"
                before = None
            elif before is not None:
                yield f"{name} at {entry.at:.3f}: {event} between {before} and its connected event"
                before = None
            elif isinstance(event, StateChange) and event.current is CONNECTED:
                before = event


def will_reconnect_is_the_truth(evidence: Evidence) -> Iterator[str]:
    """After `will_reconnect` the client tries again unless it is closed; without it, only if it is asked to.

    Spec section 7, *events*; section 5 for the codes of which it must be false.
    """
    for name, account in evidence.clients.items():
        promised_at: float | None = None
        for entry in account.entries:
            if isinstance(entry, Attempted):
                if promised_at is None and not _was_asked(account, entry.at):
                    yield f"{name} tries to connect at {entry.at:.3f}, and nobody asked it to"
                promised_at = None
            elif isinstance(entry, Heard) and isinstance(entry.event, DisconnectedEvent):
                yield from _broken(name, account, promised_at, entry.at)
                promised_at = entry.at if entry.event.will_reconnect else None
        yield from _broken(name, account, promised_at, math.inf)


def _broken(name: str, account: ClientAccount, promised_at: float | None, until: float) -> Iterator[str]:
    if promised_at is not None and not _was_closed(account, promised_at, until):
        yield f"{name} said at {promised_at:.3f} that it would try again, and did not"


def _was_asked(account: ClientAccount, at: float) -> bool:
    return any(_pending(call, at) for call in account.calls if call.verb == "connect")


def _pending(call: Call, at: float) -> bool:
    ended = call.done_at is not None and call.done_at < at - MOMENT
    return call.called_at <= at + MOMENT and not ended


def _was_closed(account: ClientAccount, start: float, end: float) -> bool:
    """Tell whether the program closed the client meanwhile; its disposal at the very end is no excuse."""
    return any(
        start - MOMENT <= call.called_at <= end + MOMENT for call in account.calls if call.verb == "close"
    )


def gives_up_only_for_a_reason(evidence: Evidence) -> Iterator[str]:
    """A client that was connected tries again, unless code, options or caller forbid it. Spec section 5."""
    for name, account in evidence.clients.items():
        state, attempts = IDLE, 0
        previous: Entry | None = None
        for entry in account.entries:
            if not isinstance(entry, Heard):
                continue
            event = entry.event
            if isinstance(event, ConnectedEvent):
                attempts = 0
            elif isinstance(event, DisconnectedEvent):
                before = _state_before(previous, state)
                should = _should_retry(account, event, before, attempts)
                closed = _close_pending(account, entry.at)
                if event.will_reconnect is not should and not (closed and not event.will_reconnect):
                    yield f"{name} at {entry.at:.3f}, {before}, {attempts} attempts: {event}"
                attempts += 1
            elif isinstance(event, StateChange):
                state = event.current
            previous = entry


def _state_before(previous: Entry | None, state: SignallingClientState) -> SignallingClientState:
    """Give the state that an end met: the one before the move that it led to, if it led to one."""
    if isinstance(previous, Heard) and isinstance(previous.event, StateChange):
        change = previous.event
        if change.current in {RECONNECTING, CLOSED}:
            return change.previous
    return state


def _should_retry(
    account: ClientAccount, event: DisconnectedEvent, before: SignallingClientState, attempts: int
) -> bool:
    spec = account.spec
    possible = spec.auto_reconnect and event.code.retry.allowed and attempts < spec.max_attempts
    return possible and before in {CONNECTED, RECONNECTING}


def _close_pending(account: ClientAccount, at: float) -> bool:
    return any(_pending(call, at) for call in account.calls if call.verb in {"close", "dispose"})


def retries_keep_their_distance(evidence: Evidence) -> Iterator[str]:
    """Attempt n waits for the backoff, give or take the jitter; `Retry-After` of a 429 is a lower bound.

    Spec section 5. A stopped process may be late, never early.
    """
    for name, account in evidence.clients.items():
        for end, event, attempts, begin in _retries(account):
            least, most = _bounds(account.spec, event, attempts)
            asked = _asked_to_wait(evidence, name, event, end)
            late = account.stalled(end, begin)
            if not max(least, asked) - MOMENT <= begin - end <= max(most, asked) + late + MOMENT:
                allowed = f"{least:.3f} to {most:.3f} s (asked for {asked:g} s)"
                what = f"{name}: attempt {attempts} after {int(event.code)} at {end:.3f}"
                yield f"{what} came {begin - end:.3f} s later, not after {allowed}"


def the_floor_holds(evidence: Evidence) -> Iterator[str]:
    """After 4010 no attempt comes within 30 s, whatever options and jitter say. Spec section 5."""
    for name, account in evidence.clients.items():
        for end, event, _, begin in _retries(account):
            if (
                event.code is CloseCode.OVER_CONCURRENT_LIMIT
                and begin - end < CONCURRENT_LIMIT_FLOOR - MOMENT
            ):
                yield f"{name}: {begin - end:.3f} s after 4010 at {end:.3f} it tried again"


def _retries(account: ClientAccount) -> Iterator[tuple[float, DisconnectedEvent, int, float]]:
    """Give for each retry: when the last attempt ended, how, which number it has, when it began."""
    attempts, waiting = 0, None
    for entry in account.entries:
        if isinstance(entry, Heard) and isinstance(entry.event, ConnectedEvent):
            attempts = 0
        elif isinstance(entry, Heard) and isinstance(entry.event, DisconnectedEvent):
            attempts += 1
            waiting = (entry.at, entry.event) if entry.event.will_reconnect else None
        elif isinstance(entry, Called) and entry.call.verb in {"close", "dispose"}:
            waiting = None
        elif isinstance(entry, Attempted) and waiting is not None:
            yield *waiting, attempts, entry.at
            waiting = None


def _bounds(spec: ClientSpec, event: DisconnectedEvent, attempt: int) -> tuple[float, float]:
    """Give the least and the most seconds of a backoff, by the words of spec section 5."""
    delay = min(spec.initial_delay * 2.0 ** (attempt - 1), spec.max_delay)
    jitter = spec.jitter_ratio
    if event.code.retry.floor:
        floor = event.code.retry.floor
        return max(delay, floor), max(delay, floor) + jitter * floor
    return delay * (1 - jitter), delay * (1 + jitter)


def _asked_to_wait(evidence: Evidence, name: str, event: DisconnectedEvent, at: float) -> float:
    """Give the seconds of the `Retry-After` that ended an attempt, if a 429 did."""
    if event.reason != "Too Many Requests":
        return 0.0
    answers = [
        each
        for each in evidence.events
        if isinstance(each, SlowDown) and each.address == name and each.at <= at
    ]
    return math.ceil(answers[-1].wait) if answers else 0.0
