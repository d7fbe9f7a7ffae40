"""Moments of a lane that threads meet seldom, brought about on purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import pytest

from agentbus.runtime import Future, HostedLoop, VirtualLoop
from agentbus.runtime.buffer import Buffer
from agentbus.runtime.lanes import LoopLane, ThreadLane
from agentbus.runtime.pool import ThreadPool


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


class Ordered(ThreadPool):
    """A pool whose work the test runs, one piece after the other."""

    def __init__(self) -> None:
        super().__init__(1, "never-started")
        self.work: deque[Callable[[], object]] = deque()

    def submit(self, work: Callable[[], object]) -> None:
        self.work.append(work)

    def run(self) -> None:
        while self.work:
            self.work.popleft()()


class Interrupted(Buffer[int]):
    """A buffer at which another thread gets its chance just before somebody counts what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        if self.meanwhile:
            self.meanwhile.popleft()()
        return super().__len__()


def test_who_posts_while_a_turn_comes_to_rest_begins_no_second_turn_beside_it(
    loop: VirtualLoop,
) -> None:
    pool, buffer, seen = Ordered(), Interrupted(), list[int]()

    def note(event: int) -> None:
        assert not pool.work, "another thread could call back at the same time"
        seen.append(event)

    lane = ThreadLane(note, buffer, lambda: None, pool, HostedLoop(loop))
    buffer.meanwhile.append(lambda: lane.post(2))
    lane.post(1)
    pool.run()
    assert seen == [1, 2]
    lane.post(3)
    assert len(pool.work) == 1
    pool.run()
    assert seen == [1, 2, 3]


def test_a_callback_on_a_loop_is_not_called_again_while_it_awaits(loop: VirtualLoop) -> None:
    buffer, seen = Interrupted(), list[str]()
    waiting: dict[int, Future[None]] = {}

    async def note(event: int) -> None:
        seen.append(f"begin {event}")
        if event == 2:
            lane.post(3)
            loop.call_later(1.0, waiting.setdefault(event, Future()).set)
            await waiting[event]
        seen.append(f"end {event}")

    lane = LoopLane(note, buffer, lambda: None, HostedLoop(loop))
    buffer.meanwhile.append(lambda: lane.post(2))
    lane.post(1)
    loop.run_until_complete(lane.drain())
    assert seen == ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]


def test_a_lane_that_was_drained_takes_more(loop: VirtualLoop) -> None:
    pool, seen = Ordered(), list[int]()
    lane = ThreadLane(seen.append, Buffer[int](), lambda: None, pool, HostedLoop(loop))
    assert lane.drain().done()
    lane.post(1)
    drained = lane.drain()
    assert not drained.done()
    pool.run()
    assert drained.done()
    lane.post(2)
    pool.run()
    assert seen == [1, 2]
