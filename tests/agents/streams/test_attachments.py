"""Streams as input: what is attached to a request is read as fast as its handler takes it, and no faster."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbus.agents import AgentRef, AsyncAgentActor, Request, Streaming, StreamStatus, handles
from agentbus.errors import (
    AgentError,
    AgentFailed,
    AskTimeoutError,
    AttachmentFailed,
    EncodeError,
    StreamClosedError,
)
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.streams.agents import Count, Counter, Token, left_over
from tests.agents.streams.test_streams import Scenario, everywhere


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Total(Request[int]):
    """Adds up what is attached, or the first so many of it."""

    first: int | None = None


class Gather(Request[str]):
    """Puts together what is attached, and gives its digest."""


class Why(Request[str]):
    """Reads until it fails, and tells why."""


class Hold(Request[int]):
    """Reads one chunk and waits."""

    seconds: float


class Ignore(Request[str]):
    """Does not read what is attached."""


class Upper(Streaming[str]):
    """Streams what is attached, in capitals."""


class Adder(AsyncAgentActor):
    """Reads attachments."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles
    async def total(self, task: Total) -> int:
        total = read = 0
        async for chunk in self.attachment:
            total += chunk.number if isinstance(chunk, Token) else chunk
            read += 1
            if read == task.first:
                break
        return total

    @handles
    async def gather(self, _task: Gather) -> str:
        return digest(b"".join([chunk async for chunk in self.attachment]))

    @handles
    async def why(self, _task: Why) -> str:
        read = 0
        try:
            async for _chunk in self.attachment:
                read += 1
        except (AttachmentFailed, StreamClosedError) as error:
            return f"{read}: {type(error).__name__} {getattr(error, 'error_type', '')}".strip()
        return f"{read}: complete"

    @handles
    async def hold(self, task: Hold) -> int:
        async for chunk in self.attachment:
            self.log.append(f"read {chunk}")
            await virtual_sleep(task.seconds)
        return 0

    @handles
    async def ignore(self, _task: Ignore) -> str:
        return "not read"

    @handles
    async def upper(self, _task: Upper) -> AsyncIterator[str]:
        async for chunk in self.attachment:
            yield chunk.upper()


class Source:
    """An async source that writes down what becomes of it."""

    def __init__(self, count: int = 1_000_000) -> None:
        self.count = count
        self.given = 0
        self.closed = False

    async def chunks(self) -> AsyncIterator[int]:
        try:
            while self.given < self.count:
                self.given += 1
                yield self.given
        finally:
            self.closed = True

    def sync_chunks(self) -> Iterator[int]:
        try:
            while self.given < self.count:
                self.given += 1
                yield self.given
        finally:
            self.closed = True


def run(scenario: Scenario) -> None:
    everywhere(Adder, scenario)


both_kinds = pytest.mark.parametrize("kind", ["chunks", "sync_chunks"])


@both_kinds
def test_all_chunks_reach_the_handler(kind: str) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        source = Source(1000)
        assert await ref.ask(Total(), attach=getattr(source, kind)()) == 500_500
        await cluster.until(lambda: source.closed)

    run(scenario)


def test_messages_lists_and_streams_can_be_attached() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        assert await ref.ask(Total(), attach=[Token(number=1), Token(number=2)]) == 3
        assert await ref.ask(Total(), attach=[]) == 0
        counter = cluster.buses[0].spawn(Counter)
        assert await ref.ask(Total(), attach=counter.stream(Count(count=100))) == 4950

    run(scenario)


def test_a_file_is_read_in_blocks_and_closed(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    path = tmp_path / "file"
    path.write_bytes(content)

    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        file = path.open("rb")
        assert await ref.ask(Gather(), attach=file) == digest(content)
        assert file.closed
        assert await ref.ask(Gather(), attach=content) == digest(content)
        assert await ref.ask(Gather(), attach=io.BytesIO(content)) == digest(content)

    run(scenario)


@both_kinds
def test_the_source_is_read_only_as_fast_as_the_handler_reads(kind: str) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        source = Source()
        asked = ref.ask(Hold(seconds=1.0), attach=getattr(source, kind)())
        await cluster.until(lambda: len(log) == 10)
        assert source.given <= 10 + 16
        asked.cancel()
        await cluster.until(lambda: source.closed, within=5)

    run(scenario)


@both_kinds
def test_a_handler_that_ends_before_the_source_closes_it(kind: str) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        source = Source()
        assert await ref.ask(Total(first=3), attach=getattr(source, kind)()) == 6
        await cluster.until(lambda: source.closed, within=1)

    run(scenario)


@both_kinds
def test_a_source_that_nobody_reads_is_never_begun(kind: str) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        source = Source()
        assert await ref.ask(Ignore(), attach=getattr(source, kind)()) == "not read"
        await virtual_sleep(1)
        assert source.given == 0
        assert all(not cluster.parts(bus).streams.serving for bus in cluster.buses)

    run(scenario)


async def failing() -> AsyncIterator[int]:
    yield 1
    yield 2
    raise OSError("the disk is gone")


def failing_sync() -> Iterator[int]:
    yield 1
    yield 2
    raise OSError("the disk is gone")


@pytest.mark.parametrize("source", [failing, failing_sync])
def test_an_error_of_the_source_reaches_the_reader_typed(source: Callable[[], Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        assert await ref.ask(Why(), attach=source()) == "2: AttachmentFailed OSError"

    run(scenario)


def test_a_deadline_closes_the_source() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        source = Source()
        with pytest.raises(AskTimeoutError):
            await ref.ask(Hold(seconds=1.0), attach=source.chunks(), timeout=3.5)
        await cluster.until(lambda: source.closed, within=1)

    run(scenario)


def test_a_reply_can_be_streamed_while_the_request_still_is() -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        said: asyncio.Queue[str] = asyncio.Queue()

        async def talk() -> AsyncIterator[str]:
            while (word := await said.get()) != "bye":
                yield word

        stream = ref.stream(Upper(), attach=talk())
        for word in ("hello", "again"):
            said.put_nowait(word)
            assert await anext(stream) == word.upper()
        said.put_nowait("bye")
        assert [chunk async for chunk in stream] == []
        assert stream.status is StreamStatus.COMPLETE

    run(scenario)


def test_what_can_t_be_attached_is_refused_at_once() -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        nonsense: Any
        for nonsense in ("text", 5):
            with pytest.raises(TypeError, match="attach="):
                ref.ask(Total(), attach=nonsense)
        with pytest.raises(AgentFailed, match="without attach="):
            await ref.ask(Total())

    run(scenario)


def test_an_attachment_ends_typed_with_the_node_of_the_asker() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        log: list[str] = []
        there.spawn(Adder, log, name="agent")
        source = Source()
        asked = here.ref("there/agent").ask(Hold(seconds=1.0), attach=source.chunks())
        await cluster.until(lambda: len(log) == 3)
        await here.close()
        with pytest.raises(AgentError):
            await asked
        await cluster.until(lambda: left_over(cluster)[1] == 0, within=5)
        await cluster.until(lambda: source.closed, within=5)

    simulate(scenario)


def test_a_chunk_without_a_json_form_fails_the_request() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(Adder, [], name="agent")
        with pytest.raises(EncodeError):
            await here.ref("there/agent").ask(Total(), attach=[1, object()])
        await cluster.until(lambda: left_over(cluster) == [0, 0])

    simulate(scenario)
