"""Cells on real threads: the contract that both shells keep, and what only threads can get wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pykka
import pytest

from agentbus.errors import AgentFailed, AgentStopped, MailboxFullError
from agentbus.runtime import (
    CellContext,
    CellOptions,
    CellRef,
    CellState,
    DeadLetter,
    DeadLetterReason,
    GaveUp,
    LoopThread,
    MailboxOptions,
    Overflow,
    Restarted,
    Restarting,
    RestartPolicy,
    Runtime,
    Stopped,
    StopReason,
    start_cell,
)
from tests.runtime.cells import (
    AFTER_A_SECOND,
    TIMEOUT,
    AsyncWorker,
    NotFoundError,
    Observer,
    Worker,
    restarting,
)

OOPS = ValueError("oops")


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("cells", uvloop=False), random=Random(1))
    yield runtime
    assert runtime.close(TIMEOUT)


class Place:
    """Starts cells on one kind of shell, and keeps what came out of them."""

    def __init__(self, runtime: Runtime, *, thread: bool) -> None:
        self.runtime = runtime
        self.thread = thread
        self.log: list[Any] = []
        self.letters: list[DeadLetter] = []
        self.observer = Observer()

    def start(
        self,
        behaviour: Callable[[CellContext, list[Any]], Any] = Worker,
        policy: RestartPolicy | None = None,
        **fields: Any,
    ) -> CellRef:
        given: dict[str, Any] = {
            "name": "worker",
            "restart": policy or restarting(),
            "thread": self.thread,
            **fields,
        }
        return start_cell(
            self.runtime,
            lambda context: behaviour(context, self.log),
            CellOptions(**given),
            self.observer,
        )


def make_place(runtime: Runtime, caplog: pytest.LogCaptureFixture, *, thread: bool) -> Iterator[Place]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    place = Place(runtime, thread=thread)
    attached = runtime.dead_letters.attach(place.letters.append)
    yield place
    attached.cancel()
    runtime.registry.stop_all(timeout=TIMEOUT)


@pytest.fixture(params=[False, True], ids=["loop", "thread"])
def place(
    request: pytest.FixtureRequest, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> Iterator[Place]:
    yield from make_place(runtime, caplog, thread=request.param)


@pytest.fixture
def threads(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> Iterator[Place]:
    yield from make_place(runtime, caplog, thread=True)


class Gate:
    """Lets a test hold a handler, and know that it is held."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self, worker: Worker) -> bool:
        self.begun.set()
        assert self.opened.wait(TIMEOUT)
        return worker.context.cancel_token.cancelled


class TestBothShells:
    def test_it_serves_and_stops(self, place: Place) -> None:
        ref = place.start()
        assert ref.ask("hi").get(TIMEOUT) == (1, 1, "hi")
        assert ref.stop().get(TIMEOUT) is True
        assert place.log == [("on_start", 1), "hi", "on_stop"]
        assert place.observer.kinds == ["Started", "Stopped"]
        assert (ref.state, ref.is_alive()) == (CellState.STOPPED, False)
        assert ref.stop().get(TIMEOUT) is False
        with pytest.raises(AgentStopped):
            ref.tell("late")

    def test_a_restart_keeps_address_and_mailbox(self, place: Place) -> None:
        ref = place.start()
        failed, after = ref.ask(OOPS), ref.ask("after")
        assert after.get(TIMEOUT) == (2, 1, "after")
        assert isinstance(failed.exception(), AgentFailed)
        assert [letter.reason for letter in place.letters] == [DeadLetterReason.FAILED]
        assert place.observer.kinds[:4] == ["Started", "Failed", "Restarting", "Restarted"]
        assert place.log[2:4] == [("on_failure", "ValueError"), ("on_start", 2)]

    def test_giving_up_answers_everybody(self, place: Place) -> None:
        ref = place.start(policy=restarting(intensity=1))
        futures = [ref.ask(message) for message in (OOPS, OOPS, "waiting")]
        assert ref.ended().get(TIMEOUT) in (True, False)
        assert [type(future.exception()) for future in futures[:2]] == [AgentFailed] * 2
        assert isinstance(futures[2].exception(), AgentStopped)
        assert place.observer.events[-2:] == [
            GaveUp("worker", OOPS, 2),
            Stopped("worker", StopReason.FAILED),
        ]

    def test_a_declared_exception_is_an_answer(self, place: Place) -> None:
        ref = place.start()
        assert isinstance(_error(ref.ask(NotFoundError("nothing"))), NotFoundError)
        assert ref.restarts == 0

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
    def test_whatever_is_raised_is_a_failure_of_this_cell_alone(
        self, place: Place, error: BaseException
    ) -> None:
        ref, other = place.start(), place.start(name="other")
        assert isinstance(_error(ref.ask(error)), AgentFailed)
        assert ref.ask("again").get(TIMEOUT) == (2, 1, "again")
        assert other.ask("hi").get(TIMEOUT) == (1, 1, "hi")

    def test_control_messages_overtake(self, place: Place) -> None:
        gate = Gate()
        ref = place.start()
        ref.tell({"call": gate})
        assert gate.begun.wait(TIMEOUT)
        ref.tell("slow")
        ref.tell_control("now")
        gate.opened.set()
        ref.ask("last").get(TIMEOUT)
        assert place.log[2:] == [("control", "now"), "slow", "last"]

    def test_a_failing_control_message_is_a_failure(self, place: Place) -> None:
        ref = place.start()
        ref.tell_control(OOPS)
        place.observer.wait_for(Restarted)

    def test_poison_is_tried_again(self, place: Place) -> None:
        ref = place.start(retry_poison=2)
        failed, after = ref.ask(OOPS), ref.ask("after")
        assert after.get(TIMEOUT) == (4, 1, "after")
        assert isinstance(failed.exception(), AgentFailed)
        assert place.log.count(OOPS) == 3

    def test_a_failing_start_is_retried(self, place: Place) -> None:
        class Unlucky(Worker):
            def on_start(self) -> None:
                if self.context.incarnation < 3:
                    raise OOPS

        assert place.start(Unlucky).ask("hi").get(TIMEOUT) == (3, 1, "hi")

    def test_stop_at_once_while_backing_off(self, place: Place) -> None:
        ref = place.start(policy=restarting(AFTER_A_SECOND))
        ref.tell(OOPS)
        waiting = ref.ask("waiting")
        place.observer.wait_for(Restarting)
        assert ref.stop(now=True).get(TIMEOUT) is True
        assert isinstance(waiting.exception(), AgentStopped)

    def test_a_timer_calls_back_between_messages(self, place: Place) -> None:
        rung = threading.Event()

        class Alarm(Worker):
            def on_start(self) -> None:
                self.context.call_later(60.0, self.log.append, "never").cancel()
                self.context.call_later(60.0, self.log.append, "never")
                self.context.call_later(0.0, self.ring)

            def ring(self) -> None:
                self.log.append(threading.current_thread().name)
                rung.set()

            def on_message(self, message: Any) -> str:
                return threading.current_thread().name

        ref = place.start(Alarm)
        assert rung.wait(TIMEOUT)
        assert place.log == [ref.ask("where?").get(TIMEOUT)]

    def test_a_timer_that_raises_is_a_failure(self, place: Place) -> None:
        class Bomb(Worker):
            def on_start(self) -> None:
                if self.context.incarnation == 1:
                    self.context.call_later(0.0, self.on_message, OOPS)

        place.start(Bomb)
        place.observer.wait_for(Restarted)

    def test_a_cancelled_ask_that_waits_never_starts(self, place: Place) -> None:
        gate = Gate()
        ref = place.start()
        ref.tell({"call": gate})
        assert gate.begun.wait(TIMEOUT)
        ref.ask("never").cancel()
        gate.opened.set()
        ref.ask("last").get(TIMEOUT)
        assert "never" not in place.log

    def test_the_registry_knows_it(self, place: Place) -> None:
        ref = place.start()
        ref.ask("hi").get(TIMEOUT)
        assert ref.actor_ref in place.runtime.registry
        assert ref.actor_ref not in pykka.ActorRegistry.get_all()
        assert issubclass(ref.actor_ref.actor_class, pykka.Actor)
        ref.stop().get(TIMEOUT)
        assert ref.actor_ref not in place.runtime.registry


class TestThreads:
    def test_it_has_a_daemon_thread_of_its_own(self, threads: Place) -> None:
        def where(_worker: Worker) -> threading.Thread:
            return threading.current_thread()

        refs = [threads.start(name=f"w{number}") for number in range(2)]
        first, second = (ref.ask({"call": where}).get(TIMEOUT) for ref in refs)
        assert first is not second
        assert first.daemon

    def test_starting_and_stopping_leaks_no_thread(self, threads: Place) -> None:
        def where(_worker: Worker) -> threading.Thread:
            return threading.current_thread()

        refs = [threads.start(name=f"w{number}") for number in range(20)]
        used = [ref.ask({"call": where}).get(TIMEOUT) for ref in refs]
        for number, ref in enumerate(refs):
            ref.tell(OOPS if number % 2 else "fine")
            ref.stop(now=number % 3 == 0)
        for thread in used:
            thread.join(TIMEOUT)
        assert [thread.name for thread in used if thread.is_alive()] == []

    def test_a_running_handler_sees_that_its_ask_was_cancelled(self, threads: Place) -> None:
        gate = Gate()
        seen: list[bool] = []
        ref = threads.start()
        asked = ref.ask({"call": lambda worker: seen.append(gate(worker))})  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]  # a Worker
        assert gate.begun.wait(TIMEOUT)
        asked.cancel()
        gate.opened.set()
        ref.ask("last").get(TIMEOUT)
        assert seen == [True]

    def test_a_running_handler_sees_that_it_is_stopped_at_once(self, threads: Place) -> None:
        gate = Gate()
        ref = threads.start()
        running, waiting = ref.ask({"call": gate}), ref.ask("never")
        assert gate.begun.wait(TIMEOUT)
        stopped = ref.stop(now=True)
        gate.opened.set()
        assert running.get(TIMEOUT) is True
        assert stopped.get(TIMEOUT) is True
        assert isinstance(waiting.exception(), AgentStopped)
        assert "never" not in threads.log

    def test_a_stop_in_order_cancels_nothing(self, threads: Place) -> None:
        gate = Gate()
        ref = threads.start()
        running = ref.ask({"call": gate})
        assert gate.begun.wait(TIMEOUT)
        ref.stop()
        gate.opened.set()
        assert running.get(TIMEOUT) is False

    def test_async_methods_are_a_mistake(self, threads: Place) -> None:
        ref = threads.start(AsyncWorker, policy=RestartPolicy())
        ref.ended().get(TIMEOUT)
        (gave_up,) = [event for event in threads.observer.events if isinstance(event, GaveUp)]
        assert isinstance(gave_up.error, TypeError)

    def test_pykkas_stop_all_leaves_it_alone(self, threads: Place) -> None:
        class Stranger(pykka.ThreadingActor):
            use_daemon_thread = True

            def on_receive(self, message: Any) -> None:
                raise SystemExit

        ref = threads.start()
        ref.ask("hi").get(TIMEOUT)
        stranger = Stranger.start()
        stranger.tell("exit")
        stranger.actor_stopped.wait(TIMEOUT)
        pykka.ActorRegistry.stop_all(timeout=TIMEOUT)
        assert ref.ask("still there").get(TIMEOUT) == (1, 2, "still there")

    def test_its_exit_leaves_pykkas_actors_alone(self, threads: Place) -> None:
        class Stranger(pykka.ThreadingActor):
            use_daemon_thread = True

        stranger = Stranger.start()
        assert isinstance(_error(threads.start().ask(SystemExit())), AgentFailed)
        assert stranger.is_alive()
        stranger.stop(timeout=TIMEOUT)

    def test_a_full_mailbox_blocks_other_threads_but_not_its_own(self, threads: Place) -> None:
        def tell_itself(worker: Worker) -> str:
            try:
                for _ in range(3):
                    worker.context.ref.tell("to itself")
            except MailboxFullError:
                return "full"
            return "never full"

        ref = threads.start(mailbox=MailboxOptions(2, Overflow.BLOCK))
        assert ref.ask({"call": tell_itself}).get(TIMEOUT) == "full"
        for number in range(50):
            ref.tell(number)
        ref.ask("last").get(TIMEOUT)
        assert [entry for entry in threads.log if isinstance(entry, int)] == list(range(50))

    def test_it_can_be_abandoned_with_a_handler_that_hangs(self, threads: Place) -> None:
        gate = Gate()
        ref = threads.start()
        ref.tell({"call": gate})
        assert gate.begun.wait(TIMEOUT)
        waiting = ref.ask("never")
        ref.actor_ref.abandon()
        assert isinstance(waiting.exception(), AgentStopped)
        assert not ref.is_alive()
        gate.opened.set()
        threads.observer.wait_for(Stopped)

    def test_messages_from_many_threads_keep_their_order(self, threads: Place) -> None:
        ref = threads.start()

        def send(sender: int) -> None:
            for number in range(200):
                ref.tell((sender, number))

        senders = [threading.Thread(target=send, args=(sender,)) for sender in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(TIMEOUT)
        ref.ask("last").get(TIMEOUT)
        for sender in range(3):
            assert [
                entry[1] for entry in threads.log if isinstance(entry, tuple) and entry[0] == sender
            ] == list(range(200))

    def test_a_live_cell_does_not_hold_up_the_exit_of_the_interpreter(self) -> None:
        program = (
            "import threading\n"
            "from agentbus.runtime import *\n"
            "class Stuck:\n"
            "    def __init__(self, context): pass\n"
            "    def on_start(self): pass\n"
            "    def on_message(self, message): begun.set(); threading.Event().wait()\n"
            "    on_control = on_failure = on_message\n"
            "    def on_stop(self): pass\n"
            "begun = threading.Event()\n"
            "for thread in (True, True, False):\n"
            "    ref = start_cell(default_runtime(), Stuck, CellOptions(name='stuck', thread=thread))\n"
            "    if thread: ref.tell('hang'); assert begun.wait(5)\n"
            "print('done')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


def _error(future: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 -- the caller looks
        future.get(TIMEOUT)
    return caught.value
