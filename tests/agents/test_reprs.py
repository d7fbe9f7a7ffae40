"""What a person sees who prints an object of ours."""

from __future__ import annotations

from agentbus import AsyncAgentActor, Budget, Bus, Message, Request, handles
from agentbus.agents.budgets.account import BudgetAccount


class Show(Request[str]):
    pass


class Shown(AsyncAgentActor):
    @handles
    async def show(self, message: Show) -> str:
        return repr(self.budget)


def test_a_bus_says_who_and_where_it_is_and_no_key() -> None:
    bus = Bus("wss://hub.example", api_key="pk_hidden", namespace="prod", node="worker-7")
    assert repr(bus) == "<Bus prod/worker-7 at wss://hub.example, not started>"
    with Bus(node="n") as bus:
        assert repr(bus) == "<Bus default/n at a hub in memory, started>"
    assert repr(bus) == "<Bus default/n at a hub in memory, closed>"


def test_a_budget_says_what_is_left() -> None:
    with Bus() as bus:
        shown = bus.spawn(Shown).ask(Show(), budget=Budget(tokens=5, money="0.50")).get(timeout=5)
    assert shown == "<BudgetAccount with tokens=5, money=0.5 left>"
    assert repr(BudgetAccount()) == "<BudgetAccount without limits>"


def test_subscriptions_say_to_what_and_whether_they_still_listen() -> None:
    with Bus() as bus:
        topic = bus.listen("news", Message, lambda message: None)
        topic.ready.get(timeout=5)
        assert repr(topic) == "<TopicSubscription to 'news', listening>"
        topic.cancel()
        assert repr(topic) == "<TopicSubscription to 'news', cancelled>"
        events = bus.events.subscribe(lambda event: None)
        assert repr(events) == "<Subscription listening>"
        events.cancel()
        assert repr(events) == "<Subscription cancelled>"


def test_a_route_says_where_it_leads() -> None:
    with Bus() as bus:
        assert repr(bus.route(capability="c")) == "<Route to capability='c', by round_robin>"
        assert repr(bus.route(name="n", by="all")) == "<Route to all of name='n'>"
        assert repr(bus.route()) == "<Route to any agent, by round_robin>"
