from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.address import (
    Address,
    decode_part,
    directory_channel,
    encode_part,
    inbox_channel,
    parse_address,
    topic_channel,
)
from agentbus.errors import InvalidNameError

parts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(parts, parts, parts)
def test_an_address_reads_back_as_it_prints(namespace: str, node: str, agent: str) -> None:
    address = Address(namespace, node, agent)
    assert str(address).count("/") == 2
    assert parse_address(str(address), namespace="other", node="other") == address


@given(parts, parts, parts)
def test_short_forms_are_completed_from_the_reader(namespace: str, node: str, agent: str) -> None:
    address = Address(namespace, node, agent)
    alone, with_node = encode_part(agent), f"{encode_part(node)}/{encode_part(agent)}"
    assert parse_address(alone, namespace=namespace, node=node) == address
    assert parse_address(with_node, namespace=namespace, node="other") == address


@given(st.text(max_size=40))
def test_reading_raises_nothing_but_its_own_error_and_has_one_form_per_address(text: str) -> None:
    try:
        address = parse_address(text, namespace="ns", node="n")
    except InvalidNameError:
        return
    assert str(address).endswith(text)


def test_what_has_no_special_character_stays_readable() -> None:
    assert str(Address("default", "worker-7", "sum#2")) == "default/worker-7/sum#2"
    assert str(Address("default", "a/b", "50%")) == "default/a%2Fb/50%25"


@pytest.mark.parametrize("text", ["", "/", "a//b", "a/b/c/d", "%zz", "%2f", "%41", "%ff", "a/"])
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidNameError):
        parse_address(text, namespace="ns", node="n")


@pytest.mark.parametrize("part", ["", "x" * 101, "é" * 51, "\ud800"])
def test_parts_are_bounded_text(part: str) -> None:
    with pytest.raises(InvalidNameError):
        Address("ns", "node", part)


@given(parts)
def test_parts_round_trip(part: str) -> None:
    assert decode_part(encode_part(part)) == part


def test_channels_fit_the_wire_and_hold_no_foreign_slash() -> None:
    assert directory_channel("a/b") == "agentbus/a%2Fb/dir"
    assert inbox_channel("ns", "n/1") == "agentbus/ns/n/n%2F1"
    assert topic_channel("ns", "news/eu") == "agentbus/ns/t/news/eu"
    assert len(inbox_channel("n" * 100, "m" * 100).encode()) <= 256
