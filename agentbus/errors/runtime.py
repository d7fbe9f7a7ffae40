"""What actors, futures and loops raise."""

from __future__ import annotations

from agentbus.errors.root import AgentBusError


class RuntimeFault(AgentBusError):
    """Root of what actors, futures and loops raise."""


class ForkedError(RuntimeFault):
    """An object made before a fork was used in the child; make a new one there."""


class BlockingCallError(RuntimeFault):
    """A blocking wait on a loop thread, which could never end; `await` it instead."""


class FutureTimeoutError(RuntimeFault, TimeoutError):
    """`Future.get(timeout)` ran out; the work itself goes on."""


class FutureCancelledError(RuntimeFault):
    """The result was cancelled before it came."""


class ActorStoppedError(RuntimeFault):
    """The actor ended before it handled the message."""


class MailboxFullError(RuntimeFault):
    """The mailbox is full and its policy is *reject*.

    Attributes:
        capacity: messages that it holds.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(f"the mailbox is full ({capacity} messages); slow down, or give it another policy")
        self.capacity = capacity


class MessageDroppedError(RuntimeFault):
    """The mailbox was full and its policy dropped this message."""


class StreamClosedError(RuntimeFault):
    """The stream has ended."""
