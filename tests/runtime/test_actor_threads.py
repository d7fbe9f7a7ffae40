"""`LoopActor` on a real loop thread, told from several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agentbus.runtime import (
    LoopActor,
    LoopActorRef,
    LoopThread,
    MailboxOptions,
    Overflow,
    Runtime,
    StartOptions,
)
from tests.runtime import threads

TIMEOUT = 20.0


class Keeper(LoopActor):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "all":
            return self.kept
        if isinstance(message, threading.Event):
            assert message.wait(TIMEOUT)
        self.kept.append(message)
        return None


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("keepers", uvloop=request.param))
    yield runtime
    assert runtime.close(TIMEOUT)


def start(runtime: Runtime, **options: Any) -> LoopActorRef[Keeper]:
    return Keeper.start_with(StartOptions(runtime=runtime, **options))


@pytest.mark.parametrize(
    "mailbox", [MailboxOptions(), MailboxOptions(4, Overflow.BLOCK)], ids=["unbounded", "bounded"]
)
def test_nothing_is_lost_and_each_sender_keeps_its_order(runtime: Runtime, mailbox: MailboxOptions) -> None:
    ref = start(runtime, mailbox=mailbox)
    senders, each = 3, 400

    def send(sender: int) -> None:
        for number in range(each):
            ref.tell((sender, number))

    for running in [threads.start(lambda sender=sender: send(sender)) for sender in range(senders)]:
        running.result()
    kept = ref.ask("all", timeout=TIMEOUT)
    assert len(kept) == senders * each
    for sender in range(senders):
        assert [number for who, number in kept if who == sender] == list(range(each))


def test_one_sender_keeps_its_order_over_both_ways_in(runtime: Runtime) -> None:
    """From its own thread first, then from the loop's."""
    ref = start(runtime)

    async def second(number: int) -> None:
        ref.tell((number, "second"))

    for number in range(200):
        ref.tell((number, "first"))
        runtime.agents.run(second(number)).get(TIMEOUT)
    kept = ref.ask("all", timeout=TIMEOUT)
    assert kept == [(number, place) for number in range(200) for place in ("first", "second")]


def test_a_burst_from_another_thread_wakes_the_loop_once(runtime: Runtime) -> None:
    busy, ref = start(runtime), start(runtime)
    ref.ask("all", timeout=TIMEOUT)
    gate = threading.Event()
    busy.tell(gate)
    before = runtime.agents.statistics().wakeups
    for number in range(1000):
        ref.tell(number)
    gate.set()
    assert len(ref.ask("all", timeout=TIMEOUT)) == 1000
    assert runtime.agents.statistics().wakeups - before <= 2


def test_an_actor_is_stopped_while_it_is_told(runtime: Runtime) -> None:
    """Each message is handled, refused or dead-lettered; which of them is a matter of timing."""
    letters: list[Any] = []
    runtime.dead_letters.attach(letters.append)
    ref = start(runtime)
    refused = 0
    stopped: Any = None
    kept = ref.proxy().kept.get(timeout=TIMEOUT)
    for number in range(3000):
        if number == 1000:
            stopped = ref.stop(block=False)
        try:
            ref.tell(number)
        except Exception:  # noqa: BLE001 -- counted
            refused += 1
    assert stopped.get(TIMEOUT) is True
    assert kept[:1000] == list(range(1000))
    assert len(kept) + len(letters) + refused == 3000
