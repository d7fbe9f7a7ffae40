"""Words to terms: stop words out, plurals folded, pairs of neighbours kept as one term."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise

_TOKEN = re.compile(r"[^\W\d_](?:\w|[.'\u2019-](?=\w))*")
_BREAK = re.compile(r"[,;:()\[\]{}|\"\u201c\u201d\u2013\u2014]|[.!?](?=\s|$)")
_LENGTH = range(3, 41)
_SPOKEN_AROUND = """
according actually already also always anything aren't away better both called can't case cases come comes
couldn't default did didn't does doesn't don't done e.g enough et every everything example first following
given gives good got hasn't haven't i.e instead isn't it's itself just kept let like likely lot made make
makes making many maybe means much need needed needs new next note once one ones onto otherwise per
possible really right said same say says second see seen set shall shouldn't simply since something sure
take taken takes that's things think third today too true two use used useful user's uses using usually
various via want wants wasn't way ways weren't whether whole within without won't work works wouldn't yes
yet
"""


class Vocabulary:
    """Counts terms and remembers how each was written most often."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._written: dict[str, Counter[str]] = {}

    def add(self, text: str, weight: int = 1) -> None:
        """Count the terms of one sentence or heading."""
        for stem, written in _pairs_and_words(text):
            self._counts[stem] += weight
            self._written.setdefault(stem, Counter())[written] += weight

    def most_common(self, n: int) -> list[tuple[str, str, int]]:
        """The `n` most frequent as (stem, most frequent spelling, count), ties by stem."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:n]
        return [(stem, favourite(self._written[stem]), count) for stem, count in ranked]


def terms_of(text: str) -> list[str]:
    """The stems of a text: single words and pairs of neighbours."""
    return [stem for stem, _ in _pairs_and_words(text)]


def stem_of(word: str) -> str:
    """Fold an English plural (Harman's S-stemmer, 1991); other words stay."""
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word if word.endswith(("us", "ss", "is")) else word[:-1]


def _pairs_and_words(text: str) -> Iterator[tuple[str, str]]:
    for phrase in _phrases(text):
        stems = [(stem_of(_folded(word)), _plain(word)) for word in phrase]
        yield from stems
        for (first, first_written), (second, second_written) in pairwise(stems):
            if first != second:
                yield f"{first} {second}", f"{first_written} {second_written}"


def _phrases(text: str) -> Iterator[list[str]]:
    """Runs of words with no stop word and no punctuation between them."""
    for part in _BREAK.split(text):
        run: list[str] = []
        for word in _TOKEN.findall(part):
            if len(word) in _LENGTH and _folded(word) not in stop_words():
                run.append(word)
            else:
                yield run
                run = []
        yield run


def _folded(word: str) -> str:
    return word.casefold().replace("\u2019", "'").removesuffix("'s")


def _plain(word: str) -> str:
    """How a word reads inside a sentence: the first one's capital goes, an acronym's or a name's stays."""
    return word.lower() if word[1:].islower() else word


def favourite(spellings: Counter[str]) -> str:
    """The most frequent spelling; of equals, the first in order."""
    return min(spellings.items(), key=lambda item: (-item[1], item[0]))[0]


@cache
def stop_words() -> frozenset[str]:
    """English words that carry no subject: scikit-learn's list and what technical prose adds to it."""
    listed: Iterable[str] = import_module("sklearn.feature_extraction.text").ENGLISH_STOP_WORDS
    return frozenset(listed).union(_SPOKEN_AROUND.split())
