"""The states of a client, as one table.

Theory. A client is in one of five states, and five things can happen to it:

    connect   somebody wants a connection
    welcome   an attempt reached its welcome
    lost      an attempt, or the connection, ended and another attempt will follow
    end       an attempt, or the connection, ended for good: the close code says so, the attempts are used
              up, reconnecting is off, or it was the first attempt, whose failure is its caller's to handle
    close     somebody wants no connection any more

A state answers one question: *what is a caller to expect?*

    idle          nothing was asked for yet
    connecting    an answer to `connect()`; the first failure ends it
    connected     requests go out
    reconnecting  requests fail at once, and the client works on it by itself
    closed        nothing, until somebody calls `connect()` again

`connect` while there is, or will be, a connection changes nothing: that caller shares the result. `close` is
possible always and idempotent. Whatever is not in the table cannot happen; if it does, the supervisor's
picture of the world is wrong, and it says so instead of going on.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class SignallingClientState(enum.StrEnum):
    """What a caller may expect of the client."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Happening(enum.StrEnum):
    """What can happen to a client."""

    CONNECT = "connect"
    WELCOME = "welcome"
    LOST = "lost"
    END = "end"
    CLOSE = "close"


IDLE, CONNECTING, CONNECTED, RECONNECTING, CLOSED = SignallingClientState
CONNECT, WELCOME, LOST, END, CLOSE = Happening

TRANSITIONS: Mapping[tuple[SignallingClientState, Happening], SignallingClientState] = {
    (IDLE, CONNECT): CONNECTING,
    (IDLE, CLOSE): CLOSED,
    #
    (CONNECTING, CONNECT): CONNECTING,
    (CONNECTING, WELCOME): CONNECTED,
    (CONNECTING, END): CLOSED,
    (CONNECTING, CLOSE): CLOSED,
    #
    (CONNECTED, CONNECT): CONNECTED,
    (CONNECTED, LOST): RECONNECTING,
    (CONNECTED, END): CLOSED,
    (CONNECTED, CLOSE): CLOSED,
    #
    (RECONNECTING, CONNECT): RECONNECTING,
    (RECONNECTING, WELCOME): CONNECTED,
    (RECONNECTING, LOST): RECONNECTING,
    (RECONNECTING, END): CLOSED,
    (RECONNECTING, CLOSE): CLOSED,
    #
    (CLOSED, CONNECT): CONNECTING,
    (CLOSED, CLOSE): CLOSED,
}


def after(state: SignallingClientState, happening: Happening) -> SignallingClientState:
    """Return the state that follows.

    Raises:
        LookupError: that cannot happen in this state.
    """
    following = TRANSITIONS.get((state, happening))
    if following is None:
        raise LookupError(f"a client that is {state} cannot see {happening!r}")
    return following


def diagram() -> str:
    """Draw the table as a Mermaid state diagram, without what changes nothing."""
    lines = ["stateDiagram-v2", f"    [*] --> {IDLE}"]
    lines += [
        f"    {state} --> {following}: {happening}"
        for (state, happening), following in TRANSITIONS.items()
        if following is not state
    ]
    return "\n".join(lines)
