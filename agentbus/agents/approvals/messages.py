"""What is said to an approval desk, and what it says."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final, Literal

import msgspec

from agentbus.agents.message import Message, Request
from agentbus.errors import ApprovalDenied, ApprovalExpired, PayloadChanged

Status = Literal["pending", "approved", "denied", "expired"]

MAX_NAME_CHARACTERS: Final = 200
MAX_PAYLOAD_BYTES: Final = 16 * 1024
MAX_TTL: Final = 366 * 86_400.0


def digest_of(action: str, payload: Any) -> str:
    """Give the SHA-256, in hex, of an action and its payload as canonical JSON.

    Canonical is: sorted keys, no spaces, ASCII.

    Raises:
        TypeError: the payload has no JSON form.
        ValueError: it holds a number that has none (NaN, infinity).
    """
    plain = msgspec.to_builtins([action, payload], str_keys=True)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Ticket(Message, wire_name="agentbus.approvals.Ticket"):
    """The desk has a request, and will have it after any restart.

    Attributes:
        key: of the request.
        digest: of its action and payload.
        expires_at: when it is too late to decide, in seconds since 1970.
        status: what has become of it, if it is not new.
    """

    key: str
    digest: str
    expires_at: float
    status: Status


class RequestApproval(Request[Ticket], wire_name="agentbus.approvals.RequestApproval"):
    """May I do that? Sent again under its key it is the same request.

    Attributes:
        key: names this one effect; another payload under it is refused.
        action: what is to be done, for people.
        payload: with what, as JSON values; the decision holds for exactly this.
        ttl: seconds in which somebody has to decide; a re-send does not prolong it.
    """

    key: str
    action: str
    payload: Any
    ttl: float

    def __post_init__(self) -> None:
        """Refuse what no desk takes."""
        for name in (self.key, self.action):
            if not 0 < len(name) <= MAX_NAME_CHARACTERS:
                raise ValueError(f"a key and an action have 1 to {MAX_NAME_CHARACTERS} characters")
        if not (math.isfinite(self.ttl) and 0 < self.ttl <= MAX_TTL):
            raise ValueError(f"ttl is more than 0 and at most {MAX_TTL:g} seconds, not {self.ttl:g}")
        if len(msgspec.json.encode(self.payload)) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload takes at most {MAX_PAYLOAD_BYTES} bytes")


class Verdict(Message, wire_name="agentbus.approvals.Verdict"):
    """What has become of a request.

    Attributes:
        key: of the request.
        action: what it is about.
        digest: of the action and payload that it holds for.
        status: pending, approved, denied or expired.
        by: who decided.
        at: when, in seconds since 1970.
    """

    key: str
    action: str
    digest: str
    status: Status
    by: str = ""
    at: float | None = None

    def check(self, payload: Any) -> None:
        """Call this right before the effect: it lets through what was approved, and nothing else.

        Args:
            payload: what is about to be done.

        Raises:
            PayloadChanged: that is not what was decided on.
            ApprovalDenied: somebody said no.
            ApprovalExpired: nobody said anything in time, or yet.
        """
        if digest_of(self.action, payload) != self.digest:
            raise PayloadChanged(self.key)
        if self.status == "denied":
            raise ApprovalDenied(self.key, self.by)
        if self.status != "approved":
            raise ApprovalExpired(self.key)


class AwaitVerdict(Request[Verdict], wire_name="agentbus.approvals.AwaitVerdict"):
    """What has become of it? The answer comes when it is decided or expired.

    Attributes:
        key: of the request.
    """

    key: str


class Decide(Request[Verdict], wire_name="agentbus.approvals.Decide"):
    """Approve or deny a request, once. The very same decision again gets the same answer.

    Attributes:
        key: of the request.
        approve: yes or no.
        by: who decides, for the record.
        digest: of the request that was looked at.
    """

    key: str
    approve: bool
    by: str
    digest: str


class PendingApproval(msgspec.Struct, frozen=True):
    """A request that waits for somebody.

    Attributes:
        key: see `RequestApproval`.
        action: see `RequestApproval`.
        payload: see `RequestApproval`.
        digest: to be given with the decision.
        asker: the agent that asked; None for a program outside any agent.
        asked_at: when, in seconds since 1970.
        expires_at: when it is too late.
    """

    key: str
    action: str
    payload: Any
    digest: str
    asker: str | None
    asked_at: float
    expires_at: float


class ListPending(Request[list[PendingApproval]], wire_name="agentbus.approvals.ListPending"):
    """What waits for a decision? Oldest first."""
