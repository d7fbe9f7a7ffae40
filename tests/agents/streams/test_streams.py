"""Streams on virtual time: the same from this node and from another, from async and from sync generators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pykka
import pytest

from agentbus.agents import AgentRef, AgentStream, AsyncAgentActor, Streaming, StreamStatus, handles
from agentbus.agents.envelope import Envelope, Kind, encode_body
from agentbus.errors import (
    AgentFailed,
    AgentRestarted,
    AskTimeoutError,
    CreditExceededError,
    EncodeError,
    HopLimitError,
    NoSuchAgentError,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime import Backoff, RestartMode, RestartPolicy, virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.streams.agents import (
    Count,
    Counter,
    Crash,
    Double,
    Forever,
    Mixed,
    RefusedError,
    SyncCounter,
    Token,
    left_over,
)

RESTART = RestartPolicy(mode=RestartMode.RESTART, backoff=Backoff(initial_delay=0.0, jitter_ratio=0.0))
Scenario = Callable[[Cluster, AgentRef, list[str]], Coroutine[Any, Any, None]]


def everywhere(cls: type[Any], scenario: Scenario, **spawn: Any) -> None:
    """Run a scenario with the agent on the same node, then with the agent on another one."""

    async def on_both(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        for bus in (here, there):
            log: list[str] = []
            ref = bus.spawn(cls, log, name="agent", **spawn)
            await scenario(cluster, here.ref(str(ref)), log)
            await cluster.until(lambda: left_over(cluster) == [0, 0])

    simulate(on_both)


both_kinds = pytest.mark.parametrize("cls", [Counter, SyncCounter])


async def numbers(stream: AgentStream[Token]) -> list[int]:
    return [token.number async for token in stream]


# -- chunks -------------------------------------------------------------------------------------------------


@both_kinds
def test_chunks_arrive_in_order_and_the_stream_is_complete(cls: type[Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        stream = ref.stream(Count(count=500))
        assert stream.status is StreamStatus.OPEN
        assert await numbers(stream) == list(range(500))
        assert (stream.status, stream.error, stream.received) == (StreamStatus.COMPLETE, None, 500)
        assert await numbers(stream) == [], "it stays at its end"

    everywhere(cls, scenario)


def test_messages_json_and_bytes_may_be_chunks_of_one_stream() -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        chunks = [chunk async for chunk in ref.stream(Mixed())]
        # the first two are read as `object`, which is all that `Mixed` says of them
        assert chunks[2:] == [{"plain": [1, None]}, b"\x00\xff", "text", None]
        assert chunks[:2] == [Token(number=1), Token(number=2)]

    everywhere(Counter, scenario)


@both_kinds
def test_a_plain_handler_s_reply_is_the_only_chunk(cls: type[Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        assert [chunk async for chunk in ref.stream(Double(value=4))] == [8]

    everywhere(cls, scenario)


@both_kinds
def test_an_ask_of_a_generator_handler_is_a_typed_error(cls: type[Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        with pytest.raises(UnhandledMessageError, match=r"ref\.stream"):
            await ref.ask(Count(count=1))
        assert await ref.ask(Double(value=1)) == 2, "the agent did not notice"

    everywhere(cls, scenario)


# -- credit -------------------------------------------------------------------------------------------------


@both_kinds
def test_without_credit_the_producer_pauses(cls: type[Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        stream = ref.stream(Forever(), credit=8)
        await virtual_sleep(5)
        assert stream.received == 8
        assert [await anext(stream) for _ in range(4)] == [0, 1, 2, 3]
        await virtual_sleep(5)
        assert stream.received == 12, "half was used, and granted again"
        stream.cancel()
        await virtual_sleep(5)
        assert log == ["closed after 11"], "the one after the last was not produced"

    everywhere(cls, scenario)


def test_a_credit_out_of_range_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("here")
        ref = bus.spawn(Counter)
        for credit in (0, 10_001):
            with pytest.raises(ValueError, match="credit"):
                ref.stream(Count(count=1), credit=credit)

    simulate(scenario)


def test_a_node_that_sends_more_than_it_was_granted_is_not_listened_to() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(Counter, name="agent")
        stream = here.ref("there/agent").stream(Forever(), credit=2)
        await cluster.until(lambda: stream.received == 2)
        parts = cluster.parts(there)
        (serving,) = parts.streams._served.values()  # pyright: ignore[reportPrivateUsage] -- nobody else knows
        forged = Envelope("", Kind.CHUNK, correlation=serving.number, body=encode_body([1, 2, 3]))
        parts.streams.post(serving.stamp, forged)
        await cluster.until(lambda: stream.status is StreamStatus.FAILED)
        assert [await anext(stream), await anext(stream), stream.received] == [0, 1, 2]
        with pytest.raises(CreditExceededError):
            await anext(stream)
        await cluster.until(lambda: left_over(cluster) == [0, 0])

    simulate(scenario)


# -- endings ------------------------------------------------------------------------------------------------


@both_kinds
def test_a_failure_comes_after_what_arrived(cls: type[Any]) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        stream = ref.stream(Count(count=3, fail="boom"))
        assert [(await anext(stream)).number for _ in range(3)] == [0, 1, 2]
        with pytest.raises(AgentFailed) as failed:
            await anext(stream)
        assert failed.value.error_type == "KeyError"
        assert stream.status is StreamStatus.FAILED
        assert isinstance(stream.error, AgentFailed)

    everywhere(cls, scenario, supervision=RESTART)


@both_kinds
@pytest.mark.parametrize("count", [0, 3])
def test_a_declared_exception_is_passed_on_typed(cls: type[Any], count: int) -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        stream = ref.stream(Count(count=count, fail="declared"))
        with pytest.raises(RefusedError, match="no more"):
            await numbers(stream)
        assert (stream.received, stream.status) == (count, StreamStatus.FAILED)
        assert await ref.ask(Double(value=1)) == 2, "the agent has not failed"

    everywhere(cls, scenario)


def test_a_restart_ends_the_streams_of_the_agent() -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        stream = ref.stream(Forever(pause=1.0))
        assert [await anext(stream) for _ in range(2)] == [0, 1]
        with pytest.raises(AgentFailed):
            await ref.ask(Crash())
        with pytest.raises(AgentRestarted):
            _ = [chunk async for chunk in stream]
        assert stream.status is StreamStatus.RESTARTED
        assert log == ["closed after 2"]

    everywhere(Counter, scenario, supervision=RESTART)


class Read(Streaming[int]):
    source: str


class Reader(AsyncAgentActor):
    """Hands on the stream of another."""

    concurrency = 2

    def __init__(self, streams: list[AgentStream[int]]) -> None:
        self.streams = streams

    @handles
    async def read(self, task: Read) -> AsyncIterator[int]:
        stream = self.bus.ref(task.source).stream(Forever(pause=1.0))
        self.streams.append(stream)
        async for number in stream:
            yield number

    @handles
    async def crash(self, _message: Crash) -> None:
        raise ValueError("asked to")


def test_a_restart_ends_the_streams_that_the_agent_reads() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        streams: list[AgentStream[int]] = []
        reader = cluster.buses[0].spawn(Reader, streams, name=f"reader-{ref.node}", supervision=RESTART)
        stream = reader.stream(Read(source=str(ref)))
        assert await anext(stream) == 0
        with pytest.raises(AgentFailed):
            await reader.ask(Crash())
        await cluster.until(lambda: len(log) == 1, within=2)
        assert streams[0].status in {StreamStatus.RESTARTED, StreamStatus.CANCELLED}
        assert stream.status is StreamStatus.RESTARTED

    everywhere(Counter, scenario)


def test_cancelling_a_relay_cancels_its_source() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        reader = cluster.buses[0].spawn(Reader, [], name=f"reader-{ref.node}")
        stream = reader.stream(Read(source=str(ref)))
        assert await anext(stream) == 0
        stream.cancel()
        await cluster.until(lambda: len(log) == 1, within=2)

    everywhere(Counter, scenario)


async def read_slowly(stream: AgentStream[int]) -> None:
    async for _chunk in stream:
        await virtual_sleep(1)


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_the_deadline_holds_for_the_whole_stream(pause: float) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        began = cluster.loop.time()
        stream = ref.stream(Forever(pause=pause), timeout=3.5, credit=3)
        with pytest.raises(AskTimeoutError):
            await read_slowly(stream)
        assert stream.status is StreamStatus.EXPIRED
        assert 3.4 < cluster.loop.time() - began <= 7, "what had arrived by then was read"
        await cluster.until(lambda: len(log) == 1, within=1)

    everywhere(Counter, scenario)


def test_a_stream_to_nobody_fails_typed() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        for ref in (here.ref("nobody"), here.ref("there/nobody"), here.ref("nowhere/nobody")):
            stream = ref.stream(Count(count=1))
            with pytest.raises(NoSuchAgentError):
                await numbers(stream)
            assert stream.status is StreamStatus.FAILED
        there.spawn(Reader, [], name="reader")
        with pytest.raises((UnhandledMessageError, UndecodableMessageError)):
            await numbers(here.ref("there/reader").stream(Count(count=1)))
        await cluster.until(lambda: left_over(cluster) == [0, 0])

    simulate(scenario)


# -- cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_cancelling_stops_the_producer_and_leaves_what_arrived(pause: float) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        stream = ref.stream(Forever(pause=pause), credit=4)
        await cluster.until(lambda: stream.received == 4)
        assert stream.cancel()
        assert (stream.status, stream.error) == (StreamStatus.CANCELLED, None)
        assert [chunk async for chunk in stream] == [0, 1, 2, 3]
        assert not stream.cancel()
        await cluster.until(lambda: len(log) == 1, within=1)

    everywhere(Counter, scenario)


async def leave_a_block(stream: AgentStream[int]) -> None:
    async with stream:
        assert await anext(stream) == 0


async def cancel_a_waiting_task(stream: AgentStream[int]) -> None:
    async def read_all() -> None:
        async for _chunk in stream:
            pass

    task = asyncio.ensure_future(read_all())
    await virtual_sleep(2.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def drop_it(stream: AgentStream[int]) -> None:
    async for chunk in stream:
        assert chunk == 0
        break


@pytest.mark.parametrize("leave", [leave_a_block, cancel_a_waiting_task, drop_it])
def test_a_consumer_that_leaves_leaves_no_producer(
    leave: Callable[[AgentStream[int]], Coroutine[Any, Any, None]],
) -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        await leave(ref.stream(Forever(pause=1.0)))
        await cluster.until(lambda: len(log) == 1, within=1.5)

    everywhere(Counter, scenario)


def test_a_stream_can_be_cancelled_at_any_turn() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        for turns in range(40):
            stream = ref.stream(Forever(), credit=2)
            for _ in range(turns):
                await asyncio.sleep(0)
            stream.cancel()
            assert [chunk async for chunk in stream] == list(range(stream.received))
        await cluster.until(lambda: left_over(cluster) == [0, 0])
        assert set(log) <= {"closed after 0", "closed after 1"}
        assert await ref.ask(Double(value=1)) == 2

    everywhere(Counter, scenario)


def test_a_stream_that_is_cancelled_in_the_mailbox_never_starts() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        running = [ref.stream(Forever(), credit=1) for _ in range(2)]
        await cluster.until(lambda: all(stream.received for stream in running))
        waiting = ref.stream(Forever())
        await virtual_sleep(1)
        waiting.cancel()
        await virtual_sleep(1)
        for stream in running:
            stream.cancel()
        await cluster.until(lambda: len(log) == 2)
        await virtual_sleep(1)
        assert log == ["closed after 0"] * 2

    everywhere(Counter, scenario)


# -- tries again --------------------------------------------------------------------------------------------


class Flaky(Streaming[int]):
    chunks: int


class FlakyAgent(AsyncAgentActor):
    """Fails at its first try, after so many chunks."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles
    async def flaky(self, task: Flaky) -> AsyncIterator[int]:
        self.log.append("try")
        for number in range(task.chunks):
            yield number
        if len(self.log) == 1:
            raise OSError("once")
        yield -1


def test_a_message_is_tried_again_only_if_no_chunk_had_left() -> None:
    policy = RestartPolicy(
        mode=RestartMode.RESTART, backoff=Backoff(initial_delay=0.0, jitter_ratio=0.0), retry_poison=1
    )

    async def scenario(_cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        assert [chunk async for chunk in ref.stream(Flaky(chunks=0))] == [-1]
        log.clear()
        stream = ref.stream(Flaky(chunks=2))
        assert [await anext(stream), await anext(stream)] == [0, 1]
        with pytest.raises(AgentFailed, match="OSError"):
            await anext(stream)
        await virtual_sleep(1)
        assert log == ["try"]

    everywhere(FlakyAgent, scenario, supervision=policy)


# -- odd producers ------------------------------------------------------------------------------------------


class Odd(Streaming[Any]):
    pass


class OddAgent(AsyncAgentActor):
    """Yields what has no JSON form."""

    def __init__(self, _log: list[str]) -> None:
        self.handled = 0

    @handles
    async def odd(self, _task: Odd) -> AsyncIterator[Any]:
        yield 1
        yield object()
        yield 2

    @handles
    async def double(self, task: Double) -> int:
        return 2 * task.value


def test_a_chunk_without_a_json_form_ends_the_stream_and_not_the_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(OddAgent, [], name="agent")
        ref = here.ref("there/agent")
        stream = ref.stream(Odd())
        assert await anext(stream) == 1
        with pytest.raises(EncodeError):
            await anext(stream)
        assert await ref.ask(Double(value=2)) == 4

    simulate(scenario)


class Echo(pykka.ThreadingActor):
    """Knows nothing of streams."""

    def __init__(self, _log: list[str]) -> None:
        super().__init__()

    def on_receive(self, message: Any) -> Any:
        return message


def test_a_plain_pykka_actor_s_reply_is_the_only_chunk() -> None:
    async def scenario(_cluster: Cluster, ref: AgentRef, _log: list[str]) -> None:
        assert [chunk async for chunk in ref.stream("hello")] == ["hello"]

    everywhere(Echo, scenario)


class Early(Streaming[int]):
    pass


class EarlyAgent(AsyncAgentActor):
    """Answers at once and goes on working."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles
    async def early(self, _task: Early) -> int:
        self.reply(1)
        await virtual_sleep(1)
        self.log.append("went on")
        return 2


def test_an_early_reply_is_the_last_chunk() -> None:
    async def scenario(cluster: Cluster, ref: AgentRef, log: list[str]) -> None:
        stream = ref.stream(Early())
        assert [chunk async for chunk in stream] == [1]
        assert stream.status is StreamStatus.COMPLETE
        await cluster.until(lambda: log == ["went on"], within=2)

    everywhere(EarlyAgent, scenario)


class Deeper(Streaming[int]):
    pass


class Digger(AsyncAgentActor):
    """Streams from itself, without end."""

    concurrency = 1000

    @handles
    async def dig(self, task: Deeper) -> AsyncIterator[int]:
        try:
            async for depth in self.ref.stream(task):
                yield depth + 1
        except HopLimitError as error:
            yield error.limit


def test_streams_that_cause_one_another_stop_at_the_hop_limit() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("here")
        assert [depth async for depth in bus.spawn(Digger).stream(Deeper())] == [2 * 512]

    simulate(scenario)
