"""What agents and their bus raise."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from agentbus.errors.root import AgentBusError


class AgentError(AgentBusError):
    """Root of what agents and the bus raise."""


class NodeTakenError(AgentError):
    """Another live process holds this node id; give this one another `node=`."""

    def __init__(self, node: str) -> None:
        super().__init__(f"another live process is node {node!r}; give this one another node=")
        self.node = node


class MissingPermission(AgentError):
    """The credential lacks what a feature needs.

    Attributes:
        action: "send", "publish", "subscribe" or "presence".
        feature: what cannot work without it.
    """

    def __init__(self, action: str, feature: str) -> None:
        super().__init__(f"the credential does not permit {action!r}, which {feature} needs")
        self.action = action
        self.feature = feature


class BusClosedError(AgentError):
    """The bus was closed, or a no-retry close code ended it (then `close_code` says which)."""

    follows_an_end: ClassVar[bool] = True

    def __init__(self, explanation: str = "the bus is closed", close_code: int | None = None) -> None:
        super().__init__(explanation)
        self.close_code = close_code


class NoSuchAgentError(AgentError):
    """The node lives; it hosts no agent of that name."""

    def __init__(self, address: str) -> None:
        super().__init__(f"there is no agent {address!r}")
        self.address = address


class UndecodableMessageError(AgentError):
    """The recipient cannot read this message: unknown type, unknown version, or a body that does not fit.

    Attributes:
        known_versions: those of this type of message that the recipient does read, where the version is at
            fault.
    """

    def __init__(self, explanation: str = "", known_versions: tuple[int, ...] = ()) -> None:
        super().__init__(explanation)
        self.known_versions = known_versions


class UnhandledMessageError(AgentError):
    """The recipient has no handler for this type of message."""


class AgentFailed(AgentError):
    """The handler raised.

    Attributes:
        error_type: qualified name of the handler's exception.
        error_message: its text.
    """

    def __init__(self, error_type: str, error_message: str = "") -> None:
        super().__init__(f"the handler raised {error_type}: {error_message}")
        self.error_type = error_type
        self.error_message = error_message


class AgentStalledError(AgentError):
    """The handler was cancelled: it had worked for too long without a mark of progress.

    Attributes:
        message_type: what it worked on.
        seconds: without a mark.
    """

    def __init__(self, message_type: str, seconds: float) -> None:
        super().__init__(f"no progress with {message_type} for {seconds:.3g} s; mark it with self.progress()")
        self.message_type = message_type
        self.seconds = seconds


class AgentRestarted(AgentError):
    """The agent was restarted while it worked on this."""


class AgentStopped(AgentError):
    """The agent stopped before it worked on this; a message is a dead letter then."""

    follows_an_end: ClassVar[bool] = True


class AskTimeoutError(AgentError, TimeoutError):
    """The deadline passed before the reply."""


class OutcomeUnknownError(AgentError):
    """The other incarnation is gone and its ack never came: the message may or may not have been handled."""


class HopLimitError(AgentError):
    """So many messages in a row caused this one that agents seem to answer each other without end.

    Attributes:
        limit: how many may.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} messages in a row led to this one; do agents echo each other?")
        self.limit = limit


class DeadlockError(AgentError):
    """Agents wait for one another in a ring; this ask would have closed it.

    Attributes:
        cycle: their addresses, from one of them round to the same.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(
            f"this ask would wait for ever: {' -> '.join(cycle)}; is one of them to be reentrant?"
        )
        self.cycle = tuple(cycle)


class BudgetExhausted(AgentError):
    """The budget of a message does not cover what was to be done; it was not done, and nothing was spent.

    Attributes:
        what: "tokens", "money", "hops" or "wall".
        wanted: how much of it.
        left: how much is there; of money a `Decimal`.
    """

    def __init__(self, what: str, wanted: float | Decimal, left: float | Decimal) -> None:
        over = "its wall time is over" if what == "wall" else f"it takes {wanted} {what}, and {left} are left"
        super().__init__(f"the budget does not cover this: {over}")
        self.what = what
        self.wanted = wanted
        self.left = left


class BodyTooLargeError(AgentError, ValueError):
    """The body is over what the bus carries.

    Attributes:
        size: bytes of the encoded body.
        cap: bytes that the bus carries.
    """

    def __init__(self, size: int, cap: int) -> None:
        super().__init__(f"the body has {size} bytes and the bus carries {cap}; send less, or a reference")
        self.size = size
        self.cap = cap


class AttachmentFailed(AgentError):
    """What was attached to a message could not be read to its end where it comes from.

    Attributes:
        error_type: qualified name of what its source raised.
        error_message: its text.
    """

    def __init__(self, error_type: str, error_message: str = "") -> None:
        super().__init__(f"the source of the attachment raised {error_type}: {error_message}")
        self.error_type = error_type
        self.error_message = error_message


class CreditExceededError(AgentError):
    """The other side sent more chunks than it was allowed to."""


class ProcessExitedError(AgentError):
    """The process of an agent ended without being asked to.

    Attributes:
        exit_code: its exit status; below 0, the number of the signal that killed it.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the agent's process {_how_it_ended(exit_code)}")
        self.exit_code = exit_code


def _how_it_ended(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit status {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


class StoreError(AgentError):
    """The store of an agent's state can't be read or written; what it was to keep was not acknowledged."""


class NotTrustedError(AgentError):
    """The sender's token does not allow that here."""
