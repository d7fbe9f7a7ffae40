"""A failing plan is made as small as it can be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.testing.simulation import ClientSpec, Plan, shrink
from agentbus.testing.simulation.operations import Connect, Publish

PLAN = Plan(
    seed=1,
    scenario="by hand",
    clients=(ClientSpec(name="alice"), ClientSpec(name="bob")),
    steps=tuple(Connect(at=float(number), who="alice") for number in range(20)),
)


@settings(max_examples=30)
@given(st.sets(st.integers(min_value=0, max_value=19), min_size=1, max_size=4))
def test_only_the_steps_that_matter_stay(needed: set[int]) -> None:
    def fails(plan: Plan) -> bool:
        return needed <= {int(step.at) for step in plan.steps}

    small = shrink(PLAN, fails)
    assert {int(step.at) for step in small.steps} == needed
    assert [client.name for client in small.clients] == ["alice"]


def test_it_gives_up_when_its_tries_are_used_up() -> None:
    played: list[Plan] = []

    def fails(plan: Plan) -> bool:
        played.append(plan)
        return False

    assert shrink(PLAN, fails, tries=5) == PLAN
    assert len(played) == 5


def test_a_plan_says_what_it_is() -> None:
    plan = Plan(seed=3, scenario="x", clients=PLAN.clients, steps=(Publish(at=2.5, who="bob", channel="c"),))
    lines = plan.describe()
    assert lines[0] == "scenario 'x', seed 3, latency 0 s + 0 s"
    assert lines[-1] == "    2.500  Publish(who='bob', channel='c', count=1, size=0)"
