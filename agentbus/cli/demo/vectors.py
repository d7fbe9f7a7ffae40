"""The one place that touches scikit-learn, which has no types: texts and counts in, typed arrays out.

Everything here is deterministic: no random start, and ties keep their order.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from agentbus.cli.demo.terms import terms_of

Floats = NDArray[np.float64]

_ROUNDS = 300  # of the factorisation; it settles long before on text


class Topics(Struct, frozen=True):
    """What texts have in common.

    Attributes:
        membership: shape (texts, topics), 0 upward: how much of a topic a text carries.
        terms: per topic, its strongest terms as (stem, weight), strongest first.
    """

    membership: Floats
    terms: tuple[tuple[tuple[str, float], ...], ...]


class DocumentVectors:
    """TF-IDF vectors of documents that are given as counts of their terms."""

    def __init__(self, counts: Sequence[Mapping[str, int]]) -> None:
        extraction: Any = import_module("sklearn.feature_extraction")
        text: Any = import_module("sklearn.feature_extraction.text")
        table = extraction.DictVectorizer(dtype=np.float64)
        self._vectors: Any = table.fit_transform(counts if any(counts) else [{"": 0}] * len(counts))
        if any(counts):
            self._vectors = text.TfidfTransformer(sublinear_tf=True).fit_transform(self._vectors)
        self._names: list[str] = list(table.get_feature_names_out())

    def strongest(self, document: int, n: int) -> list[str]:
        """The `n` stems that set one document apart from the others, strongest first."""
        return self._top(self._row(document), n)

    def similarities(self) -> Floats:
        """Cosine similarity of all documents, shape (documents, documents)."""
        return _dense(self._vectors @ self._vectors.T)

    def shared(self, first: int, second: int, n: int) -> list[str]:
        """The `n` stems that make two documents alike, strongest first."""
        return self._top(self._row(first) * self._row(second), n)

    def _row(self, document: int) -> Floats:
        row: Floats = _dense(self._vectors[document])[0]
        return row

    def _top(self, weights: Floats, n: int) -> list[str]:
        return [self._names[i] for i in strongest_first(weights, n) if weights[i] > 0]


def similarities(texts: Sequence[str]) -> Floats:
    """Cosine similarity of the TF-IDF vectors of `texts`, shape (n, n), 0 to 1.

    A text without terms is like no other.
    """
    try:
        vectors = _vectorizer().fit_transform(texts)
    except ValueError:  # no term in any of them
        return np.eye(len(texts))
    return _dense(vectors @ vectors.T)


def topics(texts: Sequence[str], wanted: int, terms_each: int) -> Topics:
    """Factor the TF-IDF matrix of `texts` into at most `wanted` topics (NMF).

    Where there is too little text, there are fewer, or none.
    """
    try:
        vectorizer = _vectorizer(min_df=2, max_df=0.5)
        vectors = vectorizer.fit_transform(texts)
    except ValueError:  # no term in two of them
        return Topics(np.zeros((len(texts), 0)), ())
    model = _factors(vectors, min(wanted, *vectors.shape))
    names: list[str] = list(vectorizer.get_feature_names_out())
    return Topics(model[0], tuple(_strongest(row, names, terms_each) for row in model[1]))


def _factors(vectors: Any, wanted: int) -> tuple[Floats, Floats]:
    """The arrays (texts, topics) and (topics, terms), started from singular vectors, not from chance."""
    decomposition: Any = import_module("sklearn.decomposition")
    model = decomposition.NMF(wanted, init="nndsvd", random_state=0, max_iter=_ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not settled to the last digit is good enough for reading
        membership = model.fit_transform(vectors)
    terms = np.asarray(model.components_, dtype=np.float64)
    sizes = np.linalg.norm(terms, axis=1)  # free to shift between the two: let the terms have length 1
    return np.asarray(membership * sizes, dtype=np.float64), terms / np.maximum(sizes, 1e-12)[:, None]


def strongest_first(weights: Floats, n: int | None = None) -> list[int]:
    """The first `n` indices of `weights`, flattened, from the greatest down; equals keep their order."""
    order: list[int] = np.argsort(-weights, axis=None, kind="stable")[:n].tolist()
    return order


def _strongest(weights: Floats, names: list[str], n: int) -> tuple[tuple[str, float], ...]:
    return tuple((names[i], float(weights[i])) for i in strongest_first(weights, n) if weights[i] > 0)


def _vectorizer(**options: float) -> Any:
    text: Any = import_module("sklearn.feature_extraction.text")
    return text.TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, **options)


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray(), dtype=np.float64)
