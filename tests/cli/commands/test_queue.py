"""`queue`, `jobs` and `schedules` against a queue on another node of a development hub."""

from __future__ import annotations

import io
from collections.abc import Generator
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from agentbus.agents import AgentActor, Bus, Message, Queue, handles
from agentbus.errors import Reject
from tests.cli.conftest import Run


class Weigh(Message):
    """Work for a test."""

    grams: int


class Refuses(AgentActor):
    """A worker that takes nothing heavier than a kilogram."""

    @handles
    def weigh(self, task: Weigh) -> int:
        if task.grams > 1000:
            raise Reject("too heavy")
        return task.grams


@pytest.fixture(scope="module")
def bus(hub_url: str) -> Generator[Bus]:
    with Bus(hub_url, api_key="pk_live_dev", namespace="cli") as bus:
        yield bus


@pytest.fixture
def tasks(bus: Bus) -> Generator[Queue]:
    queue = bus.queue("tasks", store="memory://")
    queue.ready.get(timeout=10)
    yield queue
    queue.close().get(timeout=10)


@pytest.fixture
def command(run: Run, hub_url: str) -> Run:
    """Run a command at the hub and in the namespace of the test."""
    return lambda *arguments: run(*arguments, "--url", hub_url, "--namespace", "cli")


def lines(out: str) -> list[Any]:
    return [msgspec.json.decode(line) for line in out.splitlines()]


def feed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))


def stop(bus: Bus, name: str) -> None:
    bus.ref(name).stop().get(timeout=10)


def test_a_job_from_the_command_line_is_handled(bus: Bus, tasks: Queue, command: Run) -> None:
    code, out, err = command("queue", "put", "tasks", "Weigh", '{"grams": 7}', "--priority", "3")
    assert (code, err) == (0, "")
    assert tasks.job(out.strip()).status().get(timeout=5).priority == 3
    bus.spawn(Refuses, name="one", queue="tasks")
    assert tasks.job(out.strip(), Weigh).result(timeout=10).get() == 7
    stop(bus, "one")


def test_lines_of_standard_input_are_jobs_and_their_ids_are_printed(
    tasks: Queue, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, b"".join(b'{"grams": %d}\n' % n for n in range(250)))
    code, out, err = command("queue", "put", "tasks", "Weigh", "-", "--tenant", "t")
    assert (code, err) == (0, "250 jobs in tasks\n")
    assert len(set(out.split())) == 250
    body = tasks.job(out.split()[249]).body().get(timeout=5).body
    assert bytes(body) == b'{"grams": 249}'
    assert tasks.stats().get(timeout=5).queued == 250


def test_a_bad_line_says_how_many_went_before_it(
    tasks: Queue, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, b'{"grams": 1}\n{"grams": 2}\nnope\n{"grams": 3}\n')
    code, out, err = command("queue", "put", "tasks", "Weigh", "-", "--json")
    assert code == 2
    assert "line 3 is not JSON" in err
    assert "2 jobs were put before that" in err
    assert [line["queue"] for line in lines(out)] == ["tasks", "tasks"]
    assert tasks.stats().get(timeout=5).queued == 2


def test_queues_are_listed_with_their_numbers(tasks: Queue, command: Run) -> None:
    tasks.put_many([Weigh(1), Weigh(2)]).get(timeout=5)
    code, out, _ = command("queue", "ls", "--json")
    assert code == 0
    assert [(line["name"], line["queued"]) for line in lines(out)] == [("tasks", 2)]
    assert "tasks" in command("queue", "ls").out
    assert lines(command("queue", "stats", "tasks", "--json").out)[0]["queued"] == 2
    assert "memory" in command("queue", "stats", "tasks").out


def test_a_queue_that_nobody_hosts_is_1_and_those_that_are_there_are_named(
    tasks: Queue, command: Run
) -> None:
    code, out, err = command("queue", "stats", "taks")
    assert (code, out) == (1, "")
    assert err == (
        "agentbus: nobody hosts a queue 'taks' in namespace 'cli'; "
        f"is {tasks.name!r} meant? There are: {tasks.name}\n"
    )


def test_peek_shows_messages_and_reasons_and_tracebacks(bus: Bus, tasks: Queue, command: Run) -> None:
    dead = tasks.put(Weigh(5000)).get(timeout=5)
    bus.spawn(Refuses, name="two", queue="tasks")
    dead.outcome(timeout=10).get()
    stop(bus, "two")
    waiting = tasks.put(Weigh(1)).get(timeout=5)
    assert [
        (line["id"], line["body"]) for line in lines(command("queue", "peek", "tasks", "--json").out)
    ] == [(waiting.id, {"grams": 1})]
    shown = command("queue", "peek", "tasks", "--state", "dead").out
    assert "too heavy" in shown
    assert '{"grams":5000}' in shown
    assert command("queue", "peek", "tasks", dead.id, "--json").code == 0
    code, _, err = command("queue", "peek", "tasks", "nothing")
    assert (code, "knows no job 'nothing'" in err) == (1, True)


def test_dead_letters_are_put_back_and_dropped(bus: Bus, tasks: Queue, command: Run) -> None:
    dead = tasks.put(Weigh(5000)).get(timeout=5)
    bus.spawn(Refuses, name="three", queue="tasks")
    dead.outcome(timeout=10).get()
    stop(bus, "three")
    code, out, _ = command("queue", "retry", "tasks", dead.id, "--json")
    assert (code, lines(out)) == (0, [{"queue": "tasks", "action": "retry", "jobs": 1}])
    assert dead.status().get(timeout=5).state == "queued"
    assert command("queue", "drop", "tasks", "--state", "queued").err == "1 job of tasks dropped\n"
    assert tasks.stats().get(timeout=5).queued == 0


def test_cancel_concerns_the_jobs_that_are_named(tasks: Queue, command: Run) -> None:
    first, second = tasks.put_many([Weigh(1), Weigh(2)]).get(timeout=5)
    assert command("queue", "cancel", "tasks", first.id).code == 0
    assert first.status().get(timeout=5).state == "cancelled"
    assert second.status().get(timeout=5).state == "queued"
    code, _, err = command("queue", "cancel", "tasks", first.id)
    assert (code, "none of these jobs" in err) == (1, True)


@pytest.mark.parametrize(
    "arguments", [("drop", "tasks"), ("cancel", "tasks", ""), ("retry", "tasks", "a", "--all")]
)
def test_steering_wants_to_know_which_jobs(command: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = command("queue", *arguments)
    assert (code, "say which jobs" in err) == (2, True)


def test_pause_and_resume(tasks: Queue, command: Run) -> None:
    assert command("queue", "pause", "tasks").err == "tasks is paused; 0 jobs wait\n"
    assert tasks.stats().get(timeout=5).paused
    assert lines(command("queue", "resume", "tasks", "--json").out)[0]["action"] == "resume"
    assert not tasks.stats().get(timeout=5).paused


def test_tail_follows_what_becomes_of_jobs(tasks: Queue, command: Run) -> None:
    def put_until_seen() -> None:
        while not ended.is_set():
            tasks.put(Weigh(1)).get(timeout=5)
            ended.wait(0.05)

    ended = Event()
    putting = Thread(target=put_until_seen)
    putting.start()
    try:
        code, out, err = command("jobs", "tail", "--json", "-n", "2")
    finally:
        ended.set()
        putting.join()
    assert (code, "following tasks" in err) == (0, True)
    assert [(line["queue"], line["state"]) for line in lines(out)] == [("tasks", "queued")] * 2


def test_schedules_are_listed_and_dropped(bus: Bus, tasks: Queue, command: Run) -> None:
    bus.schedule(tasks, Weigh(1), name="hourly", every=3600.0).get(timeout=5)
    assert lines(command("schedules", "ls", "tasks", "--json").out)[0]["schedule"]["name"] == "hourly"
    assert "every 60 min" in command("schedules", "ls", "tasks").out
    assert command("schedules", "drop", "tasks", "hourly").err == "tasks keeps hourly no more\n"
    code, _, err = command("schedules", "drop", "tasks", "hourly")
    assert (code, "keeps no schedule 'hourly'" in err) == (1, True)


def test_without_a_hub_it_is_one_line_and_1(run: Run) -> None:
    code, out, err = run("queue", "ls", "--url", "ws://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert err.startswith("agentbus: no connection to ws://127.0.0.1:9: ")
    assert err.count("\n") == 1


def test_a_credential_that_is_no_nodes_is_1_and_says_which_would_be(run: Run, hub_url: str) -> None:
    code, _, err = run("queue", "ls", "--url", hub_url, "--trust", "tokens", "--namespace", "prod")
    assert code == 1
    assert "agentbus token PEER --node --namespace prod" in err


def test_a_nodes_token_passes_and_the_hub_is_what_is_missed(run: Run) -> None:
    token = run("token", "me", "--dev", "--node", "--namespace", "prod").out.strip()
    code, _, err = run("queue", "ls", "--url", "ws://127.0.0.1:9", "--token", token, "--namespace", "prod")
    assert code == 1
    assert "no connection" in err
