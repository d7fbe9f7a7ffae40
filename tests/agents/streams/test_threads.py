"""Streams as programs use them: real threads, real loops, a real port."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from agentbus.agents import AgentActor, AgentStream, Bus, Request, Streaming, StreamStatus, handles
from agentbus.errors import AgentStopped, AttachmentFailed, FutureTimeoutError
from tests.agents.streams.agents import Count, Counter, Token

WAIT = 20


class Numbers(Streaming[int]):
    """Wants numbers without end."""


class Size(Request[int]):
    """Measures what is attached."""


class Fails(Request[str]):
    """Reads a source that fails."""


class Threaded(AgentActor):
    """Streams from a thread of its own, and waits there for credit."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        closers.append(self.closed)

    @handles
    def numbers(self, _task: Numbers) -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self.closed.set()

    @handles
    def size(self, _task: Size) -> int:
        return sum(len(block) for block in self.attachment)

    @handles
    def fails(self, _task: Fails) -> str:
        try:
            return str(list(self.attachment))
        except AttachmentFailed as error:
            return error.error_type


closers: list[threading.Event] = []


def first(stream: AgentStream[int], count: int) -> list[int]:
    return [chunk for chunk, _ in zip(stream, range(count), strict=False)]


def test_a_thread_streams_to_a_thread_and_pauses_without_credit() -> None:
    with Bus() as bus:
        ref = bus.spawn(Threaded)
        with ref.stream(Numbers(), credit=4) as stream:
            assert first(stream, 1000) == list(range(1000))
            assert stream.received <= 1004
        assert stream.status is StreamStatus.CANCELLED
        assert closers[-1].wait(WAIT)
        assert ref.ask(Size(), attach=[b"12", b"345"]).get(timeout=WAIT) == 5, "the thread is free again"


def test_stopping_wakes_a_thread_that_waits_for_credit() -> None:
    with Bus() as bus:
        ref = bus.spawn(Threaded)
        stream = ref.stream(Numbers(), credit=2)
        assert stream.get(timeout=WAIT) == 0
        assert ref.stop(now=True).get(timeout=WAIT)
        assert closers[-1].is_set()
        with pytest.raises(AgentStopped):
            first(stream, 10)
        assert stream.status is StreamStatus.FAILED


def test_a_dropped_stream_frees_the_thread_of_its_producer() -> None:
    with Bus() as bus:
        ref = bus.spawn(Threaded)
        for number in ref.stream(Numbers(), credit=2):
            assert number == 0
            break
        assert closers[-1].wait(WAIT)


def test_waiting_for_a_chunk_takes_a_timeout() -> None:
    with Bus() as bus:
        ref = bus.spawn(Threaded)
        busy = ref.stream(Numbers(), credit=1)
        assert busy.get(timeout=WAIT) == 0
        waiting = ref.stream(Numbers())
        with pytest.raises(FutureTimeoutError):
            waiting.get(timeout=0.01)
        busy.cancel()
        assert waiting.get(timeout=WAIT) == 0
        waiting.cancel()


def test_over_a_port_threads_and_loops_make_no_difference() -> None:
    with Bus(listen="127.0.0.1:0", node="one") as one:
        environment = one.credentials_env()
        url, key = environment["AGENTBUS_URL"], environment["AGENTBUS_KEY"]
        with Bus(url, api_key=key, trust="all", node="two") as two:
            one.spawn(Threaded, name="threaded")
            one.spawn(Counter, name="async")
            tokens = list(two.ref("one/async").stream(Count(count=2000), timeout=WAIT))
            assert tokens == [Token(number=number) for number in range(2000)]
            ref = two.ref("one/threaded")
            with ref.stream(Numbers(), timeout=WAIT) as stream:
                assert first(stream, 200) == list(range(200))
            assert closers[-1].wait(WAIT)
            assert ref.ask(Size(), attach=io.BytesIO(b"x" * 300_000)).get(timeout=WAIT) == 300_000


def test_a_source_that_fails_on_a_thread_reaches_the_reader() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with Bus() as bus:
        assert bus.spawn(Threaded).ask(Fails(), attach=source()).get(timeout=WAIT) == "OSError"


def test_a_loop_of_the_program_s_own_reads_streams_and_feeds_attachments() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"123"

    async def program() -> None:
        async with Bus() as bus:
            ref = bus.spawn(Threaded)
            async with ref.stream(Numbers(), credit=4) as stream:
                assert [await anext(stream) for _ in range(100)] == list(range(100))
            assert await ref.ask(Size(), attach=blocks(), timeout=WAIT) == 300

    asyncio.run(program())
