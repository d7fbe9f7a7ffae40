"""Scopes: every list must agree, and the cheap way answers like the thorough one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core.access import Grant, compile_patterns
from agentbus.hub.core.config import ALL_ACTIONS
from agentbus.protocol import compile_pattern

texts = st.text(alphabet="ab/*\\", max_size=6)
channels = st.text(alphabet="ab/*\\", min_size=1, max_size=8)


def grant(*scopes: list[str], memory: int = 128) -> Grant:
    return Grant(ALL_ACTIONS, *(compile_patterns(scope) for scope in scopes), memory=memory)


@pytest.mark.parametrize(
    ("channel", "action", "code"),
    [
        ("rooms/a", "publish", None),
        ("rooms/a", "send", "action_not_permitted"),
        ("halls/a", "publish", "channel_not_authorized"),
        ("halls/a", "send", "action_not_permitted"),
        ("_system/a", "send", "channel_reserved"),
        ("_metered/x", "publish", "channel_reserved"),
        ("_internal/x", "publish", "channel_reserved"),
        ("_internals/x", "publish", "channel_not_authorized"),
        ("", "publish", "invalid_channel"),
        ("_system/\n", "publish", "invalid_channel"),
        ("x" * 257, "publish", "invalid_channel"),
        ("é" * 129, "publish", "invalid_channel"),
    ],
)
def test_the_first_check_that_fails_names_the_code(channel: str, action: str, code: str | None) -> None:
    scope = Grant(frozenset(("publish", "subscribe")), compile_patterns(["rooms/*"]))
    assert action in {"publish", "send"}
    assert scope.refusal("publish" if action == "publish" else "send", channel) == code


def test_reserved_channels_are_closed_to_a_key_for_everything() -> None:
    assert grant(["**"]).refusal("subscribe", "_system/audit") == "channel_reserved"


@given(st.lists(texts, max_size=3), st.lists(texts, max_size=3), channels)
def test_a_channel_needs_a_match_in_every_list(key: list[str], token: list[str], channel: str) -> None:
    expected = all(any(compile_pattern(text).matches(channel) for text in scope) for scope in (key, token))
    assert (grant(key, token).refusal("publish", channel) is None) == expected


@given(st.lists(st.tuples(channels, st.sampled_from(["publish", "send"])), max_size=40), st.integers(1, 3))
def test_what_is_remembered_never_changes_an_answer(asked: list[tuple[str, str]], memory: int) -> None:
    patterns = compile_patterns(["a*", "b/**"])
    one = Grant(frozenset(("publish",)), patterns, memory=memory)
    for channel, action in asked:
        kind = "publish" if action == "publish" else "send"
        assert one.refusal(kind, channel) == Grant(one.actions, patterns).refusal(kind, channel)


@given(st.lists(texts, max_size=3), st.lists(texts, max_size=3), channels)
def test_a_scope_that_holds_a_channel_is_not_empty(key: list[str], token: list[str], channel: str) -> None:
    scope = grant(key, token)
    if scope.refusal("publish", channel) is None:
        assert not scope.is_empty


@pytest.mark.parametrize(
    ("key", "token", "empty"),
    [
        (["**"], [], True),
        ([], ["**"], True),
        (["rooms/*"], ["rooms/1"], False),
        (["rooms/*"], ["rooms/1/x"], True),
        (["rooms/1"], ["rooms/*"], False),
        (["rooms/1"], ["halls/*"], True),
        (["rooms/**"], ["halls/**"], True),
        (["rooms/**"], ["rooms/a-*"], False),
        (["rooms/**", "halls/*"], ["halls/**"], False),
        ([r"a\*b*"], ["a*b"], False),
        ([r"a\*b*"], [r"a\\*"], True),
    ],
)
def test_a_scope_without_any_channel_is_empty(key: list[str], token: list[str], empty: bool) -> None:
    assert grant(key, token).is_empty is empty


def test_what_is_remembered_is_bounded() -> None:
    scope = grant(["**"], memory=10)
    for number in range(1000):
        assert scope.refusal("publish", f"rooms/{number}") is None
        assert len(scope._authorized) <= 10  # pyright: ignore[reportPrivateUsage] -- the bound to hold
