"""Text with line numbers: what every format is cut into, and how passages become sentences."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from msgspec import Struct


class Line(Struct, frozen=True):
    """One line of prose and where it stands in its file, counted from 1."""

    number: int
    text: str


class Passage(Struct, frozen=True):
    """Lines that belong together: a paragraph, a list item, a table cell, or a heading."""

    lines: tuple[Line, ...]
    heading: bool = False

    @property
    def text(self) -> str:
        """The lines as one line."""
        return _squeeze(" ".join(line.text for line in self.lines))


class Sentence(Struct, frozen=True):
    """One sentence and the line on which it starts."""

    text: str
    line: int


_END = re.compile(
    r"[.!?]['\")\]]{0,3}\s+(?=[\"'(\[`*]?[^\W_a-z])"
    r"|(?<=[a-z]{3})[.!?]\)?\s+(?=[a-z])"  # a name in code may begin a sentence
    r"|[。！？]\s*"  # noqa: RUF001 -- full-width marks
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:e\.g|i\.e|etc|vs|cf|al|approx|resp|incl|mr|mrs|ms|dr|prof|st|fig|figs|sec|no|nos|vol|ed|eds|pp|[a-z])\.\W*$",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_SPACE = re.compile(r"\s+")


def passage(lines: Iterable[tuple[int, str]], *, heading: bool = False) -> Passage | None:
    """Make a passage of numbered lines; `None` if nothing but space is left."""
    kept = tuple(Line(number, _squeeze(text)) for number, text in lines if text.strip())
    return Passage(kept, heading) if any(line.text for line in kept) else None


def sentences(of: Passage) -> Iterator[Sentence]:
    """Split a passage into sentences, each with the line on which it starts."""
    starts = list(accumulate((len(line.text) + 1 for line in of.lines), initial=0))
    text = " ".join(line.text for line in of.lines)
    for begin, end in _spans(text):
        words = text[begin:end].strip()
        if words:
            yield Sentence(words, of.lines[bisect_right(starts, begin) - 1].number)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    for match in _END.finditer(text):
        if _ABBREVIATION.search(text[max(begin, match.start() - 12) : match.start() + 1]):
            continue
        yield begin, match.end()
        begin = match.end()
    yield begin, len(text)


def _squeeze(text: str) -> str:
    """Drop what no terminal should see and fold every run of space into one."""
    return _SPACE.sub(" ", _UNPRINTABLE.sub(" ", text)).strip()
