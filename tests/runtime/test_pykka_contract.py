"""What users of pykka rely on, held against pykka's own `ThreadingActor` and against `LoopActor` on a thread.

Where `LoopActor` differs on purpose, `docs/decisions/` says so, and the difference is not tested here.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
from pykka import messages

from agentbus.runtime import LoopActor, LoopThread, Runtime, StartOptions

TIMEOUT = 5


class Journal:
    """What happened to an actor, in order; read by the test's thread once the actor has said so."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.failed = threading.Event()
        self.stopped = threading.Event()
        self.begun = threading.Event()
        self.gate = threading.Event()


class Nested:
    pykka_traversable = True

    def __init__(self) -> None:
        self.colour = "red"

    def double(self, number: int) -> int:
        return 2 * number


class Behaviour:
    """The body that both kinds of actor get."""

    a_class_attribute = "class"

    def __init__(self, journal: Journal, fail_in: str = "", *, word: str = "none") -> None:
        super().__init__()
        self.journal = journal
        self.fail_in = fail_in
        self.word = word
        self.nested = Nested()
        self._secret = "private"

    def on_start(self) -> None:
        self.journal.entries.append("on_start")
        self._maybe_fail("on_start")

    def on_stop(self) -> None:
        self.journal.entries.append("on_stop")
        self.journal.stopped.set()
        self._maybe_fail("on_stop")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.journal.entries.append(
            ("on_failure", exception_type, str(exception_value), traceback is not None)
        )
        self.journal.failed.set()
        self._maybe_fail("on_failure")

    def _maybe_fail(self, place: str) -> None:
        if self.fail_in == place:
            raise RuntimeError(f"failed in {place}")

    def on_receive(self, message: Any) -> Any:
        actor: Any = self
        match message:
            case {"raise": error}:
                raise error
            case {"wait": True}:
                self.journal.begun.set()
                assert self.journal.gate.wait(TIMEOUT)
            case {"stop": True}:
                actor.stop()
            case {"to self": inner}:
                actor.actor_ref.tell(inner)
            case _:
                self.journal.entries.append(message)
        return ("reply to", message)

    def greet(self, name: str, *, greeting: str = "hello") -> str:
        return f"{greeting} {name}"

    def complain(self) -> None:
        raise ValueError("complaint")

    def note(self, what: str) -> None:
        self.journal.entries.append(what)


class Threaded(Behaviour, pykka.ThreadingActor):
    use_daemon_thread = True


class Looped(Behaviour, LoopActor):
    pass


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("contract", uvloop=False))
    yield runtime
    assert runtime.close(TIMEOUT)


@pytest.fixture(params=[Threaded, Looped])
def kind(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[Any]:
    """Start an actor of either kind: `kind(journal, ...)` gives its ref."""
    quiet = [logging.getLogger(name) for name in ("pykka", "agentbus.runtime")]
    levels = [logger.level for logger in quiet]
    for logger in quiet:
        logger.setLevel(logging.CRITICAL)
    if request.param is Threaded:
        yield Threaded.start
    else:
        yield functools.partial(Looped.start_with, StartOptions(runtime=runtime))
    pykka.ActorRegistry.stop_all(timeout=TIMEOUT)
    runtime.registry.stop_all(timeout=TIMEOUT)
    for logger, level in zip(quiet, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def ref(kind: Any, journal: Journal) -> Any:
    return kind(journal)


def wait_for(event: threading.Event) -> None:
    assert event.wait(TIMEOUT)


def wait_until_dead(ref: pykka.ActorRef[Any]) -> None:
    """A stop waits for what is left of a life that is ending already."""
    ref.stop(timeout=TIMEOUT)
    assert not ref.is_alive()


class TestStart:
    def test_gives_a_ref_to_a_live_actor(self, ref: Any) -> None:
        assert isinstance(ref, pykka.ActorRef)
        assert ref.is_alive()
        assert not ref.actor_stopped.is_set()

    def test_the_actor_is_a_pykka_actor(self, ref: Any) -> None:
        assert issubclass(ref.actor_class, pykka.Actor)
        assert ref.proxy().word.get(timeout=TIMEOUT) == "none"

    def test_passes_arguments_to_the_constructor(self, kind: Any, journal: Journal) -> None:
        assert kind(journal, "", word="hi").proxy().word.get(timeout=TIMEOUT) == "hi"

    def test_every_actor_has_a_urn_of_its_own(self, kind: Any, journal: Journal) -> None:
        refs = [kind(journal) for _ in range(3)]
        assert len({ref.actor_urn for ref in refs}) == 3
        assert all(ref.actor_urn.startswith("urn:") for ref in refs)

    def test_str_and_repr_name_class_and_urn(self, ref: Any) -> None:
        assert ref.actor_class.__name__ in str(ref)
        assert ref.actor_urn in str(ref)
        assert str(ref) in repr(ref)

    def test_on_start_runs_before_the_first_message(self, ref: Any, journal: Journal) -> None:
        ref.ask("first", timeout=TIMEOUT)
        assert journal.entries == ["on_start", "first"]

    def test_a_failing_on_start_ends_the_actor_without_on_failure(self, kind: Any, journal: Journal) -> None:
        ref = kind(journal, "on_start")
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("too late", timeout=TIMEOUT)
        wait_until_dead(ref)
        assert journal.entries == ["on_start"]


class TestTell:
    def test_returns_nothing(self, ref: Any) -> None:
        assert ref.tell("message") is None

    def test_delivers_in_order(self, ref: Any, journal: Journal) -> None:
        for number in range(100):
            ref.tell(number)
        ref.ask("last", timeout=TIMEOUT)
        assert journal.entries == ["on_start", *range(100), "last"]

    @pytest.mark.parametrize("message", [None, 0, "", {}, (), [1], object, {"command": "x"}], ids=repr)
    def test_takes_any_message(self, ref: Any, message: Any) -> None:
        assert ref.ask(message, timeout=TIMEOUT) == ("reply to", message)

    def test_an_exception_calls_on_failure_and_ends_the_actor(self, ref: Any, journal: Journal) -> None:
        ref.tell({"raise": ValueError("oops")})
        wait_for(journal.failed)
        wait_until_dead(ref)
        assert journal.entries == ["on_start", ("on_failure", ValueError, "oops", True)]

    def test_a_failing_on_failure_is_contained(self, kind: Any, journal: Journal) -> None:
        ref = kind(journal, "on_failure")
        ref.tell({"raise": ValueError("oops")})
        wait_for(journal.failed)
        wait_until_dead(ref)

    def test_to_a_dead_actor_raises(self, ref: Any) -> None:
        ref.stop(timeout=TIMEOUT)
        with pytest.raises(pykka.ActorDeadError):
            ref.tell("too late")

    def test_to_itself_comes_after_what_is_in_the_mailbox(self, ref: Any, journal: Journal) -> None:
        ref.tell({"wait": True})
        ref.tell({"to self": "inner"})
        ref.tell("outer")
        journal.gate.set()
        ref.ask("last", timeout=TIMEOUT)
        ref.ask("very last", timeout=TIMEOUT)
        assert journal.entries.index("outer") < journal.entries.index("inner")

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
    def test_what_is_no_exception_ends_the_actor(self, ref: Any, error: BaseException) -> None:
        ref.tell({"raise": error})
        assert ref.actor_stopped.wait(TIMEOUT)
        assert not ref.is_alive()


class TestAsk:
    def test_gives_the_reply(self, ref: Any) -> None:
        assert ref.ask("question", timeout=TIMEOUT) == ("reply to", "question")

    def test_without_blocking_gives_a_future(self, ref: Any) -> None:
        future = ref.ask("question", block=False)
        assert isinstance(future, pykka.Future)
        assert future.get(timeout=TIMEOUT) == ("reply to", "question")
        assert future.get(timeout=0) == ("reply to", "question")

    def test_futures_can_be_collected(self, ref: Any) -> None:
        futures = [ref.ask(number, block=False) for number in range(3)]
        assert pykka.get_all(futures, timeout=TIMEOUT) == [("reply to", number) for number in range(3)]

    def test_a_reply_can_be_mapped(self, ref: Any) -> None:
        def second(reply: Any) -> Any:
            return reply[1]

        assert ref.ask("x", block=False).map(second).get(timeout=TIMEOUT) == "x"

    def test_a_time_out_raises_and_the_work_goes_on(self, ref: Any, journal: Journal) -> None:
        with pytest.raises(pykka.Timeout):
            ref.ask({"wait": True}, timeout=0)
        journal.gate.set()
        assert ref.ask("next", timeout=TIMEOUT) == ("reply to", "next")

    def test_an_exception_goes_to_the_asker_and_the_actor_lives(self, ref: Any, journal: Journal) -> None:
        with pytest.raises(ValueError, match="oops") as caught:
            ref.ask({"raise": ValueError("oops")}, timeout=TIMEOUT)
        assert any(entry.name == "on_receive" for entry in caught.traceback)
        assert ref.ask("still there?", timeout=TIMEOUT) == ("reply to", "still there?")
        assert not journal.failed.is_set()

    def test_an_unread_exception_does_not_end_the_actor(self, ref: Any) -> None:
        ref.ask({"raise": ValueError("oops")}, block=False)
        assert ref.ask("still there?", timeout=TIMEOUT) == ("reply to", "still there?")

    def test_of_a_dead_actor_raises(self, ref: Any) -> None:
        ref.stop(timeout=TIMEOUT)
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("too late", timeout=TIMEOUT)

    def test_of_a_dead_actor_without_blocking_raises_when_read(self, ref: Any) -> None:
        ref.stop(timeout=TIMEOUT)
        future = ref.ask("too late", block=False)
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=TIMEOUT)

    def test_what_waits_when_the_actor_ends_gets_an_error(self, ref: Any, journal: Journal) -> None:
        ref.tell({"wait": True})
        wait_for(journal.begun)
        stopped = ref.stop(block=False)
        late = ref.ask("too late", block=False)
        journal.gate.set()
        assert stopped.get(timeout=TIMEOUT) is True
        with pytest.raises(pykka.ActorDeadError):
            late.get(timeout=TIMEOUT)


class TestStop:
    def test_runs_on_stop_and_says_true(self, ref: Any, journal: Journal) -> None:
        assert ref.stop(timeout=TIMEOUT) is True
        assert journal.entries == ["on_start", "on_stop"]
        assert not ref.is_alive()
        assert ref.actor_stopped.is_set()

    def test_of_a_dead_actor_says_false(self, ref: Any) -> None:
        ref.stop(timeout=TIMEOUT)
        assert ref.stop(timeout=TIMEOUT) is False

    def test_without_blocking_gives_a_future(self, ref: Any) -> None:
        assert ref.stop(block=False).get(timeout=TIMEOUT) is True

    def test_comes_after_what_is_in_the_mailbox(self, ref: Any, journal: Journal) -> None:
        for number in range(10):
            ref.tell(number)
        ref.stop(timeout=TIMEOUT)
        assert journal.entries == ["on_start", *range(10), "on_stop"]

    def test_twice_before_the_first_is_done_says_true_twice(self, ref: Any, journal: Journal) -> None:
        ref.tell({"wait": True})
        wait_for(journal.begun)
        stops = [ref.stop(block=False), ref.stop(block=False)]
        journal.gate.set()
        assert [stop.get(timeout=TIMEOUT) for stop in stops] == [True, True]

    def test_the_actor_may_stop_itself(self, ref: Any, journal: Journal) -> None:
        assert ref.ask({"stop": True}, timeout=TIMEOUT) == ("reply to", {"stop": True})
        wait_for(journal.stopped)
        wait_until_dead(ref)
        assert journal.entries == ["on_start", "on_stop"]

    def test_a_failing_on_stop_is_contained(self, kind: Any, journal: Journal) -> None:
        ref = kind(journal, "on_stop")
        assert ref.stop(timeout=TIMEOUT) is True
        assert not ref.is_alive()

    def test_on_stop_does_not_run_after_a_failure(self, ref: Any, journal: Journal) -> None:
        ref.tell({"raise": ValueError("oops")})
        wait_for(journal.failed)
        wait_until_dead(ref)
        assert "on_stop" not in journal.entries

    def test_a_time_out_raises(self, ref: Any, journal: Journal) -> None:
        ref.tell({"wait": True})
        wait_for(journal.begun)
        with pytest.raises(pykka.Timeout):
            ref.stop(timeout=0)
        journal.gate.set()


class TestProxy:
    def test_calls_methods(self, ref: Any) -> None:
        proxy: Any = ref.proxy()
        assert proxy.greet("you").get(timeout=TIMEOUT) == "hello you"
        assert proxy.greet("you", greeting="bye").get(timeout=TIMEOUT) == "bye you"

    def test_a_method_that_raises_tells_its_caller(self, ref: Any) -> None:
        with pytest.raises(ValueError, match="complaint"):
            ref.proxy().complain().get(timeout=TIMEOUT)
        assert ref.is_alive()

    def test_reads_and_writes_attributes(self, ref: Any) -> None:
        proxy: Any = ref.proxy()
        assert proxy.word.get(timeout=TIMEOUT) == "none"
        assert proxy.a_class_attribute.get(timeout=TIMEOUT) == "class"
        proxy.word = "changed"
        assert ref.proxy().word.get(timeout=TIMEOUT) == "changed"

    def test_defers_calls(self, ref: Any, journal: Journal) -> None:
        ref.proxy().note.defer("deferred")
        ref.ask("last", timeout=TIMEOUT)
        assert journal.entries == ["on_start", "deferred", "last"]

    def test_a_deferred_call_that_raises_ends_the_actor(self, ref: Any, journal: Journal) -> None:
        ref.proxy().complain.defer()
        wait_for(journal.failed)
        wait_until_dead(ref)

    def test_reaches_into_traversable_attributes(self, ref: Any) -> None:
        proxy: Any = ref.proxy()
        assert proxy.nested.double(4).get(timeout=TIMEOUT) == 8
        assert proxy.nested.colour.get(timeout=TIMEOUT) == "red"
        proxy.nested.colour = "blue"
        assert ref.proxy().nested.colour.get(timeout=TIMEOUT) == "blue"

    @pytest.mark.parametrize("name", ["missing", "_secret"])
    def test_hides_what_is_private_or_missing(self, ref: Any, name: str) -> None:
        with pytest.raises(AttributeError):
            getattr(ref.proxy(), name)

    def test_of_a_dead_actor_raises(self, ref: Any) -> None:
        ref.stop(timeout=TIMEOUT)
        with pytest.raises(pykka.ActorDeadError):
            ref.proxy()

    def test_its_messages_may_be_sent_by_hand(self, ref: Any) -> None:
        call = messages.ProxyCall(attr_path=("greet",), args=("you",), kwargs={})
        assert ref.ask(call, timeout=TIMEOUT) == "hello you"
        ref.ask(messages.ProxySetAttr(attr_path=("word",), value="set"), timeout=TIMEOUT)
        assert ref.ask(messages.ProxyGetAttr(attr_path=("word",)), timeout=TIMEOUT) == "set"

    def test_knows_its_ref(self, ref: Any) -> None:
        assert ref.proxy().actor_ref is ref
