"""`agentbus queue host`: what it refuses; `tests/e2e/test_running_page.py` runs it."""

from __future__ import annotations

import pytest
import typer

from agentbus import QueueOptions
from agentbus.cli.commands.queue_host import read_options
from tests.cli.conftest import Run


def test_options_are_read_as_what_they_are() -> None:
    read = read_options(["lease=120", "max_attempts=2", "rate=5", "retry_jitter=0"])
    assert read == QueueOptions(lease=120.0, max_attempts=2, rate=5, retry_jitter=0.0)
    assert read_options([]) == QueueOptions()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--store", "nowhere://x"], "a queue is kept in memory:// or sqlite:///path"),
        (
            ["--store", "memory://", "--set", "colour=red"],
            "not 'colour=red'; the names are lease, min_lease,",
        ),
        (
            ["--store", "memory://", "--set", "max_attempts=many"],
            "Expected `int`, got `str` - at `$.max_attempts`",
        ),
        (["--store", "memory://", "--node", ""], "node"),
    ],
)
def test_what_no_host_can_be_made_of_is_one_line_and_2(run: Run, arguments: list[str], words: str) -> None:
    code, out, errors = run("queue", "host", "orders", *arguments)
    assert (code, out) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_credential_of_no_node_is_refused_before_anything_is_claimed(run: Run) -> None:
    code, _out, errors = run(
        "queue", "host", "orders", "--store", "memory://", "--url", "wss://hub.example", "--key", "pk_live_x"
    )
    assert code == 1
    assert "agentbus token PEER --node" in errors


def test_replicas_with_a_queue_are_refused() -> None:
    from agentbus.cli.commands.worker import worker

    with pytest.raises(typer.Exit) as ended:
        worker("m:C", queue="orders", replicas=2)
    assert ended.value.exit_code == 2
