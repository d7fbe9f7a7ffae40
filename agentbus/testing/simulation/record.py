"""What a run leaves behind for the invariants: each side's own account, in the order in which it lived it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from agentbus.protocol import ClientFrame, CloseCode

# -- a client's account ----------------------------------------------------------------------------------


@dataclass(eq=False)
class Call:
    """One call of a client's method, and what became of its future.

    Attributes:
        verb: the method.
        target: the channel or the peer, if it has one.
        payload: the id inside the data that was published or sent, if any.
        called_at: virtual time.
        done_at: when its future was resolved; None if it never was.
        error: what the future failed with, if it did.
    """

    verb: str
    target: str
    payload: str | None
    called_at: float
    done_at: float | None = None
    error: BaseException | None = None

    @property
    def succeeded(self) -> bool:
        """Whether its future has a value."""
        return self.done_at is not None and self.error is None


class Entry(msgspec.Struct, frozen=True):
    """One line of a client's account.

    Attributes:
        at: virtual time.
    """

    at: float


class Called(Entry, frozen=True):
    """The program called a method."""

    call: Call


class Heard(Entry, frozen=True):
    """The client told its listener something."""

    event: msgspec.Struct


class Attempted(Entry, frozen=True):
    """An attempt to connect began: the token provider was called or, with a key, the hub dialled."""


class Stalled(Entry, frozen=True):
    """The process was stopped.

    Attributes:
        until: when it went on, unless the world was healed before.
    """

    until: float


# -- the hub's account -----------------------------------------------------------------------------------


@dataclass(eq=False)
class SessionLog:
    """One connection, as the hub saw it.

    Attributes:
        number: counts all connections of the world.
        incarnation: which of the hub's lives it belongs to.
        address: the client's name on the network.
        peer_id: who the hub took it for.
        ticket: of its token; None with a key.
        handed: the frames that went into its buffer, in order.
        closed_with: the code that the hub closed it with, if it did.
        open: whether the hub still counts it in.
    """

    number: int
    incarnation: int
    address: str
    peer_id: str
    ticket: str | None
    handed: list[bytes] = field(default_factory=list[bytes])
    closed_with: CloseCode | None = None
    open: bool = True


class Took(msgspec.Struct, frozen=True):
    """The hub took a frame.

    Attributes:
        session: whose.
        frame: what; None if it was no frame.
        answer: "ack", "pong", an error code, or None without an answer.
        delivered: the numbers of the sessions that its message was handed to.
    """

    session: SessionLog
    frame: ClientFrame | None
    answer: str | None
    delivered: tuple[int, ...]


class Admitted(msgspec.Struct, frozen=True):
    """The hub said welcome."""

    session: SessionLog


class Left(msgspec.Struct, frozen=True):
    """The hub counted a session out."""

    session: SessionLog


class HubEnded(msgspec.Struct, frozen=True):
    """One life of the hub ended, and with it all of its sessions."""

    incarnation: int


class SlowDown(msgspec.Struct, frozen=True):
    """The hub answered a connect with 429."""

    at: float
    address: str
    wait: float


HubEvent: TypeAlias = Took | Admitted | Left | HubEnded | SlowDown
