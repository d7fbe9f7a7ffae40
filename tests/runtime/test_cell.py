"""Cells on a loop, on virtual time: every row of the restart table, and what lies around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agentbus.errors import (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    FutureCancelledError,
    MailboxFullError,
)
from agentbus.runtime import (
    CellContext,
    CellOptions,
    CellState,
    ChildDown,
    DeadLetterReason,
    Failed,
    Future,
    GaveUp,
    MailboxOptions,
    Overflow,
    Restarting,
    RestartPolicy,
    Stopped,
    StopReason,
    virtual_sleep,
)
from tests.runtime.cells import AFTER_A_SECOND, AsyncWorker, CellWorld, NotFoundError, Worker, restarting

OOPS = ValueError("oops")


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[CellWorld]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = CellWorld()
    with world.loop:
        yield world


class TestLife:
    def test_it_starts_serves_and_stops(self, world: CellWorld) -> None:
        ref = world.start()
        asked, stopped = ref.ask("hi"), ref.stop()
        world.settle()
        assert asked.get() == (1, 1, "hi")
        assert stopped.get() is True
        assert world.log == [("on_start", 1), "hi", "on_stop"]
        assert world.observer.kinds == ["Started", "Stopped"]
        assert world.observer.events[-1] == Stopped("worker", StopReason.REQUESTED)
        assert (ref.state, ref.is_alive()) == (CellState.STOPPED, False)

    def test_a_stopped_cell_refuses(self, world: CellWorld) -> None:
        ref = world.start()
        ref.stop()
        world.settle()
        with pytest.raises(AgentStopped):
            ref.tell("late")
        assert isinstance(ref.ask("late").exception(), AgentStopped)
        assert ref.stop().get() is False
        assert ref.ended().done()

    def test_what_waits_when_it_stops_gets_an_error(self, world: CellWorld) -> None:
        ref = world.start()
        ref.stop()
        asked = ref.ask("late")
        ref.tell("later")
        world.settle()
        assert isinstance(asked.exception(), AgentStopped)
        assert [(letter.recipient, letter.message, letter.reason) for letter in world.letters] == [
            ("worker", "late", DeadLetterReason.STOPPED),
            ("worker", "later", DeadLetterReason.STOPPED),
        ]

    def test_stop_at_once_cancels_what_runs(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker)
        running, waiting = ref.ask(10), ref.ask(20)
        world.settle()
        ref.stop(now=True)
        world.settle()
        assert [type(each.exception()) for each in (running, waiting)] == [type(running.exception())] * 2
        assert isinstance(running.exception(), AgentStopped)
        assert world.log == [("on_start", 1), ("cancelled", 10), "on_stop"]

    def test_stop_in_order_waits_for_every_handler(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker, concurrency=3)
        asked = [ref.ask(seconds) for seconds in (3, 1, 2)]
        ref.stop()
        world.pass_time(2.5)
        assert ref.state is CellState.RUNNING
        world.pass_time(0.5)
        assert [future.get()[2] for future in asked] == [3, 1, 2]
        assert ref.state is CellState.STOPPED

    def test_stop_at_once_while_starting(self, world: CellWorld) -> None:
        class Loading(Worker):
            async def on_start(self) -> None:
                await virtual_sleep(100.0)

        ref = world.start(Loading)
        world.settle()
        assert ref.state is CellState.STARTING
        ref.stop(now=True)
        world.settle()
        assert (ref.state, world.log, world.observer.kinds) == (CellState.STOPPED, [], ["Stopped"])

    def test_control_messages_reach_the_behaviour_while_it_works(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker)
        ref.tell(10)
        world.settle()
        ref.tell_control("now")
        world.settle()
        assert world.log == [("on_start", 1), ("control", "now")]

    def test_the_queue_can_be_measured(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker)
        for _ in range(3):
            ref.tell(10)
        world.settle()
        assert ref.queue_length == 2


class TestRestart:
    def test_address_and_mailbox_survive(self, world: CellWorld) -> None:
        ref = world.start()
        futures = [ref.ask("before"), ref.ask(OOPS), ref.ask("after")]
        world.settle()
        assert futures[0].get() == (1, 1, "before")
        assert futures[2].get() == (2, 1, "after")
        assert ref.restarts == 1
        assert world.observer.kinds == ["Started", "Failed", "Restarting", "Restarted"]
        assert world.log == [
            ("on_start", 1),
            "before",
            OOPS,
            ("on_failure", "ValueError"),
            ("on_start", 2),
            "after",
        ]

    def test_the_asker_of_the_failed_message_gets_agent_failed(self, world: CellWorld) -> None:
        asked = world.start().ask(OOPS)
        world.settle()
        error = asked.exception()
        assert isinstance(error, AgentFailed)
        assert (error.error_type, error.error_message, error.__cause__) == ("ValueError", "oops", OOPS)

    def test_the_failed_message_is_dead_lettered_with_the_traceback(self, world: CellWorld) -> None:
        world.start().tell(OOPS)
        world.settle()
        (letter,) = world.letters
        assert (letter.recipient, letter.message, letter.reason) == ("worker", OOPS, DeadLetterReason.FAILED)
        assert letter.error is OOPS
        assert "raise message" in letter.traceback

    def test_observers_see_error_and_message(self, world: CellWorld) -> None:
        world.start(policy=restarting(AFTER_A_SECOND)).tell(OOPS)
        world.settle()
        assert world.observer.events[1:] == [Failed("worker", OOPS, OOPS), Restarting("worker", 1.0, 1)]

    def test_asked_and_told_failures_are_one_to_the_policy(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(intensity=1))
        asked = ref.ask(OOPS)
        ref.tell(ValueError("again"))
        world.settle()
        assert isinstance(asked.exception(), AgentFailed)
        assert ref.state is CellState.STOPPED

    def test_other_handlers_are_cancelled_and_their_askers_told(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker, concurrency=3)
        other, told = ref.ask(100), 200
        ref.tell(told)
        ref.tell(OOPS)
        world.settle()
        assert isinstance(other.exception(), AgentRestarted)
        assert [entry for entry in world.log if isinstance(entry, tuple) and entry[0] == "cancelled"] == [
            ("cancelled", 100),
            ("cancelled", 200),
        ]
        assert [(letter.message, letter.reason) for letter in world.letters] == [
            (OOPS, DeadLetterReason.FAILED),
            (100, DeadLetterReason.RESTARTED),
            (200, DeadLetterReason.RESTARTED),
        ]

    def test_another_failure_while_it_winds_down_is_not_counted(self, world: CellWorld) -> None:
        class Spiteful(AsyncWorker):
            async def on_message(self, message: Any) -> Any:
                try:
                    return await super().on_message(message)
                except asyncio.CancelledError:
                    raise ValueError("not like this") from None

        ref = world.start(Spiteful, policy=restarting(intensity=1), concurrency=2)
        other = ref.ask(100)
        ref.tell(OOPS)
        world.settle()
        assert isinstance(other.exception(), AgentFailed)
        assert ref.state is CellState.RUNNING

    def test_a_handler_that_ignores_its_cancelling_is_left_behind(self, world: CellWorld) -> None:
        class Stubborn(AsyncWorker):
            async def on_message(self, message: Any) -> Any:
                if message == "stubborn":
                    for _ in range(10):
                        try:
                            await virtual_sleep(10.0)
                        except asyncio.CancelledError:
                            continue
                return await super().on_message(message)

        ref = world.start(Stubborn, concurrency=2)
        asked = ref.ask("stubborn")
        ref.tell(OOPS)
        world.pass_time(4.9)
        assert not asked.done()
        world.pass_time(0.2)
        assert isinstance(asked.exception(), AgentRestarted)
        assert world.observer.kinds[-1] == "Restarted"
        again = ref.ask(1)
        world.pass_time(200.0)
        assert again.get() == (2, 1, 1)

    def test_mailbox_fills_up_to_its_capacity_while_backing_off(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(AFTER_A_SECOND), mailbox=MailboxOptions(2, Overflow.REJECT))
        ref.tell(OOPS)
        world.settle()
        assert ref.state is CellState.BACKING_OFF
        asked = [ref.ask(number) for number in range(3)]
        assert isinstance(asked[2].exception(), MailboxFullError)
        world.pass_time(1.0)
        assert [future.get()[2] for future in asked[:2]] == [0, 1]

    def test_backing_off_takes_longer_each_time(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(AFTER_A_SECOND))
        for _ in range(3):
            ref.tell(OOPS)
        world.pass_time(7.5)
        delays = [event.delay for event in world.observer.events if isinstance(event, Restarting)]
        assert delays == [1.0, 2.0, 4.0]

    def test_a_failing_start_is_retried_with_backoff(self, world: CellWorld) -> None:
        class Unlucky(Worker):
            def on_start(self) -> None:
                super().on_start()
                if self.context.incarnation < 3:
                    raise OOPS

        ref = world.start(Unlucky, policy=restarting(AFTER_A_SECOND))
        asked = ref.ask("hi")
        world.pass_time(3.0)
        assert asked.get() == (3, 1, "hi")
        assert world.observer.kinds == ["Failed", "Restarting", "Failed", "Restarting", "Restarted"]
        assert ("on_failure", "ValueError") not in world.log

    def test_a_failing_factory_is_a_failing_start(self, world: CellWorld) -> None:
        lives: list[int] = []

        def make(context: CellContext, log: list[Any]) -> Worker:
            lives.append(context.incarnation)
            if len(lives) == 1:
                raise OOPS
            return Worker(context, log)

        asked = world.start(make).ask("hi")
        world.settle()
        assert asked.get() == (2, 1, "hi")

    def test_the_new_behaviour_knows_what_ended_the_last(self, world: CellWorld) -> None:
        def last_error(worker: Worker) -> BaseException | None:
            return worker.context.last_error

        ref = world.start()
        ref.tell(OOPS)
        asked = ref.ask({"call": last_error})
        world.settle()
        assert asked.get() is OOPS

    def test_a_failing_control_message_is_a_failure(self, world: CellWorld) -> None:
        ref = world.start()
        world.settle()
        ref.tell_control(OOPS)
        world.settle()
        assert world.observer.kinds == ["Started", "Failed", "Restarting", "Restarted"]
        assert world.observer.events[1] == Failed("worker", OOPS, None)

    def test_a_stop_that_waits_its_turn_survives_a_restart(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker, concurrency=2)
        ref.tell(5)
        ref.tell(OOPS)
        stopped = ref.stop()
        ref.tell("late")
        world.pass_time(10.0)
        assert stopped.get() is True
        assert ref.restarts == 1
        assert "late" not in world.log

    def test_stop_at_once_while_backing_off(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(AFTER_A_SECOND))
        ref.tell(OOPS)
        asked = ref.ask("waiting")
        world.settle()
        ref.stop(now=True)
        world.settle()
        assert isinstance(asked.exception(), AgentStopped)
        assert world.observer.kinds[-1] == "Stopped"
        assert world.loop.time() == 0.0

    @pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError()], ids=repr)
    @pytest.mark.parametrize("behaviour", [Worker, AsyncWorker])
    def test_whatever_is_raised_is_a_failure_of_this_cell_alone(
        self, world: CellWorld, behaviour: type[Worker], error: BaseException
    ) -> None:
        ref, other = world.start(behaviour), world.start(behaviour, name="other")
        asked = ref.ask(error)
        world.settle()
        assert isinstance(asked.exception(), AgentFailed)
        assert (ref.restarts, other.restarts) == (1, 0)

    def test_a_last_hook_that_fails_changes_nothing(self, world: CellWorld) -> None:
        class Clumsy(Worker):
            def on_failure(self, error: BaseException) -> None:
                raise ValueError("dropped it")

            async def on_stop(self) -> None:
                raise ValueError("dropped it again")

        ref = world.start(Clumsy)
        ref.tell(OOPS)
        asked, stopped = ref.ask("hi"), ref.stop()
        world.settle()
        assert (asked.get(), stopped.get()) == ((2, 1, "hi"), True)

    def test_a_failing_observer_changes_nothing(self, world: CellWorld) -> None:
        def observer(event: object) -> None:
            raise ValueError("the observer")

        asked = world.start(observer=observer).ask("hi")
        world.settle()
        assert asked.get() == (1, 1, "hi")


class TestPoison:
    def test_it_is_tried_again_as_often_as_allowed(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(retry_poison=2))
        asked, after = ref.ask(OOPS), ref.ask("after")
        world.settle()
        assert world.log.count(OOPS) == 3
        assert isinstance(asked.exception(), AgentFailed)
        assert after.get() == (4, 1, "after")
        assert [letter.message for letter in world.letters] == [OOPS]

    def test_its_asker_gets_the_reply_of_the_try_that_works(self, world: CellWorld) -> None:
        class Second(Worker):
            def on_message(self, message: Any) -> Any:
                if self.context.incarnation == 1:
                    raise OOPS
                return super().on_message(message)

        asked = world.start(Second, retry_poison=1).ask("hi")
        world.settle()
        assert asked.get() == (2, 1, "hi")
        assert world.letters == []

    def test_it_is_not_tried_again_for_an_asker_who_has_gone(self, world: CellWorld) -> None:
        class Spiteful(Worker):
            async def on_message(self, message: Any) -> Any:
                self.log.append(message)
                try:
                    await virtual_sleep(10.0)
                except asyncio.CancelledError:
                    raise OOPS from None

        ref = world.start(Spiteful, retry_poison=5)
        asked = ref.ask("poison")
        world.settle()
        asked.cancel()
        world.settle()
        assert (world.log.count("poison"), ref.restarts) == (1, 1)

    def test_giving_up_while_it_waits_tells_its_asker(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(AFTER_A_SECOND, retry_poison=9))
        asked = ref.ask(OOPS)
        world.settle()
        ref.stop(now=True)
        world.settle()
        assert isinstance(asked.exception(), AgentStopped)
        assert [letter.message for letter in world.letters] == [OOPS]


class TestReplies:
    @pytest.mark.parametrize("behaviour", [Worker, AsyncWorker])
    def test_a_declared_exception_is_an_answer(self, world: CellWorld, behaviour: type[Worker]) -> None:
        ref = world.start(behaviour)
        asked = ref.ask(NotFoundError("no such thing"))
        world.settle()
        assert isinstance(asked.exception(), NotFoundError)
        assert (ref.restarts, world.letters) == (0, [])

    def test_a_declared_exception_for_nobody_is_no_failure(self, world: CellWorld) -> None:
        ref = world.start()
        ref.tell(NotFoundError("no such thing"))
        world.settle()
        assert ref.restarts == 0

    def test_cancelling_an_ask_cancels_its_handler(self, world: CellWorld) -> None:
        ref = world.start(AsyncWorker)
        asked = ref.ask(100)
        world.settle()
        asked.cancel()
        world.settle()
        assert world.log[-1] == ("cancelled", 100)
        assert ref.restarts == 0

    def test_cancelling_before_its_turn_means_it_never_starts(self, world: CellWorld) -> None:
        ref = world.start()
        ref.ask("never").cancel()
        world.settle()
        assert "never" not in world.log

    def test_a_handler_sees_that_it_is_cancelled(self, world: CellWorld) -> None:
        seen: list[Any] = []

        async def watch(worker: Any) -> None:
            token = worker.context.cancel_token
            token.on_cancel(lambda: seen.append("told"))
            seen.append(token.cancelled)
            try:
                await virtual_sleep(10.0)
            finally:
                seen.append(token.cancelled)

        class Watching(Worker):
            async def on_message(self, message: Any) -> Any:
                return await watch(self)

        asked = world.start(Watching).ask("x")
        world.settle()
        asked.cancel()
        world.settle()
        assert seen == [False, "told", True]

    def test_each_handler_sees_its_own_message(self, world: CellWorld) -> None:
        class Curious(Worker):
            async def on_message(self, message: Any) -> bool:
                before = self.context.reply_expected
                await virtual_sleep(1.0)
                assert before == self.context.reply_expected
                return before

        ref = world.start(Curious, concurrency=2)
        ref.tell("told")
        asked = ref.ask("asked")
        world.pass_time(1.0)
        assert asked.get() is True
        assert ref.restarts == 0


class TestGivingUp:
    def test_stop_mode_ends_at_the_first_failure(self, world: CellWorld) -> None:
        ref = world.start(policy=RestartPolicy())
        failed, waiting = ref.ask(OOPS), ref.ask("waiting")
        world.settle()
        assert isinstance(failed.exception(), AgentFailed)
        error = waiting.exception()
        assert isinstance(error, AgentStopped)
        assert error.__cause__ is OOPS
        assert world.observer.events[1:] == [
            Failed("worker", OOPS, OOPS),
            GaveUp("worker", OOPS, 1),
            Stopped("worker", StopReason.FAILED),
        ]

    def test_too_many_failures_in_the_period_end_it(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(intensity=3, period=60.0))
        for _ in range(4):
            ref.tell(OOPS)
        asked = ref.ask("waiting")
        world.settle()
        assert ref.restarts == 3
        assert isinstance(asked.exception(), AgentStopped)
        assert world.observer.kinds[-3:] == ["Failed", "GaveUp", "Stopped"]

    def test_the_same_failures_over_a_longer_time_do_not(self, world: CellWorld) -> None:
        ref = world.start(policy=restarting(intensity=3, period=60.0))
        for _ in range(20):
            ref.tell(OOPS)
            world.pass_time(25.0)
        assert ref.state is CellState.RUNNING

    def test_the_parent_is_told(self, world: CellWorld) -> None:
        parent = world.start(name="parent")
        child = world.start(policy=RestartPolicy(), name="child", parent=parent)
        child.tell(OOPS)
        world.settle()
        assert ("control", ChildDown(child, OOPS)) in world.log

    def test_a_stop_tells_no_parent(self, world: CellWorld) -> None:
        parent = world.start(name="parent")
        world.start(name="child", parent=parent).stop()
        world.settle()
        assert "control" not in str(world.log)


class TestWhatABehaviourOwns:
    def test_closers_run_youngest_first_and_know_why(self, world: CellWorld) -> None:
        closed: list[Any] = []

        class Owner(Worker):
            def on_start(self) -> None:
                for name in ("first", "second"):
                    self.context.own(lambda error, name=name: closed.append((name, type(error))))
                self.context.own(lambda error: closed.append("given up"))()

        ref = world.start(Owner)
        ref.tell(OOPS)
        world.settle()
        assert closed == [("second", AgentRestarted), ("first", AgentRestarted)]
        closed.clear()
        ref.stop()
        world.settle()
        assert [(name, issubclass(kind, AgentStopped)) for name, kind in closed] == [
            ("second", True),
            ("first", True),
        ]

    def test_what_is_owned_too_late_is_closed_at_once(self, world: CellWorld) -> None:
        contexts: list[CellContext] = []
        closed: list[Any] = []

        def make(context: CellContext, log: list[Any]) -> Worker:
            contexts.append(context)
            return Worker(context, log)

        world.start(make).stop()
        world.settle()
        contexts[0].own(closed.append)
        assert len(closed) == 1

    def test_asks_that_it_sent_are_cancelled(self, world: CellWorld) -> None:
        sent: list[Future[Any]] = [Future(), Future()]

        class Asker(Worker):
            def on_start(self) -> None:
                for future in sent:
                    self.context.track(future)

        ref = world.start(Asker)
        world.settle()
        sent[0].set("answered")
        ref.tell(OOPS)
        world.settle()
        assert sent[0].get() == "answered"
        with pytest.raises(FutureCancelledError):
            sent[1].get()

    def test_timers_end_with_it(self, world: CellWorld) -> None:
        class Alarm(Worker):
            def on_start(self) -> None:
                super().on_start()
                self.context.call_later(5.0, self.log.append, ("ring", self.context.incarnation))

        ref = world.start(Alarm)
        world.pass_time(3.0)
        ref.tell(OOPS)
        world.pass_time(6.0)
        assert world.log[-1] == ("ring", 2)
        assert ("ring", 1) not in world.log

    def test_a_timer_that_raises_is_a_failure(self, world: CellWorld) -> None:
        class Bomb(Worker):
            def on_start(self) -> None:
                if self.context.incarnation == 1:
                    self.context.call_later(1.0, self.on_message, OOPS)

        ref = world.start(Bomb)
        world.pass_time(2.0)
        assert ref.restarts == 1

    @pytest.mark.parametrize("detached", [False, True])
    def test_children_are_stopped_unless_detached(self, world: CellWorld, *, detached: bool) -> None:
        children: list[Any] = []

        class Parent(Worker):
            def on_start(self) -> None:
                options = CellOptions(name=f"child {self.context.incarnation}")
                child = self.context.start_cell(
                    lambda context: Worker(context, []), options, detached=detached
                )
                children.append(child)

        ref = world.start(Parent)
        ref.tell(OOPS)
        world.settle()
        assert [child.is_alive() for child in children] == [detached, True]

    def test_a_childs_giving_up_reaches_its_parent(self, world: CellWorld) -> None:
        class Parent(Worker):
            def on_start(self) -> None:
                child = self.context.start_cell(
                    lambda context: Worker(context, []), CellOptions(name="child")
                )
                child.tell(OOPS)

        world.start(Parent)
        world.settle()
        (entry,) = world.log
        assert (entry[0], entry[1].child.name, entry[1].error) == ("control", "child", OOPS)


class TestManyCells:
    def test_they_are_deterministic(self) -> None:
        def run() -> list[Any]:
            world = CellWorld()
            with world.loop:
                refs = [
                    world.start(policy=RestartPolicy(restarting().mode), name=f"w{number}")
                    for number in range(10)
                ]
                for number, ref in enumerate(refs * 3):
                    ref.tell(OOPS if number % 4 == 0 else number)
                world.pass_time(30.0)
                return [*world.log, *map(str, world.observer.events)]

        assert run() == run()
