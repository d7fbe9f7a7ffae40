"""Merge the summaries of all documents into one index: themes, key terms, related documents.

Themes are topics of the best sentences of all documents (NMF on TF-IDF), so that they exist in a folder of
three files and in one of a thousand. Key terms and relations come from the documents' term counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from agentbus.cli.demo.digest import Document, Index, Quote, Related, Theme
from agentbus.cli.demo.rank import FileSummary, RankedSentence
from agentbus.cli.demo.terms import favourite
from agentbus.cli.demo.topics import Topics, topics
from agentbus.cli.demo.vectors import Floats, Vectors, similarities, strongest_first

_THEMES = 6
_SENTENCES_PER_THEME = 6  # fewer themes where there are fewer sentences
_SENTENCES_COMPARED = 6000
_QUOTES = 3
_QUOTED_FROM = 24  # candidates for the quotes of a theme
_QUOTE_WORDS = 14  # shorter ones say less; longer ones are no better
_CARRIES = 0.05  # membership from which a sentence counts as being about a theme
_SAME = 0.5
_KEY_TERMS = 6
_SUMMARY = 3
_RELATED = 6
_RELATED_AT_ALL = 0.1
_SHARED_TERMS = 4
_LABEL = 4
_PAIR_WORTH = 0.5  # a pair of words names a theme if it weighs at least this part of its stronger word

Place = tuple[FileSummary, RankedSentence]


def merge(summaries: Sequence[FileSummary]) -> Index:
    """Build the index of a folder; the order of `summaries` does not matter."""
    ordered = sorted(summaries, key=lambda one: one.path)
    if not ordered:
        return Index((), (), ())
    written = _spellings(ordered)
    vectors = Vectors([{term.stem: term.count for term in one.terms} for one in ordered])
    documents = tuple(
        _document(one, vectors.strongest(i, 3 * _KEY_TERMS), written) for i, one in enumerate(ordered)
    )
    return Index(documents, _themes(ordered, written), _related(ordered, vectors, written))


def _spellings(summaries: Sequence[FileSummary]) -> dict[str, str]:
    """How each stem is written most often in the whole folder."""
    counts: dict[str, Counter[str]] = {}
    for one in summaries:
        for term in one.terms:
            counts.setdefault(term.stem, Counter())[term.written] += term.count
    return {stem: favourite(spellings) for stem, spellings in counts.items()}


def _document(one: FileSummary, stems: list[str], written: Mapping[str, str]) -> Document:
    best = sorted(one.sentences[:_SUMMARY], key=lambda sentence: sentence.line)
    return Document(
        path=one.path,
        title=one.title,
        key_terms=_spelled(_without_parts(stems, _KEY_TERMS), written),
        summary=tuple(Quote(sentence.text, one.path, sentence.line) for sentence in best),
        sentences=one.sentence_count,
        prose=one.prose,
    )


# -- themes ------------------------------------------------------------------------------------------------


def _themes(summaries: Sequence[FileSummary], written: Mapping[str, str]) -> tuple[Theme, ...]:
    each = max(1, _SENTENCES_COMPARED // len(summaries))
    places = [(one, sentence) for one in summaries for sentence in one.sentences[:each]]
    wanted = min(_THEMES, len(places) // _SENTENCES_PER_THEME)
    if not wanted:
        return ()
    found = topics([sentence.text for _, sentence in places], wanted, terms_each=12)
    themes = [_theme(places, found, i, written) for i in range(len(found.terms))]
    return tuple(sorted((theme for theme in themes if theme), key=lambda theme: -theme.share))


def _theme(places: Sequence[Place], found: Topics, topic: int, written: Mapping[str, str]) -> Theme | None:
    membership = found.membership[:, topic]
    about = {places[i][0].path for i in np.flatnonzero(membership >= _CARRIES).tolist()}
    if not about:
        return None
    return Theme(
        terms=_spelled(_label(found.terms[topic]), written),
        share=round(float(membership.sum() / found.membership.sum()), 3),
        files=len(about),
        quotes=_quotes(places, membership),
    )


def _label(weighed: Sequence[tuple[str, float]]) -> list[str]:
    weights = dict(weighed)
    strong = [
        stem
        for stem, weight in weighed
        if " " not in stem or weight >= _PAIR_WORTH * max(weights.get(word, 0.0) for word in stem.split())
    ]
    return _without_parts(strong, _LABEL)


def _without_parts(stems: Sequence[str], n: int) -> list[str]:
    """The first `n`, strongest first; a word that is part of a pair in the list is not said again."""
    kept: list[str] = []
    pairs = [stem for stem in stems if " " in stem]
    for stem in stems:
        said = {word for one in kept for word in one.split()}
        whole = next((pair for pair in pairs if stem in pair.split() and not said & set(pair.split())), stem)
        if not said & set(whole.split()):
            kept.append(whole)
    return kept[:n]


def _quotes(places: Sequence[Place], membership: Floats) -> tuple[Quote, ...]:
    """The sentences that carry a theme: different files first, nothing said twice."""
    worth = membership * np.array([_worth(sentence) for _, sentence in places])
    candidates = [places[i] for i in strongest_first(worth, _QUOTED_FROM) if membership[i] >= _CARRIES]
    return tuple(
        Quote(sentence.text, one.path, sentence.line)
        for one, sentence in (candidates[i] for i in _choose(candidates))
    )


def _choose(candidates: Sequence[Place]) -> list[int]:
    alike = similarities([sentence.text for _, sentence in candidates])
    paths = [one.path for one, _ in candidates]
    chosen: list[int] = []
    for same_file_again in (False, True):
        for i, path in enumerate(paths):
            fresh = i not in chosen and all(alike[i, j] < _SAME for j in chosen)
            if fresh and (same_file_again or path not in {paths[j] for j in chosen}):
                chosen.append(i)
    return chosen[:_QUOTES]


def _worth(sentence: RankedSentence) -> float:
    return float(np.sqrt(sentence.score)) * min(1.0, len(sentence.text.split()) / _QUOTE_WORDS)


# -- relations ---------------------------------------------------------------------------------------------


def _related(
    summaries: Sequence[FileSummary], vectors: Vectors, written: Mapping[str, str]
) -> tuple[Related, ...]:
    alike = np.triu(vectors.similarities(), k=1)
    pairs = [divmod(i, len(summaries)) for i in strongest_first(alike, _RELATED)]
    return tuple(
        Related(
            first=summaries[i].path,
            second=summaries[j].path,
            similarity=round(float(alike[i, j]), 3),
            terms=_spelled(_without_parts(vectors.shared(i, j, 3 * _SHARED_TERMS), _SHARED_TERMS), written),
        )
        for i, j in pairs
        if alike[i, j] >= _RELATED_AT_ALL
    )


def _spelled(stems: Sequence[str], written: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(written.get(stem, stem) for stem in stems)
