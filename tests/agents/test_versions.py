"""Fleets in which some know an older version of a message, and some a newer one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from agentbus.agents import AgentRef, AsyncAgentActor, Message, Outcome, Request, handles
from agentbus.agents.address import Address
from agentbus.agents.calls import Ask, Parcel
from agentbus.agents.envelope import Kind, encode_body
from agentbus.agents.handlers import decode_reply, handler_table
from agentbus.agents.message import message_types
from agentbus.agents.negotiation import Negotiation
from agentbus.errors import MailboxFullError, NoSuchAgentError, UndecodableMessageError
from agentbus.runtime import Future
from tests.agents.cluster import Cluster, simulate

FLEET = 10_000
AGENTS = [Address("default", "there", name) for name in ("a", "b", "c")]


class Found(Message, wire_name="versions.Found"):
    text: str


class Search(Request[Found], wire_name="versions.Search"):
    query: str


class FoundToday(Message, wire_name="versions.Found", version=2):
    texts: list[str]

    @classmethod
    def upgrade_from(cls, version: int, old: dict[str, Any]) -> dict[str, Any]:
        assert version == 1
        return {"texts": [old["text"]]}

    @classmethod
    def downgrade_to(cls, version: int, new: dict[str, Any]) -> dict[str, Any]:
        assert version == 1
        return {"text": new["texts"][0]}


class SearchToday(Request[FoundToday], wire_name="versions.Search", version=2):
    words: list[str]
    limit: int = 10

    @classmethod
    def upgrade_from(cls, version: int, old: dict[str, Any]) -> dict[str, Any]:
        assert version == 1
        return {"words": old["query"].split()}

    @classmethod
    def downgrade_to(cls, version: int, new: dict[str, Any]) -> dict[str, Any]:
        assert version == 1
        return {"query": " ".join(new["words"])}


class Dated(Message, wire_name="versions.Dated", version=3):
    """Reads what had a day only (1), then a day and a month (2)."""

    day: int
    month: int
    year: int

    @classmethod
    def upgrade_from(cls, version: int, old: dict[str, Any]) -> Dated | dict[str, Any]:
        if version == 1:
            return {**old, "month": 1}
        return Dated(**old, year=2000)


class Strict(Message, wire_name="versions.Strict", version=2):
    count: int

    @classmethod
    def upgrade_from(cls, version: int, old: dict[str, Any]) -> dict[str, Any]:
        return {"count": 1 / old["share"]}


class Unchanged(Message, wire_name="versions.Unchanged", version=2):
    count: int


class Old(AsyncAgentActor):
    def __init__(self, seen: list[str] | None = None) -> None:
        self.seen = [] if seen is None else seen

    @handles
    def search(self, search: Search) -> Found:
        self.seen.append(search.query)
        return Found(f"old {search.query}")


class New(AsyncAgentActor):
    def __init__(self, seen: list[str] | None = None) -> None:
        self.seen = [] if seen is None else seen

    @handles
    def search(self, search: SearchToday) -> FoundToday:
        self.seen.append(" ".join(search.words))
        return FoundToday(["new", *search.words])

    @handles
    def dated(self, dated: Dated) -> str:
        return f"{dated.day}.{dated.month}.{dated.year}"

    @handles
    def strict(self, strict: Strict) -> None: ...


class Both(New):
    @handles
    def search_as_ever(self, search: Search) -> Found:
        return Found(f"as ever {search.query}")


class Everything(AsyncAgentActor):
    @handles
    def everything(self, message: Message) -> str:
        return type(message).__name__


@pytest.fixture
def unknown_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the newer classes from the table, as if the receiving process had never imported them."""
    known: Any = message_types._classes  # pyright: ignore[reportPrivateUsage] -- one process plays two
    for cls in (SearchToday, FoundToday):
        monkeypatch.delitem(known, (cls.__wire_name__, 2))


# -- one message ---------------------------------------------------------------------------------------------


def test_a_newer_handler_reads_an_older_version_step_by_step() -> None:
    table = handler_table(New)
    assert table.decode("versions.Search", 1, b'{"query":"a b"}') == SearchToday(["a", "b"])
    assert table.decode("versions.Dated", 1, b'{"day":3}') == Dated(3, 1, 2000)
    assert table.decode("versions.Dated", 2, b'{"day":3,"month":4}') == Dated(3, 4, 2000)


def test_a_handler_of_the_older_version_itself_goes_first() -> None:
    assert handler_table(Both).decode("versions.Search", 1, b'{"query":"a"}') == Search("a")


def test_what_goes_wrong_in_a_step_makes_the_message_undecodable() -> None:
    table = handler_table(New)
    for body in (b'{"share":0}', b'{"share":3}', b"{}", b"[]", b"{"):
        with pytest.raises(UndecodableMessageError):
            table.decode("versions.Strict", 1, body)


def test_a_version_that_nobody_reads_is_refused_with_those_that_are_read() -> None:
    with pytest.raises(UndecodableMessageError, match=r"it knows 1, 2") as caught:
        handler_table(New).decode("versions.Search", 3, b"{}")
    assert caught.value.known_versions == (1, 2)
    assert handler_table(New).readable("versions.Dated") == (1, 2, 3)
    assert handler_table(Old).readable("nobody") == ()


def test_a_class_that_says_nothing_of_older_versions_reads_its_own_only() -> None:
    class Agent:
        @handles
        def take(self, message: Unchanged) -> None: ...

    assert handler_table(Agent).readable("versions.Unchanged") == (2,)
    with pytest.raises(UndecodableMessageError):
        handler_table(Agent).decode("versions.Unchanged", 1, b'{"count":1}')
    for convert in (Unchanged.upgrade_from, Unchanged.downgrade_to):
        with pytest.raises(UndecodableMessageError, match="does not say"):
            convert(1, {})


def test_a_catch_all_gets_an_older_version_as_what_this_process_knows_it_as() -> None:
    table = handler_table(Everything)
    assert table.decode("versions.Dated", 1, b'{"day":3}') == Dated(3, 1, 2000)
    assert table.decode("versions.Search", 1, b'{"query":"a"}') == Search("a")


def test_a_reply_of_another_version_is_read_as_what_was_promised() -> None:
    reply = decode_reply("versions.Found", 1, b'{"text":"a"}', expected=FoundToday, near=None)
    assert reply == FoundToday(["a"])


# -- on one node, and between two ----------------------------------------------------------------------------


def test_the_recipient_gets_its_own_version_on_the_same_node_too() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        old, new = bus.spawn(Old), bus.spawn(New)
        replies: list[Future[Any]] = [old.ask(SearchToday(["a", "b"])), new.ask(Search("a b"))]
        assert await replies[0] == Found("old a b")
        assert await replies[1] == FoundToday(["new", "a", "b"])

    simulate(scenario)


@pytest.mark.usefixtures("unknown_to_others")
def test_who_knows_only_the_older_version_gets_that_and_its_reply_is_read_as_the_newer() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Old, name="old")
        assert await one.ref("two/old").ask(SearchToday(["a", "b"])) == FoundToday(["old a b"])
        assert await one.ref("two/old").tell(SearchToday(["c"])) is Outcome.DELIVERED

    simulate(scenario)


def test_who_asks_in_the_older_version_is_answered_in_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(New, name="new")
        assert await one.ref("two/new").ask(Search("a b")) == Found("new")

    simulate(scenario)


@pytest.mark.usefixtures("unknown_to_others")
def test_a_newer_version_without_a_way_down_is_refused_typed_and_is_a_dead_letter() -> None:
    class SearchNext(Message, wire_name="versions.Search", version=9):
        words: int

    known: Any = message_types._classes  # pyright: ignore[reportPrivateUsage] -- one process plays two
    del known["versions.Search", 9]

    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Old, name="old")
        with pytest.raises(UndecodableMessageError) as caught:
            await one.ref("two/old").ask(SearchNext(1))
        assert caught.value.known_versions == (1,)
        assert await one.ref("two/old").tell(SearchNext(1)) is Outcome.DEAD_LETTERED
        assert two.dead_letters.count == 1

    simulate(scenario)


@pytest.mark.usefixtures("unknown_to_others")
def test_an_agent_that_is_replaced_by_an_older_one_is_asked_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        ref = one.ref("two/searcher")
        with pytest.raises(NoSuchAgentError):
            await ref.ask(SearchToday(["a"]))
        first = two.spawn(New, name="searcher")
        assert await ref.ask(SearchToday(["a"])) == FoundToday(["new", "a"])
        await first.stop()
        await cluster.until(lambda: not one.find(name="searcher"))
        two.spawn(Old, name="searcher")
        assert await ref.ask(SearchToday(["b"])) == FoundToday(["old b"])

    simulate(scenario)


@pytest.mark.usefixtures("unknown_to_others")
def test_nothing_overtakes_what_waits_for_the_answer() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        seen: list[str] = []
        two.spawn(Old, seen, name="old")
        ref = one.ref("two/old")
        messages = [SearchToday(["0"]), Search("1"), SearchToday(["2"]), Search("3")]
        for told in [ref.tell(message) for message in messages]:
            assert await told is Outcome.DELIVERED
        assert seen == ["0", "1", "2", "3"]
        assert not cluster.parts(one).negotiation.holds

    simulate(scenario)


@pytest.mark.usefixtures("unknown_to_others")
def test_what_waits_for_an_answer_that_never_comes_expires_or_is_unknown() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Old, name="old")
        cluster.network.cut("two", silently=True)
        with cluster.network.refusing("two"):
            late = one.ref("two/old").tell(SearchToday(["a"]), timeout=1.0)
            lost = one.ref("two/old").tell(SearchToday(["b"]))
            assert await late is Outcome.EXPIRED
            assert await lost in {Outcome.DEAD_LETTERED, Outcome.UNKNOWN}
        assert not cluster.parts(one).negotiation.holds

    simulate(scenario)


async def _send_all(ref: AgentRef, messages: list[Message]) -> Counter[str]:
    """Tell and ask in turns; a loop is not held up, so wait for each batch before the next."""
    fates: Counter[str] = Counter()
    for start in range(0, len(messages), 400):
        batch = messages[start : start + 400]
        futures: list[Future[Any]] = [
            ref.ask(message) if number % 4 == 0 else ref.tell(message) for number, message in enumerate(batch)
        ]
        for future in futures:
            fates[type(await future).__name__] += 1
    return fates


@pytest.mark.usefixtures("unknown_to_others")
def test_a_mixed_fleet_loses_none_of_ten_thousand_messages() -> None:
    async def scenario(cluster: Cluster) -> None:
        first, second, third = await cluster.join("one", "two", "three")
        seen: list[str] = []
        second.spawn(Old, seen, name="old")
        third.spawn(New, seen, name="new")
        numbers = range(FLEET)
        messages = [SearchToday([f"{n}"]) if n % 3 else Search(f"{n}") for n in numbers]
        half = FLEET // 2
        fates = [
            await _send_all(first.ref("two/old"), [*messages[:half]]),
            await _send_all(first.ref("three/new"), [*messages[half:]]),
        ]
        assert fates[0] + fates[1] == {"Outcome": 7500, "Found": 834, "FoundToday": 1666}
        assert sorted(seen, key=int) == [f"{n}" for n in numbers]
        assert second.dead_letters.count == third.dead_letters.count == 0

    simulate(scenario)


class Soon:
    """A loop whose turns the test takes."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_soon(self, fn: Callable[..., object], /, *args: Any) -> None:
        self.calls.append(lambda: fn(*args))

    def run(self) -> None:
        while self.calls:
            self.calls.pop(0)()


def test_a_question_that_found_no_room_is_no_answer() -> None:
    soon, sent, failed = Soon(), list[Parcel](), list[str]()
    negotiation = Negotiation(sent.append, lambda _parcel, reason, _error: failed.append(reason), soon)
    message = SearchToday(words=["a", "b"])
    parcel = Parcel(AGENTS[0], Kind.TELL, encode_body(message), "versions.Search", 2, message=message)
    negotiation.send(parcel)
    assert isinstance(sent[0].call, Ask)
    sent[0].call.fail(MailboxFullError(1), Outcome.DEAD_LETTERED)
    soon.run()
    assert failed == ["mailbox_full"]
    negotiation.send(parcel)
    assert [each.kind for each in sent] == [Kind.VERSIONS] * 2, "it is asked again"


def test_what_waits_for_answers_is_bounded_and_answers_are_forgotten_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentbus.agents.negotiation.MAX_HELD", 3)
    monkeypatch.setattr("agentbus.agents.negotiation.MAX_KNOWN", 2)
    soon, sent, failed = Soon(), list[Parcel](), list[str]()
    negotiation = Negotiation(sent.append, lambda _parcel, reason, _error: failed.append(reason), soon)

    def send(agent: Address) -> None:
        message = SearchToday(words=["a", "b"])
        parcel = Parcel(agent, Kind.TELL, encode_body(message), "versions.Search", 2, message=message)
        negotiation.send(parcel)

    for agent in (*AGENTS, AGENTS[0]):
        send(agent)
    assert [parcel.kind for parcel in sent] == [Kind.VERSIONS] * 3
    assert failed == ["mailbox_full"]
    for question in sent[:]:
        assert isinstance(question.call, Ask)
        question.call.future.set([1])
    soon.run()
    assert [(parcel.address, parcel.version) for parcel in sent[3:]] == [(agent, 1) for agent in AGENTS]
    assert not negotiation.holds
    send(AGENTS[2])
    assert sent[-1].kind == Kind.TELL, "known"
    send(AGENTS[0])
    assert sent[-1].kind == Kind.VERSIONS, "forgotten"
