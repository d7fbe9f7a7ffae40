"""What asking a language model raises."""

from __future__ import annotations

from agentbus.errors.agents import AgentError


class ModelError(AgentError):
    """Root of what asking a language model raises."""


class TokensOverQuotaError(ModelError, ValueError):
    """One request wants more tokens than the endpoint allows in a whole minute.

    Attributes:
        tokens: what it wants.
        allowed: tokens per minute.
    """

    def __init__(self, tokens: int, allowed: int) -> None:
        super().__init__(f"a request of {tokens} tokens can never go: {allowed} per minute are allowed")
        self.tokens = tokens
        self.allowed = allowed


class ModelUnavailableError(ModelError):
    """The endpoint gave no answer, after all retries.

    Attributes:
        status: the HTTP status of the last one; None if there was none.
    """

    def __init__(self, explanation: str, status: int | None = None) -> None:
        super().__init__(explanation)
        self.status = status
