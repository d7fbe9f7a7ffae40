"""Plain pykka actor classes under supervision, on a thread of their own and on a loop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from agentbus.errors import AgentStopped
from agentbus.runtime import (
    CellOptions,
    CellRef,
    Failed,
    LoopActor,
    LoopThread,
    Restarted,
    RestartPolicy,
    Runtime,
    Stopped,
    adopt_pykka,
)
from tests.runtime.cells import TIMEOUT, Observer, restarting


class Counter(pykka.ThreadingActor):
    """Written for pykka, without a thought of us."""

    def __init__(self, log: list[Any], *, start: int = 0) -> None:
        super().__init__()
        self.log = log
        self.count = start

    def on_start(self) -> None:
        self.log.append("on_start")

    def on_stop(self) -> None:
        self.log.append("on_stop")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.log.append(("on_failure", exception_type.__name__, traceback is not None))

    def on_receive(self, message: Any) -> Any:
        match message:
            case BaseException():
                raise message
            case "stop":
                self.stop()
            case "to itself":
                self.actor_ref.tell("from itself")
            case _:
                self.count += 1
        return self.count

    def add(self, number: int) -> int:
        self.count += number
        return self.count


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("adopted", uvloop=False))
    yield runtime
    assert runtime.close(TIMEOUT)


class Adopted:
    def __init__(self, runtime: Runtime, *, thread: bool) -> None:
        self.log: list[Any] = []
        self.observer = Observer()
        self.runtime = runtime
        self.thread = thread

    def start(self, policy: RestartPolicy | None = None, **kwargs: Any) -> CellRef:
        options = CellOptions(name="counter", restart=policy or restarting(), thread=self.thread)
        return adopt_pykka(
            self.runtime,
            Counter,
            self.log,
            cell_options=options,
            cell_observer=self.observer,
            **kwargs,
        )


@pytest.fixture(params=[False, True], ids=["loop", "thread"])
def adopted(
    request: pytest.FixtureRequest, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> Iterator[Adopted]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    yield Adopted(runtime, thread=request.param)
    runtime.registry.stop_all(timeout=TIMEOUT)


def test_it_works_as_written(adopted: Adopted) -> None:
    ref = adopted.start(start=10)
    ref.tell("one")
    assert ref.ask("two").get(TIMEOUT) == 12
    assert ref.stop().get(TIMEOUT) is True
    assert adopted.log == ["on_start", "on_stop"]


def test_an_exception_in_an_ask_is_its_answer(adopted: Adopted) -> None:
    ref = adopted.start()
    with pytest.raises(ValueError, match="oops"):
        ref.ask(ValueError("oops")).get(TIMEOUT)
    assert ref.restarts == 0


def test_a_failure_restarts_it_with_its_mailbox(adopted: Adopted) -> None:
    ref = adopted.start(start=100)
    ref.tell("one")
    ref.tell(ValueError("oops"))
    assert ref.ask("after").get(TIMEOUT) == 101
    assert adopted.log == ["on_start", ("on_failure", "ValueError", True), "on_start"]
    assert adopted.observer.kinds == ["Started", "Failed", "Restarting", "Restarted"]


def test_what_pykka_would_stop_all_for_restarts_it_alone(adopted: Adopted) -> None:
    stranger = Counter.start([])
    ref = adopted.start()
    ref.tell(SystemExit(1))
    adopted.observer.wait_for(Restarted)
    assert stranger.is_alive()
    stranger.stop(timeout=TIMEOUT)


def test_proxies_reach_it(adopted: Adopted) -> None:
    ref = adopted.start(start=1)
    ref.ask("there?").get(TIMEOUT)
    proxy = ref.actor_ref.proxy()
    assert proxy.add(5).get(timeout=TIMEOUT) == 7
    assert proxy.count.get(timeout=TIMEOUT) == 7
    assert adopted.runtime.registry.get_by_class(Counter) == [ref.actor_ref]


def test_it_may_stop_itself(adopted: Adopted) -> None:
    ref = adopted.start()
    ref.tell("stop")
    late = ref.ask("late")
    adopted.observer.wait_for(Stopped)
    assert adopted.log == ["on_start", "on_stop"]
    assert late.done()


def test_it_may_tell_itself(adopted: Adopted) -> None:
    ref = adopted.start()
    ref.ask("to itself").get(TIMEOUT)
    assert ref.ask("last").get(TIMEOUT) == 2


def test_setting_its_stopped_flag_stops_it(adopted: Adopted) -> None:
    ref = adopted.start()
    ref.ask("there?").get(TIMEOUT)
    ref.actor_ref.actor_stopped.set()
    adopted.observer.wait_for(Stopped)


def test_a_constructor_that_fails_is_a_failure(adopted: Adopted) -> None:
    ref = adopted.start(RestartPolicy(), nonsense=True)
    waiting = ref.ask("there?")
    adopted.observer.wait_for(Stopped)
    assert isinstance(waiting.exception(), AgentStopped)
    (failed,) = [event for event in adopted.observer.events if isinstance(event, Failed)]
    assert isinstance(failed.error, TypeError)


def test_by_default_it_gets_a_thread_and_the_name_of_its_class(runtime: Runtime) -> None:
    log: list[Any] = []
    ref = adopt_pykka(runtime, Counter, log, start=3)
    assert (ref.name, ref.ask("x").get(TIMEOUT)) == ("Counter", 4)
    ref.stop().get(TIMEOUT)


def test_loop_actors_are_supervised_otherwise(runtime: Runtime) -> None:
    with pytest.raises(TypeError, match="start_with"):
        adopt_pykka(runtime, LoopActor)
