"""What the core tells the shell to do. The commands of one call are executed in their order, without gaps."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agentbus.hub.core.session import Session
from agentbus.protocol import CloseCode


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send one text frame's payload to one session."""

    session: Session
    payload: bytes


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Send the same payload to all `sessions` but `exclude`. Frame it once; server frames are unmasked."""

    sessions: tuple[Session, ...]
    payload: bytes
    exclude: Session | None = None


class CatchUp(msgspec.Struct, frozen=True, gc=False):
    """Call `Hub.catch_up` for one session, soon, and when its connection has room."""

    session: Session


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close one session's connection; the core has forgotten the session already."""

    session: Session
    code: CloseCode
    reason: str


CLOSE_REASONS: dict[CloseCode, str] = {
    CloseCode.GOING_AWAY: "shutting down",
    CloseCode.TRY_AGAIN_LATER: "slow consumer",
    CloseCode.POLICY_VIOLATION: "too many malformed frames",
    CloseCode.MESSAGE_TOO_BIG: "message too big",
    CloseCode.SERVICE_RESTART: "the key's scope has changed",
    CloseCode.INVALID_TOKEN: "invalid credential",  # one text for every kind: spec section 1
    CloseCode.TOKEN_EXPIRED: "token expired",
    CloseCode.CHANNEL_NOT_AUTHORIZED: "the credential grants no channel",
    CloseCode.OVER_CONCURRENT_LIMIT: "too many concurrent connections",
    CloseCode.OVER_MESSAGE_RATE: "message rate exceeded",
    CloseCode.ACCOUNT_SUSPENDED: "app suspended",
    CloseCode.ADMIN_DISCONNECT: "disconnected by an operator",
}


Command: TypeAlias = Send | Broadcast | CatchUp | Close
