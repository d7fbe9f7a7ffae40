"""Names, URLs, frames and data that the protocol refuses."""

from __future__ import annotations

from agentbus.errors.root import AgentBusError


class InvalidNameError(AgentBusError, ValueError):
    """A name that protocol section 2 forbids.

    Attributes:
        kind: what was named: "channel", "peer id", "node", ...
        problem: which rule it breaks.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"not a valid {kind}: {problem}")
        self.kind = kind
        self.problem = problem


class InvalidUrlError(AgentBusError, ValueError):
    """A hub URL that protocol section 1 forbids. The URL itself is not repeated: it may carry a secret."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"not a valid hub URL: {problem}")
        self.problem = problem


class FrameDecodeError(AgentBusError, ValueError):
    """Bytes that are no usable frame.

    Attributes:
        code: the error code of protocol section 6 that a hub answers with.
        problem: what is wrong, in our own words.
        request_id: the frame's `requestId` where it could still be read.
    """

    def __init__(self, code: str, problem: str, request_id: str | None = None) -> None:
        super().__init__(f"unusable frame ({code}): {problem}")
        self.code = code
        self.problem = problem
        self.request_id = request_id


class EncodeError(AgentBusError, TypeError):
    """Data that has no JSON form."""
