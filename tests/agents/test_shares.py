from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.shares import Shares


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, "a", "b", "c"]))), st.integers(1, 60))
def test_nobody_has_more_than_its_part_and_every_place_comes_back(
    steps: list[tuple[bool, str | None]], capacity: int
) -> None:
    shares, held = Shares(capacity), Counter[str | None]()
    for takes, peer in steps:
        if takes:
            guests = held.total() - held[None]
            room = held.total() < capacity
            fits = peer is None or (held[peer] < shares.for_one_guest and guests < shares.for_guests)
            assert shares.take(peer) is (room and fits)
            held[peer] += room and fits
        elif held[peer]:
            shares.give_back(peer)
            held[peer] -= 1
        assert len(shares) == held.total()
    for peer, count in held.items():
        for _ in range(count):
            shares.give_back(peer)
    assert all(shares.take(None) for _ in range(capacity))
    assert not shares.take(None)


def test_a_guest_has_a_part_of_what_guests_have_and_nodes_have_the_rest() -> None:
    shares = Shares(400)
    assert sum(shares.take("one") for _ in range(1000)) == 10 == shares.limit("one")
    guests = sum(shares.take(f"guest {number}") for number in range(1000))
    assert guests + 10 == 100
    assert sum(shares.take(None) for _ in range(1000)) == 300
    assert shares.limit(None) == 400
