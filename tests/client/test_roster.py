from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.client.events import PresenceEvent, PresencePeer
from agentbus.client.roster import Roster

names = st.sets(st.sampled_from("abcde"))


def presence(joined: set[str], left: set[str], *, is_snapshot: bool) -> PresenceEvent:
    peers = [tuple(PresencePeer(name) for name in sorted(group)) for group in (joined, left)]
    return PresenceEvent("room", peers[0], peers[1], is_snapshot)


def test_a_snapshot_replaces_and_a_delta_changes() -> None:
    roster = Roster()
    roster.apply(presence({"a", "b"}, set(), is_snapshot=True))
    roster.apply(presence({"c"}, {"a"}, is_snapshot=False))
    assert [peer.peer_id for peer in roster.peers()] == ["b", "c"]
    roster.apply(presence(set(), set(), is_snapshot=True))
    assert roster.peers() == ()


def test_new_metadata_of_a_known_peer_is_taken() -> None:
    roster = Roster()
    roster.apply(PresenceEvent("room", (PresencePeer("a", {"n": 1}),), (), is_snapshot=True))
    roster.apply(PresenceEvent("room", (PresencePeer("a", {"n": 2}),), (), is_snapshot=False))
    assert roster.peers() == (PresencePeer("a", {"n": 2}),)


@given(st.lists(st.tuples(names, names, st.booleans())))
def test_it_is_a_set_that_follows_the_deltas(steps: list[tuple[set[str], set[str], bool]]) -> None:
    roster = Roster()
    model: set[str] = set()
    for joined, left, is_snapshot in steps:
        roster.apply(presence(joined, left, is_snapshot=is_snapshot))
        model = ((set[str]() if is_snapshot else model) - left) | joined
    assert {peer.peer_id for peer in roster.peers()} == model
