from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents.directory import Delta, Hello, Page, Who
from agentbus.agents.effects import FencedOff, NodeMoved
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import AgentsChanged, DeathReason, NodeBack, NodeSuspect, NodeUp
from agentbus.agents.nodes import NodeState
from agentbus.agents.query import Query
from agentbus.agents.standing import MembershipOptions
from tests.agents.world import Member, World


def trio() -> tuple[World, Member, Member, Member]:
    world = World()
    a, b, c = members = world.add("a"), world.add("b"), world.add("c")
    world.run(4)
    for member in members:
        member.host(f"agent-{member.membership.stamp.node}")
    world.run(1)
    world.agree(*members)
    return world, a, b, c


def suspects(member: Member) -> list[str]:
    return [record.stamp.node for record in member.membership.nodes if record.state is NodeState.SUSPECT]


# -- joining ------------------------------------------------------------------------------------------------


def test_a_lone_node_is_established_at_once() -> None:
    world = World()
    member = world.add("a")
    assert member.joined
    assert member.sees() == {"a": set()}


def test_joiners_learn_everything_and_everyone_learns_of_them() -> None:
    world, a, b, c = trio()
    late = world.add("d")
    world.run(0.1)
    assert late.joined, "within a round trip or two"
    late.host("late")
    world.run(0.1)
    world.agree(a, b, c, late)


def test_one_elected_node_answers_a_joiner() -> None:
    world, a, b, c = trio()
    before = [member.frames for member in (a, b, c)]
    world.add("d")
    world.run(1)
    assert [member.frames - old for member, old in zip((a, b, c), before, strict=True)] == [1, 0, 0]


def test_a_joiner_asks_again_and_then_one_more_node_answers() -> None:
    world, a, b, _c = trio()
    for member in (a, b):
        member.trusted = False  # their answers are not believed
    late = world.add("d")
    world.run(3.5)
    assert late.joined
    assert "c" in late.sees()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_any_order_of_joining_and_hosting_ends_in_one_view(seed: int, presence: bool) -> None:
    dice = random.Random(seed)
    world = World(presence=presence)
    members: list[Member] = []
    for number in range(12):
        members.append(world.add(f"n{dice.randrange(1000)}-{number}"))
        world.run(dice.choice((0.0, 0.005, 0.3)))
        lucky = dice.choice(members)
        lucky.host(f"agent-{number}")
    world.run(60)
    world.agree(*members)
    assert all(member.joined and not member.refused for member in members)


def test_a_large_directory_travels_in_frames_below_the_limit() -> None:
    world = World(options=MembershipOptions(page_bytes=3000))
    first, second = world.add("a"), world.add("b")
    world.run(4)
    first.host(*(f"agent-number-{number}" for number in range(500)))
    second.host(*(f"helper-{number}" for number in range(10)), capabilities=("help", "more help"))
    world.run(1)
    late = world.add("c")
    world.run(1)
    world.agree(first, second, late)
    assert max(first.largest, second.largest, late.largest) <= 3000
    world.disconnect(first)
    world.connect(first)
    world.run(1)
    assert first.largest <= 3000


def test_the_directory_is_bounded() -> None:
    world = World(options=MembershipOptions(max_nodes=3, max_agents=5))
    a, b, _, _ = (world.add(node) for node in "abcd")
    world.run(4)
    b.host(*(f"x{number}" for number in range(9)))
    world.run(4)
    assert len(a.sees()) == 3
    assert len(a.sees()["b"]) == 5
    assert a.membership.nodes.refused > 0


def test_a_lost_hello_is_asked_for() -> None:
    world = World()
    a = world.add("a")
    world.run(1)
    world.lose = lambda message: isinstance(message, Hello)
    b = world.add("b")
    world.run(1)
    world.lose = lambda _message: False
    world.run(6)
    world.agree(a, b)


def test_a_lost_delta_is_noticed_at_the_next() -> None:
    world, a, b, c = trio()
    world.lose = lambda message: isinstance(message, Delta)
    b.host("lost")
    world.lose = lambda _message: False
    b.host("next")
    world.run(1)
    world.agree(a, b, c)


def test_a_peer_that_is_no_node_is_asked_a_few_times_only() -> None:
    world = World()
    a = world.add("a")
    asked: list[Who] = []
    world.lose = lambda message: isinstance(message, Who) and not asked.append(message)
    a.membership.presence(joined=["somebody"], left=[], now=world.now)
    world.run(60)
    assert len(asked) == 3


# -- node ids -----------------------------------------------------------------------------------------------


def test_a_second_living_holder_of_an_id_is_refused() -> None:
    world, a, b, c = trio()
    twin = world.add("b", "2")
    world.run(4)
    assert twin.refused
    assert not twin.joined
    assert not b.refused
    assert a.deaths() == c.deaths() == []


def test_a_second_holder_is_refused_even_where_both_share_a_peer_id() -> None:
    world = World(shared_peers=True)
    first = world.add("a", "1")
    world.run(1)
    twin = world.add("a", "2")
    world.run(1)
    assert first.joined
    assert not first.refused
    assert twin.refused
    assert not twin.joined


def test_two_that_claim_at_once_leave_one_holder() -> None:
    world = World()
    world.add("z")
    world.run(1)
    twins = [world.add("b", "1"), world.add("b", "2")]
    world.run(4)
    assert [twin.refused for twin in twins] == [False, True]
    assert twins[0].joined


def test_a_restarted_node_replaces_its_dead_life_at_once() -> None:
    world, a, b, _c = trio()
    world.disconnect(b)
    world.members.remove(b)
    world.run(1)
    again = world.add("b", "2")
    world.run(1)
    assert again.joined
    assert [death.reason for death in a.deaths()] == [DeathReason.REPLACED]
    assert a.membership.nodes.living(Stamp("b", "2"))


def test_a_restart_over_a_half_open_connection_waits_for_an_objection_that_never_comes() -> None:
    world, a, b, _c = trio()
    world.members.remove(b)  # power loss: its peer is still in the roster, and answers nothing
    again = world.add("b", "2")
    again.membership.presence(joined=[b.peer or ""], left=[], now=world.now)
    world.run(1)
    assert not again.joined
    world.run(2)
    assert again.joined
    assert [death.incarnation for death in a.deaths()] == ["1"]


def test_a_holder_that_was_away_too_long_is_refused_when_it_returns() -> None:
    world, _a, b, _c = trio()
    world.disconnect(b)
    world.run(1)
    again = world.add("b", "2")
    world.run(1)
    world.connect(b)
    world.run(1)
    assert b.refused
    assert not again.refused


# -- suspicion and death ------------------------------------------------------------------------------------


def test_left_is_suspect_and_a_return_under_another_peer_id_is_the_same_life() -> None:
    world, a, b, c = trio()
    world.disconnect(b)
    world.run(1)
    assert suspects(a) == ["b"]
    assert "agent-b" in a.sees()["b"], "its agents keep their places"
    world.connect(b)
    world.run(1)
    world.agree(a, b, c)
    assert suspects(a) == []
    assert a.deaths() == []
    kinds = [type(event) for event in a.events]
    assert NodeSuspect in kinds
    assert NodeBack in kinds
    assert NodeMoved in kinds


@pytest.mark.parametrize("presence", [True, False])
def test_silence_becomes_suspicion_becomes_death(presence: bool) -> None:
    world = World(presence=presence)
    a, b = world.add("a"), world.add("b")
    world.run(4)
    world.disconnect(b)
    world.run(19)
    assert a.deaths() == []
    world.run(2 if presence else 30)
    assert [death.reason for death in a.deaths()] == [DeathReason.SILENT]
    assert a.sees().keys() == {"a"}


def test_a_goodbye_is_death_at_once() -> None:
    world, a, b, _c = trio()
    b.membership.leave()
    world.carry_out(b)
    world.disconnect(b)
    world.run(0.1)
    assert [death.reason for death in a.deaths()] == [DeathReason.GOODBYE]


def test_an_exit_seen_by_the_parent_is_death_everywhere() -> None:
    world, a, b, c = trio()
    world.disconnect(b)
    a.membership.certify_exit("b")
    a.membership.certify_exit("a")
    a.membership.certify_exit("unknown")
    world.carry_out(a)
    world.run(0.1)
    for member in (a, c):
        assert [death.reason for death in member.deaths()] == [DeathReason.EXITED]


def test_while_we_are_away_nobody_is_declared_dead() -> None:
    world, a, b, c = trio()
    for member in (a, b, c):  # the hub restarts
        world.disconnect(member)
    world.run(3600)
    assert a.deaths() == []
    for wait, member in ((0.0, a), (8.0, b), (7.0, c)):  # they come back one after the other
        world.run(wait)
        world.connect(member)
    world.run(1)
    world.agree(a, b, c)
    assert [member.deaths() for member in (a, b, c)] == [[], [], []]


def test_while_we_slept_nobody_is_declared_dead() -> None:
    world, a, b, _c = trio()
    world.disconnect(b)
    world.run(1)
    a.membership.liveness.tick(world.now)
    a.membership.tick(world.now + 100)  # SIGSTOP, SIGCONT: the presence of b's return is still in our socket
    assert a.deaths() == []


def test_a_life_that_was_declared_dead_returns_as_a_new_one() -> None:
    world, a, b, c = trio()
    world.disconnect(b)
    world.run(25)
    assert len(a.deaths()) == len(c.deaths()) == 1
    world.connect(b)
    world.run(2)
    assert any(isinstance(event, FencedOff) for event in b.events)
    world.agree(a, b, c)
    assert b.membership.stamp.incarnation != "1"
    assert b.sees()["b"] == {"agent-b"}


def test_a_packet_is_a_sign_of_life() -> None:
    world, a, b, _c = trio()
    world.disconnect(b)
    world.run(1)
    assert a.membership.heard(b.membership.stamp, "peer-2", world.now)
    assert suspects(a) == []


def test_a_packet_of_the_dead_is_answered_with_the_verdict() -> None:
    world, a, b, _c = trio()
    world.disconnect(b)
    world.run(30)
    assert not a.membership.heard(b.membership.stamp, "peer-9", world.now)


def test_a_packet_before_the_hello_makes_its_node_known() -> None:
    world = World()
    a = world.add("a")
    assert a.membership.heard(Stamp("x", "1"), "peer-x", world.now)
    world.carry_out(a)
    assert any(isinstance(event, NodeUp) for event in a.events)
    assert not a.membership.heard(Stamp("x", "2"), "peer-y", world.now)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_after_any_storm_of_cuts_there_is_one_view(seed: int, presence: bool) -> None:
    dice = random.Random(seed)
    world = World(presence=presence)
    members = [world.add(f"n{number}") for number in range(6)]
    world.run(4)
    for step in range(40):
        member = dice.choice(members)
        if member.peer is None:
            world.connect(member)
        elif dice.random() < 0.5:
            world.disconnect(member)
        else:
            member.host(f"agent-{step}")
        world.run(dice.choice((0.0, 0.02, 1.0, 7.0, 30.0)))
    for member in members:
        if member.peer is None:
            world.connect(member)
    world.run(90)
    world.agree(*members)


# -- trust --------------------------------------------------------------------------------------------------


def test_a_guest_sees_public_agents_and_is_not_seen() -> None:
    world, a, b, _c = trio()
    a.host("open", public=True)
    guest = world.add("guest", trusted=False)
    world.run(2)
    assert guest.joined
    assert guest.sees()["a"] == {"open"}
    assert "guest" not in a.sees()
    assert guest.sees()["b"] == set()
    assert all(not (isinstance(event, NodeUp) and event.node == "guest") for event in b.events)


def test_a_guest_cannot_take_an_id_kill_a_node_or_write_the_directory() -> None:
    world, a, b, _c = trio()
    guest = world.add("b", "2", trusted=False)
    world.run(4)
    guest.membership.certify_exit("a")
    world.carry_out(guest)
    world.run(1)
    assert not b.refused
    assert a.deaths() == b.deaths() == []


def test_other_namespaces_are_not_heard() -> None:
    world = World()
    a = world.add("a")
    for message in (Page("other", ()), Who("other")):
        a.membership.receive(message, "p", trusted=True, now=world.now)
    assert a.membership.take_effects() == []


# -- find ---------------------------------------------------------------------------------------------------


def test_agents_are_found_by_name_and_capability_living_nodes_first() -> None:
    world, a, b, c = trio()
    b.host("sum", capabilities=("summarise", "text"))
    c.host("sum", capabilities=("summarise",))
    world.run(1)
    nodes = a.membership.nodes
    assert [record.stamp.node for record, _, _ in nodes.find(Query("sum", None))] == ["b", "c"]
    assert [record.stamp.node for record, _, _ in nodes.find(Query(None, "text"))] == ["b"]
    assert len(nodes.find(Query(None, None))) == 5
    world.disconnect(b)
    world.run(1)
    assert [record.stamp.node for record, _, _ in nodes.find(Query(None, "summarise"))] == ["c", "b"]
    assert (
        nodes.find(Query("sum", "other"))
        == nodes.find(Query("nobody", None))
        == nodes.find(Query(None, "none"))
        == []
    )


def test_an_agent_that_left_or_changed_is_found_as_it_is_now() -> None:
    world, a, b, _c = trio()
    b.host("sum", capabilities=("old",))
    b.host("sum", capabilities=("new",))
    b.membership.unhost("agent-b")
    b.membership.unhost("never there")
    b.membership.flush()
    world.carry_out(b)
    world.run(1)
    nodes = a.membership.nodes
    assert nodes.find(Query(None, "old")) == nodes.find(Query("agent-b", None)) == []
    assert len(nodes.find(Query(None, "new"))) == 1
    assert AgentsChanged("b") in a.events


def test_a_node_that_came_and_went_between_two_presence_deltas_is_suspect_all_the_same() -> None:
    world = World()
    a = world.add("a")
    b = world.add("b")
    world.run(1)
    a.membership.liveness.presence(joined=[], left=[], snapshot=True, now=world.now)
    b.peer = None  # neither its joined nor its left was ever told
    a.membership.liveness.revive(a.membership.nodes.get("b") or a.membership.own, world.now)
    world.run(4)
    assert suspects(a) == ["b"]
    world.run(20)
    assert [death.reason for death in a.deaths()] == [DeathReason.SILENT]
