"""Puts the layers that an agent asks for around its behaviour; an agent that asks for none has none."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.agents.agent import AgentContext
from agentbus.agents.behaviour import AgentBehaviour
from agentbus.agents.events import BusEvent
from agentbus.agents.lives.stall_watch import OnStall, StallBehaviour, StallWatch
from agentbus.agents.lives.store import Store
from agentbus.agents.lives.stored import StoredBehaviour
from agentbus.runtime.cell import Behaviour
from agentbus.runtime.cell_context import CellContext


def watch_for(
    rule: tuple[float | None, OnStall], address: str, cell: CellContext, report: Callable[[BusEvent], object]
) -> StallWatch | None:
    """Give what watches an agent for stalls; None without a time-out.

    Args:
        rule: seconds without a mark, and what follows.
        address: the agent's.
        cell: what its cell gives.
        report: takes events.
    """
    timeout, on_stall = rule
    return None if timeout is None else StallWatch(timeout, on_stall, address, cell, report)


def layered(agent: AgentBehaviour, context: AgentContext, store: Store | None) -> Behaviour:
    """Give the behaviour with its layers.

    What is stored is outermost: a message that a stall has cut off leaves no trace in the state.
    """
    behaviour: Behaviour = agent
    if context.stalls is not None:
        behaviour = StallBehaviour(behaviour, context.stalls)
    if store is not None:
        behaviour = StoredBehaviour(behaviour, agent, store, context)
    return behaviour
