"""The part of `worker` that refuses to start; one that runs is in tests/e2e."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nonsense", "MODULE:CLASS"),
        ("no_such_module_here:Class", "No module named"),
        ("agentbus:NoSuchClass", "NoSuchClass"),
        ("json:JSONDecoder", "subclass AgentActor or AsyncAgentActor"),
    ],
)
def test_a_class_that_is_not_there_is_2_and_named(run: Run, target: str, words: str) -> None:
    code, out, err = run("worker", target)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1  # no banner of a worker that never works
    assert "Traceback" not in err
