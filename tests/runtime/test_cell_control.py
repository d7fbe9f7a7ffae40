"""The control lane of a cell: pause, resume and steer overtake, are applied in order, and are never lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.errors import AgentFailed, FutureCancelledError, MailboxFullError
from agentbus.runtime import (
    CellContext,
    CellState,
    LoopThread,
    MailboxOptions,
    Overflow,
    Runtime,
    SystemClock,
    virtual_sleep,
)
from agentbus.runtime.cell_control import MAX_CONTROLS
from tests.runtime.cells import AFTER_A_SECOND, TIMEOUT, AsyncWorker, CellWorld, Worker, restarting
from tests.runtime.test_cell_thread import Place, make_place


class SlowlySteered(AsyncWorker):
    """Takes a virtual second to apply a steer that is a number."""

    async def on_control(self, message: Any) -> Any:
        self.log.append(("begins", message))
        if isinstance(message, int):
            await virtual_sleep(1.0)
        self.log.append(("steered", message))
        if isinstance(message, BaseException):
            raise message


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[CellWorld]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = CellWorld()
    yield world
    world.loop.cancel_all()
    world.loop.close()


def steered_in(log: list[Any]) -> list[str]:
    """Give what was steered by, of a log whose tuples say what happened and with what."""
    found: list[str] = []
    for entry in log:
        match entry:
            case ("steered", message):
                found.append(str(message))
            case _:
                pass
    return found


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("control", uvloop=False), random=Random(1))
    yield runtime
    assert runtime.close(TIMEOUT)


@pytest.fixture(params=[False, True], ids=["loop", "thread"])
def place(
    request: pytest.FixtureRequest, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> Iterator[Place]:
    yield from make_place(runtime, caplog, thread=request.param)


@pytest.fixture
def threads(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> Iterator[Place]:
    yield from make_place(runtime, caplog, thread=True)


class TestBothShells:
    def test_while_paused_no_message_is_taken_and_the_mailbox_fills(self, place: Place) -> None:
        ref = place.start(mailbox=MailboxOptions(capacity=3, overflow=Overflow.REJECT))
        assert ref.ask("before").get(TIMEOUT)
        assert ref.pause().get(TIMEOUT) is True
        asked = ref.ask("while")
        ref.tell("two")
        ref.tell("three")
        with pytest.raises(MailboxFullError):
            ref.tell("four")
        assert ref.steer("hint").get(TIMEOUT) is True
        assert (ref.paused, ref.queue_length, ref.state) == (True, 3, CellState.RUNNING)
        assert ref.resume().get(TIMEOUT) is True
        assert asked.get(TIMEOUT)
        ref.stop().get(TIMEOUT)
        assert [entry for entry in place.log if not isinstance(entry, tuple)] == [
            "before",
            "while",
            "two",
            "three",
            "on_stop",
        ]
        assert place.observer.kinds == ["Started", "Paused", "Resumed", "Stopped"]

    def test_a_restart_keeps_the_pause(self, place: Place) -> None:
        ref = place.start()
        assert ref.pause().get(TIMEOUT)
        with pytest.raises(AgentFailed):
            ref.steer(ValueError("bad advice")).get(TIMEOUT)
        assert ref.steer("better advice").get(TIMEOUT)
        assert (ref.restarts, ref.paused) == (1, True)
        asked = ref.ask("after")
        assert ref.resume().get(TIMEOUT)
        assert asked.get(TIMEOUT)[0] == 2

    @pytest.mark.parametrize("now", [False, True])
    def test_a_stop_works_while_it_is_paused(self, place: Place, now: bool) -> None:
        ref = place.start()
        ref.pause().get(TIMEOUT)
        ref.tell("in the mailbox")
        assert ref.stop(now=now).get(TIMEOUT) is True
        assert ("in the mailbox" in place.log) is not now
        assert ref.pause().get(TIMEOUT) is False
        assert ref.resume().get(TIMEOUT) is False
        assert ref.steer("too late").get(TIMEOUT) is False

    def test_a_cancelled_ask_of_a_paused_cell_never_starts(self, place: Place) -> None:
        ref = place.start()
        ref.pause().get(TIMEOUT)
        ref.ask("never").cancel()
        ref.resume().get(TIMEOUT)
        ref.ask("after").get(TIMEOUT)
        assert "never" not in place.log

    def test_what_is_told_while_it_backs_off_is_applied_by_the_next_behaviour(self, place: Place) -> None:
        ref = place.start(policy=restarting(AFTER_A_SECOND))
        with pytest.raises(AgentFailed):
            ref.ask(ValueError("oops")).get(TIMEOUT)
        steered, paused = ref.steer("hint"), ref.pause()
        assert steered.get(TIMEOUT)
        assert paused.get(TIMEOUT)
        assert place.log.index(("control", "hint")) > place.log.index(("on_start", 2))

    def test_too_many_that_wait_are_refused(self, place: Place) -> None:
        ref, held, release = place.start(), threading.Event(), threading.Event()

        def hold(_worker: Worker) -> None:
            held.set()
            assert release.wait(TIMEOUT)

        ref.tell({"call": hold})
        assert held.wait(TIMEOUT)
        waiting = [ref.steer(number) for number in range(MAX_CONTROLS)]
        with pytest.raises(MailboxFullError):
            ref.steer("one too many").get(TIMEOUT)
        withdrawn = waiting[7].cancel()
        release.set()
        assert withdrawn
        assert all(future.get(TIMEOUT) for future in waiting if not future.cancelled())
        expected = [("control", number) for number in range(MAX_CONTROLS) if number != 7]
        assert [entry for entry in place.log if entry in expected] == expected


class TestOnALoop:
    def test_it_is_steered_while_a_handler_awaits(self, world: CellWorld) -> None:
        ref = world.start(SlowlySteered)
        ref.tell(100)
        world.settle()
        steered = [ref.steer(1), ref.steer("two"), ref.pause()]
        world.settle()
        assert [future.done() for future in steered] == [False, False, False]
        world.pass_time(1.0)
        assert [future.get() for future in steered] == [True, True, True]
        assert world.log[-4:] == [("begins", 1), ("steered", 1), ("begins", "two"), ("steered", "two")]
        assert ref.paused

    def test_a_running_handler_goes_on_while_it_is_paused(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker, concurrency=3)
        first, second = ref.ask(1), ref.ask(2)
        world.settle()
        ref.pause()
        third = ref.ask(1)
        world.pass_time(5.0)
        assert first.done()
        assert second.done()
        assert not third.done()
        ref.resume()
        world.pass_time(1.0)
        assert third.done()

    def test_as_many_run_after_a_pause_as_before(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker, concurrency=2)
        first = ref.ask(1)
        world.settle()
        ref.pause()
        ref.resume()
        others = [ref.ask(10) for _ in range(3)]
        world.pass_time(10.0)
        assert [first.done(), *(each.done() for each in others)] == [True, True, False, False]

    def test_one_that_a_restart_cuts_off_is_applied_again(self, world: CellWorld) -> None:
        ref = world.start(SlowlySteered, policy=restarting(AFTER_A_SECOND))
        steered = [ref.steer(1), ref.steer(2)]
        world.pass_time(0.5)
        ref.tell(ValueError("oops"))
        world.pass_time(10.0)
        assert all(future.get() for future in steered)
        assert world.log.count(("begins", 1)) == 2
        assert steered_in(world.log) == ["1", "2"]

    def test_one_that_the_end_cuts_off_is_told_so(self, world: CellWorld) -> None:
        ref = world.start(SlowlySteered)
        steered = [ref.steer(1), ref.steer(2)]
        world.pass_time(0.5)
        ref.stop(now=True)
        world.pass_time(10.0)
        assert [future.get() for future in steered] == [False, False]

    def test_a_stop_that_waits_is_not_paused_away(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker)
        ref.tell(1)
        world.settle()
        stopped, paused = ref.stop(), ref.pause()
        world.pass_time(1.0)
        assert (stopped.get(), paused.get()) == (True, False)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.sampled_from(["pause", "resume", "steer", "slow", "tell", "fail", "bad", "time"]), max_size=25
        )
    )
    def test_all_that_was_told_is_applied_in_order(self, steps: list[str]) -> None:
        logger = logging.getLogger("agentbus.runtime")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        world = CellWorld()
        try:
            self._tell_and_compare(world, steps)
        finally:
            logger.setLevel(level)
            world.loop.cancel_all()
            world.loop.close()

    def _tell_and_compare(self, world: CellWorld, steps: list[str]) -> None:
        ref = world.start(SlowlySteered, policy=restarting(AFTER_A_SECOND, intensity=1000))
        told: list[Any] = []
        handled = 0
        for number, step in enumerate(steps):
            match step:
                case "pause" | "resume":
                    told.append(ref.pause() if step == "pause" else ref.resume())
                case "steer" | "slow":
                    told.append(ref.steer(number if step == "slow" else f"{number}"))
                case "bad":
                    told.append(ref.steer(ValueError(str(number))).quiet())
                case "time":
                    world.pass_time(0.7)
                case _:
                    handled += step == "tell"
                    ref.tell("message" if step == "tell" else ValueError("oops"))
        told.append(ref.resume())
        world.pass_time(10_000.0)
        assert all(future.done() for future in told)
        wanted = [str(number) for number, step in enumerate(steps) if step in {"steer", "slow", "bad"}]
        assert steered_in(world.log) == wanted
        cut_off = sum(letter.message == "message" for letter in world.letters)
        assert world.log.count("message") + cut_off == handled


class TestOnAThread:
    def test_a_long_handler_is_steered_and_paused_at_its_checkpoints(self, threads: Place) -> None:
        ref, held, release = threads.start(), threading.Event(), threading.Event()

        def work(worker: Worker) -> bool:
            held.set()
            assert release.wait(TIMEOUT)
            worker.context.checkpoint()
            return worker.context.ref.paused

        asked, behind = ref.ask({"call": work}), ref.ask("behind")
        assert held.wait(TIMEOUT)
        steered, paused = ref.steer("hint"), ref.pause()
        release.set()
        assert asked.get(TIMEOUT) is True
        assert (steered.get(TIMEOUT), paused.get(TIMEOUT), behind.done()) == (True, True, False)
        assert threads.log[-1] == ("control", "hint")
        ref.resume()
        assert behind.get(TIMEOUT)

    def test_a_checkpoint_ends_what_nobody_wants(self, threads: Place) -> None:
        ref, held, release = threads.start(), threading.Event(), threading.Event()

        def work(worker: Worker) -> None:
            held.set()
            assert release.wait(TIMEOUT)
            worker.context.checkpoint()
            worker.log.append("not reached")

        asked = ref.ask({"call": work})
        assert held.wait(TIMEOUT)
        asked.cancel()
        release.set()
        assert ref.ask("after").get(TIMEOUT)
        assert ("not reached" in threads.log, ref.restarts) == (False, 0)

    def test_a_stop_is_seen_at_a_checkpoint_and_not_lost_there(self, threads: Place) -> None:
        ref, held, release = threads.start(), threading.Event(), threading.Event()

        def work(worker: Worker) -> None:
            held.set()
            assert release.wait(TIMEOUT)
            worker.context.checkpoint()

        asked = ref.ask({"call": work})
        assert held.wait(TIMEOUT)
        steered, stopped = ref.steer("hint"), ref.stop(now=True)
        release.set()
        assert stopped.get(TIMEOUT)
        assert steered.get(TIMEOUT)
        with pytest.raises(Exception, match="stopped"):
            asked.get(TIMEOUT)

    def test_an_ask_that_it_waits_for_ends_when_the_message_is_cancelled(self, threads: Place) -> None:
        other, ref = threads.start(name="other"), threads.start()
        held, release = threading.Event(), threading.Event()
        seen: list[bool] = []

        def hold(_worker: Worker) -> None:
            assert release.wait(TIMEOUT)

        other.tell({"call": hold})

        def work(worker: Worker) -> None:
            ask = worker.context.track(other.ask("never"))
            held.set()
            try:
                ask.get(TIMEOUT)
            except FutureCancelledError:
                seen.append(worker.context.cancel_token.cancelled)
                raise

        asked = ref.ask({"call": work})
        assert held.wait(TIMEOUT)
        asked.cancel()
        assert ref.ask("after").get(TIMEOUT)
        release.set()
        assert (seen, ref.restarts) == ([True], 0)


class Idle(Worker):
    """Does nothing with its messages, and says when it is stopped."""

    def __init__(self, context: CellContext, log: list[Any]) -> None:
        super().__init__(context, log)
        self.stopped = threading.Event()
        log.append(self.stopped)

    def on_message(self, message: Any) -> Any:
        del message

    def on_stop(self) -> Any:
        self.stopped.set()


@pytest.mark.parametrize("queued", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_stop_at_once_is_handled_at_once_behind_a_million_messages(place: Place, queued: int) -> None:
    ref = place.start(Idle)
    ref.pause().get(TIMEOUT)
    for _ in range(queued):
        ref.tell(None)
    ref.resume().get(TIMEOUT)
    begun = SystemClock.monotonic()
    stopped = ref.stop(now=True)
    assert place.log[0].wait(TIMEOUT)
    assert SystemClock.monotonic() - begun < 1.0, "it takes a few milliseconds; a busy machine gets a second"
    assert stopped.get(60)
