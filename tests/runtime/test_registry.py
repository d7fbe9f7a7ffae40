from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from agentbus.errors import FutureCancelledError
from agentbus.runtime import ActorGoneError, LoopActor, LoopThread, Runtime, StartOptions

TIMEOUT = 20.0


class Sign:
    """Whoever gets it signs it."""

    def __init__(self) -> None:
        self.urns: list[str] = []


class Plain(LoopActor):
    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Sign):
            message.urns.append(self.actor_urn)


class Special(Plain):
    pass


class Threaded(pykka.ThreadingActor):
    use_daemon_thread = True


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(loop=LoopThread("registry", uvloop=False), random=random.Random(1))
    yield runtime
    assert runtime.close(TIMEOUT)


def start(runtime: Runtime, cls: type[Plain], count: int = 1) -> list[Any]:
    return [cls.start_with(StartOptions(runtime=runtime)) for _ in range(count)]


def test_it_finds_live_actors(runtime: Runtime) -> None:
    plain, special = *start(runtime, Plain), *start(runtime, Special)
    registry = runtime.registry
    assert registry.get_all() == [plain, special]
    assert registry.get_by_class(Plain) == [plain, special]
    assert registry.get_by_class(Special) == [special]
    assert registry.get_by_class_name("Plain") == [plain]
    assert registry.get_by_urn(plain.actor_urn) is plain
    assert registry.get_by_urn("urn:nobody") is None
    assert plain in registry
    assert "plain" not in registry
    assert len(registry) == 2


def test_urns_are_unique_and_repeat_under_the_same_seed() -> None:
    def urns() -> list[str]:
        runtime = Runtime(loop=LoopThread("urns", uvloop=False), random=random.Random(7))
        try:
            return [ref.actor_urn for ref in start(runtime, Plain, 3)]
        finally:
            runtime.close(TIMEOUT)

    first, second = urns(), urns()
    assert first == second
    assert len(set(first)) == 3


def test_it_broadcasts(runtime: Runtime) -> None:
    refs = [*start(runtime, Plain, 2), *start(runtime, Special)]
    for target, expected in ((None, refs), (Special, refs[2:]), ("Plain", refs[:2])):
        sign = Sign()
        runtime.registry.broadcast(sign, target)
        for ref in refs:
            ref.ask("settled", timeout=TIMEOUT)
        # Each actor has its own mailbox: nothing orders what two of them do.
        assert sorted(sign.urns) == sorted(ref.actor_urn for ref in expected)


def test_broadcasting_passes_over_who_ends_meanwhile(runtime: Runtime) -> None:
    (ref,) = start(runtime, Plain)
    ref.stop(timeout=TIMEOUT)
    runtime.registry.register(ref)
    runtime.registry.broadcast("anyone?")
    assert runtime.registry.unregister(ref)
    assert not runtime.registry.unregister(ref)


def test_stop_all_stops_all_and_says_so(runtime: Runtime) -> None:
    refs = start(runtime, Plain, 3)
    assert runtime.registry.stop_all(timeout=TIMEOUT) == [True] * 3
    assert not any(ref.is_alive() for ref in refs)
    assert len(runtime.registry) == 0


def test_stop_all_can_leave_the_waiting_to_others(runtime: Runtime) -> None:
    start(runtime, Plain, 3)
    futures = runtime.registry.stop_all(block=False)
    assert pykka.get_all(futures, timeout=TIMEOUT) == [True] * 3


def test_stop_all_gives_up_on_those_that_do_not_stop_in_time(runtime: Runtime) -> None:
    class Slow(Plain):
        async def on_stop(self) -> None:
            await released

    async def make() -> Any:
        return runtime.agents.asyncio_loop.create_future()

    released = runtime.agents.run(make()).get(TIMEOUT)
    (ref,) = start(runtime, Slow)
    assert runtime.registry.stop_all(timeout=0.0) == [False]
    runtime.agents.call_soon(released.set_result, None)
    assert ref.ended().get(TIMEOUT) in (True, False)


@pytest.mark.parametrize("order", ["oldest first", "youngest first", "at random"])
def test_ten_thousand_actors_stop_in_any_order(runtime: Runtime, order: str) -> None:
    refs = start(runtime, Plain, 10_000)
    if order == "youngest first":
        refs.reverse()
    elif order == "at random":
        random.Random(3).shuffle(refs)
    futures = [ref.stop(block=False) for ref in refs]
    assert all(future.get(TIMEOUT) for future in futures)
    assert len(runtime.registry) == 0


def test_strangers_in_pykkas_registry_are_none_of_its_business(runtime: Runtime) -> None:
    stranger = Threaded.start()
    start(runtime, Plain)
    runtime.registry.stop_all(timeout=TIMEOUT)
    assert stranger.is_alive()
    stranger.stop(timeout=TIMEOUT)


def test_closing_the_runtime_leaves_nobody_waiting_for_actors_that_hang() -> None:
    class Stuck(Plain):
        async def on_receive(self, message: Any) -> Any:
            await forever

    async def make() -> Any:
        return runtime.agents.asyncio_loop.create_future()

    runtime = Runtime()
    forever = runtime.agents.run(make()).get(TIMEOUT)
    (ref,) = start(runtime, Stuck)
    asked = [ref.ask(number, block=False) for number in range(2)]
    assert not runtime.close(timeout=0.0)
    for future in asked:
        assert isinstance(future.exception(), FutureCancelledError | ActorGoneError)
    assert not ref.is_alive()
