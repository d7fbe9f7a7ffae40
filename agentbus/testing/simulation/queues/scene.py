"""The queue's share of a simulated world."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from agentbus.testing.simulation.plan import QueueSpec
from agentbus.testing.simulation.queues.disk import Disk
from agentbus.testing.simulation.queues.history import History, Jump
from agentbus.testing.simulation.queues.part import QUEUE, QueuePart

if TYPE_CHECKING:
    from agentbus.testing.simulation.bus.nodes import NodeLife
    from agentbus.testing.simulation.stage import Stage


class QueueScene:
    """One queue: its disk, and what everybody has told of it.

    Args:
        stage: the world around it.
        spec: who hosts it, and what it allows.

    Attributes:
        spec: see above.
        history: see `History`.
        disk: where the queue is kept.
    """

    def __init__(self, stage: Stage, spec: QueueSpec) -> None:
        self._stage = stage
        self.spec = spec
        self.history = History()
        self.disk = Disk(
            QUEUE,
            stage.loop,
            Random(f"{stage.seed} disk"),
            locks=spec.locks,
            note=lambda event: self.note("disk", event),
        )
        self.history.written, self.history.claims = self.disk.log, self.disk.claims
        self._tasks = 0

    def now(self) -> float:
        """Give the virtual time."""
        return self._stage.loop.time()

    def note(self, who: str, event: str) -> None:
        """Write a line of the trace."""
        self._stage.trace.note(who, event)

    def join(self, life: NodeLife) -> None:
        """Give a life of a node its part."""
        if life.bus is not None:
            life.part = QueuePart(self, life.bus, life.log, life.process)

    def next_task(self) -> str:
        """Name a task."""
        self._tasks += 1
        return f"task{self._tasks}"

    def fill(self) -> None:
        """Let the disk be full."""
        self.note("disk", "is full")
        self.disk.full = True

    def relieve(self) -> None:
        """Let the disk have room again."""
        self.note("disk", "has room")
        self.disk.full = False

    def resume(self) -> None:
        """Have every node do its part: those that are to work do, and nobody holds the queue."""
        for node in self._stage.nodes.values():
            node.with_life(self._resume)

    @staticmethod
    def _resume(life: NodeLife) -> None:
        if life.part is not None:
            life.process.loop.perform(life.part.start_worker)
            life.process.loop.perform(partial(life.part.hold, back=False))

    def jump_clock(self, node: str, seconds: float) -> None:
        """Set the clock of a node forward, or back."""
        simulated = self._stage.nodes[node]
        simulated.jump_clock(seconds)
        self.history.jumps.append(Jump(self.now(), node, simulated.ahead))

    def drop_schedules(self) -> None:
        """Have nothing put by itself any more."""
        for name in self.history.schedules:
            self._with_any(partial(_drop_schedule, name))

    def busy_node(self) -> str | None:
        """Give a node that has been at work on a job for longest, the host's only if there is no other."""
        busy = [each.life.node for each in self.history.attempts if each.at_work]
        return next((node for node in busy if node != self.host_node()), busy[0] if busy else None)

    def host_node(self) -> str | None:
        """Give the node that has claimed the queue last, if one has."""
        return self.history.claims[-1].node if self.history.claims else None

    def at_rest(self) -> bool:
        """Tell whether all jobs are over, whoever waited knows it, and no more are put."""
        return all(put.answered or put.life.over for put in self.history.puts) and self.disk.at_rest()

    def count(self) -> None:
        """Have somebody ask for the queue in numbers."""
        self._with_any(QueuePart.count)

    def _with_any(self, act: Callable[[QueuePart], object]) -> None:
        for node in self._stage.nodes.values():
            life = node.life
            if life is not None and life.part is not None:
                life.process.loop.perform(act, life.part)
                return


def _drop_schedule(name: str, part: QueuePart) -> None:
    part.drop_schedule(name)
