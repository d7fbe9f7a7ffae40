from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import InvalidNameError
from agentbus.protocol import check_asserted_peer_id, check_channel, check_peer_id, is_reserved

Check = Callable[[str], None]
CHECKS = [pytest.param(check_channel, 256, id="channel"), pytest.param(check_peer_id, 128, id="peer id")]
CONTROLS = [*range(0x20), 0x7F, *range(0x80, 0xA0)]


def passes(check: Check, name: str) -> bool:
    try:
        check(name)
    except InvalidNameError as error:
        return not error.problem
    return True


def is_legal(name: str, most: int) -> bool:
    """Say what spec section 2 says, the slow way."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 1 <= size <= most and not any(ord(character) in CONTROLS for character in name)


@pytest.mark.parametrize(("check", "most"), CHECKS)
def test_length_counts_bytes_of_utf8(check: Check, most: int) -> None:
    assert passes(check, "a" * most)
    assert not passes(check, "a" * (most + 1))
    assert passes(check, "é" * (most // 2))
    assert not passes(check, "é" * (most // 2) + "a")
    assert passes(check, "😀" * (most // 4))
    assert not passes(check, "")


@pytest.mark.parametrize(("check", "most"), CHECKS)
def test_control_characters_are_refused_and_nothing_else(check: Check, most: int) -> None:
    assert [code for code in range(0x2000) if not passes(check, f"a{chr(code)}b")] == CONTROLS
    assert passes(check, " a / b ")
    assert passes(check, "\u2028\u202e\ufeff")


@pytest.mark.parametrize(("check", "most"), CHECKS)
def test_half_a_surrogate_pair_is_refused(check: Check, most: int) -> None:
    assert not passes(check, "a\ud800")


@pytest.mark.parametrize(("check", "most"), CHECKS)
def test_only_strings_are_names(check: Check, most: int) -> None:
    value: Any
    for value in (None, 7, b"name", ["a"]):
        with pytest.raises(InvalidNameError, match=type(value).__name__):
            check(value)


@given(name=st.text(st.characters(exclude_categories=()), max_size=300))
def test_names_agree_with_the_rule_read_aloud(name: str) -> None:
    assert passes(check_channel, name) == is_legal(name, 256)
    assert passes(check_peer_id, name) == is_legal(name, 128)
    assert passes(check_asserted_peer_id, name) == (is_legal(name, 128) and name.isascii())


@pytest.mark.parametrize("prefix", ["_metered/", "_internal/", "_system/"])
def test_the_hub_keeps_some_channels_to_itself(prefix: str) -> None:
    assert is_reserved(prefix)
    assert is_reserved(prefix + "x")
    assert not is_reserved(prefix[:-1])
    assert not is_reserved("a/" + prefix)
    assert not is_reserved(prefix.upper())
