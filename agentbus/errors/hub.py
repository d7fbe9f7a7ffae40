"""What a hub raises."""

from __future__ import annotations

from agentbus.errors.root import AgentBusError


class HubError(AgentBusError):
    """Root of what the hub raises."""


class HubConfigError(HubError, ValueError):
    """A configuration that the hub refuses.

    Attributes:
        source: the file, or what stands in for it.
        key: dotted path of the setting.
        problem: what is wrong with it; never its value, which may be a secret.
    """

    def __init__(self, source: str, key: str, problem: str) -> None:
        super().__init__(f"{source}: {key}: {problem}" if key else f"{source}: {problem}")
        self.source = source
        self.key = key
        self.problem = problem


class PacketError(HubError, ValueError):
    """What another hub sent, and this one can't read: of another version, or no packet at all."""


class TokenError(HubError, ValueError):
    """A JWT that the hub refuses.

    Attributes:
        expired: whether its `exp` has passed and all else was right.
    """

    def __init__(self, problem: str, *, expired: bool = False) -> None:
        super().__init__(f"the token is refused: {problem}")
        self.problem = problem
        self.expired = expired
