"""Streams between nodes: cuts, frames, deaths, and what is left when all is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from agentbus.agents import AgentRef, AgentStream, AsyncAgentActor, Streaming, StreamStatus, handles
from agentbus.agents.events import BusDisconnected, NodeDead, NodeReborn
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.traffic import Outgoing
from agentbus.errors import AgentError, BodyTooLargeError, MailboxFullError, OutcomeUnknownError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.streams.agents import Count, Counter, Forever, Token, left_over

CHUNKS, CUTS = 50_000, 20


async def pair(cluster: Cluster, log: list[str] | None = None) -> AgentRef:
    """Give a ref from one node to a counter on another."""
    here, there = await cluster.join("here", "there")
    there.spawn(Counter, log, name="agent")
    return here.ref("there/agent")


# -- the way ------------------------------------------------------------------------------------------------


def test_fifty_thousand_chunks_arrive_identical_over_twenty_cuts() -> None:
    async def scenario(cluster: Cluster) -> None:
        dice = Random(7)
        ref = await pair(cluster)
        cut_at = {CHUNKS * number // CUTS for number in range(CUTS)}
        cuts, expected = 0, 0
        async for token in ref.stream(Count(count=CHUNKS), credit=200):
            assert token.number == expected
            expected += 1
            if token.number in cut_at:
                cuts += cluster.network.cut(dice.choice(("here", "there")), silently=dice.random() < 0.2)
                await virtual_sleep(dice.choice((0.0, 0.01, 3.0)))
        assert expected == CHUNKS
        lost = [event for name in ("here", "there") for event in cluster.seen(name, BusDisconnected)]
        assert len(lost) >= CUTS <= cuts
        assert left_over(cluster) == [0, 0]

    simulate(scenario)


def test_chunks_of_one_turn_share_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: Cluster) -> None:
        ref = await pair(cluster)
        parts = cluster.parts(cluster.buses[1])
        frames: list[Outgoing] = []
        send = parts.send

        def counted(frame: Outgoing) -> Any:
            frames.append(frame)
            return send(frame)

        monkeypatch.setattr(parts, "send", counted)
        await virtual_sleep(1)
        frames.clear()
        stream = ref.stream(Count(count=1000), credit=1000)
        await cluster.until(lambda: stream.received == 1000)
        with_chunks = [frame for frame in frames if b'"chunk"' in frame.data]
        assert len(with_chunks) == 1
        assert with_chunks[0].data.count(b'"chunk"') < 3, "and an envelope"

    simulate(scenario)


class Blob(Streaming[str]):
    size: int
    count: int = 1


class Blobs(AsyncAgentActor):
    """Streams large chunks."""

    @handles
    async def blob(self, task: Blob) -> AsyncIterator[str]:
        for _ in range(task.count):
            yield "x" * task.size


def test_large_chunks_have_envelopes_of_their_own_and_too_large_ones_are_a_typed_error() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(Blobs, name="agent")
        ref = here.ref("there/agent")
        sizes = [len(chunk) async for chunk in ref.stream(Blob(size=30_000, count=20))]
        assert sizes == [30_000] * 20
        with pytest.raises(BodyTooLargeError):
            _ = [chunk async for chunk in ref.stream(Blob(size=20 << 20))]
        assert left_over(cluster) == [0, 0]

    simulate(scenario)


def test_a_full_link_holds_the_producer_up_and_loses_nothing() -> None:
    async def scenario(cluster: Cluster) -> None:
        options = NodeOptions(link=LinkOptions(window=4, capacity=4, capacity_bytes=100_000))
        here, there = await cluster.join("here", "there", options=options)
        there.spawn(Blobs, name="agent")
        stream = here.ref("there/agent").stream(Blob(size=20_000, count=200), credit=200)
        assert [len(chunk) async for chunk in stream] == [20_000] * 200

    simulate(scenario)


# -- deaths -------------------------------------------------------------------------------------------------


def test_the_death_of_the_producer_s_node_ends_the_stream_as_lost() -> None:
    async def scenario(cluster: Cluster) -> None:
        ref = await pair(cluster)
        stream = ref.stream(Forever(pause=1.0))
        await cluster.until(lambda: stream.received == 3)
        with cluster.network.refusing("there"):
            cluster.network.cut("there")
            await cluster.until(lambda: bool(cluster.seen("here", NodeDead)))
        with pytest.raises(OutcomeUnknownError):
            async for _chunk in stream:
                pass
        assert stream.status is StreamStatus.LOST
        assert stream.received == 3

    simulate(scenario)


def test_the_death_of_the_consumer_s_node_cancels_the_producer() -> None:
    async def scenario(cluster: Cluster) -> None:
        log: list[str] = []
        ref = await pair(cluster, log)
        streams = [ref.stream(Forever(pause=1.0)), ref.stream(Forever(), credit=1)]
        await cluster.until(lambda: all(stream.received for stream in streams))
        await cluster.buses[0].close()
        await cluster.until(lambda: len(log) == 2, within=5)
        assert cluster.parts(cluster.buses[1]).streams.serving == 0
        assert {stream.status for stream in streams} == {StreamStatus.FAILED}

    simulate(scenario)


def test_a_producer_whose_node_was_declared_dead_stops() -> None:
    async def scenario(cluster: Cluster) -> None:
        log: list[str] = []
        ref = await pair(cluster, log)
        stream = ref.stream(Forever(pause=1.0))
        await cluster.until(lambda: stream.received == 1)
        with cluster.network.refusing("there"):
            cluster.network.cut("there")
            await cluster.until(lambda: bool(cluster.seen("here", NodeDead)))
        await cluster.until(lambda: bool(cluster.seen("there", NodeReborn)))
        await cluster.until(lambda: len(log) == 1, within=5)
        assert left_over(cluster) == [0, 0]

    simulate(scenario)


def test_a_deadline_ends_a_producer_that_is_cut_off() -> None:
    async def scenario(cluster: Cluster) -> None:
        log: list[str] = []
        ref = await pair(cluster, log)
        stream = ref.stream(Forever(pause=1.0), timeout=5.0)
        await cluster.until(lambda: stream.received == 1)
        with cluster.network.refusing("here"):
            cluster.network.cut("here")
            await cluster.until(lambda: len(log) == 1, within=6)
        assert stream.status is StreamStatus.EXPIRED

    simulate(scenario)


def test_strangers_stream_from_public_agents_only() -> None:
    class Open(Counter):
        public = True

    async def scenario(cluster: Cluster) -> None:
        (node,) = await cluster.join("node", token=cluster.token("node"), trust="tokens")
        guest = cluster.make("guest", token=cluster.token("guest", node=False), trust="tokens")
        await guest.start()
        node.spawn(Open, name="open")
        node.spawn(Counter, name="closed")
        tokens = [token async for token in guest.ref("node/open").stream(Count(count=200))]
        assert tokens == [Token(number=number) for number in range(200)]
        with pytest.raises(AgentError, match="token"):
            _ = [token async for token in guest.ref("node/closed").stream(Count(count=1))]
        assert left_over(cluster) == [0, 0]

    simulate(scenario)


def test_a_guest_that_is_gone_leaves_no_producer() -> None:
    class Open(Counter):
        public = True

    async def scenario(cluster: Cluster) -> None:
        log: list[str] = []
        (node,) = await cluster.join("node", token=cluster.token("node"), trust="tokens")
        guest = cluster.make("guest", token=cluster.token("guest", node=False), trust="tokens")
        await guest.start()
        node.spawn(Open, log, name="open")
        stream = guest.ref("node/open").stream(Forever(), credit=1)
        await cluster.until(lambda: stream.received == 1)
        with cluster.network.refusing("guest"):
            cluster.network.cut("guest")
            await cluster.until(lambda: len(log) == 1, within=120)
            await cluster.until(lambda: cluster.parts(node).streams.serving == 0)

    simulate(scenario)


# -- what is left -------------------------------------------------------------------------------------------


class ManyAtOnce(Counter):
    concurrency = 1000


def open_one(ref: AgentRef, number: int) -> tuple[AgentStream[Any], Callable[[], object]]:
    """Open a stream, and say how it is to be ended, if it does not end by itself."""
    match number % 7:
        case 0:
            stream = ref.stream(Count(count=3))
            return stream, bool
        case 1:
            stream = ref.stream(Count(count=3, fail="declared"))
            return stream, bool
        case 2:
            stream = ref.stream(Forever(), timeout=0.5, credit=2)
            return stream, bool
        case 3:
            stream = ref.stream(Forever(pause=0.2), timeout=0.3)
            return stream, bool
        case 4:
            stream = ref.stream(Token(number=1))  # nobody handles it
            return stream, bool
        case 5:
            stream = ref.stream(Forever(), credit=1)
            return stream, stream.cancel
        case _:
            stream = ref.stream(Forever(pause=0.1))
            return stream, stream.cancel


@pytest.mark.parametrize("count", [700, pytest.param(10_000, marks=pytest.mark.slow)])
def test_streams_of_all_endings_leave_nothing(count: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        log: list[str] = []
        there.spawn(ManyAtOnce, log, name="agent")
        ref = here.ref("there/agent")
        statuses: set[StreamStatus] = set()
        for first in range(0, count, 100):
            opened = [open_one(ref, first + number) for number in range(100)]
            await virtual_sleep(2)
            for _stream, end in opened:
                end()
            await cluster.until(
                lambda opened=opened: all(s.status is not StreamStatus.OPEN for s, _ in opened)
            )
            statuses.update(stream.status for stream, _ in opened)
        endings = {StreamStatus.COMPLETE, StreamStatus.FAILED, StreamStatus.EXPIRED, StreamStatus.CANCELLED}
        assert statuses == endings
        await cluster.until(lambda: left_over(cluster) == [0, 0])
        links = [link for bus in cluster.buses for link in cluster.parts(bus).traffic.links()]
        await cluster.until(lambda: all(link.idle for link in links))
        begun = sum(1 for number in range(count) if number % 7 in {2, 3, 5, 6})
        assert len(log) == begun, "every generator was closed"

    simulate(scenario)


def test_a_node_refuses_more_streams_than_it_can_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentbus.agents.streams.desk.MAX_SERVED", 3)

    async def scenario(cluster: Cluster) -> None:
        ref = await pair(cluster)
        kept = [ref.stream(Forever(), credit=1) for _ in range(3)]
        refused = ref.stream(Forever())
        with pytest.raises(MailboxFullError):
            await anext(refused)
        for stream in kept:
            stream.cancel()
        await cluster.until(lambda: left_over(cluster) == [0, 0])

    simulate(scenario)
