"""Streams, attachments and advice reach an agent in a process of its own as they reach any other."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from agentbus.agents import AgentDown, AgentRef, Bus, Message, StreamStatus
from agentbus.errors import AgentFailed, AttachmentFailed, EncodeError, UndecodableMessageError
from agentbus.runtime import Future
from tests.agents.process_agents import (
    Advice,
    Line,
    Lines,
    Measure,
    Shout,
    SyncTeller,
    Teller,
    Told,
    Wait,
)

ROOT = Path(__file__).resolve().parents[2]
WAIT = 30.0
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bus() -> Generator[Bus]:
    with Bus(listen="127.0.0.1:0") as made:
        yield made


@pytest.fixture(scope="module")
def teller(bus: Bus) -> AgentRef:
    return bus.spawn(Teller, name="teller", process=True)


@pytest.fixture(scope="module")
def sync_teller(bus: Bus) -> AgentRef:
    return bus.spawn(SyncTeller, name="sync", process=True)


@pytest.fixture(scope="module")
def there(bus: Bus) -> Generator[Bus]:
    """Give another node."""
    with Bus(bus.url, api_key=bus.credentials_env()["AGENTBUS_KEY"], trust="all") as made:
        yield made


def made_and_ended(ref: AgentRef) -> tuple[int, int]:
    _heard, made, ended = ref.ask(Told()).get(timeout=WAIT)
    return made, ended


# -- streams ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["teller", "sync"])
@pytest.mark.parametrize("credit", [1, 64])
def test_chunks_come_in_order_here_and_elsewhere(
    bus: Bus, there: Bus, teller: AgentRef, sync_teller: AgentRef, name: str, credit: int
) -> None:
    assert teller.is_local
    assert sync_teller.is_local
    for ref in (bus.ref(name), *there.wait_for(name=name).get(timeout=WAIT)):
        stream = ref.stream(Lines(500), timeout=WAIT, credit=credit)
        lines = list(stream)
        assert [line.number for line in lines] == list(range(500))
        assert isinstance(lines[0], Line)
        assert stream.status is StreamStatus.COMPLETE


def test_a_producer_without_credit_pauses_and_a_consumer_that_leaves_ends_it(teller: AgentRef) -> None:
    made, ended = made_and_ended(teller)
    with teller.stream(Lines(1_000_000), credit=4) as stream:
        for expected in range(10):
            assert next(stream).number == expected
        assert made_and_ended(teller)[0] - made <= 10 + 4
    assert stream.status is StreamStatus.CANCELLED
    while made_and_ended(teller)[1] == ended:
        pass
    assert made_and_ended(teller)[0] - made <= 10 + 4


@pytest.mark.parametrize(("then", "match"), [("fail", "ValueError: no more"), ("crash", "exit status 9")])
def test_what_came_before_a_failure_can_be_read(bus: Bus, then: str, match: str) -> None:
    ref = bus.spawn(Teller, process=True)
    stream = ref.stream(Lines(5, then=then), timeout=WAIT)
    numbers: list[int] = []
    with pytest.raises(AgentFailed, match=match):
        numbers.extend(line.number for line in stream)
    assert numbers == list(range(stream.received))
    assert len(numbers) == 5 or then == "crash"
    assert stream.status is StreamStatus.FAILED


def test_asking_for_chunks_or_streaming_a_reply_is_as_anywhere(teller: AgentRef) -> None:
    assert next(teller.stream(Told(), timeout=WAIT))[0] == teller.ask(Told()).get(timeout=WAIT)[0]


# -- attachments --------------------------------------------------------------------------------------------


def test_what_is_attached_is_read_here_and_elsewhere(there: Bus, teller: AgentRef) -> None:
    (remote,) = there.wait_for(name="teller").get(timeout=WAIT)
    for ref in (teller, remote):
        assert ref.ask(Measure(), attach=range(100), timeout=WAIT).get(timeout=WAIT) == [100, 4950]
        file = io.BytesIO(b"x" * 100_000)
        assert ref.ask(Measure(), attach=file, timeout=WAIT).get(timeout=WAIT) == [4, 100_000]


def test_the_source_is_read_as_the_handler_reads_and_closed_when_that_ends(teller: AgentRef) -> None:
    given: list[int] = []

    def source() -> Iterator[int]:
        try:
            for number in range(1000):
                given.append(number)
                yield number
        finally:
            given.append(-1)

    assert teller.ask(Measure(at_most=8), attach=source(), timeout=WAIT).get(timeout=WAIT) == [8, 28]
    while given[-1] != -1:
        pass
    assert len(given) <= 8 + 2 * 16 + 1


def test_an_error_of_the_source_reaches_the_reader_typed(teller: AgentRef) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise LookupError("torn")

    with pytest.raises(AttachmentFailed, match="torn") as caught:
        teller.ask(Measure(), attach=source(), timeout=WAIT).get(timeout=WAIT)
    assert caught.value.error_type == "LookupError"


@pytest.mark.parametrize("name", ["teller", "sync"])
def test_chunks_go_in_both_directions_at_a_time(
    there: Bus, teller: AgentRef, sync_teller: AgentRef, name: str
) -> None:
    (remote,) = there.wait_for(name=name).get(timeout=WAIT)
    for ref in (teller if name == "teller" else sync_teller, remote):
        words = [f"word {number}" for number in range(200)]
        loud = ref.stream(Shout(), attach=words, timeout=WAIT)
        assert list(loud) == [word.upper() for word in words]


# -- advice -------------------------------------------------------------------------------------------------


class OnlyHere(Message):
    """No process but this one knows it."""


def test_advice_reaches_the_agent_while_it_works_and_its_future_tells_the_truth(bus: Bus, there: Bus) -> None:
    ref, down = bus.spawn(Teller, name="advised", process=True), Future[AgentDown]()
    ref.watch(down.set)
    waiting = ref.ask(Wait())
    assert ref.steer(Advice("left")).get(timeout=WAIT) is True
    assert waiting.get(timeout=WAIT) == "left"
    (remote,) = there.wait_for(name="advised").get(timeout=WAIT)
    assert remote.steer(["plain"]).get(timeout=WAIT) is True
    assert ref.ask(Told()).get(timeout=WAIT)[0] == ["left", ["plain"]]
    with pytest.raises(EncodeError):
        ref.steer(object()).get(timeout=WAIT)
    with pytest.raises(UndecodableMessageError):
        ref.steer(OnlyHere()).get(timeout=WAIT)
    assert ref.steer(Advice("still there")).get(timeout=WAIT) is True
    with pytest.raises(AgentFailed, match="ValueError: bad advice"):
        ref.steer(Advice("fail")).get(timeout=WAIT)
    assert down.get(timeout=WAIT).address == str(ref)


def test_advice_for_an_agent_that_has_ended_was_not_applied(bus: Bus) -> None:
    ref = bus.spawn(Teller, process=True)
    assert ref.ask(Told()).get(timeout=WAIT)[0] == []
    stopped, late = ref.stop(now=True), ref.steer(Advice("too late"))
    assert stopped.get(timeout=WAIT)
    assert late.get(timeout=WAIT) is False


# -- the parent's end ---------------------------------------------------------------------------------------

PROGRAM = textwrap.dedent("""
    import sys
    from agentbus import Bus
    from tests.agents.process_agents import HoldTheLock, SyncTeller

    with Bus() as bus:
        events = bus.events.listen()
        ref = bus.spawn(SyncTeller, name="busy", process=True)
        started = next(event for event in events if type(event).__name__ == "ProcessStarted")
        print(started.process_id, flush=True)
        ref.ask(HoldTheLock(60)).get()
""")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel does that")
def test_a_process_that_holds_the_lock_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    watched = os.pidfd_open(child)
    assert parent.stdout.readline() == "holding\n"
    parent.kill()
    parent.wait(timeout=10)
    assert select.select([watched], [], [], 5.0)[0]
    os.close(watched)
    parent.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel does that")
def test_a_process_whose_parent_was_gone_before_does_not_begin() -> None:
    program = (
        "from agentbus.agents.processes.parent_death import end_with_parent as end; end(1); print('began')"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (child.returncode, child.stdout) == (1, b"")
