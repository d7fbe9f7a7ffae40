from __future__ import annotations

import pytest

from agentbus.cli.demo.terms import Vocabulary, stem_of, terms_of


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("agents", "agent"), ("queries", "query"), ("processes", "process"), ("boxes", "box"),
        ("status", "status"), ("class", "class"), ("basis", "basis"), ("bus", "bus"), ("matches", "match"),
        ("hub", "hub"),
    ],
)  # fmt: skip
def test_plurals_are_folded(word: str, stem: str) -> None:
    assert stem_of(word) == stem


def test_terms_are_words_and_pairs_of_neighbours_without_stop_words() -> None:
    assert terms_of("The close code of the hub's connections.") == [
        "close", "code", "close code", "hub", "connection", "hub connection",
    ]  # fmt: skip


def test_a_pair_crosses_no_punctuation_and_no_stop_word() -> None:
    assert terms_of("retry, backoff and jitter") == ["retry", "backoff", "jitter"]


def test_names_in_code_stay_whole() -> None:
    assert "max_message_size" in terms_of("max_message_size applies")
    assert "bus.spawn" in terms_of("call bus.spawn")


def test_the_most_frequent_spelling_is_shown_and_ties_are_stable() -> None:
    vocabulary = Vocabulary()
    for text in ("Agents run.", "agents wait", "An Agent", "TCP frames", "tcp frame", "TCP frame"):
        vocabulary.add(text)
    vocabulary.add("heading", weight=5)
    most = vocabulary.most_common(4)
    assert most == [
        ("heading", "heading", 5),
        ("agent", "agents", 3),
        ("frame", "frame", 3),
        ("tcp", "TCP", 3),
    ]
