from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import BlockingCallError, FutureTimeoutError, StreamClosedError
from agentbus.runtime import (
    Buffer,
    EventSource,
    EventStream,
    Future,
    HostedLoop,
    LoopThread,
    VirtualLoop,
    run_virtual,
)
from agentbus.runtime.mailbox import Overflow
from tests.runtime import threads
from tests.runtime.threads import PATIENCE

DROPS = [Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]


@pytest.fixture
def source() -> EventSource[int]:
    return EventSource()


# -- buffers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", DROPS)
@given(capacity=st.integers(1, 5), steps=st.lists(st.booleans(), max_size=60))
def test_a_buffer_drops_and_counts_as_its_model(overflow: Overflow, capacity: int, steps: list[bool]) -> None:
    buffer: Buffer[int] = Buffer(capacity, overflow)
    model: list[int] = []
    lost = taken = 0
    for number, puts in enumerate(steps):
        if puts:
            buffer.put(number)
            model.append(number)
            if len(model) > capacity:
                model.pop(0 if overflow is Overflow.DROP_OLDEST else -1)
                lost += 1
        elif model:
            assert buffer.take() == model.pop(0)
            taken += 1
        else:
            with pytest.raises(IndexError):
                buffer.take()
        assert (len(buffer), buffer.lost) == (len(model), lost)
    assert taken + len(buffer) + buffer.lost == sum(steps)


def test_a_buffer_tells_of_each_lost_event_once() -> None:
    buffer: Buffer[str] = Buffer(2, lost_event=lambda count: f"lost {count}")
    for name in "abcd":
        buffer.put(name)
    assert [buffer.take(), buffer.take(), buffer.take()] == ["lost 2", "c", "d"]
    for name in "efg":
        buffer.put(name)
    assert [buffer.take(), buffer.take()] == ["lost 1", "f"]


def test_clearing_is_no_loss() -> None:
    buffer: Buffer[int] = Buffer()
    buffer.put(1)
    buffer.clear()
    assert (len(buffer), buffer.lost) == (0, 0)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_buffer_holds_at_least_one(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        EventStream[int](capacity)


@pytest.mark.parametrize("overflow", [Overflow.BLOCK, Overflow.REJECT])
def test_who_emits_never_waits_or_fails(overflow: Overflow) -> None:
    with pytest.raises(ValueError, match="hold up others"):
        EventStream[int](overflow=overflow)


# -- threads -----------------------------------------------------------------------------------------------


def test_for_gives_all_in_order_and_ends_once_closed_and_empty(source: EventSource[int]) -> None:
    stream = source.listen(capacity=10_000)
    consumer = threads.start(lambda: list(stream))
    for number in range(5000):
        source.emit(number)
    source.close()
    assert consumer.result() == list(range(5000))
    assert stream.lost == 0


def test_a_stream_gives_what_comes_after_it_began(source: EventSource[int]) -> None:
    source.emit(1)
    stream = source.listen()
    source.emit(2)
    source.close()
    source.emit(3)
    assert list(stream) == [2]
    assert list(source.listen()) == []


def test_get_waits_for_one_event(source: EventSource[int]) -> None:
    stream = source.listen()
    with pytest.raises(FutureTimeoutError):
        stream.get(0.001)
    emitter = threads.start(partial(source.emit, 1))
    assert stream.get(PATIENCE) == 1
    emitter.result()
    stream.close()
    with pytest.raises(StreamClosedError):
        stream.get()


@pytest.mark.parametrize(("overflow", "kept"), list(zip(DROPS, [[3, 4], [0, 1]], strict=True)))
def test_a_full_stream_drops_and_counts(
    source: EventSource[int], overflow: Overflow, kept: list[int]
) -> None:
    stream = source.listen(2, overflow, lost_event=lambda count: -count)
    other = source.listen()
    for number in range(5):
        source.emit(number)
    assert (len(stream), stream.lost, other.lost) == (2, 3, 0)
    source.close()
    assert list(stream) == [-3, *kept]
    assert list(other) == list(range(5))


def test_closing_wakes_who_waits(source: EventSource[int]) -> None:
    stream = source.listen()
    consumers = [threads.start(lambda: list(stream)) for _ in range(3)]
    stream.close()
    stream.close()
    assert [consumer.result() for consumer in consumers] == [[], [], []]
    assert stream.closed


def test_consumers_share_a_stream_without_loss(source: EventSource[int]) -> None:
    stream = source.listen(capacity=10_000)
    consumers = [threads.start(lambda: list(stream)) for _ in range(3)]
    for number in range(3000):
        source.emit(number)
    source.close()
    results = [consumer.result() for consumer in consumers]
    assert sorted(itertools.chain(*results)) == list(range(3000))
    assert all(result == sorted(result) for result in results)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("overflow", DROPS)
def test_many_producers_lose_nothing_uncounted(overflow: Overflow) -> None:
    stream: EventStream[int] = EventStream(16, overflow)
    step = threading.Barrier(4)

    def produce() -> None:
        step.wait(PATIENCE)
        for number in range(1000):
            stream.put(number)

    consumer = threads.start(lambda: len(list(stream)))
    producers = [threads.start(produce) for _ in range(4)]
    for producer in producers:
        producer.result()
    stream.close()
    assert consumer.result() + stream.lost == 4000


@pytest.mark.usefixtures("quick_switches")
def test_no_event_is_slept_over() -> None:
    there: EventStream[int] = EventStream()
    back: EventStream[int] = EventStream()

    def echo() -> None:
        for number in there:
            back.put(number)

    echoing = threads.start(echo)
    for number in range(500):
        there.put(number)
        assert back.get(PATIENCE) == number
    there.close()
    echoing.result()


def test_waiting_for_an_event_on_a_loop_of_the_runtime_fails_at_once() -> None:
    with VirtualLoop() as loop:
        hosted = HostedLoop(loop)
        stream: EventStream[int] = EventStream()
        stream.put(1)
        seen: list[int] = []

        def wait() -> None:
            seen.append(stream.get())
            with pytest.raises(BlockingCallError, match="await"):
                stream.get()

        hosted.call_soon(wait)
        loop.run_until_idle()
        assert seen == [1]


# -- loops -------------------------------------------------------------------------------------------------


def test_async_for_on_any_loop(source: EventSource[int]) -> None:
    stream = source.listen(capacity=10_000)

    async def main() -> list[int]:
        return [event async for event in stream]

    consumer = threads.start(lambda: asyncio.run(main()))
    for number in range(5000):
        source.emit(number)
    source.close()
    assert consumer.result() == list(range(5000))


def test_a_cancelled_consumer_takes_no_event_with_it(source: EventSource[int]) -> None:
    stream = source.listen()

    async def main() -> int:
        impatient = asyncio.ensure_future(_next(stream))
        patient = asyncio.ensure_future(_next(stream))
        await asyncio.sleep(0)
        source.emit(1)
        impatient.cancel()
        return await patient

    assert run_virtual(main()) == 1


async def _next(stream: EventStream[int]) -> int:
    return await anext(stream)


def test_a_burst_of_events_wakes_a_task_once() -> None:
    stream: EventStream[int] = EventStream()
    steps: list[list[int]] = []

    async def consume() -> None:
        async for event in stream:
            rest = [stream.get() for _ in range(len(stream))]
            steps.append([event, *rest])

    with VirtualLoop() as loop:
        consumer = loop.create_task(consume())
        for burst in (range(3), range(3, 100)):
            loop.run_until_idle()
            for number in burst:
                stream.put(number)
        loop.run_until_idle()
        stream.close()
        loop.run_until_complete(consumer)
    assert steps == [list(range(3)), list(range(3, 100))]


def test_a_producer_does_not_mind_that_the_consuming_loop_is_gone() -> None:
    stream: EventStream[int] = EventStream()
    loop = asyncio.new_event_loop()
    consumer = loop.create_task(_next(stream))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    stream.put(1)
    stream.put(2)
    assert [stream.get(), stream.get()] == [1, 2]
    setattr(consumer, "_log_destroy_pending", False)  # noqa: B010 -- asyncio's own switch


def test_the_end_reaches_a_task() -> None:
    async def main() -> list[int]:
        stream: EventStream[int] = EventStream()
        asyncio.get_running_loop().call_later(5, stream.close)
        return [event async for event in stream]

    assert run_virtual(main()) == []


# -- sources -----------------------------------------------------------------------------------------------


def test_callbacks_without_lanes_run_where_the_event_is_emitted(source: EventSource[int]) -> None:
    seen: list[tuple[int, int]] = []
    subscription = source.subscribe(lambda event: seen.append((event, threading.get_ident())))
    emitter = threads.start(partial(source.emit, 1))
    emitter.result()
    subscription.cancel()
    subscription.cancel()
    source.emit(2)
    assert seen == [(1, emitter.thread.ident)]


def test_a_listener_that_fails_delays_nobody(
    source: EventSource[int], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_event: int) -> None:
        raise SystemExit

    seen: list[int] = []
    source.subscribe(fail)
    source.subscribe(seen.append)
    source.emit(1)
    assert (seen, source.failures) == ([1], 1)
    assert "a listener failed" in caplog.text


def test_a_source_knows_whether_anybody_listens(source: EventSource[int]) -> None:
    assert not source.listened_to
    with source.listen():
        assert source.listened_to
    assert not source.listened_to


def test_a_stream_that_is_forgotten_listens_no_more(source: EventSource[int]) -> None:
    source.listen()
    gc.collect()
    assert not source.listened_to


def test_a_stream_can_follow_several_sources() -> None:
    first: EventSource[int] = EventSource()
    second: EventSource[int] = EventSource()
    with EventStream[int]().follow(first).follow(second) as stream:
        first.emit(1)
        second.emit(2)
        first.emit(3)
        assert [stream.get() for _ in range(3)] == [1, 2, 3]
    assert not first.listened_to
    assert not second.listened_to


def test_a_stream_of_several_sources_ends_with_the_last_of_them() -> None:
    first: EventSource[int] = EventSource()
    second: EventSource[int] = EventSource()
    stream = EventStream[int]().follow(first, second)
    first.emit(1)
    first.close()
    second.emit(2)
    assert not stream.closed
    second.close()
    assert list(stream) == [1, 2]
    assert list(EventStream[int]().follow(first, second)) == []


def test_events_reach_a_thread_from_a_loop_thread(source: EventSource[int]) -> None:
    loop = LoopThread("emitter")
    stream = source.listen()
    done: Future[None] = Future()

    def emit() -> None:
        for number in range(100):
            source.emit(number)
        done.set()

    loop.call_soon(emit)
    assert [stream.get(PATIENCE) for _ in range(100)] == list(range(100))
    done.get(PATIENCE)
    assert loop.close(PATIENCE)
