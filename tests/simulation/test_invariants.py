"""Each invariant catches something: a world in which one thing is broken on purpose violates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agentbus.client import SignallingClient, supervisor
from agentbus.client import requests as client_requests
from agentbus.client.requests import Requests, not_connected
from agentbus.client.roster import Roster
from agentbus.client.router import Router
from agentbus.client.states import CONNECTING, LOST, after
from agentbus.client.subscription import SubscriptionActor
from agentbus.client.supervisor import SupervisorActor
from agentbus.hub.core import Broadcast, channel
from agentbus.runtime import Future
from agentbus.testing.simulation import INVARIANTS, ClientSpec, Plan, play
from agentbus.testing.simulation.hub import SimulatedHub
from agentbus.testing.simulation.operations import Connect, Publish, Send, Subscribe
from agentbus.testing.simulation.troubles import CrashHub, Cut, ForceClose, Partition
from agentbus.wire import ServerConnection

Patch = pytest.MonkeyPatch
ROOM = "rooms/a"
NAMES = ("alice", "bob", "carol")

PLAN = Plan(
    seed=1,
    scenario="by hand",
    clients=(ClientSpec(name="alice"), ClientSpec(name="bob", peer="bob"), ClientSpec(name="carol")),
    latency=0.01,
    steps=(
        *(Connect(at=0.0, who=name) for name in NAMES),
        *(Subscribe(at=1.0, who=name, channel=ROOM) for name in NAMES),
        Publish(at=2.0, who="alice", channel=ROOM, count=3),
        Send(at=2.5, who="alice", to="bob"),
        Partition(at=3.0, who="alice", toward="client", lasts=1.0),
        Publish(at=3.1, who="alice", channel=ROOM),
        Cut(at=3.5, who="alice"),
        ForceClose(at=10.0, who="bob", code=4010),
        Cut(at=12.0, who="carol", silently=True),
    ),
)
DOWN = msgspec.structs.replace(PLAN, steps=(*PLAN.steps, CrashHub(at=50.0, down=1000.0)))


def nothing(*_: Any) -> None:
    """Do nothing."""


def broken_states(patch: Patch) -> None:
    def wrong(state: Any, happening: Any) -> Any:
        return CONNECTING if happening is LOST else after(state, happening)

    patch.setattr(supervisor.states, "after", wrong)


def no_reconnect_flag(patch: Patch) -> None:
    made = supervisor.connected_event

    def wrong(frame: Any, **_: Any) -> Any:
        return made(frame, is_reconnect=False)

    patch.setattr(supervisor, "connected_event", wrong)


def promise_and_forget(patch: Patch) -> None:
    begin: Callable[[SupervisorActor], None] = vars(SupervisorActor)["_begin_attempt"]

    def once(actor: SupervisorActor) -> None:
        if vars(actor)["_redials"] == 0:
            begin(actor)

    patch.setattr(SupervisorActor, "_begin_attempt", once)


def give_up_at_once(patch: Patch) -> None:
    patch.setattr(SupervisorActor, "_delay", nothing)


def hurry(patch: Patch) -> None:
    def wrong(*_: Any) -> float:
        return 0.1

    patch.setattr(supervisor, "retry_delay", wrong)


def jitter_below_the_floor(patch: Patch) -> None:
    right = supervisor.retry_delay

    def wrong(options: Any, attempt: int, code: int, random: Any, at_least: float = 0.0) -> float | None:
        delay = right(options, attempt, code, random, at_least)
        return 24.0 if code == 4010 else delay

    patch.setattr(supervisor, "retry_delay", wrong)


def forget_a_subscriber(patch: Patch) -> None:
    deliver = channel.Channel.message

    def wrong(self: channel.Channel, *args: Any, **kwargs: Any) -> list[Broadcast]:
        return [
            Broadcast(each.sessions[:-1], each.payload, each.exclude)
            for each in deliver(self, *args, **kwargs)
        ]

    patch.setattr(channel.Channel, "message", wrong)


def echo(patch: Patch) -> None:
    deliver = channel.Channel.message

    def wrong(self: channel.Channel, sender: Any, data: Any, **_: Any) -> list[Broadcast]:
        return deliver(self, sender, data)

    patch.setattr(channel.Channel, "message", wrong)


def tell_twice(patch: Patch) -> None:
    tell = Router.message

    def wrong(self: Router, frame: Any) -> None:
        tell(self, frame)
        tell(self, frame)

    patch.setattr(Router, "message", wrong)


def overtake(patch: Patch) -> None:
    publish = SignallingClient.publish
    waiting: list[tuple[Any, Future[None]]] = []

    def wrong(self: SignallingClient, room: str, data: Any) -> Future[None]:
        if not waiting:
            waiting.append((data, Future()))
            return waiting[0][1]
        published = publish(self, room, data)
        held, promise = waiting.pop()
        publish(self, room, held).add_done_callback(lambda _: promise.try_set(None))
        return published

    patch.setattr(SignallingClient, "publish", wrong)


def deny_everything(patch: Patch) -> None:
    def wrong(_code: int) -> Exception:
        return not_connected()

    patch.setattr(client_requests, "DisconnectedError", wrong)


def leave_them_waiting(patch: Patch) -> None:
    patch.setattr(Requests, "fail_all", nothing)


def never_heal(patch: Patch) -> None:
    patch.setattr(SimulatedHub, "relax", nothing)


def never_look_for_silence(patch: Patch) -> None:
    patch.setattr(ServerConnection, "_check_silence", nothing)


def never_replay(patch: Patch) -> None:
    patch.setattr(SubscriptionActor, "_replay", nothing)


def only_newcomers(patch: Patch) -> None:
    apply = Roster.apply

    def wrong(self: Roster, event: Any) -> None:
        if not event.left:
            apply(self, event)

    patch.setattr(Roster, "apply", wrong)


def leave_everything_lying(patch: Patch) -> None:
    patch.setattr(SignallingClient, "dispose", SignallingClient.close)


def stumble(patch: Patch) -> None:
    def wrong(_router: Router, _frame: Any) -> None:
        raise ZeroDivisionError

    patch.setattr(Router, "direct", wrong)


SABOTAGE: dict[str, Callable[[Patch], None]] = {
    "nothing_fails_unseen": stumble,
    "states_follow_the_table": broken_states,
    "events_agree_with_states": no_reconnect_flag,
    "will_reconnect_is_the_truth": promise_and_forget,
    "gives_up_only_for_a_reason": give_up_at_once,
    "retries_keep_their_distance": hurry,
    "the_floor_holds": jitter_below_the_floor,
    "acks_mean_delivery": forget_a_subscriber,
    "nobody_hears_himself": echo,
    "what_is_heard_is_what_was_handed": tell_twice,
    "requests_arrive_in_order": overtake,
    "outcomes_are_true": deny_everything,
    "every_future_resolves": leave_them_waiting,
    "everybody_comes_to_rest": never_heal,
    "the_hub_knows_who_is_there": never_look_for_silence,
    "subscriptions_agree": never_replay,
    "rosters_agree": only_newcomers,
    "nothing_is_left": leave_everything_lying,
}


def violated(plan: Plan) -> set[str]:
    return {violation.invariant for violation in play(plan).violations}


def test_nothing_is_violated_where_nothing_is_broken() -> None:
    assert [play(plan).violations for plan in (PLAN, DOWN)] == [[], []]


@pytest.mark.parametrize("invariant", SABOTAGE)
def test_an_invariant_catches(invariant: str, monkeypatch: Patch) -> None:
    SABOTAGE[invariant](monkeypatch)
    assert invariant in violated(DOWN if invariant == "everybody_comes_to_rest" else PLAN)


def test_every_invariant_cites_its_rule() -> None:
    assert [rule.__name__ for rule in INVARIANTS if not (rule.__doc__ or "").strip()] == []
