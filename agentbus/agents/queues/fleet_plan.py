"""What a worker's puller is told: whose jobs it takes, and what handles them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agentbus.agents.agent import Agent, AsyncAgentActor
from agentbus.agents.handlers import handler_table
from agentbus.agents.spawning import REPLICA_POLICY, SpawnOptions

DRAIN_TIMEOUT = 30.0
"""Seconds that jobs get to end before they are handed back."""


class FleetPlan(msgspec.Struct, frozen=True):
    """A worker.

    Attributes:
        queue: name of its queue.
        cls: class of the agents that handle its jobs.
        args: of its constructor.
        kwargs: of its constructor.
        slots: jobs at a time.
        options: how the agents are started.
        drain_timeout: see `DRAIN_TIMEOUT`.
    """

    queue: str
    cls: type[Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    slots: int
    options: SpawnOptions
    drain_timeout: float

    @property
    def stall_timeout(self) -> float | None:
        """Seconds without a mark of progress after which a job's lease is not renewed."""
        return self.options.stall_rule(self.cls)[0]

    def options_of(self, restarts: int) -> SpawnOptions:
        """Give how the agents are started; those of the life before may take a moment to be gone."""
        suffix = f".{restarts}" if restarts else ""
        return msgspec.structs.replace(self.options, name=f"{self.options.name}{suffix}")


def fleet_plan(
    cls: type[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], options: SpawnOptions, name: str
) -> FleetPlan:
    """Say how a worker is made of what `spawn` was told.

    An async class is one agent that handles several jobs at a time; a sync one, or one in processes of their
    own, is one agent for each of them.

    Args:
        cls: of the agents.
        args: see `FleetPlan`.
        kwargs: see `FleetPlan`.
        options: what `spawn` was told.
        name: of the worker.

    Raises:
        ValueError: options that don't go together.
        TypeError: a class whose handlers can't take jobs.
    """
    _check(cls, options)
    options.check(cls)
    slots = options.concurrency or 1
    alone = issubclass(cls, AsyncAgentActor) and not options.process
    inner = msgspec.structs.replace(
        options,
        name=f"{name}.job",
        queue=None,
        concurrency=slots if alone else None,
        replicas=1 if alone else slots,
        supervision=options.supervision or REPLICA_POLICY,
        detached=False,
        metadata=None,
        takes_jobs=True,
    )
    timeout = DRAIN_TIMEOUT if options.drain_timeout is None else options.drain_timeout
    return FleetPlan(options.queue or "", cls, args, dict(kwargs), slots, inner, timeout)


def _check(cls: type[Any], options: SpawnOptions) -> None:
    if not issubclass(cls, Agent):
        raise TypeError(f"{cls.__qualname__} is no agent: jobs go to an AgentActor or an AsyncAgentActor")
    handler_table(cls)
    if not options.queue:
        raise ValueError("a queue's name is not empty")
    if options.replicas != 1:
        raise ValueError("concurrency= says how many jobs a worker takes at a time, so it has no replicas=")
    if options.store is not None or options.group is not None:
        raise ValueError("a worker keeps its state in its jobs and fails alone: no store=, no group=")
    if options.drain_timeout is not None and options.drain_timeout < 0:
        raise ValueError(f"a drain takes 0 seconds or more, not {options.drain_timeout:g}")
