"""Close codes and error codes. A close code carries its rule: this table is the only list of what to do.

Codes that are not in a table are legal on the wire and pass through: `CloseCode.of(4999)` is a `CloseCode`
that equals 4999 and backs off like any other; `ErrorCode.of("out_of_tea")` equals that string.
"""

from __future__ import annotations

import enum
from typing import Self

CONCURRENT_LIMIT_FLOOR = 30.0
"""Seconds that a client waits at least after 4010."""


class Retry(enum.Enum):
    """What a client does after a close it did not ask for (spec section 5)."""

    NO = "no"
    FLOOR = "floor"
    BACKOFF = "backoff"

    @property
    def allowed(self) -> bool:
        """Whether to try again at all."""
        return self is not Retry.NO

    @property
    def floor(self) -> float:
        """Seconds that the next attempt waits at least, whatever jitter and options say."""
        return CONCURRENT_LIMIT_FLOOR if self is Retry.FLOOR else 0.0


class CloseCode(enum.IntEnum):
    """A WebSocket close code, with what a client does about it (spec section 5).

    Attributes:
        retry: the rule.
        explanation: what happened and what to do about it, for people.
    """

    retry: Retry
    explanation: str

    def __new__(cls, value: int, retry: Retry = Retry.BACKOFF, explanation: str = "") -> Self:
        """Make a member of the table."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.retry = retry
        code.explanation = explanation
        return code

    NORMAL = 1000, Retry.BACKOFF, "the connection was closed in good order"
    GOING_AWAY = 1001, Retry.BACKOFF, "the hub is shutting down or restarting"
    ABNORMAL = 1006, Retry.BACKOFF, "the connection died without a goodbye, or could not be made"
    POLICY_VIOLATION = 1008, Retry.BACKOFF, "the hub saw a protocol violation, or too many malformed frames"
    MESSAGE_TOO_BIG = 1009, Retry.BACKOFF, "a message was larger than the receiver takes"
    INTERNAL_ERROR = 1011, Retry.BACKOFF, "the hub failed on its own account"
    SERVICE_RESTART = 1012, Retry.BACKOFF, "the hub is restarting"
    TRY_AGAIN_LATER = 1013, Retry.BACKOFF, "the hub is overloaded, or this consumer reads too slowly"
    BAD_GATEWAY = 1014, Retry.BACKOFF, "a gateway on the way got no good answer"
    CLIENT_INACTIVITY = 4000, Retry.BACKOFF, "the client heard nothing from the hub for too long"
    INVALID_TOKEN = (
        4001,
        Retry.NO,
        "the key or token is missing, unknown, malformed or badly signed: give the client a valid one",
    )
    TOKEN_EXPIRED = 4002, Retry.BACKOFF, "the token has expired; the next attempt takes a fresh one"
    CHANNEL_NOT_AUTHORIZED = 4003, Retry.NO, "the credential grants no channel at all: give it channels"
    OVER_CONCURRENT_LIMIT = (
        4010,
        Retry.FLOOR,
        "the app has as many connections as it may: wait, close some, or raise its limit",
    )
    OVER_MESSAGE_RATE = 4011, Retry.BACKOFF, "this connection sent more messages per second than it may"
    ACCOUNT_SUSPENDED = 4012, Retry.NO, "the app is suspended: ask whoever runs the hub"
    ADMIN_DISCONNECT = 4020, Retry.NO, "an operator disconnected this peer"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        code = int.__new__(cls, value)
        code._value_ = value
        code._name_ = f"CODE_{value}"
        code.retry = Retry.BACKOFF
        code.explanation = "the protocol gives this code no meaning"
        return code

    @classmethod
    def of(cls, value: int) -> Self:
        """Return the code of that number; one that is not in the table backs off like any other."""
        return cls(value)


class ErrorCode(enum.StrEnum):
    """Why a hub refused one frame; the connection stays open (spec section 6)."""

    MALFORMED_MESSAGE = "malformed_message"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_CHANNEL = "invalid_channel"
    INVALID_PEER_ID = "invalid_peer_id"
    CHANNEL_NOT_AUTHORIZED = "channel_not_authorized"
    CHANNEL_RESERVED = "channel_reserved"
    CHANNEL_LIMIT_EXCEEDED = "channel_limit_exceeded"
    PEER_NOT_FOUND = "peer_not_found"
    MAILBOX_FULL = "mailbox_full"
    MISSING_DATA = "missing_data"
    ACTION_NOT_PERMITTED = "action_not_permitted"
    OVER_MESSAGE_QUOTA = "over_message_quota"
    BACKEND_ERROR = "backend_error"
    INTERNAL_ERROR = "internal_error"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        code = str.__new__(cls, value)
        code._value_ = value
        code._name_ = value
        return code

    @classmethod
    def of(cls, value: str) -> Self:
        """Return the code of that name; one that is not in the list passes through verbatim."""
        return cls(value)
