from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agentbus.cli.demo.extract import Extract, extract
from agentbus.cli.demo.passages import Sentence
from agentbus.cli.demo.rank import SENTENCES_KEPT, TERMS_KEPT, FileSummary, summarise
from agentbus.cli.demo.sources import Limits, Source

PROSE = """\
# Close codes

A close code tells the client why its connection ended and whether a retry makes sense.
The client reads the close code of the connection and asks the code for its retry rule.
Bananas grow on tropical plantations far away.
A retry after the close code 4010 never happens sooner than thirty seconds.
"""


def document(*texts: str, title: str = "T", headings: tuple[str, ...] = ()) -> Extract:
    return Extract(title, headings, tuple(Sentence(text, i) for i, text in enumerate(texts, start=1)))


def from_file(tmp_path: Path, text: str, limits: Limits | None = None) -> Extract:
    (tmp_path / "a.md").write_text(text)
    return extract(tmp_path, Source("a.md", "markdown"), limits or Limits())


def test_sentences_that_share_a_subject_outrank_a_stranger(tmp_path: Path) -> None:
    summary = summarise("a.md", from_file(tmp_path, PROSE))
    assert (summary.title, summary.sentence_count) == ("Close codes", 4)
    assert summary.sentences[0].score == 1.0
    assert summary.sentences[-1].text.startswith("Bananas")
    assert {sentence.line for sentence in summary.sentences} == {3, 4, 5, 6}
    assert [term.written for term in summary.terms[:3]] == ["code", "close", "close code"]


def test_near_copies_are_not_said_twice() -> None:
    one = "The hub closes a slow consumer whose backlog passes its cap."
    summary = summarise(
        "a", document(one, one[:-1] + " again.", "Something else happens in other places here.")
    )
    assert len(summary.sentences) == 2


def test_a_summary_stays_small_enough_for_one_message() -> None:
    long = [f"Sentence {i} {'éü' * 120} subject{i} tail{i} {'word ' * 60}." for i in range(200)]
    summary = summarise("a", document(*long))
    assert len(summary.sentences) <= SENTENCES_KEPT
    assert len(summary.terms) <= TERMS_KEPT
    assert len(msgspec.json.encode(summary)) < 48 * 1024


def test_sentences_without_any_term_are_ranked_by_position() -> None:
    summary = summarise("a", document("this is it and that was that", "it was as it is and was then"))
    assert summary.terms == ()
    assert summary.sentences[0].line == 1


def test_the_same_document_gives_the_same_summary() -> None:
    texts = [
        f"Alpha{i % 3} beta{i % 5} gamma{i % 7} words follow each other in sentence {i}." for i in range(60)
    ]
    assert summarise("a", document(*texts)) == summarise("a", document(*texts))


def test_a_summary_survives_the_wire() -> None:
    summary = summarise("a", document("A first sentence about agents and hubs.", headings=("Agents",)))
    assert msgspec.json.decode(msgspec.json.encode(summary), type=FileSummary) == summary


def test_fragments_code_and_repetitions_are_not_ranked(tmp_path: Path) -> None:
    text = "Two words\n\nx = 1 # is code and more code here\n\n1 2 3 4 5 6 7 8 a b c d\n\n" + (
        "A whole sentence about one subject.\n\n" * 2
    )
    found = from_file(tmp_path, text)
    assert [sentence.line for sentence in found.sentences] == [7]


def test_a_document_without_headings_is_called_by_its_name(tmp_path: Path) -> None:
    assert from_file(tmp_path, "A whole sentence about one subject.").title == "a.md"


def test_a_document_without_sentences_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sentences"):
        from_file(tmp_path, "# Only a heading\n")


def test_sentences_over_the_limit_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    text = "\n\n".join(f"Sentence {word} is about one subject." for word in ("one", "two", "three"))
    found = from_file(tmp_path, text, Limits(sentences=2))
    assert (len(found.sentences), found.truncated) == (2, True)
    assert summarise("a.md", found).truncated
