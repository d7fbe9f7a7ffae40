"""Make a failing plan smaller: leave steps out, as long as the same invariant is violated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agentbus.testing.simulation.plan import Plan

Fails = Callable[[Plan], bool]


def shrink(plan: Plan, fails: Fails, *, tries: int = 400) -> Plan:
    """Leave out what does not matter: first the larger parts, then single steps, then whole clients.

    Args:
        plan: a plan that fails.
        fails: plays a plan, and tells whether it fails in the same way.
        tries: how many plans may be played.
    """
    budget = _Budget(fails, tries)
    steps = _fewer(list(plan.steps), lambda left: budget.fails(with_steps(plan, left)))
    plan = with_steps(plan, steps)
    for each in plan.cast:
        fewer = _without(plan, each.name)
        if (fewer.clients or fewer.nodes) and budget.fails(fewer):
            plan = fewer
    return plan


def with_steps(plan: Plan, steps: list[Any]) -> Plan:
    """Give the plan with other steps."""
    return msgspec.structs.replace(plan, steps=tuple(steps))


def _without(plan: Plan, name: str) -> Plan:
    clients = tuple(client for client in plan.clients if client.name != name)
    nodes = tuple(node for node in plan.nodes if node.name != name)
    steps = [step for step in plan.steps if name not in {getattr(step, "who", ""), getattr(step, "to", "")}]
    return msgspec.structs.replace(plan, clients=clients, nodes=nodes, steps=tuple(steps))


def _fewer(steps: list[Any], fails: Callable[[list[Any]], bool]) -> list[Any]:
    """Zeller's delta debugging, from halves down to single steps."""
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            left = steps[:start] + steps[start + size :]
            if fails(left):
                steps = left
            else:
                start += size
        size //= 2
    return steps


class _Budget:
    def __init__(self, fails: Fails, tries: int) -> None:
        self._fails = fails
        self._tries = tries

    def fails(self, plan: Plan) -> bool:
        self._tries -= 1
        return self._tries >= 0 and self._fails(plan)
