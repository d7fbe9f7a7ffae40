"""From one document to the sentences that are worth ranking."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from agentbus.cli.demo.formats import READERS
from agentbus.cli.demo.passages import Passage, Sentence, sentences
from agentbus.cli.demo.sources import Limits, Source, read_source

_WORD = re.compile(r"[^\W\d_]{2,}")
_CODE = re.compile(r"\s(?:={1,2}|#|->|:=|&&)\s|[{};]$|[(=,]$")
_WORDS_WANTED = range(5, 61)
_LETTERS_WANTED = 0.6  # share of the characters: below it, a line is a formula, a path or a table of figures


class Extract(Struct, frozen=True):
    """The prose of one document.

    Attributes:
        title: its first heading, or its name.
        headings: all headings, as text.
        sentences: in the order of the document, without repetitions.
        truncated: whether there were more sentences than the limit.
    """

    title: str
    headings: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    truncated: bool = False


def extract(root: Path, source: Source, limits: Limits) -> Extract:
    """Read a document and keep its headings and sentences.

    Raises:
        ValueError: if it cannot be read or holds no sentence; the text says why.
    """
    passages = READERS[source.format](read_source(root, source, limits))
    headings = tuple(one.text for one in passages if one.heading)
    found = _worth_ranking(passages)
    if not found:
        raise ValueError("no sentences in it")
    return Extract(
        title=headings[0] if headings else Path(source.path).name,
        headings=headings,
        sentences=tuple(found[: limits.sentences]),
        truncated=len(found) > limits.sentences,
    )


def _worth_ranking(passages: list[Passage]) -> list[Sentence]:
    unique: dict[str, Sentence] = {}
    for one in passages:
        if not one.heading:
            for sentence in sentences(one):
                if _is_prose(sentence.text):
                    unique.setdefault(sentence.text.casefold(), sentence)
    return list(unique.values())


def _is_prose(text: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in text)
    long_enough = len(_WORD.findall(text)) in _WORDS_WANTED
    return long_enough and letters >= _LETTERS_WANTED * len(text) and not _CODE.search(text)
