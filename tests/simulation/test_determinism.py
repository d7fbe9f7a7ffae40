"""One seed, one trace: in this process, and in others whose hashes differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from agentbus.testing.simulation import SCENARIOS, draw_plan, play

ROOT = Path(__file__).resolve().parent.parent.parent


def digests(hash_seed: int) -> list[str]:
    """Give the digest of one run of each scenario, from a process of its own."""
    command = [sys.executable, "-m", "agentbus.testing.simulation", "--digest"]
    done = subprocess.run(
        [*command, "--seed", "40", "--seeds", str(len(SCENARIOS))],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    one, other = digests(1), digests(4711)
    assert len(one) == len(SCENARIOS)
    assert one == other
    here = [f"{seed} {play(draw_plan(seed)).digest}" for seed in range(40, 40 + len(SCENARIOS))]
    assert here == one


def test_another_seed_gives_another_trace() -> None:
    assert len({play(draw_plan(seed, "calm")).digest for seed in range(5)}) == 5


def test_a_plan_is_drawn_the_same_way_each_time() -> None:
    assert draw_plan(7, "storm") == draw_plan(7, "storm")
    assert draw_plan(7, "storm") != draw_plan(8, "storm")
