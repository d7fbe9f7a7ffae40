"""What observers of a cell see, in order, on the cell's own thread or loop.

    Started | Failed ( Restarting ( Restarted | Failed ... ) | GaveUp ) ... Stopped

`Stopped` is always the last, and there is exactly one. `Paused` and `Resumed` come in turn, while it runs.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agentbus.runtime.cell import CellRef


class CellState(enum.Enum):
    """Where in its life a cell is.

    From STARTING to RUNNING and, once it is asked to, through STOPPING to STOPPED. A failure leads from
    STARTING or RUNNING to BACKING_OFF and from there to STARTING, or, if it is one too many, to STOPPING.
    """

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    STOPPED = "stopped"


class StopReason(enum.Enum):
    """Why a cell ended."""

    REQUESTED = "requested"
    FAILED = "failed"


class Started(msgspec.Struct, frozen=True):
    """The first behaviour has started."""

    name: str


class Failed(msgspec.Struct, frozen=True):
    """The behaviour failed.

    Attributes:
        name: the cell's.
        error: what was raised.
        message: what was being handled; None if it failed to start, or in a timer or a control message.
    """

    name: str
    error: BaseException
    message: Any = None


class Restarting(msgspec.Struct, frozen=True):
    """A new behaviour will start in `delay` seconds; `attempt` counts the policy's period, from 1."""

    name: str
    delay: float
    attempt: int


class Restarted(msgspec.Struct, frozen=True):
    """A new behaviour has started; the mailbox goes on where it was."""

    name: str


class Paused(msgspec.Struct, frozen=True):
    """It takes no messages until it is resumed, also after a restart."""

    name: str


class Resumed(msgspec.Struct, frozen=True):
    """It takes messages again."""

    name: str


class GaveUp(msgspec.Struct, frozen=True):
    """The policy allows no further restart.

    Attributes:
        name: the cell's.
        error: the last failure.
        failures: failures within the policy's period.
    """

    name: str
    error: BaseException
    failures: int


class Stopped(msgspec.Struct, frozen=True):
    """The cell has ended; its address leads nowhere any more."""

    name: str
    reason: StopReason


CellEvent = Started | Failed | Restarting | Restarted | Paused | Resumed | GaveUp | Stopped


class ChildDown(msgspec.Struct, frozen=True):
    """To a parent, on its control lane: a child has given up.

    Attributes:
        child: whose end.
        error: the last failure.
    """

    child: CellRef
    error: BaseException
