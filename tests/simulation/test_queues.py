"""Queues in simulated worlds: what producers, workers and the disk saw, held against the promise.

A thousand of them: `make simulate`.
"""

from __future__ import annotations

import gc

import pytest

from agentbus.testing.simulation import QUEUE_SCENARIOS, describe_failure, draw_plan, draw_queue_plan, play

SEEDS = len(QUEUE_SCENARIOS)
CHUNK = 7
MANY, LARGE_CHUNK = 214, 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_queue_keeps_its_promise(first: int) -> None:
    _play_all(range(first, min(first + CHUNK, SEEDS)))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(SEEDS, MANY, LARGE_CHUNK))
def test_a_queue_keeps_its_promise_in_many_worlds(first: int) -> None:
    _play_all(range(first, first + LARGE_CHUNK))


def _play_all(seeds: range) -> None:
    for seed in seeds:
        run = play(draw_queue_plan(seed))
        gc.collect()
        assert not run.violations, "\n" + describe_failure(run)


@pytest.mark.parametrize("seed", [28, 64])
def test_a_bus_that_hosted_a_queue_leaves_no_call_open(seed: int) -> None:
    assert not play(draw_plan(seed, "queue-drains")).violations


def test_the_seeds_take_every_scenario_in_turn() -> None:
    drawn = {draw_queue_plan(seed).scenario for seed in range(len(QUEUE_SCENARIOS))}
    assert drawn == set(QUEUE_SCENARIOS)


def test_the_same_seed_gives_the_same_trace() -> None:
    plan = draw_plan(4, "queue-clocks")
    assert play(plan).digest == play(plan).digest
