"""Schedules and clocks in a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentbus.testing.simulation.bus.steps import NodeStep
from agentbus.testing.simulation.queues.steps import PartStep

if TYPE_CHECKING:
    from agentbus.testing.simulation.stage import Stage


class KeepSchedule(PartStep, frozen=True, kw_only=True):
    """Have a job put again and again; a second time under one name replaces the first.

    Attributes:
        name: of the schedule and its tasks.
        every: seconds.
        once: whether a tick that was missed is made up for.
        takes: seconds that each job takes.
    """

    name: str
    every: float
    once: bool = False
    takes: float = 0.0

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(
            stage,
            lambda part: part.keep_schedule(self.name, self.every, once=self.once, takes=self.takes),
        )


class DropSchedule(PartStep, frozen=True, kw_only=True):
    """Have a job put no more. Attributes: the name of its schedule, which may not be there."""

    name: str

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(stage, lambda part: part.drop_schedule(self.name))


class JumpClock(NodeStep, frozen=True, kw_only=True):
    """Set the clock of a node's machine. Attributes: the seconds by which it goes forward, or back."""

    seconds: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.queue is not None:
            stage.queue.jump_clock(self.who, self.seconds)
