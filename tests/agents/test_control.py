"""Pause, resume and steer reach an agent past its mailbox, here and on other nodes, and are never lost."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, Message, Request, handles
from agentbus.agents.control import Order, decode_order, encode_order, steer_order
from agentbus.agents.events import AgentPaused, AgentResumed
from agentbus.agents.ref import AgentRef
from agentbus.errors import (
    AgentFailed,
    EncodeError,
    NoSuchAgentError,
    NotTrustedError,
    OutcomeUnknownError,
    UndecodableMessageError,
)
from agentbus.runtime import (
    Backoff,
    Future,
    MailboxOptions,
    Overflow,
    RestartMode,
    RestartPolicy,
    virtual_sleep,
)
from tests.agents.cluster import Cluster, simulate

POLICY = RestartPolicy(mode=RestartMode.RESTART, intensity=1000, backoff=Backoff(initial_delay=0.5))


class Hint(Message):
    text: str


class Think(Request[str]):
    """Takes a while, as a model would."""

    seconds: float = 10.0


class Thinker(AsyncAgentActor):
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.hint = ""

    async def on_control(self, message: Any) -> None:
        await virtual_sleep(0.1)
        self.log.append(message)
        if message == "fail":
            raise ValueError("bad advice")
        if isinstance(message, Hint):
            self.hint = message.text

    @handles
    async def think(self, message: Think) -> str:
        await virtual_sleep(message.seconds)
        return self.hint


class Stubborn(AgentActor):
    """Sync; in a simulation it runs on the loop."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def on_control(self, message: Any) -> None:
        self.log.append((message, self.paused))

    @handles
    def think(self, _message: Think) -> str:
        self.checkpoint()
        return "stubborn"


async def start(cluster: Cluster, **options: Any) -> tuple[Bus, Bus, list[Any]]:
    one, two = await cluster.join("one", "two")
    log: list[Any] = []
    options = {"mailbox": MailboxOptions(capacity=5, overflow=Overflow.REJECT), **options}
    for bus in (one, two):
        bus.spawn(Thinker, log, name="thinker", supervision=POLICY, **options)
        bus.spawn(Stubborn, log, name="stubborn")
    await virtual_sleep(1.0)
    return one, two, log


@pytest.fixture(params=["one", "two"], ids=["here", "there"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_steering_reaches_an_agent_that_waits_for_its_model_behind_a_full_mailbox(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, log = await start(cluster)
        ref = one.ref(f"{where}/thinker")
        thinking = ref.ask(Think())
        await virtual_sleep(1.0)
        for _ in range(20):
            ref.tell(Think())
        steered, plain = ref.steer(Hint("think of the sea")), ref.steer(["plain", 1])
        assert await steered
        assert await plain
        assert log == [Hint("think of the sea"), ["plain", 1]]
        assert not thinking.done()
        assert await thinking == "think of the sea"

    simulate(scenario)


def test_a_paused_agent_takes_no_message_and_says_so(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, _log = await start(cluster)
        ref = one.ref(f"{where}/thinker")
        running = ref.ask(Think(2.0))
        await virtual_sleep(1.0)
        assert await ref.pause()
        waiting = ref.ask(Think(1.0))
        assert await running == ""
        await virtual_sleep(30.0)
        assert not waiting.done()
        assert await ref.resume()
        assert await waiting == ""
        assert [event.address for event in cluster.seen(where, AgentPaused)] == [f"default/{where}/thinker"]
        assert [event.address for event in cluster.seen(where, AgentResumed)] == [f"default/{where}/thinker"]

    simulate(scenario)


def test_stop_and_cancel_work_while_it_is_paused(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, _log = await start(cluster)
        ref = one.ref(f"{where}/thinker")
        running = ref.ask(Think(100.0))
        await virtual_sleep(1.0)
        await ref.pause()
        waiting = ref.ask(Think(100.0))
        await virtual_sleep(1.0)
        assert running.cancel()
        assert waiting.cancel()
        await virtual_sleep(1.0)
        assert await ref.stop()
        for bus in (one, two):
            assert len(cluster.parts(bus).reception.asked) == 0

    simulate(scenario)


def test_bad_advice_is_a_failure_and_the_adviser_is_told(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, log = await start(cluster)
        ref = one.ref(f"{where}/thinker")
        await ref.pause()
        with pytest.raises(AgentFailed):
            await ref.steer("fail")
        assert await ref.steer("after the restart")
        assert log == ["fail", "after the restart"]
        waiting = ref.ask(Think(0.0))
        await virtual_sleep(5.0)
        assert not waiting.done(), "a restart keeps the pause"
        await ref.resume()
        assert await waiting == ""

    simulate(scenario)


def test_a_sync_agent_is_told_between_messages(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, log = await start(cluster)
        ref = one.ref(f"{where}/stubborn")
        assert await ref.steer(1)
        assert await ref.pause()
        assert await ref.steer(2)
        assert log == [(1, False), (2, True)]
        await ref.resume()
        assert await ref.ask(Think()) == "stubborn"

    simulate(scenario)


def test_every_replica_is_told(where: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await start(cluster)
        (one if where == "one" else two).spawn(Thinker, log, name="many", replicas=3)
        await virtual_sleep(1.0)
        assert await one.ref(f"{where}/many").steer("all")
        assert log == ["all"] * 3

    simulate(scenario)


def test_who_is_not_there_is_an_error_of_its_own() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, _log = await start(cluster)
        for address in ("one/nobody", "two/nobody", "nowhere/nobody"):
            for told in (one.ref(address).pause(), one.ref(address).resume(), one.ref(address).steer(1)):
                with pytest.raises(NoSuchAgentError):
                    await told
        ended = one.spawn(Thinker, [], name="ended")
        await ended.stop()
        assert await ended.pause() is False
        with pytest.raises(EncodeError):
            await one.ref("two/thinker").steer(object())
        cluster.network.cut("two", silently=True)
        lost = one.ref("two/thinker").pause()
        await virtual_sleep(0.5)
        two.close()
        with pytest.raises((OutcomeUnknownError, NoSuchAgentError)):
            await lost

    simulate(scenario)


def test_a_guest_may_not_say_anything_past_the_mailbox() -> None:
    async def scenario(cluster: Cluster) -> None:
        (host,) = await cluster.join("host", trust="tokens", token=cluster.token("host"))
        log: list[Any] = []
        host.spawn(Thinker, log, name="thinker")
        guest = cluster.make("guest", trust="tokens", token=cluster.token("guest", node=False))
        await guest.start()
        await virtual_sleep(1.0)
        for told in (guest.ref("host/thinker").pause(), guest.ref("host/thinker").steer("x")):
            with pytest.raises(NotTrustedError):
                await told
        assert log == []

    simulate(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_over_cuts_and_restarts_all_is_applied_in_order(seed: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        dice = Random(seed)
        one, _two, log = await start(cluster)
        ref: AgentRef = one.ref("two/thinker")
        told: list[Future[bool]] = []
        for number in range(60):
            match dice.randrange(6):
                case 0:
                    cluster.network.cut(dice.choice(("one", "two")), silently=dice.random() < 0.3)
                case 1:
                    told.append(ref.steer("fail").quiet())
                case 2:
                    await virtual_sleep(dice.choice((0.05, 0.5, 3.0)))
                case 3:
                    told.append(ref.pause())
                case _:
                    told.append(ref.steer(number))
        told.append(ref.resume())
        await cluster.until(lambda: all(future.done() for future in told), within=600)
        numbers = [entry for entry in log if isinstance(entry, int)]
        assert numbers == sorted(set(numbers))
        steers = [future for future in told if future.exception() is None]
        assert all(future.get() for future in steers)
        assert await ref.ask(Think(0.0)) == ""

    simulate(scenario, seed=seed)


def test_orders_survive_the_wire() -> None:
    for order in (Order("pause"), Order("resume"), steer_order(Hint("x")), steer_order({"a": [1, None]})):
        assert decode_order(encode_order(order)) == order


@pytest.mark.parametrize(
    "body", [b"1", b'{"action":"dance"}', b'{"action":"steer","type":"NobodyKnows"}', b"{"]
)
def test_what_is_no_order_is_refused(body: bytes) -> None:
    import msgspec

    with pytest.raises(UndecodableMessageError):
        decode_order(msgspec.Raw(body))
