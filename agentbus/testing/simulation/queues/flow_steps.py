"""Flows in a plan: how they are written down, and the step that puts one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from agentbus.agents.queues.new_jobs import Flow, chain, group, map_jobs
from agentbus.testing.simulation.queues.agents import Task
from agentbus.testing.simulation.queues.steps import PartStep

if TYPE_CHECKING:
    from agentbus.testing.simulation.queues.part import QueuePart
    from agentbus.testing.simulation.stage import Stage


class FlowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A flow.

    Attributes:
        kind: how its steps hang together.
        steps: fields of a `Task` without its name, or further flows.
        window: of a map.
    """

    kind: Literal["chain", "group", "map"]
    steps: tuple[Any, ...]
    window: int = 1

    def made(self, next_name: Callable[[], str]) -> Flow:
        """Make what is put, with names for its tasks."""
        steps = [
            each.made(next_name) if isinstance(each, FlowSpec) else Task(next_name(), **each)
            for each in self.steps
        ]
        if self.kind == "map":
            return map_jobs(steps, window=self.window)
        return chain(*steps) if self.kind == "chain" else group(*steps)


def names_of(flow: Flow) -> Iterator[str]:
    """Give the names of all tasks of a flow."""
    for step in flow.steps:
        if isinstance(step, Flow):
            yield from names_of(step)
        elif isinstance(step, Task):
            yield step.name


class PutFlow(PartStep, frozen=True, kw_only=True):
    """Put a flow.

    Attributes:
        flow: which.
        options: of the put.
    """

    flow: FlowSpec
    options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.queue is not None:
            flow = self.flow.made(stage.queue.next_task)
            self.act(stage, partial(self._put, flow))

    def _put(self, flow: Flow, part: QueuePart) -> None:
        part.put(flow, tuple(names_of(flow)), self.options)
