"""What `agentbus worker --queue` shows."""

from __future__ import annotations

import json

import pytest

from agentbus.agents.fleet_actor import WorkerProcess
from agentbus.agents.queues.health import Totals
from agentbus.agents.queues.parent import PlaceReport
from agentbus.agents.queues.puller_messages import WorkerReport
from agentbus.agents.queues.serving import ProcessReport
from agentbus.cli.commands.worker import address_of
from agentbus.cli.workers import WorkerScreen, status_line
from tests.cli.conftest import Run


def places(over: int) -> list[PlaceReport]:
    worker = WorkerReport("q", 4, 1, over, 0, attached=True, draining=False)
    return [PlaceReport(0, WorkerProcess(0, 1, "n"), ProcessReport(worker, 5_000_000))]


def test_the_line_says_how_many_run_and_what_stands_in_the_way() -> None:
    totals = Totals(
        processes=2, places=2, attached=2, running=3, slots=8, over=1204, failed=3, memory=90_000_000
    )
    assert status_line("tasks", totals) == (
        "tasks: 2/2 processes, 3/8 jobs running, 1204 done, 3 failed, 90 MB"
    )
    assert status_line("tasks", Totals(processes=1, places=2)).endswith("looking for the queue")
    missing = Totals(processes=1, places=2, missing="nobody hosts a queue 'tasks'")
    assert status_line("tasks", missing).endswith("0 MB, nobody hosts a queue 'tasks'")
    assert status_line("tasks", Totals(attached=1, draining=1)).endswith("draining")


def test_json_is_a_line_for_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    screen = WorkerScreen("q", as_json=True)
    for over in (1, 1, 2):
        screen.show(places(over))
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["over"] for line in printed] == [1, 2]
    assert printed[0]["queue"] == "q"


def test_without_a_terminal_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    screen = WorkerScreen("q", as_json=False)
    for over in range(41):
        screen.show(places(over))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_terminal_has_one_line_that_is_kept_up_to_date(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentbus.cli.console.is_terminal", lambda: True)
    screen = WorkerScreen("q", as_json=False)
    screen.show(places(1))
    screen.show(places(2))
    screen.say("process 7 ended")
    screen.close()
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "\rq: 1/1 processes" in printed
    assert printed.endswith("process 7 ended\n")


def test_an_address_is_a_port_with_or_without_a_host() -> None:
    assert address_of("8080") == ("127.0.0.1", 8080)
    assert address_of("0.0.0.0:80") == ("0.0.0.0", 80)
    assert address_of("[::1]:80") == ("::1", 80)
    for wrong in ("", "host:", "70000", "port"):
        with pytest.raises(ValueError, match="PORT or HOST:PORT"):
            address_of(wrong)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("agentbus:Bus", "--queue", "q"), "is no agent"),
        (("tests.agents.queues.worker_agents:Worker", "--queue", "q", "--health", "x"), "PORT or HOST:PORT"),
        (("tests.agents.queues.worker_agents:Worker", "--processes", "2"), "go with --queue"),
        (("no_such_module_here:Class", "--queue", "q"), "No module named"),
    ],
)
def test_what_could_not_work_is_2_before_any_process_starts(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run("worker", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
