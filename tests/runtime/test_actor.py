"""What `LoopActor` adds to pykka's actors, on virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

import msgspec
import pykka
import pytest

from agentbus.errors import (
    ActorStoppedError,
    BlockingCallError,
    FutureCancelledError,
    MailboxFullError,
    MessageDroppedError,
    RuntimeFault,
)
from agentbus.runtime import (
    ActorGoneError,
    DeadLetter,
    DeadLetterReason,
    Down,
    DownReason,
    LoopActor,
    LoopActorRef,
    MailboxOptions,
    Overflow,
    Runtime,
    StartOptions,
    VirtualLoop,
    receives,
    virtual_sleep,
)

A = TypeVar("A", bound=LoopActor)
T = TypeVar("T")


class World:
    """One virtual loop with its runtime, and what came out of it."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.runtime = Runtime(loop=self.loop, random=Random(1), inline_callbacks=True)
        self.downs: list[Down] = []
        self.letters: list[DeadLetter] = []
        self.runtime.dead_letters.attach(self.letters.append)

    def start(self, cls: type[A], *args: Any, **options: Any) -> LoopActorRef[A]:
        given: dict[str, Any] = {"runtime": self.runtime, "on_exit": self.downs.append, **options}
        return cls.start_with(StartOptions(**given), *args)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(main)

    def settle(self) -> None:
        self.loop.run_until_idle()

    def ask(self, ref: LoopActorRef[Any], message: Any) -> Any:
        async def main() -> Any:
            return await ref.ask(message, block=False)

        return self.run(main())

    @property
    def exits(self) -> list[tuple[DownReason, str | None]]:
        return [(down.reason, None if down.error is None else str(down.error)) for down in self.downs]


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = World()
    with world.loop:
        yield world
        world.loop.cancel_all()


class Echo(LoopActor):
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def on_receive(self, message: Any) -> Any:
        self.log.append(message)
        return message

    def on_stop(self) -> Any:
        self.log.append("on_stop")

    def on_control(self, message: Any) -> None:
        if isinstance(message, Exception):
            raise message
        self.log.append(("control", message))


class Quitter(Echo):
    def on_receive(self, message: Any) -> Any:
        raise message


class Slow(LoopActor):
    """Each message takes as many virtual seconds as it says."""

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def on_receive(self, message: Any) -> Any:
        self.log.append(("begin", message))
        if isinstance(message, BaseException):
            await asyncio.sleep(0)
            raise message
        try:
            await virtual_sleep(float(message))
        except asyncio.CancelledError:
            self.log.append(("cancelled", message))
            raise
        self.log.append(("end", message))
        return message

    def on_control(self, message: Any) -> None:
        self.log.append(("control", message))


class Account(LoopActor):
    class Deposit(msgspec.Struct, frozen=True):
        amount: int

    class Close(msgspec.Struct, frozen=True):
        pass

    balance = 0

    @receives(Deposit)
    def deposit(self, message: Deposit) -> int:
        self.balance += message.amount
        return self.balance

    @receives(Close)
    async def close(self, message: Close) -> str:
        await virtual_sleep(1.0)
        return "closed"


class TestStart:
    def test_the_actor_knows_its_place(self, world: World) -> None:
        seen: list[Any] = []

        class Curious(LoopActor):
            def __init__(self) -> None:
                seen.append((self.runtime, self.loop, self.clock, self.actor_ref))

        ref = world.start(Curious)
        assert seen == [(world.runtime, world.runtime.agents, world.loop.clock, ref)]

    def test_nothing_runs_before_the_loop_does(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Echo, log)
        ref.tell(1)
        assert log == []
        world.settle()
        assert log == [1]

    def test_a_name_is_shown(self, world: World) -> None:
        ref = world.start(Echo, [], name="greeter")
        assert str(ref).startswith("greeter (urn:agentbus:")

    def test_the_registry_knows_live_actors_only(self, world: World) -> None:
        ref = world.start(Echo, [])
        assert world.runtime.registry.get_by_urn(ref.actor_urn) is ref
        ref.stop(block=False)
        world.settle()
        assert len(world.runtime.registry) == 0

    def test_pykkas_registry_knows_none(self, world: World) -> None:
        world.start(Echo, [])
        assert pykka.ActorRegistry.get_all() == []

    def test_an_instance_that_was_never_started_has_a_ref(self) -> None:
        actor = Echo([])
        LoopActor.__init__(actor)
        actor.actor_ref.tell("waits")
        assert actor.actor_ref.is_alive()

    def test_an_actor_must_handle_something(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            StartOptions(concurrency=0)

    def test_async_on_start_delays_the_first_message_but_no_control(self, world: World) -> None:
        class Loading(Echo):
            async def on_start(self) -> None:
                self.log.append("loading")
                await virtual_sleep(5.0)
                self.log.append("loaded")

        log: list[Any] = []
        ref = world.start(Loading, log)
        ref.tell("message")
        ref.tell_control("now")
        world.settle()
        assert log == ["loading", ("control", "now")]
        world.loop.advance(5.0)
        assert log[2:] == ["loaded", "message"]

    @pytest.mark.parametrize("pause", [0.0, 1.0])
    def test_a_failing_on_start_reaches_on_exit(self, world: World, pause: float) -> None:
        class Broken(Echo):
            async def on_start(self) -> None:
                await virtual_sleep(pause)
                raise ValueError("no database")

        ref = world.start(Broken, [])
        asked = ref.ask("anyone?", block=False)
        world.loop.advance(pause)
        world.settle()
        assert world.exits == [(DownReason.START_FAILED, "no database")]
        assert world.downs[0].ref is ref
        assert isinstance(asked.exception(), ActorGoneError)


class TestDispatch:
    def test_a_message_goes_to_the_handler_of_its_type(self, world: World) -> None:
        ref = world.start(Account)
        assert world.ask(ref, Account.Deposit(5)) == 5
        assert world.ask(ref, Account.Deposit(6)) == 11

    def test_handlers_may_be_coroutines(self, world: World) -> None:
        assert world.ask(world.start(Account), Account.Close()) == "closed"
        assert world.loop.time() == 1.0

    def test_what_nobody_claims_is_logged_and_answered_with_none(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "agentbus.runtime")
        assert world.ask(world.start(Account), "what?") is None
        assert "no handler for a message of type str" in caplog.text

    def test_control_messages_are_dispatched_alike_by_default(self, world: World) -> None:
        ref = world.start(Account)
        ref.tell_control(Account.Deposit(3))
        assert world.ask(ref, Account.Deposit(0)) == 3


class TestTurns:
    def test_a_busy_actor_lets_others_take_turns(self, world: World) -> None:
        log: list[Any] = []
        busy, other = world.start(Echo, log), world.start(Echo, log)
        world.settle()
        for number in range(1000):
            busy.tell(number)
        other.tell("other")
        world.settle()
        assert log.index("other") < 100
        assert [entry for entry in log if entry != "other"] == list(range(1000))

    def test_a_burst_is_one_wake_up(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Echo, log)
        world.settle()
        before = world.runtime.agents.statistics().wakeups
        for number in range(50):
            ref.tell(number)
        world.settle()
        assert (len(log), world.runtime.agents.statistics().wakeups - before) == (50, 1)

    def test_a_message_to_oneself_comes_after_what_waits(self, world: World) -> None:
        class Chatty(Echo):
            def on_receive(self, message: Any) -> None:
                self.log.append(message)
                if message == "first":
                    self.actor_ref.tell("from itself")

        log: list[Any] = []
        ref = world.start(Chatty, log)
        ref.tell("first")
        ref.tell("second")
        world.settle()
        assert log == ["first", "second", "from itself"]


class TestControlLane:
    def test_it_overtakes_the_mailbox(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Echo, log)
        ref.tell("slow")
        ref.tell_control("now")
        world.settle()
        assert log == [("control", "now"), "slow"]

    def test_it_is_served_while_a_handler_awaits(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log)
        ref.tell(10)
        ref.tell(20)
        world.settle()
        ref.tell_control("now")
        world.settle()
        assert log == [("begin", 10), ("control", "now")]

    def test_a_failure_there_is_the_actors(self, world: World) -> None:
        ref = world.start(Echo, [])
        ref.tell_control(ValueError("bad control"))
        world.settle()
        assert world.exits == [(DownReason.FAILED, "bad control")]

    def test_an_actor_that_has_ended_ignores_it(self, world: World) -> None:
        ref = world.start(Echo, [])
        ref.stop(block=False)
        world.settle()
        ref.tell_control("anyone?")
        assert world.letters == []


class TestAsyncHandlers:
    def test_one_message_at_a_time(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log)
        for seconds in (1, 2):
            ref.tell(seconds)
        world.loop.advance(3.0)
        assert log == [("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]
        assert world.loop.time() == 3.0

    def test_more_at_a_time_if_asked_for(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log, concurrency=2)
        for seconds in (3, 1, 2):
            ref.tell(seconds)
        world.loop.advance(3.0)
        assert log == [("begin", 3), ("begin", 1), ("end", 1), ("begin", 2), ("end", 3), ("end", 2)]

    def test_a_handler_runs_as_a_task(self, world: World) -> None:
        class Timed(LoopActor):
            async def on_receive(self, message: Any) -> str:
                async with asyncio.timeout(1.0):
                    await asyncio.sleep(0)
                    return "within"

        assert world.ask(world.start(Timed), 0) == "within"

    def test_an_exception_goes_to_the_asker(self, world: World) -> None:
        ref = world.start(Slow, [])
        with pytest.raises(ValueError, match="oops"):
            world.ask(ref, ValueError("oops"))
        assert ref.is_alive()

    @pytest.mark.parametrize(
        "error", [ValueError("oops"), SystemExit("oops"), asyncio.CancelledError("oops")]
    )
    def test_what_a_told_message_raises_ends_the_actor_alone(
        self, world: World, error: BaseException
    ) -> None:
        ref, other = world.start(Slow, []), world.start(Slow, [])
        ref.tell(error)
        world.settle()
        assert [down.reason for down in world.downs] == [DownReason.FAILED]
        assert other.is_alive()

    @pytest.mark.parametrize("cls", [Quitter, Slow])
    def test_system_exit_in_an_ask_ends_the_actor_and_tells_the_asker(
        self, world: World, cls: type[LoopActor]
    ) -> None:
        asked = world.start(cls, []).ask(SystemExit(3), block=False)
        world.settle()
        error = asked.exception()
        assert isinstance(error, ActorGoneError)
        assert isinstance(error.__cause__, SystemExit)
        assert [down.reason for down in world.downs] == [DownReason.FAILED]

    def test_cancelling_an_ask_cancels_its_handler_and_nothing_else(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log)
        asked = ref.ask(10, block=False)
        world.settle()
        assert asked.cancel()
        assert world.ask(ref, 1) == 1
        assert log == [("begin", 10), ("cancelled", 10), ("begin", 1), ("end", 1)]

    def test_an_ask_that_is_cancelled_before_its_turn_never_starts(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log)
        ref.tell(1)
        asked = ref.ask(2, block=False)
        asked.cancel()
        world.loop.advance(5.0)
        assert log == [("begin", 1), ("end", 1)]

    def test_cancelling_the_awaiting_task_cancels_the_ask(self, world: World) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await ref.ask(10, block=False)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        log: list[Any] = []
        ref = world.start(Slow, log)
        world.run(main())
        world.settle()
        assert log == [("begin", 10), ("cancelled", 10)]

    def test_a_handler_cancelled_from_within_is_a_failed_ask(self, world: World) -> None:
        with pytest.raises(FutureCancelledError):
            world.ask(world.start(Slow, []), asyncio.CancelledError())


class TestStop:
    def test_in_mailbox_order_by_default(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Echo, log)
        ref.tell(1)
        stopped = ref.stop(block=False)
        ref.tell("late")
        world.settle()
        assert (log, stopped.get()) == ([1, "on_stop"], True)
        assert world.letters == [DeadLetter(str(ref), "late", DeadLetterReason.STOPPED)]

    def test_it_waits_for_the_handlers_that_run(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log, concurrency=2)
        ref.tell(1)
        ref.tell(2)
        stopped = ref.stop(block=False)
        world.loop.advance(1.5)
        assert not stopped.done()
        world.loop.advance(0.5)
        assert stopped.done()
        assert log[-1] == ("end", 2)

    def test_at_once_cancels_handlers_and_leaves_the_mailbox(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log)
        running, waiting = ref.ask(10, block=False), ref.ask(20, block=False)
        ref.tell("told")
        world.settle()
        stopped = ref.stop(block=False, now=True)
        world.settle()
        assert stopped.get() is True
        assert log == [("begin", 10), ("cancelled", 10)]
        assert [type(asked.exception()) for asked in (running, waiting)] == [ActorGoneError] * 2
        assert [letter.message for letter in world.letters] == [10, 20, "told"]
        assert world.exits == [(DownReason.STOPPED, None)]

    def test_at_once_while_starting_runs_no_on_stop(self, world: World) -> None:
        class Loading(Echo):
            async def on_start(self) -> None:
                await virtual_sleep(100.0)

        log: list[Any] = []
        ref = world.start(Loading, log)
        world.settle()
        ref.stop(block=False, now=True)
        world.settle()
        assert (log, world.exits) == ([], [(DownReason.STOPPED, None)])

    def test_the_actor_may_stop_itself_at_once_and_twice(self, world: World) -> None:
        class Tired(Echo):
            def on_receive(self, message: Any) -> None:
                self.log.append(message)
                self.stop(now=True)
                self.stop()

            def on_stop(self) -> None:
                self.log.append("on_stop")
                self.stop()
                self.stop(now=True)

        log: list[Any] = []
        ref = world.start(Tired, log)
        ref.tell(1)
        ref.tell(2)
        world.settle()
        assert log == [1, "on_stop"]

    def test_on_stop_may_be_a_coroutine(self, world: World) -> None:
        class Saving(Echo):
            async def on_stop(self) -> None:
                await virtual_sleep(3.0)
                self.log.append("saved")

        log: list[Any] = []
        ref = world.start(Saving, log)
        stopped = ref.stop(block=False)
        world.settle()
        assert not ref.is_alive()
        assert not stopped.done()
        world.loop.advance(3.0)
        assert stopped.done()
        assert log == ["saved"]

    def test_at_once_also_ends_an_on_stop_that_takes_too_long(self, world: World) -> None:
        class Saving(Echo):
            async def on_stop(self) -> None:
                await virtual_sleep(1000.0)

        ref = world.start(Saving, [])
        stops = [ref.stop(block=False)]
        world.settle()
        stops.append(ref.stop(block=False))
        world.settle()
        assert [stop.done() for stop in stops] == [False, False]
        stops.append(ref.stop(block=False, now=True))
        world.settle()
        assert [stop.get() for stop in stops] == [True, False, True]
        assert world.loop.time() == 0.0

    def test_a_failing_on_stop_is_in_the_down(self, world: World) -> None:
        class Clumsy(Echo):
            def on_stop(self) -> None:
                raise ValueError("dropped it")

        world.start(Clumsy, []).stop(block=False)
        world.settle()
        assert world.exits == [(DownReason.STOPPED, "dropped it")]

    def test_everybody_who_waits_for_the_end_learns_of_it(self, world: World) -> None:
        ref = world.start(Slow, [])
        ended = ref.ended()
        ref.tell(1)
        stops = [ref.stop(block=False) for _ in range(2)]
        world.settle()
        assert not ended.done()
        world.loop.advance(1.0)
        assert [ended.done(), *(stop.get() for stop in stops)] == [True, True, True]
        assert ref.ended().done()

    def test_the_stopped_flag_is_an_event(self, world: World) -> None:
        ref = world.start(Echo, [])
        flag = ref.actor_stopped
        assert not flag.is_set()
        flag.set()
        world.settle()
        assert flag.is_set()
        assert flag.wait(0)
        with pytest.raises(ActorStoppedError):
            flag.clear()

    def test_blocking_on_the_loops_thread_raises_and_sends_nothing(self, world: World) -> None:
        async def main() -> None:
            with pytest.raises(BlockingCallError):
                ref.ask("question")
            with pytest.raises(BlockingCallError):
                ref.stop()

        log: list[Any] = []
        ref = world.start(Echo, log)
        world.run(main())
        world.settle()
        assert (log, ref.is_alive()) == ([], True)


class TestFailure:
    def test_on_failure_may_be_a_coroutine_and_runs_before_on_exit(self, world: World) -> None:
        log: list[Any] = []

        class Careful(Slow):
            async def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
                await virtual_sleep(2.0)
                log.append(str(exception_value))

        ref = world.start(Careful, [])
        ref.tell(ValueError("oops"))
        world.settle()
        assert (world.downs, ref.is_alive()) == ([], False)
        world.loop.advance(2.0)
        assert log == ["oops"]
        assert world.exits == [(DownReason.FAILED, "oops")]

    def test_other_handlers_are_cancelled_and_their_askers_told(self, world: World) -> None:
        log: list[Any] = []
        ref = world.start(Slow, log, concurrency=3)
        asked = ref.ask(100, block=False)
        ref.tell(200)
        ref.tell(ValueError("oops"))
        world.settle()
        assert isinstance(asked.exception(), ActorGoneError)
        assert [entry for entry in log if entry[0] == "cancelled"] == [("cancelled", 100), ("cancelled", 200)]
        assert [letter.message for letter in world.letters] == [100, 200]
        assert world.exits == [(DownReason.FAILED, "oops")]

    def test_it_is_logged(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.ERROR, "agentbus.runtime")
        world.start(Slow, [], name="unlucky").tell(ValueError("oops"))
        world.settle()
        assert "unlucky" in caplog.text
        assert "oops" in caplog.text

    def test_a_failing_on_exit_is_contained(self, world: World) -> None:
        def on_exit(down: Down) -> None:
            raise ValueError("the observer")

        ref = world.start(Echo, [], on_exit=on_exit)
        stopped = ref.stop(block=False)
        world.settle()
        assert stopped.get() is True


class TestOwnWork:
    def test_a_timer_calls_back(self, world: World) -> None:
        class Alarm(Echo):
            def on_start(self) -> None:
                self.call_later(5.0, self.log.append, "ring")
                self.call_later(1.0, self.log.append, "never").cancel()

        log: list[Any] = []
        world.start(Alarm, log)
        world.loop.advance(4.9)
        assert log == []
        world.loop.advance(0.2)
        assert log == ["ring"]

    def test_timers_and_tasks_end_with_the_actor(self, world: World) -> None:
        class Busy(Echo):
            def on_start(self) -> None:
                self.call_later(5.0, self.log.append, "ring")
                self.create_task(self.forever())

            async def forever(self) -> None:
                try:
                    await virtual_sleep(1e9)
                finally:
                    self.log.append("task ended")

        log: list[Any] = []
        ref = world.start(Busy, log)
        world.settle()
        ref.stop(block=False)
        world.settle()
        assert log == ["on_stop", "task ended"]
        world.loop.advance(10.0)
        assert "ring" not in log
        assert world.loop.tasks() == []

    @pytest.mark.parametrize("how", ["timer", "async timer", "task"])
    def test_a_failure_there_is_the_actors(self, world: World, how: str) -> None:
        class Bomb(LoopActor):
            def on_start(self) -> None:
                if how == "task":
                    self.create_task(self.explode())
                else:
                    self.call_later(0.0, self.explode if how == "async timer" else self.explode_now)

            async def explode(self) -> None:
                raise ValueError("boom")

            def explode_now(self) -> None:
                raise ValueError("boom")

        world.start(Bomb)
        world.settle()
        assert world.exits == [(DownReason.FAILED, "boom")]

    def test_an_actor_that_has_ended_starts_no_task(self, world: World) -> None:
        actors: list[Any] = []

        class Kept(LoopActor):
            def on_start(self) -> None:
                actors.append(self)

            async def work(self) -> None: ...

        world.start(Kept).stop(block=False)
        world.settle()
        with pytest.raises(ActorGoneError):
            actors[0].create_task(actors[0].work())


class TestBoundedMailbox:
    def test_an_ask_into_a_full_mailbox_fails(self, world: World) -> None:
        ref = world.start(Slow, [], mailbox=MailboxOptions(1, Overflow.REJECT))
        ref.tell(1)
        assert isinstance(ref.ask(2, block=False).exception(), MailboxFullError)
        with pytest.raises(MailboxFullError):
            ref.tell(3)

    @pytest.mark.parametrize(
        ("overflow", "lost", "reason"),
        [
            (Overflow.DROP_OLDEST, 0, DeadLetterReason.DROPPED_OLDEST),
            (Overflow.DROP_NEWEST, 1, DeadLetterReason.DROPPED_NEWEST),
        ],
    )
    def test_what_is_dropped_is_dead_lettered_and_its_asker_told(
        self, world: World, overflow: Overflow, lost: int, reason: DeadLetterReason
    ) -> None:
        ref = world.start(Echo, [], mailbox=MailboxOptions(1, overflow))
        asked = [ref.ask(number, block=False) for number in range(2)]
        world.settle()
        assert isinstance(asked[lost].exception(), MessageDroppedError)
        assert asked[1 - lost].get() == 1 - lost
        assert world.letters == [DeadLetter(str(ref), lost, reason)]


class TestEnd:
    def test_a_closed_loop_is_the_end_of_its_actors(self) -> None:
        world = World()
        ref = world.start(Echo, [])
        world.settle()
        world.loop.close()
        asked = ref.ask("anyone?", block=False)
        assert isinstance(asked.exception(), ActorGoneError)
        assert len(world.runtime.registry) == 0
        with pytest.raises(RuntimeFault):
            world.start(Echo, [])

    def test_abandoned_actors_leave_nobody_waiting(self) -> None:
        world = World()
        ref = world.start(Echo, [])
        asked, ended = ref.ask("never handled", block=False), ref.ended()
        world.loop.close()
        world.runtime.registry.abandon()
        assert isinstance(asked.exception(), ActorGoneError)
        assert ended.done()
        assert not ref.is_alive()

    def test_a_ref_does_not_keep_a_dead_actor(self, world: World) -> None:
        class Heavy(LoopActor):
            def on_start(self) -> None:
                actors.append(weakref.ref(self))

        actors: list[weakref.ref[Heavy]] = []
        ref = world.start(Heavy)
        ref.stop(block=False)
        world.settle()
        gc.collect()
        assert actors[0]() is None
        with pytest.raises(pykka.ActorDeadError):
            ref.proxy()

    def test_a_live_actor_is_kept_by_the_registry(self, world: World) -> None:
        log: list[Any] = []
        urn = world.start(Echo, log).actor_urn
        world.settle()
        gc.collect()
        ref = world.runtime.registry.get_by_urn(urn)
        assert ref is not None
        ref.tell("still there")
        world.settle()
        assert log == ["still there"]

    def test_a_dead_letter_that_nobody_reads_is_counted(self, world: World) -> None:
        ref = world.start(Echo, [])
        ref.stop(block=False)
        ref.tell("late")
        world.settle()
        assert world.runtime.dead_letters.count == 1
