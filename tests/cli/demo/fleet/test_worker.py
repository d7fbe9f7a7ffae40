"""The worker agent: every file is an answer, whatever it holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from agentbus.agents import AgentActor, AgentRef, Bus, handles
from agentbus.cli.demo.endpoint import Endpoint
from agentbus.cli.demo.fleet.messages import Digested, DigestFile, Job, Writing
from agentbus.cli.demo.fleet.worker import DocumentWorker
from agentbus.cli.demo.sources import Limits, Source
from tests.cli.demo.endpoint import FakeEndpoint, serving

PROSE = "# Title\n\nA whole sentence about one subject.\n"


@pytest.fixture
def bus() -> Generator[Bus]:
    with Bus() as bus:
        yield bus


@pytest.fixture
def worker(bus: Bus) -> AgentRef:
    return bus.spawn(DocumentWorker)


def task(
    folder: Path, name: str, data: bytes, endpoint: Endpoint | None = None, watcher: str = ""
) -> DigestFile:
    (folder / name).write_bytes(data)
    return DigestFile("file 0", Job(str(folder), Limits(), endpoint, watcher), Source(name, "markdown"))


def test_a_document_becomes_a_summary(worker: AgentRef, tmp_path: Path) -> None:
    answer = worker.ask(task(tmp_path, "a.md", PROSE.encode()), timeout=20).get()
    assert answer.note is None
    assert answer.summary is not None
    assert (answer.summary.path, answer.summary.title, answer.summary.sentence_count) == ("a.md", "Title", 1)
    assert answer.process_id == os.getpid()


@pytest.mark.parametrize(
    ("data", "note"),
    [(b"", "empty"), (b"\x00\x01", "binary, not text"), (b"# Title only\n", "no sentences in it")],
)
def test_a_file_that_cannot_be_used_is_an_answer_too(
    worker: AgentRef, tmp_path: Path, data: bytes, note: str
) -> None:
    answer = worker.ask(task(tmp_path, "a.md", data), timeout=20).get()
    assert (answer.summary, answer.note) == (None, note)


class Watcher(AgentActor):
    """Hears what a worker's model writes."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard

    @handles
    def writing(self, message: Writing) -> None:
        self._heard.append(message.text)


def ask_with_model(
    bus: Bus, worker: AgentRef, folder: Path, endpoint: FakeEndpoint
) -> tuple[Digested, list[str]]:
    heard: list[str] = []
    watcher = bus.spawn(Watcher, heard)

    async def run() -> Digested:
        async with serving(endpoint) as url:
            request = task(folder, "a.md", PROSE.encode(), Endpoint(url, retries=0), watcher=str(watcher))
            digested = await worker.ask(request, timeout=20)
            await watcher.stop()
            return digested

    return asyncio.run(run()), heard


def test_a_model_writes_the_prose_and_who_is_named_can_watch(
    bus: Bus, worker: AgentRef, tmp_path: Path
) -> None:
    endpoint = FakeEndpoint([["word " * 20, "and the end."]])
    answer, heard = ask_with_model(bus, worker, tmp_path, endpoint)
    assert answer.note is None
    assert answer.summary is not None
    assert answer.summary.prose == "word " * 20 + "and the end."
    assert heard == [("word " * 20)[-60:]]


def test_a_model_that_fails_leaves_the_summary_and_a_note(bus: Bus, worker: AgentRef, tmp_path: Path) -> None:
    answer, _ = ask_with_model(bus, worker, tmp_path, FakeEndpoint([[500]]))
    assert answer.summary is not None
    assert answer.summary.prose is None
    assert answer.note == "the model endpoint answered with HTTP status 500"
