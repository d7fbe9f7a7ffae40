"""Rendezvous hashing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.rendezvous import rendezvous

members = st.lists(st.text(max_size=20), unique=True, max_size=20)


def chosen(key: str, among: list[str]) -> str | None:
    return rendezvous(key, among, str)


@given(st.text(), members, st.randoms())
def test_everybody_chooses_the_same_whatever_the_order(key: str, among: list[str], random: object) -> None:
    shuffled = sorted(among, key=lambda _member: getattr(random, "random")())  # noqa: B009 -- hypothesis's own type
    assert chosen(key, among) == chosen(key, shuffled)
    assert (chosen(key, among) is None) == (not among)


@given(st.lists(st.text(), min_size=1), members.filter(bool))
def test_a_member_that_goes_moves_only_its_keys(keys: list[str], among: list[str]) -> None:
    gone = among[0]
    for key in keys:
        before, after = chosen(key, among), chosen(key, among[1:])
        assert before in {gone, after}


def test_keys_are_spread_evenly_and_the_same_way_in_every_process() -> None:
    shares = Counter(chosen(f"key-{number}", ["a", "b", "c", "d"]) for number in range(4000))
    assert all(900 <= share <= 1100 for share in shares.values())
    assert [chosen(f"key-{number}", ["a", "b", "c", "d"]) for number in range(5)] == list("aaacb")
