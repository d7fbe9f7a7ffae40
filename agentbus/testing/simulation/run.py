"""Play a plan from beginning to end, and judge what happened."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from agentbus.errors import QueueFencedError, QueueTakenError, StoreError
from agentbus.testing.simulation.bus.agents import JobFailedError
from agentbus.testing.simulation.evidence import (
    ClientAccount,
    Evidence,
    look_at_clients,
    look_at_hub,
    look_at_nodes,
    look_for_leftovers,
)
from agentbus.testing.simulation.invariants import Violation, judge
from agentbus.testing.simulation.plan import Plan
from agentbus.testing.simulation.stage import ROLL_CALL, Stage

SETTLE: Final = 130.0
"""Seconds in which a healed world comes to rest: a watchdog (60 s), a backoff (36 s), a welcome (10 s)"""
WORK: Final = 150.0
"""Seconds in which workers do what is left on a queue, and its leases end."""
LEAST_REST: Final = 65.0
"""Seconds that a world with a queue is left alone at least: who was killed is back in a minute."""
LOOK: Final = 10.0
"""Seconds between two looks whether it is."""
EXPECTED: Final = (StoreError, QueueTakenError, QueueFencedError)
"""What is logged of a full disk, and of a second host."""
END: Final = 45.0
"""Seconds from the disposal of all clients until nothing may be left: 40 s for the half-open, and some."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        plan: what was played.
        digest: hash of the trace.
        trace: its lines.
        violations: what should not have happened.
    """

    plan: Plan
    digest: str
    trace: list[str]
    violations: list[Violation]


def play(plan: Plan) -> Run:
    """Play a plan. It takes no real time but that of its computation, and is the same each time."""
    with _errors() as errors, _no_garbage_collection(), Stage(plan) as stage:
        evidence = _play(plan, stage, errors)
        stage.trace.note("world", f"chance {stage.draw()}")
        return Run(plan, stage.trace.digest(), stage.trace.lines(), judge(evidence))


def _play(plan: Plan, stage: Stage, errors: list[str]) -> Evidence:
    for step in plan.steps:
        stage.advance_to(step.at)
        stage.trace.note("plan", str(step))
        step.run(stage)
    healed_at = max(stage.loop.time(), plan.steps[-1].at if plan.steps else 0.0) + 1.0
    stage.advance_to(healed_at)
    stage.heal()
    _come_to_rest(stage, healed_at)
    stage.roll_call()
    quiet_at = stage.loop.time() + 2 * ROLL_CALL
    stage.advance_to(quiet_at)
    quiet_clients, quiet_hub, quiet_nodes = look_at_clients(stage), look_at_hub(stage), look_at_nodes(stage)
    stage.dispose()
    stage.advance_to(quiet_at + END)
    return Evidence(
        plan=plan,
        clients={
            name: ClientAccount(client.spec, client.entries, client.calls, stage.stalls.get(name, []))
            for name, client in stage.clients.items()
        },
        events=stage.hub.account.events,
        sessions=stage.hub.account.sessions,
        quiet_clients=quiet_clients,
        quiet_hub=quiet_hub,
        lives=[life.log for node in stage.nodes.values() for life in node.lives],
        letters=stage.letters,
        handlings=stage.handlings,
        stalls=stage.stalls,
        quiet_nodes=quiet_nodes,
        queue=None if stage.queue is None else stage.queue.history,
        quiet_at=quiet_at,
        leftovers=look_for_leftovers(stage),
        failures=[*errors, *(repr(error) for error in stage.loop.exceptions)],
    )


def _come_to_rest(stage: Stage, healed_at: float) -> None:
    if stage.queue is None:
        stage.advance_to(healed_at + SETTLE)
        return
    stage.advance_to(healed_at + LEAST_REST)
    while stage.loop.time() < healed_at + SETTLE + WORK and not stage.at_rest():
        stage.advance_to(stage.loop.time() + LOOK)


class _Errors(logging.Handler):
    """Keep what is logged as an error."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        error = record.exc_info[1] if record.exc_info else None
        told = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(error, JobFailedError) or isinstance(told, EXPECTED):
            return  # as it was told to; as a full disk, or a second host
        self._kept.append(f"{record.name}: {record.getMessage()}" + (f" ({error!r})" if error else ""))


@contextmanager
def _errors() -> Generator[list[str]]:
    """Collect the errors that agentbus and asyncio log meanwhile, and print none of them."""
    kept: list[str] = []
    handler = _Errors(kept)
    loggers = [logging.getLogger(name) for name in ("agentbus", "asyncio")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield kept
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


@contextmanager
def _no_garbage_collection() -> Generator[None]:
    """Keep finalizers out of the run: when they would be called is not for the seed to say."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
