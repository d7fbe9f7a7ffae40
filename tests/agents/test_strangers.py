"""What a stranger with a publishable key can do to a node that trusts tokens: ask public agents, no more."""

from __future__ import annotations

import msgspec
import pytest

from agentbus.agents.envelope import Envelope, Item, Kind, Packet, Stamp, encode_envelope
from agentbus.client import SignallingClient
from agentbus.runtime import virtual_sleep
from tests.agents.agents import Echo, Text, Worker
from tests.agents.cluster import KEY, ORIGIN, Cluster, simulate

BODY = msgspec.Raw(msgspec.json.encode(Echo("x")))
PER_FRAME = 200


class PublicWorker(Worker):
    public = True


def flood(target: Stamp, recipient: str, frames: int) -> list[Packet]:
    """Make the packets of a peer that asks and asks, and never acknowledges an answer."""
    numbers = iter(range(1, frames * PER_FRAME + 1))

    def item(number: int) -> Item:
        ask = Envelope(str(number), Kind.ASK, recipient, type="Echo", body=BODY)
        return Item(number, None, msgspec.Raw(encode_envelope(ask)))

    source = Stamp("stranger", "1")
    return [
        Packet(source, target, items=tuple(item(next(numbers)) for _ in range(PER_FRAME)))
        for _ in range(frames)
    ]


@pytest.mark.parametrize("recipient", ["nobody", "open"])
def test_a_stranger_that_asks_and_never_reads_the_answers_harms_nobody(recipient: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a", trust="tokens", token=cluster.token("a"))
        (b,) = await cluster.join("b", trust="tokens", token=cluster.token("b"))
        a.spawn(PublicWorker, name="open")
        transport = cluster.network.dialler("stranger")
        async with SignallingClient(
            url=ORIGIN, api_key=KEY, transport_factory=transport, runtime=cluster.runtime
        ) as stranger:
            for packet in flood(cluster.parts(a).membership.stamp, recipient, frames=53):
                await stranger.send("a", packet)
                await virtual_sleep(0.02)
            assert await b.ref("a/open").ask(Echo("x"), timeout=9) == Text("x")
        assert not a.ended.done()

    simulate(scenario)
