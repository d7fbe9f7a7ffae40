"""Rank the sentences of one document: TextRank over the cosine similarity of their TF-IDF vectors.

Mihalcea and Tarau, "TextRank: Bringing Order into Texts" (2004). A sentence ranks high if it shares rare
terms with many sentences that rank high themselves. A slight preference
for early sentences breaks what would be ties.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from msgspec import Struct

from agentbus.cli.demo.extract import Extract
from agentbus.cli.demo.passages import Sentence
from agentbus.cli.demo.terms import Vocabulary
from agentbus.cli.demo.vectors import Floats, similarities, strongest_first

SENTENCES_KEPT = 12
TERMS_KEPT = 150
_LONGEST = 400  # characters of a quoted sentence
_EDGE = 0.05  # weaker similarity is noise and only makes the graph dense
_SAME = 0.6  # more similar than this says the same thing twice
_HEADING_WEIGHT = 3  # a term in a heading counts like three in the text


class RankedSentence(Struct, frozen=True):
    """A sentence, its line, and its score; the best of a document has 1.0."""

    text: str
    line: int
    score: float


class Term(Struct, frozen=True):
    """A term of one document: its stem, its usual spelling, how often it occurs (headings weigh more)."""

    stem: str
    written: str
    count: int


class FileSummary(Struct, frozen=True):
    """What one document comes down to; small enough to travel in one message.

    Attributes:
        path: relative to the folder.
        title: its first heading, or its name.
        sentence_count: sentences that were ranked.
        sentences: the best ones, best first.
        terms: the most frequent ones, most frequent first.
        truncated: whether the document had more sentences than were ranked.
        prose: what a language model wrote about it, if one was asked.
    """

    path: str
    title: str
    sentence_count: int
    sentences: tuple[RankedSentence, ...]
    terms: tuple[Term, ...]
    truncated: bool = False
    prose: str | None = None


def summarise(path: str, document: Extract) -> FileSummary:
    """Rank the sentences of a document and count its terms."""
    return FileSummary(
        path=path,
        title=_shorten(document.title, 120),
        sentence_count=len(document.sentences),
        sentences=_best_sentences(document.sentences),
        terms=_terms(document),
        truncated=document.truncated,
    )


def _terms(document: Extract) -> tuple[Term, ...]:
    vocabulary = Vocabulary()
    for sentence in document.sentences:
        vocabulary.add(sentence.text)
    for heading in document.headings:
        vocabulary.add(heading, weight=_HEADING_WEIGHT)
    return tuple(Term(*term) for term in vocabulary.most_common(TERMS_KEPT))


def _best_sentences(sentences: tuple[Sentence, ...]) -> tuple[RankedSentence, ...]:
    alike = similarities([sentence.text for sentence in sentences])
    scores = _text_rank(alike) * np.array([_wholeness(sentence.text) for sentence in sentences])
    chosen = _without_repetition(scores, alike)
    top = max(scores[chosen[0]], 1e-12)
    return tuple(
        RankedSentence(_shorten(sentences[i].text, _LONGEST), sentences[i].line, round(score, 4))
        for i, score in zip(chosen, (scores[chosen] / top).tolist(), strict=True)
    )


def _text_rank(alike: Floats) -> Floats:
    """PageRank on the graph of similar sentences; early ones get a little more of the random jumps."""
    weights = np.where(alike >= _EDGE, alike, 0.0)
    np.fill_diagonal(weights, 0.0)
    graph: nx.Graph[int] = nx.from_numpy_array(weights)
    early = {i: 1.0 + 1.0 / (1.0 + i) for i in range(len(weights))}
    ranks = nx.pagerank(graph, personalization=early)
    return np.array([ranks[i] for i in range(len(weights))])


def _wholeness(text: str) -> float:
    """Cosine similarity favours fragments such as table cells; a reader wants sentences: 0.3 to 1."""
    length = min(1.0, len(text.split()) / 12)
    return length * (1.0 if text.endswith((".", "!", "?")) else 0.7)


def _without_repetition(scores: Floats, alike: Floats) -> list[int]:
    """The best sentences, best first, without near copies of a better one."""
    chosen: list[int] = []
    for i in strongest_first(scores):
        if all(alike[i, j] < _SAME for j in chosen):
            chosen.append(i)
        if len(chosen) == SENTENCES_KEPT:
            break
    return chosen


def _shorten(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    return text[:characters].rsplit(" ", 1)[0] + " …"
