"""Several hubs against the model of one: whatever happens, nobody can tell that there is more than one.

In the first machine everything arrives before the next thing happens, and each delivery, answer and roster
is predicted as for a single hub; hubs die, are parted and stand still meanwhile. In the second one packets
arrive whenever they like: order per publisher and channel holds all the same, nothing comes twice, and when
all has arrived, all hubs agree.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.hub.core.cluster.world import BEAT, LEASE, ClusterWorld, Member
from tests.hub.core.test_model import Believer
from tests.hub.core.world import Client

CHANNELS = ("a", "b")
PEERS = ("alice", "bob", "carol")
HUBS = 3
FAULTS = ("kill", "stop", "part", "outage", "lose")


class Guest(Believer):
    """A connection at one of the hubs; a request is over when everything has arrived."""

    def __init__(self, client: Client, member: Member, cluster: ClusterWorld) -> None:
        super().__init__(client, watches=True)
        self.member = member
        self.cluster = cluster

    def request(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        self.read()
        self.subscribing = fields["channel"] if kind == "subscribe" else None
        frame = json.dumps({"type": kind, "requestId": "r", **fields}).encode()
        self.member.do(self.member.world.hub.receive(self.client.session, frame, self.cluster.now))
        kinds = [one["type"] for one in self.client.inbox]
        if self.subscribing is not None and kinds[:1] == ["ack"]:
            assert kinds[1] == "presence"
            self.rosters.pop(self.subscribing, None)
        self.cluster.settle()
        answers = self.read()
        self.subscribing = None
        return answers


class ManyAsOne(RuleBasedStateMachine):
    guests: Bundle[Guest] = Bundle("guests")

    @initialize(target=guests)
    def begin(self) -> Any:
        self.hubs = ClusterWorld(HUBS)
        self.open: list[Guest] = []
        self.numbers = itertools.count()
        self.parted: set[str] = set()
        first = [self.connect(hub, peer) for hub, peer in enumerate(("alice", "bob", "alice", "carol"))]
        for guest in first:
            self.subscribe(guest, "a", asks=False)
        return multiple(*first)

    # -- who can be seen from where --------------------------------------------------------------------------

    def together(self, one: Guest, other: Guest) -> bool:
        lives = one.member.life, other.member.life
        return lives[0] == lives[1] or self.parted.isdisjoint(lives)

    def seen_by(self, guest: Guest) -> list[Guest]:
        return [other for other in self.open if self.together(guest, other)]

    # -- lives -----------------------------------------------------------------------------------------------

    @rule(target=guests, hub=st.integers(0, HUBS - 1), peer=st.sampled_from(PEERS))
    def arrive(self, hub: int, peer: str) -> Any:
        return self.connect(hub, peer)

    def connect(self, hub: int, peer: str) -> Guest:
        alive = self.hubs.alive
        member = alive[hub % len(alive)]
        client = member.world.connect(token=member.world.token(peer, peer_metadata={"of": peer}))
        guest = Guest(client, member, self.hubs)
        guest.metadata = {"of": peer}
        assert [frame["type"] for frame in guest.read()] == ["welcome"]
        self.open.append(guest)
        self.hubs.settle()
        return guest

    @rule(guest=consumes(guests))
    def drop(self, guest: Guest) -> None:
        if guest in self.open:
            guest.client.drop()
            self.hubs.settle()
        self._gone(guest)

    @rule(guest=guests, peer=st.sampled_from(PEERS))
    def throw_out(self, guest: Guest, peer: str) -> None:
        if guest not in self.open:
            return
        thrown = [other for other in self.seen_by(guest) if other.peer_id == peer]
        hub = guest.member.world.hub
        assert hub.connections_of("demo", peer) == len(thrown)
        guest.member.do(hub.disconnect_peer("demo", peer, self.hubs.now))
        self.hubs.settle()
        for other in thrown:
            assert other.client.close_code == 4020
            self._gone(other)

    def _gone(self, guest: Guest) -> None:
        guest.read()
        if guest in self.open:
            self.open.remove(guest)
            guest.channels.clear()

    # -- requests --------------------------------------------------------------------------------------------

    @rule(guest=guests, channel=st.sampled_from(CHANNELS), asks=st.booleans())
    def join(self, guest: Guest, channel: str, asks: bool) -> None:
        if guest in self.open:
            self.subscribe(guest, channel, asks=asks)

    def subscribe(self, guest: Guest, channel: str, *, asks: bool) -> None:
        assert [
            answer["type"]
            for answer in guest.request("subscribe", channel=channel, includeSenderMetadata=asks)
        ] == ["ack"]
        guest.channels[channel] = asks
        assert guest.rosters[channel].keys() == self._others(guest, channel)

    @rule(guest=guests, channel=st.sampled_from(CHANNELS))
    def unsubscribe(self, guest: Guest, channel: str) -> None:
        if guest not in self.open:
            return
        assert [answer["type"] for answer in guest.request("unsubscribe", channel=channel)] == ["ack"]
        guest.channels.pop(channel, None)
        guest.rosters.pop(channel, None)

    @rule(guest=guests, channel=st.sampled_from(CHANNELS))
    def publish(self, guest: Guest, channel: str) -> None:
        if guest not in self.open:
            return
        number = next(self.numbers)
        for other in self.seen_by(guest):
            if other is not guest and channel in other.channels:
                frame = {"type": "message", "channel": channel, "from": guest.peer_id, "data": number}
                told = {"fromMetadata": guest.metadata} if other.channels[channel] else {}
                other.expected.append(frame | told)
        assert [answer["type"] for answer in guest.request("publish", channel=channel, data=number)] == [
            "ack"
        ]

    @rule(guest=guests, to=st.sampled_from(PEERS))
    def send(self, guest: Guest, to: str) -> None:
        if guest not in self.open:
            return
        number = next(self.numbers)
        receivers = [other for other in self.seen_by(guest) if other.peer_id == to]
        for other in receivers:
            frame = {"type": "direct", "from": guest.peer_id, "data": number, "fromMetadata": guest.metadata}
            other.expected.append(frame)
        answers = guest.request("send", to=to, data=number)
        assert [answer.get("code", "ack") for answer in answers] == ["ack" if receivers else "peer_not_found"]

    # -- what happens to hubs --------------------------------------------------------------------------------

    @rule(fault=st.sampled_from(FAULTS), hub=st.integers(0, HUBS - 1), amount=st.integers(1, 5))
    def disturb(self, fault: str, hub: int, amount: int) -> None:
        getattr(self, f"_{fault}")(self.hubs.alive[hub], amount)

    def _kill(self, member: Member, _amount: int) -> None:
        self.hubs.kill(member)
        for guest in [one for one in self.open if one.member is member]:
            guest.client.gone = True
            self._gone(guest)
        self.parted.discard(member.life)
        self.hubs.start()
        self._let_leases_run_out()

    def _stop(self, member: Member, _amount: int) -> None:
        if member.life in self.parted:
            return  # its goodbye would reach nobody
        self.hubs.stop(member)
        for guest in [one for one in self.open if one.member is member]:
            assert guest.client.close_code == 1001
            self._gone(guest)
        self.hubs.start()
        self.hubs.settle()

    def _part(self, member: Member, _amount: int) -> None:
        if self.parted:
            self.parted.clear()
            self.hubs.exchange.heal()
            self.hubs.advance(3 * BEAT)
        else:
            self.parted.add(member.life)
            self.hubs.exchange.cut_off(member.life)
            self._let_leases_run_out()

    def _outage(self, _member: Member, amount: int) -> None:
        self.hubs.exchange.take_away()
        self.hubs.settle()
        self.hubs.advance(amount * 0.7)
        self.hubs.exchange.bring_back()
        self.hubs.settle()
        self.hubs.advance(BEAT)

    def _lose(self, member: Member, amount: int) -> None:
        """Lose what is told of somebody who comes or goes."""
        self.hubs.exchange.swallow(amount)
        for guest in [one for one in self.open if one.member is member][:amount]:
            guest.request("unsubscribe" if "a" in guest.channels else "subscribe", channel="a")
            if guest.channels.pop("a", None) is None:
                guest.channels["a"] = False
            else:
                guest.rosters.pop("a", None)
        self.hubs.advance(4 * BEAT)

    def _let_leases_run_out(self) -> None:
        self.hubs.advance(LEASE + 3 * BEAT)

    @rule(seconds=st.sampled_from((0.01, 0.05, 0.3, 2.0)))
    def wait(self, seconds: float) -> None:
        self.hubs.advance(seconds)
        if seconds >= 0.05:
            for guest in self.open:
                guest.read()
                for channel in guest.channels:
                    assert guest.rosters[channel].keys() == self._others(guest, channel)

    # -- what must hold --------------------------------------------------------------------------------------

    def _others(self, guest: Guest, channel: str) -> set[str]:
        return {one.peer_id for one in self.seen_by(guest) if channel in one.channels} - {guest.peer_id}

    @invariant()
    def every_delivery_was_predicted(self) -> None:
        for guest in self.open:
            guest.read()
            assert guest.received == guest.expected

    @invariant()
    def every_hub_knows_who_is_where(self) -> None:
        for member in self.hubs.alive:
            seen = [
                guest
                for guest in self.open
                if guest.member is member or self.parted.isdisjoint((guest.member.life, member.life))
            ]
            for channel in CHANNELS:
                assert set(member.peers(channel)) == {one.peer_id for one in seen if channel in one.channels}

    def teardown(self) -> None:
        self.hubs.exchange.heal()
        for guest in list(self.open):
            guest.client.drop()
        self.hubs.advance(3 * BEAT)
        for member in self.hubs.alive:
            [app] = member.world.hub._apps.values()  # pyright: ignore[reportPrivateUsage] -- leaks hide there
            assert (app.channels, app.peers, app.elsewhere) == ({}, {}, {})
            assert app.meter.concurrent_elsewhere == 0


class AnyOrder(RuleBasedStateMachine):
    """Packets are under way while things happen."""

    @initialize()
    def begin(self) -> None:
        self.hubs = ClusterWorld(HUBS)
        self.clients = [self.hubs[hub].join("a", "b", peer=f"peer{hub}") for hub in range(HUBS)]
        self.hubs.advance(0.1)
        for client in self.clients:
            client.take()
        self.numbers = itertools.count()
        self.heard: list[dict[tuple[str, str], list[int]]] = [defaultdict(list) for _ in self.clients]
        self.published: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.asked: list[set[str]] = [set() for _ in self.clients]

    @rule(who=st.integers(0, HUBS - 1), channel=st.sampled_from(CHANNELS))
    def publish(self, who: int, channel: str) -> None:
        number = next(self.numbers)
        client = self.clients[who]
        self.published[client.peer_id, channel].append(number)
        self._tell(who, type="publish", channel=channel, data=number)

    @rule(who=st.integers(0, HUBS - 1), whom=st.integers(0, HUBS - 1))
    def send(self, who: int, whom: int) -> None:
        number = next(self.numbers)
        self.published[self.clients[who].peer_id, ">" + self.clients[whom].peer_id].append(number)
        self._tell(who, type="send", to=self.clients[whom].peer_id, data=number)

    @rule(who=st.integers(0, HUBS - 1), channel=st.sampled_from(CHANNELS), leave=st.booleans())
    def move(self, who: int, channel: str, leave: bool) -> None:
        self._tell(who, type="unsubscribe" if leave else "subscribe", channel=channel)

    def _tell(self, who: int, **frame: Any) -> None:
        request = f"r{next(self.numbers)}"
        self.asked[who].add(request)
        member, client = self.hubs[who], self.clients[who]
        payload = json.dumps(frame | {"requestId": request}).encode()
        member.do(member.world.hub.receive(client.session, payload, self.hubs.now))

    @rule(steps=st.integers(1, 20))
    def arrive(self, steps: int) -> None:
        for _ in range(min(steps, len(self.hubs.under_way))):
            self.hubs.step()

    @rule(turns=st.integers(1, 3))
    def overtake(self, turns: int) -> None:
        """Let packets between other hubs go first; those between two hubs keep their order."""
        waiting = list(self.hubs.under_way)
        if any(not args for _, args in waiting):
            return
        ways: dict[Any, list[Any]] = defaultdict(list)
        for item in waiting:
            ways[item[1][:2]].append(item)
        order = list(ways.values())
        order = order[turns % len(order) :] + order[: turns % len(order)] if order else []
        self.hubs.under_way.clear()
        self.hubs.under_way.extend(item for way in order for item in way)

    @invariant()
    def order_holds_and_nothing_comes_twice(self) -> None:
        for number, client in enumerate(self.clients):
            for frame in client.take():
                if frame["type"] == "message":
                    self.heard[number][frame["from"], frame["channel"]].append(frame["data"])
                elif frame["type"] == "direct":
                    self.heard[number][frame["from"], ">" + client.peer_id].append(frame["data"])
                elif "requestId" in frame:
                    self.asked[number].remove(frame["requestId"])
            for way, heard in self.heard[number].items():
                assert heard == sorted(set(heard)), "out of order, or twice"
                assert set(heard) <= set(self.published[way])

    def teardown(self) -> None:
        self.hubs.settle()
        self.order_holds_and_nothing_comes_twice()
        assert self.asked == [set()] * HUBS
        for client in self.clients:
            for (sender, way), numbers in self.published.items():
                if way == ">" + client.peer_id:
                    assert self.heard[self.clients.index(client)][sender, way] == numbers
        for channel in CHANNELS:
            assert len({frozenset(member.peers(channel)) for member in self.hubs.members}) == 1


def test_many_hubs_match_the_model_of_one() -> None:
    run_state_machine_as_test(ManyAsOne, settings=settings(max_examples=60, stateful_step_count=40))


def test_order_holds_in_any_order_of_arrival() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=60, stateful_step_count=40))
