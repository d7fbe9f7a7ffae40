"""What happens to a queue: the steps of a plan that has one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from agentbus.testing.simulation.bus.steps import NodeStep
from agentbus.testing.simulation.plan import Step
from agentbus.testing.simulation.queues.agents import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentbus.testing.simulation.queues.part import QueuePart
    from agentbus.testing.simulation.stage import Stage


class PartStep(NodeStep, frozen=True, kw_only=True, tag=True):
    """Something that a node does about the queue, once its process runs."""

    def act(self, stage: Stage, act: Callable[[QueuePart], object]) -> None:
        """Have the life that goes on do something, if one does."""
        life = stage.nodes[self.who].life
        if life is not None and life.part is not None:
            life.process.loop.perform(act, life.part)


class PutJobs(PartStep, frozen=True, kw_only=True):
    """Put jobs.

    Attributes:
        count: how many.
        takes: see `Task`, as for the next three.
        fails: see there.
        rejects: see there.
        pays: see there.
        options: of the put.
    """

    count: int = 1
    takes: float = 0.0
    fails: int = 0
    rejects: bool = False
    pays: bool = False
    options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.queue is None:
            return
        for _ in range(self.count):
            task = Task(stage.queue.next_task(), self.takes, self.fails, self.rejects, self.pays)
            self.act(stage, partial(self._put, task))

    def _put(self, task: Task, part: QueuePart) -> None:
        part.put(task, (task.name,), self.options)


class CancelJob(PartStep, frozen=True, kw_only=True):
    """Cancel the job that a node has put last, wherever it is."""

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(stage, lambda part: part.cancel_last())


class SteerJobs(PartStep, frozen=True, kw_only=True):
    """Put dead jobs back, or forget jobs that are over or have not begun.

    Attributes:
        action: what of it.
        last: how many of those that the node has put last; None for all of the queue.
    """

    action: Literal["retry", "drop"]
    last: int | None = None

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(stage, lambda part: part.steer(self.action, self.last))


class HoldQueue(PartStep, frozen=True, kw_only=True):
    """Pause the queue for some seconds."""

    lasts: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(stage, lambda part: part.hold(back=True))
        stage.later(self.lasts, self.act, stage, _resume)


class DrainWorker(PartStep, frozen=True, kw_only=True):
    """Stop a node's worker, and start another one later.

    Attributes:
        timeout: seconds until it hands back what it has.
        down: seconds until the next one.
    """

    timeout: float
    down: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        self.act(stage, lambda part: part.stop_worker(self.timeout))
        stage.later(self.down, self.act, stage, _start_worker)


def _resume(part: QueuePart) -> None:
    part.hold(back=False)


def _start_worker(part: QueuePart) -> None:
    part.start_worker()


class PauseWorker(Step, frozen=True, kw_only=True):
    """Stop the process of a node that is at work on a job, if there is one; rather not that of the host.

    Attributes:
        lasts: seconds.
    """

    lasts: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        node = None if stage.queue is None else stage.queue.busy_node()
        process = None if node is None else stage.nodes[node].process
        if node is not None and process is not None:
            stage.pause(process, node, self.lasts)


class KillHost(Step, frozen=True, kw_only=True):
    """Kill the process that hosts the queue, and start another one.

    Attributes:
        down: seconds until then.
        silently: nobody hears of it, as in a power cut.
    """

    down: float
    silently: bool = False

    def run(self, stage: Stage) -> None:
        """Do it."""
        host = None if stage.queue is None else stage.queue.host_node()
        if host is not None:
            stage.nodes[host].with_life(lambda life: life.kill(silently=self.silently))
            stage.later(self.down, stage.nodes[host].start)


class FillDisk(Step, frozen=True, kw_only=True):
    """Let writes of the queue's host fail for some seconds."""

    lasts: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.queue is not None:
            stage.queue.fill()
            stage.later(self.lasts, stage.queue.relieve)
