from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.protocol import Pattern, compile_pattern, covers

ALPHABET = "ab/*\\"
LONGEST = "a" * 256


def naive(pattern: str, name: str) -> bool:
    """Match the way the rule reads; exponential, hence for short texts only."""
    if not pattern:
        return not name
    if pattern.startswith("**"):
        rest = pattern.lstrip("*")
        return any(naive(rest, name[at:]) for at in range(len(name) + 1))
    if pattern.startswith("*"):
        run = len(name.split("/", 1)[0])
        return any(naive(pattern[1:], name[at:]) for at in range(run + 1))
    if pattern[:2] in {r"\*", r"\\"}:
        return name[:1] == pattern[1] and naive(pattern[2:], name[1:])
    return name[:1] == pattern[0] and naive(pattern[1:], name[1:])


@given(pattern=st.text(ALPHABET, max_size=10), name=st.text(ALPHABET, max_size=10))
def test_patterns_agree_with_the_rule_read_aloud(pattern: str, name: str) -> None:
    assert compile_pattern(pattern).matches(name) == naive(pattern, name)


@given(data=st.data(), pattern=st.text(ALPHABET, min_size=1, max_size=12))
def test_a_name_made_from_a_pattern_matches_it(data: st.DataObject, pattern: str) -> None:
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            pieces.append(data.draw(st.text(ALPHABET, max_size=5)))
            at += 2
        elif pattern[at] == "*":
            pieces.append(data.draw(st.text("ab*\\", max_size=5)))
            at += 1
        else:
            at += pattern[at : at + 2] in {r"\*", r"\\"}
            pieces.append(pattern[at])
            at += 1
    assert compile_pattern(pattern).matches("".join(pieces))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("room-*", ["room-42", "room-"], ["room-42/x", "xroom-42", "room"]),
        ("tasks/**", ["tasks/a/b", "tasks/", "tasks/a"], ["tasks", "x/tasks/a"]),
        ("**", ["", "a", "a/b/c", "*"], []),
        ("*", ["", "a", "*"], ["a/b", "/"]),
        ("", [""], ["a"]),
        ("rooms/*/chat", ["rooms/7/chat", "rooms//chat"], ["rooms/7/8/chat", "rooms/chat"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("**/log", ["a/b/log", "/log"], ["log"]),
        ("*/*", ["a/b", "/"], ["a", "a/b/c"]),
        ("**a*b", ["x/y/aqb", "ab"], ["a/b", "ab/"]),
        ("***", ["a/b"], []),
        (r"\*", ["*"], ["a", r"\*", ""]),
        (r"\**", ["*", "*abc"], ["a", "*a/b"]),
        (r"\\*", ["\\", "\\a"], ["a"]),
        (r"a\b", [r"a\b"], ["ab"]),
        ("a\\", ["a\\"], ["a"]),
        ("a.b[c]?+", ["a.b[c]?+"], ["axb[c]?+"]),
        ("räume/*", ["räume/ü"], ["raume/u"]),
    ],
)
def test_patterns_by_example(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [name for name in matching if not compiled.matches(name)] == []
    assert [name for name in others if compiled.matches(name)] == []


@pytest.mark.parametrize(
    "pattern", ["*a" * 120 + "b", "**a" * 80 + "b", "a*" * 120 + "/b", "**/*" * 60 + "b"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    """A backtracking matcher would still be at it when the suite's time-out strikes."""
    assert not any(compile_pattern(pattern).matches(LONGEST) for _ in range(100))


def test_patterns_are_values() -> None:
    pattern = compile_pattern("a/*")
    assert pattern == Pattern("a/*")
    assert hash(pattern) == hash(Pattern("a/*"))
    assert pattern != compile_pattern("a/**")
    assert pattern != "a/*"
    assert repr(pattern) == "Pattern('a/*')"
    assert pickle.loads(pickle.dumps(pattern)).matches("a/b")


@given(
    outer=st.text("a/*\\", max_size=6), inner=st.text("a/*\\", max_size=6), name=st.text("a/*\\", max_size=6)
)
def test_what_a_covered_pattern_matches_the_covering_one_matches(outer: str, inner: str, name: str) -> None:
    if covers(outer, inner) and naive(inner, name):
        assert naive(outer, name)


@pytest.mark.parametrize(
    ("outer", "inside", "outside"),
    [
        ("**", ["", "a", "*", "a/**/b", r"\*"], []),
        ("rooms/*", ["rooms/7", "rooms/*", "rooms/", "rooms/a*b"], ["rooms/**", "rooms/7/8", "*", "room*"]),
        ("tasks/**", ["tasks/a", "tasks/*/b", "tasks/**", "tasks/x/**/y"], ["tasks", "task**", "**"]),
        ("*", ["a", "*", "a*", r"\*"], ["**", "a/b", "*/*"]),
        (r"\*", [r"\*"], ["*", "a"]),
        ("a", ["a"], ["*", "b", ""]),
        ("**a*b", ["**a*b", "xaqb", "a*b", "**aa*b"], ["**a/b", "**ab**"]),
    ],
)
def test_a_pattern_covers_another_by_example(outer: str, inside: list[str], outside: list[str]) -> None:
    assert [inner for inner in inside if not covers(outer, inner)] == []
    assert [inner for inner in outside if covers(outer, inner)] == []


@given(pattern=st.text(ALPHABET, max_size=10))
def test_every_pattern_covers_itself(pattern: str) -> None:
    assert covers(pattern, pattern)
