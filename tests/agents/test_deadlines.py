"""The time-outs of asks, on the loops that programs really have."""

from __future__ import annotations

import pytest

from agentbus.agents.deadlines import Deadlines
from agentbus.errors import AskTimeoutError
from agentbus.runtime import Future, Runtime


def test_deadlines_that_have_passed_are_taken_several_at_a_time() -> None:
    runtime = Runtime()
    first, second, third = Future[int](), Future[int](), Future[int]()
    deadlines = Deadlines(runtime.io)

    async def add_all() -> None:
        now = runtime.clock.monotonic()
        deadlines.add(first, now - 1)
        deadlines.add(second, now - 2)  # uvloop gives no TimerHandle for what is due at once
        deadlines.add(third, now + 0.0001)

    try:
        runtime.io.run(add_all()).get(timeout=5)
        for future in (first, second, third):
            with pytest.raises(AskTimeoutError):
                future.get(timeout=5)
        assert not len(deadlines)
    finally:
        runtime.close(1)
