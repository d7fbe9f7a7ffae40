"""What a connection tells its supervisor, and how far it has come."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct

from agentbus.protocol.codes import CloseCode
from agentbus.protocol.frames import Welcome
from agentbus.runtime.ref import LoopActorRef


class Life(enum.Enum):
    """How far a connection has come."""

    OPENING = "opening"
    AWAITING_WELCOME = "awaiting welcome"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ConnectionUp(Struct, frozen=True):
    """The hub said welcome; what it says next waits for `ConnectionActor.Announced`."""

    connection: LoopActorRef[Any]
    welcome: Welcome


class ConnectionDown(Struct, frozen=True):
    """A connection, or the attempt to make one, has ended.

    Attributes:
        connection: whose end.
        code: ours if we closed it, else the hub's, else 1006.
        reason: ours, or the hub's own text, unchecked, without our secret.
        was_open: whether there had been a welcome.
        http_status: what the upgrade was refused with, if it was.
        retry_after: seconds that such a refusal asked to wait.
    """

    connection: LoopActorRef[Any]
    code: CloseCode
    reason: str
    was_open: bool
    http_status: int | None = None
    retry_after: float | None = None
