"""Each invariant about nodes catches something: a world that is broken on purpose violates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agentbus.agents import Bus, node_parts
from agentbus.agents.calls import Tell
from agentbus.agents.events import DeathReason, NodeDead
from agentbus.agents.letters import DeadLetters
from agentbus.agents.link import Link
from agentbus.agents.link_sender import LinkSender
from agentbus.agents.outcome import Outcome
from agentbus.agents.uplink import Uplink
from agentbus.protocol.pacer import Pacer
from agentbus.runtime.cell_loop import LoopCell
from agentbus.testing.simulation import INVARIANTS, HubSpec, NodeSpec, Plan, play
from agentbus.testing.simulation.bus.nodes import NodeLife
from agentbus.testing.simulation.bus.steps import CloseNode, KillNode, SendLetters, StartNode
from agentbus.testing.simulation.stage import ROLL_CALL
from agentbus.testing.simulation.troubles import Cut, Partition, Refusing
from agentbus.wire import ServerConnection
from tests.simulation.test_invariants import SABOTAGE as CLIENT_SABOTAGE
from tests.simulation.test_queue_invariants import SABOTAGE as QUEUE_SABOTAGE
from tests.simulation.test_queue_sabotage import BROKEN

Patch = pytest.MonkeyPatch
NAMES = ("alice", "bob", "carol")

PLAN = Plan(
    seed=1,
    scenario="by hand",
    nodes=tuple(NodeSpec(name=name) for name in NAMES),
    hub=HubSpec(messages_per_second=20, message_burst=40),
    latency=0.01,
    steps=(
        Refusing(at=0.0, who="carol", lasts=2.0),
        *(StartNode(at=0.0, who=name) for name in NAMES),
        SendLetters(at=6.0, who="alice", to="bob", count=3),
        SendLetters(at=6.0, who="alice", to="bob", agent="nobody"),
        Partition(at=8.0, who="alice", toward="client", lasts=8.0),
        SendLetters(at=8.1, who="alice", to="bob", count=3),
        Cut(at=20.0, who="bob"),
        SendLetters(at=25.0, who="alice", to="bob", count=120, size=30_000),
        CloseNode(at=40.0, who="carol"),
        StartNode(at=50.0, who="carol"),
        KillNode(at=60.0, who="bob", down=10.0),
        Cut(at=80.0, who="carol", silently=True),
        SendLetters(at=100.0, who="alice", to="carol"),
        SendLetters(at=110.0, who="alice", to="alice", ask=True, takes=5.0, cancel_after=1.0),
    ),
)


def take_everything(patch: Patch) -> None:
    receive = Link.receive

    def wrong(self: Link, packet: Any, now: float) -> Any:
        if packet.items:
            vars(self)["_received"] = packet.items[0].sequence - 1
        return receive(self, packet, now)

    patch.setattr(Link, "receive", wrong)


def take_the_last_first(patch: Patch) -> None:
    receive = Link.receive

    def wrong(self: Link, packet: Any, now: float) -> Any:
        return list(reversed(receive(self, packet, now)))

    patch.setattr(Link, "receive", wrong)


def always_say_delivered(patch: Patch) -> None:
    report = LinkSender.report

    def wrong(self: LinkSender, sequence: int, _outcome: Outcome) -> None:
        report(self, sequence, Outcome.DELIVERED)

    patch.setattr(LinkSender, "report", wrong)


def never_report(patch: Patch) -> None:
    def wrong(_self: LinkSender, _sequence: int, _outcome: Outcome) -> None:
        """Say nothing."""

    patch.setattr(LinkSender, "report", wrong)


def work_on(patch: Patch) -> None:
    def wrong(_self: LoopCell, _job: Any, _task: Any) -> None:
        """Cancel nothing."""

    patch.setattr(LoopCell, "_cancel_job", wrong)


def bury_at_once(patch: Patch) -> None:
    def wrong(node: str, incarnation: str) -> NodeDead:
        return NodeDead(node, incarnation, DeathReason.GOODBYE)

    patch.setattr("agentbus.agents.liveness.NodeSuspect", wrong)


def never_retry(patch: Patch) -> None:
    def wrong(_self: Uplink, _event: Any) -> None:
        """Give up."""

    patch.setattr(Uplink, "retry_in", wrong)


def find_one(patch: Patch) -> None:
    find = Bus.find

    def wrong(self: Bus, *, name: str | None = None, capability: str | None = None) -> Any:
        return find(self, name=name, capability=capability)[:1]

    patch.setattr(Bus, "find", wrong)


def never_look_for_silence(patch: Patch) -> None:
    def wrong(_self: ServerConnection) -> None:
        """Look at nothing."""

    patch.setattr(ServerConnection, "_check_silence", wrong)


def call_nobody(patch: Patch) -> None:
    send = NodeLife.send

    def wrong(self: NodeLife, to: str, *, timeout: float | None, **fields: Any) -> None:
        send(self, to + "s" * (timeout == ROLL_CALL), timeout=timeout, **fields)

    patch.setattr(NodeLife, "send", wrong)


def hurry(patch: Patch) -> None:
    def wrong(_self: Pacer, _now: float, *, urgent: bool = False) -> bool:
        return urgent or True

    patch.setattr(node_parts.Pacer, "take", wrong)


def keep_outcomes_to_oneself(patch: Patch) -> None:
    def wrong(_self: Tell, *_args: Any) -> None:
        """Tell nobody."""

    patch.setattr(Tell, "settle", wrong)
    patch.setattr(Tell, "fail", wrong)


def bury_in_silence(patch: Patch) -> None:
    def wrong(_self: DeadLetters, *_args: Any, **_fields: Any) -> None:
        """Publish nothing."""

    patch.setattr(DeadLetters, "bury", wrong)


SABOTAGE: dict[str, Callable[[Patch], None]] = {
    "letters_are_handled_at_most_once": take_everything,
    "letters_keep_their_order": take_the_last_first,
    "outcomes_of_letters_are_true": always_say_delivered,
    "every_letter_has_its_outcome": never_report,
    "cancels_end_the_work": work_on,
    "the_books_balance": keep_outcomes_to_oneself,
    "dead_letters_are_published_once": bury_in_silence,
    "nobody_is_buried_alive": bury_at_once,
    "no_bus_ends_against_its_will": never_retry,
    "everybody_finds_everybody": find_one,
    "every_node_has_one_connection": never_look_for_silence,
    "the_roll_call_is_answered": call_nobody,
    "nodes_keep_their_pace": hurry,
}


def violated(plan: Plan) -> set[str]:
    return {violation.invariant for violation in play(plan).violations}


def test_every_invariant_has_something_to_catch() -> None:
    found = {invariant for _scenario, _seeds, invariant in BROKEN.values()}
    caught = {*SABOTAGE, *CLIENT_SABOTAGE, *QUEUE_SABOTAGE, *found}
    assert caught == {invariant.__name__ for invariant in INVARIANTS}


def test_nothing_is_violated_where_nothing_is_broken() -> None:
    assert play(PLAN).violations == []


def test_nothing_is_violated_with_tokens_either() -> None:
    nodes = tuple(NodeSpec(name=name, with_token=True) for name in NAMES)
    assert play(msgspec.structs.replace(PLAN, nodes=nodes)).violations == []


@pytest.mark.parametrize("invariant", SABOTAGE)
def test_an_invariant_catches(invariant: str, monkeypatch: Patch) -> None:
    SABOTAGE[invariant](monkeypatch)
    assert invariant in violated(PLAN)
