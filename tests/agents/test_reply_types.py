"""What the type checkers know about replies: `make types` reads this file, and it runs, too."""

from __future__ import annotations

from typing import Any, assert_type

from agentbus.agents import AgentRef, AsyncAgentActor, Message, Outcome, Request, handles
from agentbus.runtime import Future
from tests.agents.cluster import Cluster, simulate


class Summary(Message):
    text: str


class Summarise(Request[Summary]):
    text: str


class Count(Request[int]):
    text: str


class Shorten(Summarise):
    """A narrower request keeps its parent's reply."""

    limit: int = 10


class Untyped(Message):
    """Says nothing of its reply; that only the handler's annotation names."""

    text: str


class Summariser(AsyncAgentActor):
    @handles
    def summarise(self, task: Summarise) -> Summary:
        return Summary(task.text[:3])

    @handles
    def shorten(self, task: Shorten) -> Summary:
        return Summary(task.text[: task.limit])

    @handles
    async def count(self, task: Count) -> int:
        return len(task.text)

    @handles
    def untyped(self, task: Untyped) -> str:
        return task.text


async def talk(ref: AgentRef) -> None:
    """Each line is checked by pyright and mypy, and is true when it runs."""
    future = ref.ask(Summarise("summary"))
    assert_type(future, Future[Summary])
    summary = await future
    assert_type(summary, Summary)
    assert assert_type(summary.text, str) == "sum"
    assert assert_type(await ref.ask(Shorten("summary", 4), timeout=5), Summary) == Summary("summ")
    assert assert_type(await ref.ask(Count("summary")), int) == 7
    assert assert_type(await ref.ask(Untyped("as it is")), Any) == "as it is"
    assert assert_type(await ref.tell(Count("summary")), Outcome) is Outcome.DELIVERED


def test_the_reply_has_the_type_that_the_request_promises_here_and_elsewhere() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        await talk(one.spawn(Summariser))
        two.spawn(Summariser, name="summariser")
        await talk(one.ref("two/summariser"))

    simulate(scenario)
