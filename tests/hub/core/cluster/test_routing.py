"""Messages between hubs: who gets them, in which order, and what the sender is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentbus.protocol import PresencePeer
from tests.hub.core.cluster.world import LEASE, ClusterWorld
from tests.hub.core.world import app


def messages(frames: list[dict[str, Any]], kind: str = "message") -> list[Any]:
    return [frame["data"] for frame in frames if frame["type"] == kind]


def addressees(hubs: ClusterWorld) -> list[str | None]:
    """Return the list to which whoever a packet is for is added."""
    taken: list[str | None] = []
    carry = hubs.exchange.carry

    def watch(sender: str, to: str | None, payload: bytes) -> None:
        taken.append(to)
        carry(sender, to, payload)

    hubs.exchange.carry = watch  # type: ignore[method-assign]
    return taken


def test_a_publish_reaches_subscribers_at_every_hub_byte_for_byte() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    bob, carol = hubs[1].join("room"), hubs[2].join("room")
    hubs.settle()
    bob.take()
    alice.say(b'{"type":"publish","channel":"room","data":{"b" : 1,  "a":[1e2]}}')
    hubs.settle()
    expected = b'{"type":"message","channel":"room","from":"%s","data":{"b" : 1,  "a":[1e2]}}'
    assert bob.raw == carol.raw == [expected % alice.peer_id.encode()]


def test_metadata_of_the_sender_goes_to_those_who_asked_for_it() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join(peer="alice", peer_metadata={"name": "A"})
    asking, plain = hubs[1].world.join(), hubs[1].world.join("room")
    asking.subscribe("room", includeSenderMetadata=True)
    hubs.settle()
    alice.say({"type": "publish", "channel": "room", "data": 1})
    hubs.settle()
    frame = {"type": "message", "channel": "room", "from": "alice", "data": 1}
    assert plain.take()[-1] == frame
    assert asking.take()[-1] == frame | {"fromMetadata": {"name": "A"}}


def test_nothing_is_sent_to_hubs_without_subscribers() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join("room")
    bob = hubs[1].join("room")
    taken = addressees(hubs)
    alice.say({"type": "publish", "channel": "room", "data": 1})
    alice.say({"type": "publish", "channel": "elsewhere", "data": 1})
    hubs.settle()
    assert taken == [hubs[1].life]
    assert messages(bob.take()) == [1]


def test_a_hub_that_listens_gets_messages_though_nobody_is_subscribed_there() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    came = addressees(hubs)
    hubs[1].core.listen("demo", "room", wanted=True)
    hubs.settle()
    came.clear()
    published = hubs[0].world.hub.publish(
        "demo", "room", msgspec.Raw(b'"heard"'), PresencePeer("system"), hubs.now
    )
    assert published is not None
    assert published.delivered == 0
    hubs.settle()
    assert came == [hubs[1].life]
    assert hubs[0].peers("room") == []
    hubs[1].core.listen("demo", "room", wanted=False)
    hubs.settle()
    came.clear()
    alice.say({"type": "publish", "channel": "room", "data": "unheard"})
    hubs.settle()
    assert came == []


def test_messages_of_one_publisher_keep_their_order() -> None:
    hubs = ClusterWorld(2)
    alice, bob = hubs[0].join("room"), hubs[1].join("room")
    bob.take()
    for number in range(100):
        alice.say({"type": "publish", "channel": "room", "data": number})
        if number % 7 == 0:
            hubs.step()
    hubs.settle()
    assert messages(bob.take()) == list(range(100))


def test_an_answer_finds_whoever_subscribed_before_it_asked() -> None:
    """What a hub tells another keeps its order: the subscription, then the question that follows it."""
    hubs = ClusterWorld(2)
    server = hubs[1].join("questions")
    client = hubs[0].world.join("answers")
    client.say({"type": "publish", "channel": "questions", "data": "?"})
    while not messages(server.inbox):
        hubs.step()
    server.say({"type": "publish", "channel": "answers", "data": "!"})
    hubs.settle()
    assert messages(client.take()) == ["!"]


def test_a_direct_finds_its_peer_at_another_hub_and_is_acked_when_it_is_handed_over() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join(peer="alice", peer_metadata={"n": 1})
    bob = hubs[2].join(peer="bob")
    alice.say({"type": "send", "to": "bob", "data": [1], "requestId": "s"})
    assert alice.take() == []
    hubs.settle()
    assert bob.take() == [{"type": "direct", "from": "alice", "data": [1], "fromMetadata": {"n": 1}}]
    assert alice.take() == [{"type": "ack", "requestId": "s"}]
    assert hubs[0].world.hub.statistics.sent == 1


def test_a_direct_reaches_all_connections_of_a_peer_at_all_hubs() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    bobs = [hubs[index].join(peer="bob") for index in (0, 1, 2, 2)]
    assert alice.ask("send", to="bob", data=1) == {"type": "ack", "requestId": "r"}
    hubs.settle()
    assert [messages(bob.take(), "direct") for bob in bobs] == [[1]] * 4


def test_a_hub_that_just_died_holds_no_ack_up_when_the_peer_is_at_another_one() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    hubs[1].join(peer="bob")
    bob = hubs[2].join(peer="bob")
    hubs.kill(hubs[1])
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})
    hubs.settle()
    assert alice.take() == [{"type": "ack", "requestId": "s"}]
    assert messages(bob.take(), "direct") == [1]


def test_a_peer_that_is_nowhere_is_not_found() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    alice.say({"type": "send", "to": "nobody", "data": 1, "requestId": "s"})
    hubs.settle()
    [answer] = alice.take()
    assert (answer["code"], answer["requestId"]) == ("peer_not_found", "s")


def test_a_peer_is_found_before_its_hub_has_told_of_it() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    bob = hubs[2].world.join(peer="bob")  # what the others are told of it is still under way
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})
    hubs.settle()
    assert alice.take() == [{"type": "ack", "requestId": "s"}]
    assert messages(bob.take(), "direct") == [1]


def test_a_peer_that_moved_to_another_hub_meanwhile_is_found_there() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join()
    old = hubs[1].join(peer="bob")
    old.drop()
    new = hubs[2].world.join(peer="bob")
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})  # still believed to be at hub 1
    hubs.settle()
    assert alice.take() == [{"type": "ack", "requestId": "s"}]
    assert messages(new.take(), "direct") == [1]


def test_what_nobody_answers_is_a_backend_error_after_two_seconds() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join()
    hubs[1].join(peer="bob")
    hubs.kill(hubs[1])
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})
    hubs.advance(1.9)
    assert alice.take() == []
    hubs.advance(0.2)
    [answer] = alice.take()
    assert (answer["code"], answer["requestId"]) == ("backend_error", "s")


def test_a_hub_that_is_gone_is_asked_no_more() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join()
    hubs[1].join(peer="bob")
    hubs.kill(hubs[1])
    hubs.advance(LEASE + 2)
    assert alice.ask("send", to="bob", data=1)["code"] == "peer_not_found"


def test_other_requests_of_a_connection_do_not_wait_for_a_send() -> None:
    hubs = ClusterWorld(2)
    alice, bob = hubs[0].join(), hubs[1].join(peer="bob")
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "first"})
    assert alice.ask("publish", channel="room", data=2) == {"type": "ack", "requestId": "r"}
    hubs.settle()
    assert alice.take() == [{"type": "ack", "requestId": "first"}]
    assert messages(bob.take(), "direct") == [1]


def test_a_message_of_an_operator_counts_connections_at_all_hubs() -> None:
    hubs = ClusterWorld(3)
    receivers = [
        hubs[index].join("room", peer=peer) for index, peer in ((0, "a"), (1, "b"), (1, "b"), (2, "c"))
    ]
    published = hubs[0].world.hub.publish("demo", "room", msgspec.Raw(b"7"), PresencePeer("system"), hubs.now)
    assert published is not None
    assert published.delivered == 4
    hubs[0].do(published.commands)
    hubs.settle()
    assert [messages(receiver.take())[-1] for receiver in receivers] == [7] * 4


def test_an_operator_closes_a_peers_connections_at_all_hubs() -> None:
    hubs = ClusterWorld(3)
    bobs = [hubs[index].join(peer="bob") for index in (0, 1, 1)]
    carol = hubs[2].join(peer="carol")
    hub = hubs[2].world.hub
    assert hub.connections_of("demo", "bob") == 3
    hubs[2].do(hub.disconnect_peer("demo", "bob", hubs.now))
    hubs.settle()
    assert [bob.close_code for bob in bobs] == [4020] * 3
    assert carol.close_code is None
    assert hub.connections_of("demo", "bob") == 0


def test_apps_are_worlds_of_their_own_over_hubs_too() -> None:
    other = app(id="other", publishable_keys=(), secret_keys=())
    hubs = ClusterWorld(2, app(), other)
    hubs[0].join("room", peer="bob")
    assert hubs[1].peers("room") == ["bob"]
    assert hubs[1].world.hub.peers("other", "room") == []
    assert hubs[1].world.hub.connections_of("other", "bob") == 0


@pytest.mark.parametrize(
    "payload", [b"", b"\x01", b"\x02\x93\x02", b"\x01\xc0", b"\x01\x95\x01\xa1x\x01\x01\x91\x05"]
)
def test_a_packet_that_cannot_be_read_is_counted_and_ignored(payload: bytes) -> None:
    hubs = ClusterWorld(1)
    assert hubs[0].core.received(payload, hubs.now) == []
    assert hubs[0].core.unreadable == 1
