"""The asks of a message end with it; those of hooks and of other messages do not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agentbus.errors import AskTimeoutError, FutureCancelledError
from agentbus.runtime import CellRef, Future
from agentbus.runtime.cell_job import job_of, shielding
from agentbus.runtime.envelope import Ask
from tests.runtime.cells import AFTER_A_SECOND, AsyncWorker, CellWorld, restarting


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[CellWorld]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = CellWorld()
    yield world
    world.loop.cancel_all()
    world.loop.close()


class AskingWorker(AsyncWorker):
    """Asks `other` when it starts and for each message."""

    other: CellRef
    asks: list[Future[Any]]

    async def on_start(self) -> None:
        self.asks.append(self.context.track(self.other.ask("from on_start")))

    async def on_message(self, message: Any) -> Any:
        first = self.context.track(self.other.ask("first"))
        with shielding():
            shielded = self.context.track(self.other.ask("shielded"))
        self.asks += [first, shielded]
        try:
            await first
        except asyncio.CancelledError:
            self.asks.append(self.context.track(self.other.ask("too late")))
            if message == "fail":
                raise ValueError("in its cleaning up") from None
            raise


def start(world: CellWorld) -> tuple[CellRef, type[AskingWorker]]:
    other = world.start(name="other", observer=None)
    other.pause()

    class Asking(AskingWorker):
        pass

    Asking.other, Asking.asks = other, []
    ref = world.start(Asking, policy=restarting(AFTER_A_SECOND))
    world.settle()
    return ref, Asking


def test_a_message_that_is_cancelled_takes_its_asks_along_and_no_others(world: CellWorld) -> None:
    ref, asking = start(world)
    asked = ref.ask("message")
    world.settle()
    asked.cancel()
    world.settle()
    at_start, first, shielded, too_late = asking.asks
    assert [first.cancelled(), too_late.cancelled()] == [True, True]
    assert [at_start.done(), shielded.done()] == [False, False]


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_the_next_behaviour_is_no_part_of_what_the_last_was_cancelled_in(world: CellWorld, how: str) -> None:
    ref, asking = start(world)
    asked = ref.ask("fail")
    world.settle()
    if how == "cancelled":
        asked.cancel()
    else:
        asked.set_exception(AskTimeoutError("too late"))
    world.pass_time(5.0)
    assert ref.restarts == 1
    assert [ask.cancelled() for ask in asking.asks] == [True, True, True, True, False]
    with pytest.raises((FutureCancelledError, AskTimeoutError)):
        asked.get()


def test_what_is_done_is_not_kept(world: CellWorld) -> None:
    del world
    job = job_of(Ask("message", Future()))
    for _ in range(1000):
        ask: Future[int] = Future()
        job.track(ask)
        assert job.open_asks == 1
        ask.set(1)
    assert job.open_asks == 0


@pytest.mark.parametrize(
    ("error", "gives_in"),
    [
        (asyncio.CancelledError(), True),
        (FutureCancelledError(), True),
        (AskTimeoutError(), True),
        (BaseExceptionGroup("tasks", [FutureCancelledError(), asyncio.CancelledError()]), True),
        (ExceptionGroup("tasks", [FutureCancelledError(), ValueError()]), False),
        (ValueError(), False),
    ],
)
def test_only_its_cancelling_is_no_failure_of_a_cancelled_message(
    error: BaseException, gives_in: bool
) -> None:
    job = job_of(Ask("message", Future()))
    assert not job.gave_in(error)
    job.token.cancel()
    assert job.gave_in(error) is gives_in


def test_after_the_reply_a_message_is_not_cancelled_any_more() -> None:
    future: Future[int] = Future()
    job = job_of(Ask("message", future))
    ask: Future[int] = Future()
    job.track(ask)
    job.reply(1)
    assert not future.cancel()
    assert not job.token.cancelled
    assert not ask.done()
