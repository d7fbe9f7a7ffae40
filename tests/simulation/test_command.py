"""`python -m agentbus.testing.simulation`: what it prints, and its exit code."""

from __future__ import annotations

from typing import Any

import pytest

from agentbus.client.router import Router
from agentbus.testing.simulation.__main__ import main


def tell_nothing(_router: Router, _frame: Any) -> None:
    """Lose a message."""


def test_seeds_that_hold_give_zero_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--scenario", "calm"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("3 of 3 seeds, 0 failed, ")


def test_a_failure_prints_its_seed_the_trace_and_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Router, "message", tell_nothing)
    assert main(["--seed", "9", "--scenario", "calm", "--shrink"]) == 1
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0] == "the smallest plan that fails like this:"
    assert "seed 9, scenario 'calm': 1 violation(s)" in said
    assert "what_is_heard_is_what_was_handed" in said
    assert "lines of the trace:" in said
    assert (
        lines[-1]
        == "to play it again: python -m agentbus.testing.simulation --seed 9 --scenario calm --trace"
    )


def test_a_trace_is_printed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "9", "--scenario", "calm", "--trace"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split() == ["0.000000", "hub-1", "listens"]


def test_an_unknown_scenario_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--scenario", "sunshine"])
    assert ended.value.code == 2
    assert "invalid choice: 'sunshine'" in capsys.readouterr().err
