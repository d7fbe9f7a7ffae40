"""The net of changes is what a roster needs to catch up."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core.roster import Change, net, presence_frames
from agentbus.protocol import PresencePeer

NAMES = "abc"


@given(
    st.sets(st.sampled_from(NAMES)),
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 2)), max_size=12),
)
def test_the_net_brings_a_roster_to_the_same_state_as_every_single_change(
    present: set[str], toggles: list[tuple[str, int]]
) -> None:
    before = {name: person(name, 1) for name in present}
    now = dict(before)
    changes: list[Change] = []
    for name, version in toggles:
        if name in now:
            changes.append(Change(now.pop(name), joined=False))
        else:
            now[name] = person(name, version)
            changes.append(Change(now[name], joined=True))
    joined, left = net(changes)
    told = {name: peer for name, peer in before.items() if peer not in left}
    assert len(told) == len(before) - len(left)
    assert not any(peer.peer_id in told for peer in joined)
    assert told | {peer.peer_id: peer for peer in joined} == now


def person(name: str, version: int) -> PresencePeer:
    return PresencePeer(name, msgspec.Raw(json.dumps({"v": version}).encode()))


@given(st.integers(0, 300), st.integers(0, 300))
def test_frames_are_split_in_order_and_below_the_limit(joined: int, left: int) -> None:
    fat = msgspec.Raw(b'"' + b"x" * 4000 + b'"')
    people = [PresencePeer(str(number), fat) for number in range(joined + left)]
    frames = presence_frames("c", people[:joined], people[joined:])
    decoded = [json.loads(frame) for frame in frames]
    assert max(len(frame) for frame in frames) <= 256 * 1024
    assert [int(peer["peerId"]) for frame in decoded for peer in frame["joined"]] == list(range(joined))
    assert [int(peer["peerId"]) for frame in decoded for peer in frame["left"]] == list(
        range(joined, joined + left)
    )
