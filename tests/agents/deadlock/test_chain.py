"""What a chain says of the agent that an ask has reached."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.deadlock.chain import cycle_at

names = st.sampled_from(["a", "b", "c", "d"])
chains = st.lists(st.tuples(names, st.text("0123456789", min_size=1, max_size=2)), max_size=8).map(tuple)


@given(names, chains)
def test_a_cycle_begins_where_the_agent_first_waits(agent: str, chain: tuple[tuple[str, str], ...]) -> None:
    cycle = cycle_at(agent, chain)
    before = chain[: len(chain) - len(cycle)]
    assert chain == before + cycle
    assert all(name != agent for name, _wait in before)
    assert bool(cycle) == any(name == agent for name, _wait in chain)


@given(names, chains, st.integers(1, 4))
def test_it_takes_as_many_waits_as_the_agent_has_hands(
    agent: str, chain: tuple[tuple[str, str], ...], hands: int
) -> None:
    waiting = sum(name == agent for name, _wait in chain)
    assert bool(cycle_at(agent, chain, concurrency=hands)) == (waiting >= hands)
