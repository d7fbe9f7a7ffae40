"""What people tell a cell through its control lane: take no messages, take them again, take this advice.

Each is applied at the cell's next safe point, in order: on a loop between two steps of the loop, also while
handlers await; on a thread between messages, and where the handler calls `checkpoint`. One that a restart
cuts off is applied again by the next behaviour; one that the end overtakes never is, and its future says so.
"""

from __future__ import annotations

from typing import Any

from agentbus.runtime.future import Future

MAX_CONTROLS = 1000
"""So many may wait to be applied; beyond it the one who sends another gets `MailboxFullError`."""


class Control:
    """Something to apply.

    Attributes:
        future: True once it is applied, False if it never will be.
    """

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: Future[bool] = Future(cancellable_by_waiter=True)


class Switch(Control):
    """Take no messages from now on, or take them again.

    Attributes:
        paused: which.
    """

    __slots__ = ("paused",)

    def __init__(self, *, paused: bool) -> None:
        super().__init__()
        self.paused = paused


class Refusal:
    """What `on_control` gives for advice that never reached the agent: who steers is told, all goes on.

    Attributes:
        error: why.
    """

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Steer(Control):
    """A message for the behaviour's `on_control`.

    Attributes:
        message: any.
    """

    __slots__ = ("message",)

    def __init__(self, message: Any) -> None:
        super().__init__()
        self.message = message
