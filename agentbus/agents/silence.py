"""`ReceiveTimeout`: what an agent is told when no message has come to it for a while.

It goes through the mailbox like any message, to the handler of its type, and again after each further such
silence. A message that is handled, or waits, is no silence. There is one timer, which is not touched by
messages: when it is due it looks how long ago the last one ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentbus.agents.message import Message
from agentbus.agents.scope import current_scope

if TYPE_CHECKING:
    from agentbus.agents.delivery import Delivery
    from agentbus.runtime.cell_context import CellContext


class ReceiveTimeout(Message, wire_name="agentbus.ReceiveTimeout"):
    """No message has come for so many seconds."""

    seconds: float


class Silence:
    """How long one behaviour of an agent has heard nothing. On the agent's own thread or loop.

    Args:
        cell: its cell; the timer ends with the behaviour.
        deliver: puts a message into its mailbox.

    Attributes:
        seconds: after which it is told; None for never.
    """

    __slots__ = ("_cell", "_deliver", "_running", "_since", "_timer", "_told_of", "seconds")

    def __init__(self, cell: CellContext, deliver: Callable[[ReceiveTimeout], object]) -> None:
        self._cell = cell
        self._deliver = deliver
        self._running: set[Delivery] = set()
        self._since = 0.0
        self._told_of = 0.0
        self._timer: Any = None
        self.seconds: float | None = None

    def set(self, seconds: float | None) -> None:
        """Begin to wait for so much silence, or cease to.

        Raises:
            ValueError: it is not more than nothing.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a receive time-out is more than 0 s, not {seconds}")
        self._running.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.seconds = seconds
        scope = current_scope.get()
        if scope is not None and scope.delivery is not None:
            self.began(scope.delivery)  # it ends the silence like those that begin from now on
        else:
            self._listen()

    def is_stale(self, message: object) -> bool:
        """Whether this tells of a silence that something has broken meanwhile."""
        if not isinstance(message, ReceiveTimeout):
            return False
        return bool(self._running) or self._since != self._told_of

    def began(self, delivery: Delivery) -> None:
        """Note that a message is handled."""
        self._running.add(delivery)

    def ended(self, delivery: Delivery) -> None:
        """Note that it is handled no more, and listen anew."""
        self._running.discard(delivery)
        if not self._running:
            self._listen()

    def _listen(self) -> None:
        self._since = self._cell.clock.monotonic()
        if self._timer is None and self.seconds is not None:
            self._timer = self._cell.call_later(self.seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        if self.seconds is None or self._running:
            return  # the end of what runs begins anew
        left = self._since + self.seconds - self._cell.clock.monotonic()
        if left > 0:
            self._timer = self._cell.call_later(left, self._due)
        elif self._cell.ref.queue_length:
            self._listen()
        else:
            self._told_of = self._since
            self._deliver(ReceiveTimeout(self.seconds))
