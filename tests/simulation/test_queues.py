"""Queues in simulated worlds: what producers, workers and the disk saw, held against the promise.

More of them: `make simulate SEEDS=10000`.
"""

from __future__ import annotations

import gc

import pytest

from agentbus.testing.simulation import QUEUE_SCENARIOS, describe_failure, draw_queue_plan, play

SEEDS = 18
CHUNK = 6


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_queue_keeps_its_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run = play(draw_queue_plan(seed))
        assert not run.violations, "\n" + describe_failure(run)
    gc.collect()


@pytest.mark.parametrize("seed", [28, 64])
def test_a_bus_that_hosted_a_queue_leaves_no_call_open(seed: int) -> None:
    assert not play(draw_queue_plan(seed)).violations


def test_the_seeds_take_every_scenario_in_turn() -> None:
    drawn = {draw_queue_plan(seed).scenario for seed in range(len(QUEUE_SCENARIOS))}
    assert drawn == set(QUEUE_SCENARIOS)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert play(draw_queue_plan(4)).digest == play(draw_queue_plan(4)).digest
