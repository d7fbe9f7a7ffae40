"""Large bodies between nodes: asked, told, answered, refused, cut in half by the network."""

from __future__ import annotations

import pytest

from agentbus.agents import AsyncAgentActor, Message, Outcome, Request, handles
from agentbus.agents.events import DeadLetter
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.node_parts import NodeOptions
from agentbus.errors import AgentFailed, AskTimeoutError, BodyTooLargeError, UndecodableMessageError
from agentbus.protocol.pacer import Pace
from tests.agents.cluster import Cluster, simulate

LARGE = 300_000
CAP = 8 << 20
SLOW = NodeOptions(pace=Pace(rate=20, burst=12, reserve=4))
"""One of the largest bodies takes about six seconds."""


class Text(Message, wire_name="bodies.Text"):
    text: str


class Echo(Request[Text], wire_name="bodies.Echo"):
    """Answered with what it says, so many times."""

    text: str
    times: int = 1


class Complain(Request[str], wire_name="bodies.Complain"):
    """Answered with an error of so many characters."""

    size: int
    declared: bool = False


class TooLongError(Exception):
    """An answer, by declaration."""


class Library(AsyncAgentActor):
    """Keeps and gives texts."""

    def __init__(self, shelf: list[str] | None = None) -> None:
        self.shelf = [] if shelf is None else shelf

    @handles
    def on_text(self, message: Text) -> None:
        self.shelf.append(message.text)

    @handles
    def on_echo(self, request: Echo) -> Text:
        return Text(text=request.text * request.times)

    @handles(raises=(TooLongError,))
    def on_complain(self, request: Complain) -> str:
        raise TooLongError("n" * request.size) if request.declared else ValueError("n" * request.size)


def mixed(size: int) -> str:
    """Give a text of about so many bytes, with quotes and characters of several bytes."""
    line = 'He said "Привет, 世界 🙂" and left a \\ behind.\n'
    return line * (size // len(line.encode()) + 1)


def test_an_ask_and_its_reply_may_be_larger_than_a_frame() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Library, name="library")
        text = mixed(LARGE)
        reply = await one.ref("two/library").ask(Echo(text=text, times=2), timeout=30)
        assert reply.text == text * 2

    simulate(scenario)


def test_a_body_of_exactly_the_cap_passes_and_one_byte_more_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        shelf: list[str] = []
        two.spawn(Library, shelf, name="library")
        library = one.ref("two/library")
        text = "x" * (CAP - len('{"text":""}'))
        assert await library.tell(Text(text=text)) is Outcome.DELIVERED
        assert shelf == [text]
        letters: list[DeadLetter] = []
        one.dead_letters.attach(letters.append)
        assert await library.tell(Text(text=text + "x")) is Outcome.DEAD_LETTERED
        error = letters[0].error
        assert isinstance(error, BodyTooLargeError)
        assert (error.size, error.cap) == (CAP + 1, CAP)
        with pytest.raises(BodyTooLargeError):
            await library.ask(Echo(text=text + "x"))
        assert len(shelf) == 1

    simulate(scenario)


def test_a_reply_over_the_cap_is_a_typed_error_at_the_asker() -> None:
    async def scenario(cluster: Cluster) -> None:
        options = NodeOptions(link=LinkOptions(max_body_bytes=LARGE))
        one, two = await cluster.join("one", "two", options=options)
        two.spawn(Library, name="library")
        with pytest.raises(BodyTooLargeError) as caught:
            await one.ref("two/library").ask(Echo(text="x" * 1000, times=LARGE // 1000), timeout=30)
        assert caught.value.cap == LARGE
        assert caught.value.size > LARGE

    simulate(scenario)


@pytest.mark.parametrize("declared", [False, True])
def test_an_error_may_be_larger_than_a_frame(declared: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Library, name="library")
        expected = TooLongError if declared else AgentFailed
        with pytest.raises(expected) as caught:
            await one.ref("two/library").ask(Complain(size=LARGE, declared=declared), timeout=30)
        error = caught.value
        assert (error.error_message if isinstance(error, AgentFailed) else str(error)) == ("n" * LARGE)

    simulate(scenario)


def test_a_large_body_arrives_once_and_whole_over_many_cuts() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two", options=SLOW)
        shelf: list[str] = []
        two.spawn(Library, shelf, name="library")
        told = one.ref("two/library").tell(Text(text=mixed(2 << 20)))
        for _ in range(20):
            await cluster.until(lambda: cluster.network.cut("one") > 0)
            assert not told.done()
        await cluster.until(told.done)
        assert told.get() is Outcome.DELIVERED
        assert shelf == [mixed(2 << 20)]

    simulate(scenario)


def test_a_deadline_that_passes_in_mid_transfer_leaves_no_half_behind() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two", options=SLOW)
        shelf: list[str] = []
        two.spawn(Library, shelf, name="library")
        room = cluster.parts(two).exchange.lives.room
        asked = one.ref("two/library").ask(Echo(text=mixed(4 << 20)), timeout=3.0)
        await cluster.until(lambda: room.used_bytes > 0)
        with cluster.network.partition("one"):
            with pytest.raises(AskTimeoutError):
                await asked
            await cluster.until(lambda: room.used_bytes == 0)
        assert shelf == []

    simulate(scenario)


def test_a_node_with_a_smaller_cap_refuses_without_reading_it_all() -> None:
    async def scenario(cluster: Cluster) -> None:
        (one,) = await cluster.join("one")
        options = NodeOptions(link=LinkOptions(max_body_bytes=100_000))
        (two,) = await cluster.join("two", options=options)
        two.spawn(Library, name="library")
        assert await one.ref("two/library").tell(Text(text="x" * (4 << 20))) is Outcome.DEAD_LETTERED
        with pytest.raises(UndecodableMessageError):
            await one.ref("two/library").ask(Echo(text="x" * LARGE))
        assert cluster.parts(two).exchange.lives.room.dropped == 2

    simulate(scenario)


def test_a_guest_may_send_less_than_a_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        (node,) = await cluster.join("node", token=cluster.token("node"), trust="tokens")
        (guest,) = await cluster.join("guest", token=cluster.token("guest", node=False), trust="tokens")
        shelf: list[str] = []
        node.spawn(OpenLibrary, shelf, name="library")
        library = guest.ref("node/library")
        await cluster.until(lambda: bool(guest.find(name="library")))
        assert await library.tell(Text(text=mixed(200_000))) is Outcome.DELIVERED
        assert await library.tell(Text(text=mixed(400_000))) is Outcome.DEAD_LETTERED
        assert len(shelf) == 1
        assert cluster.parts(node).exchange.lives.guest_room.used_bytes == 0

    simulate(scenario)


class OpenLibrary(Library):
    """Open to guests."""

    public = True


def test_the_largest_body_starves_neither_other_links_nor_control() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, three = await cluster.join("one", "two", "three", options=SLOW)
        two.spawn(Library, name="library")
        three.spawn(Library, name="library")
        told = one.ref("two/library").tell(Text(text="x" * (CAP - 1000)))
        await cluster.until(lambda: cluster.parts(two).exchange.lives.room.used_bytes > 0)
        began = cluster.loop.time()
        await one.ref("three/library").ask(Echo(text="quick"), timeout=30)
        assert cluster.loop.time() - began < 0.3
        assert await one.ref("two/library").stop(now=True)
        assert cluster.loop.time() - began < 0.6
        assert not told.done()
        await cluster.until(told.done)

    simulate(scenario)
