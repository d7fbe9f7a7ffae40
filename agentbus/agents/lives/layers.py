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


def watched(behaviour: Behaviour, watch: StallWatch | None) -> Behaviour:
    """Give a behaviour whose messages are watched, if there is a watch."""
    return behaviour if watch is None else StallBehaviour(behaviour, watch)


def stored(
    behaviour: Behaviour, agent: AgentBehaviour, context: AgentContext, store: Store | None
) -> Behaviour:
    """Give a behaviour whose agent's state is stored, if there is a store.

    It goes outside of the watch: a message that a stall has cut off leaves no trace in the state.
    """
    return behaviour if store is None else StoredBehaviour(behaviour, agent, store, context)
