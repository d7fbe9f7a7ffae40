"""Back pressure per agent between nodes: a full mailbox holds up who sends to it, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents import AsyncAgentActor, Message, Outcome, Request, handles
from agentbus.agents.envelope import Kind, Stamp
from agentbus.agents.link_queue import LinkOptions, LinkQueue
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.parking import VISIT_BYTES, Parking, Visit
from agentbus.errors import AskTimeoutError, MailboxFullError
from agentbus.runtime import MailboxOptions, Overflow, virtual_sleep
from tests.agents.cluster import Cluster, simulate

HERE, THERE = Stamp("here", "1"), Stamp("there", "1")
SMALL = MailboxOptions(capacity=4)
REJECTING = MailboxOptions(capacity=4, overflow=Overflow.REJECT)


class Note(Message, wire_name="parking.Note"):
    number: int


class Count(Request[int], wire_name="parking.Count"):
    """How many notes there have been."""


class Reader(AsyncAgentActor):
    """Reads one note after another, each once its gate is open."""

    def __init__(self, gate: asyncio.Event, read: list[int]) -> None:
        self.gate = gate
        self.read = read

    @handles
    async def on_note(self, note: Note) -> None:
        await self.gate.wait()
        self.read.append(note.number)

    @handles
    def on_count(self, _request: Count) -> int:
        return len(self.read)


# -- the parking place alone ---------------------------------------------------------------------------------


class Agent:
    """A mailbox of so many messages, which the test empties."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.inside: list[int] = []
        self.callbacks: list[Callable[[], object]] = []

    def enter(self, number: int) -> bool:
        if len(self.inside) >= self.room:
            return False
        self.inside.append(number)
        return True

    def when_room(self, callback: Callable[[], object]) -> bool:
        if len(self.inside) < self.room:
            return False
        self.callbacks.append(callback)
        return True

    def take(self) -> int:
        number = self.inside.pop(0)
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()
        return number


class Place:
    """A parking place, the loop that it lives on, and what nodes were told."""

    def __init__(self, capacity: int = 10, capacity_bytes: int = 1 << 20) -> None:
        self.told: list[tuple[str, Kind, str]] = []
        self.soon: list[Callable[[], object]] = []
        self.parking = Parking(
            lambda stamp, kind, name: self.told.append((stamp.node, kind, name)),
            self.call_soon,
            capacity=capacity,
            capacity_bytes=capacity_bytes,
        )

    def call_soon(self, fn: Callable[..., object], *args: object) -> None:
        self.soon.append(lambda: fn(*args))

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()

    def arrive(self, agent: Agent, number: int, stamp: Stamp = THERE, name: str = "agent") -> bool:
        if agent not in self.parking and agent.enter(number):
            return True
        return self.parking.put(agent, Visit(stamp, name, 0, lambda: agent.enter(number)))


def test_nodes_are_told_once_to_hold_back_and_once_to_go_on() -> None:
    place, agent = Place(), Agent(room=1)
    for number in range(4):
        assert place.arrive(agent, number)
    assert place.told == [("there", Kind.HOLD, "agent")]
    taken: list[int] = []
    while agent.inside:
        taken.append(agent.take())
        place.run()
    assert taken == [0, 1, 2, 3]
    assert place.told == [("there", Kind.HOLD, "agent"), ("there", Kind.RELEASE, "agent")]
    assert (len(place.parking), place.parking.bytes) == (0, 0)


def test_what_one_node_may_park_takes_nothing_from_another() -> None:
    place, agent = Place(capacity=2), Agent(room=0)
    assert [place.arrive(agent, number) for number in range(3)] == [True, True, False]
    assert place.arrive(agent, 3, stamp=HERE)


def test_the_bytes_of_all_that_is_parked_are_bounded() -> None:
    place = Place(capacity_bytes=3 * VISIT_BYTES)
    agents = [Agent(room=0) for _ in range(4)]
    assert [place.arrive(agent, 1) for agent in agents] == [True, True, True, False]


def test_a_dead_node_is_told_nothing() -> None:
    place, agent = Place(), Agent(room=1)
    for number in range(2):
        place.arrive(agent, number)
    place.parking.node_dead(THERE)
    agent.take()
    place.run()
    assert place.told == [("there", Kind.HOLD, "agent")]
    assert agent.inside == [1]


def test_replicas_are_full_until_the_last_of_them_has_room() -> None:
    place, first, second = Place(), Agent(room=1), Agent(room=1)
    for number in range(4):
        place.arrive((first, second)[number % 2], number)
    first.take()
    place.run()
    assert place.told[-1][1] is Kind.HOLD
    second.take()
    place.run()
    assert place.told[-1][1] is Kind.RELEASE


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 3))
def test_whatever_comes_when_nothing_is_lost_and_order_is_kept(steps: list[int], room: int) -> None:
    place, agent = Place(capacity=100), Agent(room=room)
    taken: list[int] = []
    sent = 0
    for step in [*steps, *[2, 3] * len(steps)]:
        if step <= 1 and len(steps) > sent:
            assert place.arrive(agent, sent, stamp=(HERE, THERE)[step])
            sent += 1
        elif step == 2 and agent.inside:
            taken.append(agent.take())
        else:
            place.run()
    assert taken == list(range(sent))
    kinds = [kind for node, kind, _ in place.told if node == "there"]
    assert kinds == [Kind.HOLD, Kind.RELEASE] * (len(kinds) // 2)


# -- what is held at the sender ------------------------------------------------------------------------------


def post(queue: LinkQueue, agent: str, count: int = 1, size: int = 10) -> None:
    for _ in range(count):
        queue.post(b"x" * size, None, None, urgent=False, agent=agent)


def test_what_is_held_takes_no_room_from_others() -> None:
    queue = LinkQueue(LinkOptions(capacity=5, held_capacity=7))
    post(queue, "full", 3)
    queue.hold("full")
    post(queue, "full", 4)
    with pytest.raises(MailboxFullError):
        post(queue, "full")
    post(queue, "free", 5)
    assert (len(queue), queue.held, queue.bytes) == (5, 7, 50)
    queue.release("full")
    assert (len(queue), queue.held, queue.bytes) == (12, 0, 120)


def test_the_bytes_held_for_one_agent_and_for_all_are_bounded() -> None:
    queue = LinkQueue(LinkOptions(held_bytes=100, capacity_bytes=250))
    for agent in ("a", "b", "c"):
        queue.hold(agent)
    post(queue, "a", size=100)
    with pytest.raises(MailboxFullError):
        post(queue, "a", size=1)
    post(queue, "b", size=100)
    with pytest.raises(MailboxFullError):
        post(queue, "c", size=51)


def test_no_peer_can_make_us_hold_for_ever_more_agents() -> None:
    queue = LinkQueue(LinkOptions(held_agents=2))
    for number in range(5):
        queue.hold(f"agent{number}")
    post(queue, "agent4")
    assert (len(queue), queue.held) == (1, 0)


def test_deadlines_of_what_has_left_are_forgotten() -> None:
    queue = LinkQueue(LinkOptions())
    for number in range(1000):
        queue.post(b"x", float(number), None, urgent=False, agent=None)
        queue.take_ordinary()
    assert len(queue._expiry) < 200  # pyright: ignore[reportPrivateUsage] -- what is left there is what is tested


def test_what_is_held_expires_and_comes_back_in_its_place_at_the_end() -> None:
    queue = LinkQueue(LinkOptions())
    for number, agent in enumerate(["a", "b", "a", "b"]):
        deadline = 5.0 if number == 2 else None
        queue.post(b"x", deadline, number, urgent=False, agent=agent)
    queue.hold("a")
    assert [unsent.token for unsent in queue.expire(5.0)] == [2]
    assert [unsent.token for unsent in queue.close()] == [0, 1, 3]


def test_what_is_held_can_be_taken_back_and_gives_its_room_back() -> None:
    queue = LinkQueue(LinkOptions(held_capacity=2))
    queue.hold("full")
    places = [queue.post(b"x" * 10, None, name, urgent=False, agent="full") for name in ("a", "b")]
    taken = queue.withdraw(places[0])
    assert taken is not None
    assert taken.token == "a"
    assert queue.withdraw(places[0]) is None
    queue.post(b"x" * 10, None, "c", urgent=False, agent="full")
    queue.release("full")
    assert (queue.bytes, [unsent.token for unsent in queue.ordinary.values()]) == (20, ["b", "c"])
    assert queue.withdraw(places[1]) is not None
    assert queue.bytes == 10


# -- between nodes -------------------------------------------------------------------------------------------


def test_a_full_agent_that_blocks_loses_nothing_and_keeps_the_order() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two", options=NodeOptions(link=LinkOptions(window=16)))
        gate = asyncio.Event()
        read: list[int] = []
        two.spawn(Reader, gate, read, name="reader", mailbox=SMALL)
        reader = one.ref("two/reader")
        told = [reader.tell(Note(number=number)) for number in range(1000)]
        parking = cluster.parts(two).parking
        await cluster.until(lambda: len(parking) > 0)
        await virtual_sleep(5.0)
        assert len(parking) <= 16
        gate.set()
        assert [await outcome for outcome in told] == [Outcome.DELIVERED] * 1000
        assert read == list(range(1000))
        assert one.dead_letters.count == two.dead_letters.count == 0
        assert len(parking) == parking.bytes == 0

    simulate(scenario)


def test_a_full_agent_holds_up_no_other_agent_of_its_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        gate, opened = asyncio.Event(), asyncio.Event()
        opened.set()
        two.spawn(Reader, gate, [], name="stalled", mailbox=SMALL)
        two.spawn(Reader, opened, [], name="free")
        stalled = one.ref("two/stalled")
        waiting = [stalled.tell(Note(number=number)) for number in range(5000)]
        free = one.ref("two/free")
        began = cluster.loop.time()
        for number in range(100):
            assert await free.tell(Note(number=number)) is Outcome.DELIVERED
        assert await free.ask(Count(), timeout=1) == 100
        assert cluster.loop.time() - began < 20, "an outcome takes as long as an ack"
        assert await stalled.tell(Note(number=0)) is Outcome.DEAD_LETTERED, "enough are held"
        with pytest.raises(MailboxFullError):
            await stalled.ask(Count())
        gate.set()
        assert [await outcome for outcome in waiting] == [Outcome.DELIVERED] * 5000

    simulate(scenario)


def test_asks_to_a_full_agent_wait_and_keep_their_deadline() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        gate = asyncio.Event()
        two.spawn(Reader, gate, [], name="reader", mailbox=SMALL)
        reader = one.ref("two/reader")
        for number in range(20):
            reader.tell(Note(number=number))
        with pytest.raises(AskTimeoutError):
            await reader.ask(Count(), timeout=1)
        patient = reader.ask(Count(), timeout=60)
        gate.set()
        assert await patient == 20

    simulate(scenario)


class Begin(Request[int], wire_name="parking.Begin"):
    """Has the caller called back."""


class CallBack(Request[int], wire_name="parking.CallBack"):
    """Asks the one who asks."""


class Caller(AsyncAgentActor):
    """Asks a helper that asks it in turn, and may be entered again for that."""

    reentrant = True

    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate

    @handles
    async def on_begin(self, _request: Begin) -> int:
        await self.gate.wait()
        return await self.bus.ref("one/helper").ask(CallBack())

    @handles
    def on_count(self, _request: Count) -> int:
        return 7

    @handles
    def on_note(self, _note: Note) -> None:
        """Take it."""


class Helper(AsyncAgentActor):
    @handles
    async def on_call_back(self, _request: CallBack) -> int:
        return await self.bus.ref("two/caller").ask(Count())


def test_an_ask_that_comes_back_to_a_full_agent_is_not_held() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        gate = asyncio.Event()
        one.spawn(Helper, name="helper")
        two.spawn(Caller, gate, name="caller", mailbox=SMALL)
        begun = one.ref("two/caller").ask(Begin(), timeout=30)
        told = [one.ref("two/caller").tell(Note(number=number)) for number in range(600)]
        await cluster.until(lambda: len(cluster.parts(two).parking) > 0)
        await virtual_sleep(1.0)
        gate.set()
        assert await begun == 7
        assert {await outcome for outcome in told} == {Outcome.DELIVERED}

    simulate(scenario)


def test_a_full_agent_that_rejects_says_so_to_its_senders() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        gate = asyncio.Event()
        two.spawn(Reader, gate, [], name="reader", mailbox=REJECTING)
        reader = one.ref("two/reader")
        letters: list[str] = []
        two.dead_letters.attach(lambda letter: letters.append(letter.reason))
        told = [reader.tell(Note(number=number)) for number in range(8)]
        with pytest.raises(MailboxFullError):
            await reader.ask(Count())
        gate.set()
        fates = [await outcome for outcome in told]
        assert fates == [Outcome.DELIVERED] * 4 + [Outcome.DEAD_LETTERED] * 4
        assert letters == ["mailbox_full"] * 4

    simulate(scenario)


def test_cuts_and_the_end_of_a_full_agent_leave_nobody_waiting() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        gate = asyncio.Event()
        ref = two.spawn(Reader, gate, [], name="reader", mailbox=SMALL)
        told = [one.ref("two/reader").tell(Note(number=number)) for number in range(700)]
        parking = cluster.parts(two).parking
        await cluster.until(lambda: len(parking) > 0)
        for _ in range(3):
            await cluster.until(lambda: cluster.network.cut() > 0)
        await ref.stop(now=True)
        fates = [await outcome for outcome in told]
        assert Outcome.DELIVERED not in fates
        assert len(parking) == parking.bytes == 0

    simulate(scenario)
