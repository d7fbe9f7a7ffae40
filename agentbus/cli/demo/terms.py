"""Words to terms: stop words out, plurals folded, pairs of neighbours kept as one term."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

_TOKEN = re.compile(r"[^\W\d_](?:\w|[.'\u2019-](?=\w))*")
_BREAK = re.compile(r"[,;:()\[\]{}|\"\u201c\u201d\u2013\u2014]|[.!?](?=\s|$)")
_LENGTH = range(3, 41)
_LISTED = """
a about above according across actually after afterwards again against all almost alone along already also
although always am among amongst an and another any anybody anyhow anyone anything anywhere are aren't
around as at away be became because become becomes been before beforehand behind being below beside
besides better between beyond both but by called can can't cannot case cases come comes could couldn't
default did didn't does doesn't don't done down during e.g each either else elsewhere enough et ever every
everyone everything everywhere example except few first following for former formerly from further given
gives good got had has hasn't have haven't having he hence her here hereby herein hers herself him himself
his how however i i.e if in indeed inside instead into is isn't it it's its itself just kept last latter
least less let like likely lot made make makes making many may maybe me means meanwhile might mine more
moreover most mostly much must my myself namely need needed needs neither never nevertheless new next no
nobody none nor not note nothing now nowhere of off often on once one ones only onto or other others
otherwise ought our ours ourselves out outside over own per perhaps possible quite rather really right
said same say says second see seen set shall shan't she should shouldn't simply since so some somebody
somehow someone something sometimes somewhere still such sure take taken takes than that that's the their
theirs them themselves then there thereby therefore therein these they things think third this those
though through throughout thus till to today together too toward towards true two under unless until up
upon us use used useful user's uses using usually various very via want wants was wasn't way ways we well
were weren't what whatever when whence whenever where whereas whereby wherein wherever whether which
whichever while who whoever whole whom whose why will with within without won't work works would wouldn't
yes yet you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_LISTED.split())
"""English words that carry no subject, in prose and in technical prose."""


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
            if len(word) in _LENGTH and _folded(word) not in STOP_WORDS:
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
