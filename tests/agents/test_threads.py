"""The bus as programs use it: real threads, real event loops, real ports, exits and forks."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from pathlib import Path

import pytest

from agentbus.agents.agent import AgentActor, AsyncAgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.events import AgentStarted, BusEvent
from agentbus.agents.handlers import handles
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.message import Message, Request
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.outcome import Outcome
from agentbus.errors import BlockingCallError, ForkedError, HubConfigError
from agentbus.runtime import Future, MailboxOptions, Runtime

ROOT = Path(__file__).resolve().parents[2]


class Number(Message):
    value: int


class Square(Request[Number]):
    value: int


class Where(Request[int]):
    pass


class Relay(Request[Number]):
    value: int


class Squarer(AgentActor):
    capabilities = ("square",)

    def __init__(self) -> None:
        self.sum = 0

    @handles
    def square(self, task: Square) -> Number:
        return Number(task.value**2)

    @handles
    def where(self, _task: Where) -> int:
        return threading.get_ident()

    @handles
    def relay(self, task: Relay) -> Number:
        return self.bus.ref("async").ask(Square(task.value)).get(timeout=10)

    @handles
    def add(self, number: Number) -> int:
        self.sum += number.value
        return self.sum


class AsyncSquarer(AsyncAgentActor):
    @handles
    async def square(self, task: Square) -> Number:
        return Number(task.value**2)

    @handles
    async def relay(self, task: Relay) -> Number:
        with pytest.raises(BlockingCallError):
            self.bus.ref("sync").ask(Square(1)).get()
        return await self.bus.ref("sync").ask(Square(task.value))


def test_a_synchronous_program() -> None:
    with Bus() as bus:
        ref = bus.spawn(Squarer, name="sync")
        bus.spawn(AsyncSquarer, name="async")
        assert ref.ask(Square(3)).get(timeout=10) == Number(9)
        assert ref.ask(Where()).get(timeout=10) != threading.get_ident()
        assert ref.ask(Relay(4)).get(timeout=10) == Number(16)
        assert bus.ref("async").ask(Relay(5)).get(timeout=10) == Number(25)
        assert ref.tell(Number(1)).get(timeout=10) is Outcome.DELIVERED


def test_an_asynchronous_program_gets_its_callbacks_on_its_own_loop() -> None:
    async def program() -> list[object]:
        seen: list[object] = []
        heard = asyncio.Event()

        async def note(event: BusEvent) -> None:
            seen.append(asyncio.get_running_loop())
            if isinstance(event, AgentStarted):
                heard.set()

        async with Bus() as bus:
            bus.events.subscribe(note)
            ref = bus.spawn(Squarer)
            assert await ref.ask(Square(3)) == Number(9)
            assert await asyncio.gather(*(_result(ref.ask(Square(n))) for n in range(5)))
            await heard.wait()
            assert set(seen) == {asyncio.get_running_loop()}
        return seen

    async def _result(future: Future[Number]) -> Number:
        return await future

    assert asyncio.run(program())


def test_threads_that_tell_at_once_lose_nothing() -> None:
    with Bus() as bus:
        ref = bus.spawn(Squarer)

        def tell() -> None:
            for _ in range(500):
                ref.tell(Number(1))

        threads = [threading.Thread(target=tell) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ref.ask(Number(0)).get(timeout=30) == 2000


def test_two_buses_over_a_port_and_a_thread_that_is_held_up_by_a_full_link() -> None:
    with Bus(listen="127.0.0.1:0", node="host") as host:
        environment = host.credentials_env()
        options = NodeOptions(link=LinkOptions(capacity=200))
        guest = Bus(
            environment["AGENTBUS_URL"],
            api_key=environment["AGENTBUS_KEY"],
            trust="all",
            options=options,
        )
        with guest:
            host.spawn(Squarer, name="square")
            (ref,) = guest.wait_for(capability="square").get(timeout=10)
            assert ref.ask(Square(7), timeout=10).get(timeout=10) == Number(49)
            outcomes = [ref.tell(Number(1)) for _ in range(3000)]
            fates = [outcome.get(timeout=60) for outcome in outcomes]
            assert set(fates) == {Outcome.DELIVERED}, "the queue of 200 was not run over"
            assert ref.ask(Number(0)).get(timeout=30) == 3000


class Stalled(AgentActor):
    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate

    @handles
    def on_number(self, _message: Number) -> None:
        self.gate.wait(60)


def test_a_thread_is_held_up_by_a_full_agent_and_its_neighbour_by_nothing() -> None:
    options = NodeOptions(link=LinkOptions(capacity=200))
    gate = threading.Event()
    with Bus(listen="127.0.0.1:0", node="host") as host:
        environment = host.credentials_env()
        key = environment["AGENTBUS_KEY"]
        with Bus(environment["AGENTBUS_URL"], api_key=key, trust="all", options=options) as guest:
            host.spawn(Stalled, gate, name="stalled", mailbox=MailboxOptions(capacity=4))
            host.spawn(Squarer, name="square")
            stalled, square = guest.ref("host/stalled"), guest.ref("host/square")
            outcomes: list[Future[Outcome]] = []
            thread = threading.Thread(
                target=lambda: outcomes.extend(stalled.tell(Number(1)) for _ in range(300)), daemon=True
            )
            thread.start()
            for _ in range(100):
                assert square.ask(Square(7), timeout=10).get(timeout=10) == Number(49)
            assert thread.is_alive()
            gate.set()
            thread.join(60)
            assert {outcome.get(timeout=60) for outcome in outcomes} == {Outcome.DELIVERED}
            assert len(outcomes) == 300


def test_a_port_that_is_taken_fails_the_start() -> None:
    with Bus(listen="127.0.0.1:0") as first:
        port = str(first.url).rpartition(":")[2]
        second = Bus(listen=f"127.0.0.1:{port}")
        with pytest.raises(HubConfigError):
            second.start().get(timeout=10)
        with pytest.raises(HubConfigError):
            second.ended.get(timeout=10)
        second.close().get(timeout=10)


def test_secrets_stay_out_of_reprs_and_tracebacks() -> None:
    secret = "pk_live_sesame_0123456789"
    bus = Bus("ws://localhost:1", api_key=secret)
    assert secret not in repr(vars(bus))
    try:
        Bus("http://localhost", api_key=secret)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        frames = shown.split('File "')
        assert not [frame for frame in frames if secret in frame and "test_threads" not in frame]
    else:
        raise AssertionError("it was not refused")
    bus.close().get(timeout=10)


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.e2e
def test_a_program_that_forgets_to_close_ends_all_the_same() -> None:
    done = run_program("""
        from agentbus.agents.bus import Bus
        from tests.agents.test_threads import Square, Squarer

        bus = Bus()
        print(bus.spawn(Squarer, replicas=3).ask(Square(3)).get(timeout=10))
        unused = Bus()
    """)
    assert (done.returncode, done.stdout) == (0, "Number(value=9)\n")
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
@pytest.mark.e2e
def test_after_a_fork_the_parent_s_bus_is_refused_and_a_new_one_works() -> None:
    done = run_program("""
        import os
        from agentbus.agents.bus import Bus
        from agentbus.errors import ForkedError
        from tests.agents.test_threads import Number, Square, Squarer

        bus = Bus()
        ref = bus.spawn(Squarer)
        assert ref.ask(Square(2)).get(timeout=10) == Number(4)
        if (child := os.fork()) == 0:
            refused = 0
            for call in (lambda: ref.ask(Square(1)), lambda: ref.tell(Number(1)), lambda: bus.spawn(Squarer)):
                try:
                    call()
                except ForkedError:
                    refused += 1
            with Bus() as new:
                print(refused, new.spawn(Squarer).ask(Square(5)).get(timeout=10), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print("parent", ref.ask(Square(3)).get(timeout=10))
        bus.close().get(timeout=10)
    """)
    assert done.stdout.splitlines() == ["3 Number(value=25)", "parent Number(value=9)"], done.stderr
    assert ForkedError.__name__ not in done.stderr


def test_a_bus_that_nobody_starts_may_be_forgotten() -> None:
    forgotten = [weakref.ref(Bus()) for _ in range(3)]
    gc.collect()
    assert [ref() for ref in forgotten] == [None, None, None]


def test_a_bus_that_was_started_ends_with_its_runtime() -> None:
    runtime = Runtime()
    bus = Bus(runtime=runtime)
    assert bus.spawn(Squarer, name="squarer").ask(Square(3)).get(timeout=10).value == 9
    assert runtime.close()
    assert bus.ended.done()


def test_a_hub_on_a_port_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agentbus.hub.server.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs uvicorn: pip install 'agentbus\[hub\]'"):
        Bus(listen="127.0.0.1:0")
