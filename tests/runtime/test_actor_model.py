"""Random lives of actors and cells on virtual time: whatever happens, everybody who asks is answered once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.errors import MailboxFullError, RuntimeFault
from agentbus.runtime import (
    CellContext,
    CellRef,
    CellState,
    Future,
    LoopActor,
    LoopActorRef,
    MailboxOptions,
    Overflow,
    StartOptions,
    Stopped,
    virtual_sleep,
)
from tests.runtime.cells import AFTER_A_SECOND, CellWorld, restarting

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["tell", "ask"]), st.sampled_from(["ok", "slow", "fail", "slow fail"])),
        st.tuples(st.just("pass time"), st.sampled_from([0.0, 0.3, 1.0, 5.0])),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("control"), st.sampled_from(["ok", "ok", "fail"])),
        st.tuples(st.just("stop"), st.sampled_from([False, False, True])),
    ),
    max_size=25,
)
MAILBOXES = st.sampled_from(
    [
        MailboxOptions(),
        MailboxOptions(3, Overflow.REJECT),
        MailboxOptions(2, Overflow.DROP_OLDEST),
        MailboxOptions(2, Overflow.DROP_NEWEST),
    ]
)
MODEL = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")


class Handler:
    """Does what a message says, and counts the messages whose handling ended by itself."""

    handled: Counter[int]

    async def handle(self, message: tuple[int, str]) -> int:
        number, kind = message
        if "slow" in kind:
            await virtual_sleep(0.5)
        self.handled[number] += 1
        if "fail" in kind:
            raise ValueError(kind)
        return number


class Actor(Handler, LoopActor):
    def __init__(self, handled: Counter[int]) -> None:
        self.handled = handled

    async def on_receive(self, message: Any) -> Any:
        return await self.handle(message)

    def on_control(self, message: Any) -> None:
        if message == "fail":
            raise ValueError("control")


class Behaviour(Handler):
    def __init__(self, context: CellContext, handled: Counter[int]) -> None:
        self.context = context
        self.handled = handled

    async def on_start(self) -> None:
        await asyncio.sleep(0)

    async def on_message(self, message: Any) -> Any:
        return await self.handle(message)

    def on_control(self, message: Any) -> None:
        if message == "fail":
            raise ValueError("control")

    async def on_stop(self) -> None:
        await asyncio.sleep(0)

    def on_failure(self, error: BaseException) -> None: ...


class Run:
    """Plays steps against a ref, and remembers what was sent."""

    def __init__(self, world: CellWorld, ref: LoopActorRef[Any] | CellRef) -> None:
        self.world = world
        self.ref = ref
        self.sent: list[int] = []
        self.rejected = 0
        self.asked: dict[int, Future[Any]] = {}

    def play(self, steps: list[tuple[str, Any]]) -> None:
        for number, (step, argument) in enumerate(steps):
            match step:
                case "pass time":
                    self.world.pass_time(argument)
                case "control":
                    self.ref.tell_control(argument)
                case "stop":
                    self.stop(now=argument)
                case "cancel":
                    if argument in self.asked:
                        self.asked[argument].cancel()
                case _:
                    self.send(number, step, argument)

    def send(self, number: int, how: str, kind: str) -> None:
        try:
            if how == "tell":
                self.ref.tell((number, kind))
                self.sent.append(number)
            elif isinstance(self.ref, CellRef):
                self.asked[number] = self.ref.ask((number, kind))
            else:
                self.asked[number] = self.ref.ask((number, kind), block=False)
        except (MailboxFullError, RuntimeFault):
            self.rejected += 1

    def stop(self, *, now: bool) -> Future[bool]:
        if isinstance(self.ref, CellRef):
            return self.ref.stop(now=now)
        return self.ref.stop(block=False, now=now)

    def end(self) -> None:
        stopped = self.stop(now=True)
        self.world.pass_time(0.0)
        assert stopped.done()
        self.world.pass_time(100.0)
        assert not self.ref.is_alive()
        assert [future for future in self.asked.values() if not future.done()] == []
        for future in self.asked.values():
            future.quiet()
        assert self.world.loop.tasks() == []

    def account(self, handled: Counter[int]) -> None:
        """Every told message was handled to its end, or is a dead letter."""
        messages: list[Any] = [letter.message for letter in self.world.letters]
        dead = Counter(message[0] for message in messages if message not in ("ok", "fail"))
        assert max(handled.values(), default=1) == 1
        for number in self.sent:
            assert handled[number] + dead[number] >= 1, number


@MODEL
@given(steps=STEPS, mailbox=MAILBOXES, concurrency=st.integers(1, 3))
def test_actors_leave_nobody_waiting(
    steps: list[tuple[str, Any]], mailbox: MailboxOptions, concurrency: int
) -> None:
    world, handled, downs = CellWorld(), Counter[int](), list[Any]()
    with world.loop:
        options = StartOptions(
            runtime=world.runtime, mailbox=mailbox, concurrency=concurrency, on_exit=downs.append
        )
        run = Run(world, Actor.start_with(options, handled))
        run.play(steps)
        run.end()
        run.account(handled)
        assert len(downs) == 1
        assert len(world.runtime.registry) == 0


@MODEL
@given(steps=STEPS, mailbox=MAILBOXES, concurrency=st.integers(1, 3), intensity=st.integers(0, 4))
def test_cells_leave_nobody_waiting(
    steps: list[tuple[str, Any]], mailbox: MailboxOptions, concurrency: int, intensity: int
) -> None:
    world, handled = CellWorld(), Counter[int]()
    with world.loop:
        ref = world.start(
            lambda context, _log: Behaviour(context, handled),
            restarting(AFTER_A_SECOND, intensity=intensity),
            mailbox=mailbox,
            concurrency=concurrency,
        )
        run = Run(world, ref)
        run.play(steps)
        run.end()
        run.account(handled)
        assert ref.state is CellState.STOPPED
        assert [type(event) for event in world.observer.events].count(Stopped) == 1
        assert isinstance(world.observer.events[-1], Stopped)
        assert len(world.runtime.registry) == 0
