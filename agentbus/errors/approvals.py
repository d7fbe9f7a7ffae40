"""What asking for approval, and deciding on it, raises."""

from __future__ import annotations

from agentbus.errors.agents import AgentError


class ApprovalError(AgentError):
    """Root of what asking for approval, and deciding on it, raises.

    Attributes:
        key: of the request.
    """

    def __init__(self, key: str, explanation: str) -> None:
        super().__init__(f"approval {key!r}: {explanation}")
        self.key = key


class ApprovalDenied(ApprovalError):
    """Somebody said no.

    Attributes:
        by: who.
    """

    def __init__(self, key: str, by: str) -> None:
        super().__init__(key, f"denied by {by!r}")
        self.by = by


class ApprovalExpired(ApprovalError):
    """Nobody decided in time; a new request needs a new key."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "nobody decided in time; ask again under another key")


class PayloadChanged(ApprovalError):
    """What is asked for, decided on or about to be done is not what the request of that key says."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "its action or payload is not the one that was asked for under this key")


class DecisionRefusedError(ApprovalError):
    """Who decides may not, or comes too late.

    Attributes:
        reason: "agent", "asker", "nameless", "decided" or "expired".
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, f"the decision was refused: {_REFUSALS.get(reason, reason)}")
        self.reason = reason


_REFUSALS = {
    "agent": "the agent that decides is not among the desk's deciders",
    "asker": "who asks does not decide",
    "nameless": "it does not say by whom",
    "decided": "it was decided before",
    "expired": "its time is over",
}


class NoSuchApprovalError(ApprovalError):
    """Nobody has asked for it, or it is so long ago that the desk has forgotten it."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "the desk knows no such request")


class TooManyApprovalsError(ApprovalError):
    """The desk has as many requests, or waiting askers, as it takes.

    Attributes:
        limit: how many that is.
    """

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(key, f"{limit} wait already")
        self.limit = limit
