"""Who hosts a queue, as the directory and the store show it."""

from __future__ import annotations

import pytest

from agentbus.agents.address import Address
from agentbus.agents.directory import AgentEntry
from agentbus.agents.finder import Sighting
from agentbus.agents.nodes import NodeState
from agentbus.agents.queues.claim import died, other_host
from agentbus.agents.status import AgentStatus

HERE, THERE = "here", "there"


def seen(node: str, state: NodeState) -> Sighting:
    address = Address("default", node, "queue.tasks")
    return Sighting(address, AgentEntry("queue.tasks"), AgentStatus.UNKNOWN, 0, state)


@pytest.mark.parametrize(
    ("state", "died_with", "dead"),
    [
        (NodeState.SUSPECT, "default/there/queue.tasks", True),
        (NodeState.SUSPECT, "", False),
        (NodeState.SUSPECT, "default/elsewhere/queue.tasks", False),
        (
            NodeState.ALIVE,
            "default/there/queue.tasks",
            False,
        ),  # a new life of it hosts the queue from another store
    ],
)
def test_a_host_is_dead_if_it_is_out_of_reach_and_died_with_its_store(
    state: NodeState, died_with: str, dead: bool
) -> None:
    assert died(seen(THERE, state), died_with) is dead


def test_another_node_s_host_is_in_the_way_and_one_s_own_entry_is_not() -> None:
    there, here = seen(THERE, NodeState.SUSPECT), seen(HERE, NodeState.ALIVE)
    assert other_host([here, there], HERE) == there.address
    assert other_host([here], HERE) is None
