"""What a worker's process and its parent say to each other, what they watch, and what they show."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest

from agentbus.agents.fleet_actor import WorkerProcess
from agentbus.agents.queues.health import HealthServer, Totals, answer, totals_of
from agentbus.agents.queues.parent import PlaceReport, staggered
from agentbus.agents.queues.puller_messages import WorkerReport
from agentbus.agents.queues.serving import (
    SIGNALLED,
    JobOptions,
    ProcessReport,
    Signals,
    is_spent,
    memory_in_use,
    say_over,
)
from agentbus.agents.queues.sources import SourceWatch, changed, root_of, times_of
from agentbus.agents.queues.supervise import Door


def report(*, over: int = 0, memory: int = 0, attached: bool = True, draining: bool = False) -> ProcessReport:
    return ProcessReport(WorkerReport("q", 4, 1, over, 1, attached, draining), memory)


def place(number: int, said: ProcessReport | None) -> PlaceReport:
    return PlaceReport(number, WorkerProcess(number, 100 + number, f"n{number}"), said)


# -- limits -------------------------------------------------------------------------------------------------


def test_a_process_is_spent_at_its_jobs_or_its_memory() -> None:
    by_jobs, by_memory = JobOptions(queue="q", max_jobs=10), JobOptions(queue="q", max_memory=1000)
    assert [is_spent(report(over=jobs), by_jobs) for jobs in (9, 10)] == [False, True]
    assert [is_spent(report(memory=memory), by_memory) for memory in (1000, 1001)] == [False, True]
    assert not is_spent(report(over=10**9, memory=10**12), JobOptions(queue="q"))


def test_processes_are_not_all_spent_at_the_same_job() -> None:
    assert [staggered(1000, place, 4) for place in range(4)] == [1000, 1025, 1050, 1075]
    assert staggered(2, 3, 4) == 2


def test_memory_in_use_is_that_of_this_process() -> None:
    before = memory_in_use()
    ballast = b"x" * 64_000_000
    assert memory_in_use() - before > 32_000_000
    del ballast


def test_the_first_signal_ends_and_the_second_hurries() -> None:
    signals = Signals()
    signals.came(15, None)
    assert (signals.over.get(), signals.hurry.done()) == (SIGNALLED, False)
    signals.came(2, None)
    assert signals.hurry.done()


def test_a_report_survives_its_pipe_and_a_parent_that_is_gone_hurts_nobody() -> None:
    reading, writing = os.pipe()
    say_over(writing)(report(over=3))
    line = os.read(reading, 4096)
    assert line.endswith(b"\n")
    assert msgspec.json.decode(line, type=ProcessReport) == report(over=3)
    os.close(reading)
    say_over(writing)(report())
    os.close(writing)


def test_a_door_shows_no_credential_and_passes_only_what_there_is() -> None:
    door = Door("ws://hub", api_key="pk_secret")
    assert "pk_secret" not in repr(door)
    assert door.environment() == {
        "AGENTBUS_URL": "ws://hub",
        "AGENTBUS_KEY": "pk_secret",
        "AGENTBUS_NAMESPACE": "default",
    }


# -- health -------------------------------------------------------------------------------------------------


def test_ready_is_as_soon_as_one_process_takes_jobs() -> None:
    starting = [place(0, None), PlaceReport(1, None, None)]
    assert (answer("/healthz", starting)[0], answer("/readyz", starting)[0]) == (200, 503)
    one = [place(0, report()), place(1, report(attached=False))]
    assert answer("/readyz", one)[0] == 200
    assert answer("/readyz", [place(0, report(draining=True))])[0] == 503
    assert answer("/", one)[0] == 404


def test_totals_add_up_what_the_processes_say() -> None:
    places = [place(0, report(over=3, memory=10)), place(1, report(over=4, memory=5)), place(2, None)]
    assert totals_of(places) == Totals(
        processes=3, places=3, attached=2, running=2, slots=8, over=7, failed=2, memory=15
    )


def test_what_was_done_by_a_process_that_is_gone_still_counts() -> None:
    gone = PlaceReport(0, None, None, over=5, failed=2)
    fresh = PlaceReport(1, WorkerProcess(1, 101, "n1"), report(over=1), over=7, failed=1)
    assert (totals_of([gone, fresh]).over, totals_of([gone, fresh]).failed) == (13, 4)


def test_probes_are_answered_over_http() -> None:
    server = HealthServer(("127.0.0.1", 0), lambda: [place(0, report(over=3))])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=10) as found:
            assert msgspec.json.decode(found.read())["over"] == 3
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/other", timeout=10)
    finally:
        server.stop()


# -- sources ------------------------------------------------------------------------------------------------


def test_files_that_are_new_changed_or_gone_are_told(tmp_path: Path) -> None:
    package = tmp_path / "inner"
    package.mkdir()
    (tmp_path / "__pycache__").mkdir()
    kept, gone = package / "kept.py", tmp_path / "gone.py"
    for path in (kept, gone, tmp_path / "other.txt", tmp_path / "__pycache__" / "x.py"):
        path.write_text("")
    before = times_of(tmp_path)
    assert set(before) == {str(kept), str(gone)}
    assert changed(before, times_of(tmp_path)) == []
    gone.unlink()
    os.utime(kept, ns=(1, 1))
    fresh = tmp_path / "fresh.py"
    fresh.write_text("")
    assert changed(before, times_of(tmp_path)) == sorted(map(str, (kept, gone, fresh)))


def test_a_watch_calls_back_for_a_change(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("")
    told: SimpleQueue[list[str]] = SimpleQueue()
    watch = SourceWatch(tmp_path, told.put)
    watch.start()
    os.utime(path, ns=(1, 1))
    assert told.get(timeout=10) == [str(path)]
    watch.stop()


def test_the_root_is_the_package_or_the_modules_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lonely_module.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert root_of("lonely_module:Class") == tmp_path
    assert root_of("agentbus.agents.agent:Agent").name == "agentbus"
    with pytest.raises(ValueError, match="no file"):
        root_of("sys:Class")


def test_only_so_many_files_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / f"m{number}.py").write_text("")
    monkeypatch.setattr("agentbus.agents.queues.sources.MAX_FILES", 3)
    assert len(times_of(tmp_path)) == 3
