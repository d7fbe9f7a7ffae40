from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.demo.passages import Passage, passage, sentences


def split(*lines: str) -> list[tuple[int, str]]:
    made = passage(enumerate(lines, start=1))
    return [(one.line, one.text) for one in sentences(made)] if made else []


def test_a_sentence_knows_the_line_on_which_it_starts() -> None:
    assert split("One ends. Two starts", "and ends. Three", "is last") == [
        (1, "One ends."),
        (1, "Two starts and ends."),
        (2, "Three is last"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Some words, e.g. These, are one sentence.",
        "See Fig. 3 and Dr. Jones (cf. Smith et al. Nature) for it.",
        "Version 3.11 of it, i.e. Python.",
        "J. R. Tolkien wrote it.",
        "It costs 3.5 units.",
    ],
)
def test_an_abbreviation_ends_no_sentence(text: str) -> None:
    assert split(text) == [(1, text)]


def test_a_name_in_code_may_begin_a_sentence() -> None:
    assert [text for _, text in split("It closes. dispose() ends it, etc. and so on.")] == [
        "It closes.",
        "dispose() ends it, etc. and so on.",
    ]


def test_quotes_and_full_width_marks_end_sentences() -> None:
    assert [text for _, text in split('He said "stop." Then he left! 一つ目。二つ目。')] == [
        'He said "stop."',
        "Then he left!",
        "一つ目。",
        "二つ目。",
    ]


def test_what_no_terminal_should_see_is_dropped() -> None:
    made = passage([(1, "a\x1b[31m b\x00\u202e c\u200b")])
    assert made is not None
    assert made.text == "a [31m b c"


def test_only_space_is_no_passage() -> None:
    assert passage([(1, " \t"), (2, "\u200b")]) is None


@given(st.lists(st.text(max_size=60), max_size=8))
def test_sentences_keep_every_word_in_order(lines: list[str]) -> None:
    made = passage(enumerate(lines, start=1)) or Passage(())
    found = list(sentences(made))
    assert " ".join(one.text for one in found).split() == made.text.split()
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert all(1 <= one.line <= len(lines) for one in found)
