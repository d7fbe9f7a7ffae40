"""Two hundred worlds, each drawn from a seed: real clients, a real hub, faults, and what must hold then.

More of them: `make simulate SEEDS=10000`.
"""

from __future__ import annotations

import gc

import pytest

from agentbus.testing.simulation import SCENARIOS, describe_failure, draw_plan, play

SEEDS = 200
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_invariant_is_violated(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run = play(draw_plan(seed))
        assert not run.violations, "\n" + describe_failure(run)
    gc.collect()


def test_the_seeds_take_every_scenario_in_turn() -> None:
    assert {draw_plan(seed).scenario for seed in range(len(SCENARIOS))} == set(SCENARIOS)
