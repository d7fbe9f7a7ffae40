"""What texts have in common: topics, by non-negative matrix factorisation of their TF-IDF vectors.

scikit-learn takes a second or two to import and has no types: it is imported here, when it is needed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from msgspec import Struct

from agentbus.cli.demo.terms import terms_of
from agentbus.cli.demo.vectors import Floats, Vectors, strongest_first

_ROUNDS = 300  # of the factorisation; it settles long before on text


class Topics(Struct, frozen=True):
    """What texts have in common.

    Attributes:
        membership: shape (texts, topics), 0 upward: how much of a topic a text carries.
        terms: per topic, its strongest terms as (stem, weight), strongest first.
    """

    membership: Floats
    terms: tuple[tuple[tuple[str, float], ...], ...]


def topics(texts: Sequence[str], wanted: int, terms_each: int) -> Topics:
    """Find at most `wanted` topics; where there is too little text there are fewer, or none."""
    counts = [Counter(terms_of(text)) for text in texts]
    vectors = Vectors(counts, in_texts_at_least=2, in_part_at_most=0.5)
    topics = min(wanted, *vectors.matrix.shape)
    if not topics:
        return Topics(np.zeros((len(texts), 0)), ())
    membership, terms = _factors(vectors.matrix, topics)
    return Topics(membership, tuple(_strongest(row, vectors.names, terms_each) for row in terms))


def load_library() -> None:
    """Import scikit-learn ahead of its use."""
    import_module("sklearn.decomposition")


def _factors(vectors: Any, topics: int) -> tuple[Floats, Floats]:
    """The arrays (texts, topics) and (topics, terms), started from singular vectors, not from chance."""
    decomposition: Any = import_module("sklearn.decomposition")
    model = decomposition.NMF(topics, init="nndsvd", random_state=0, max_iter=_ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not settled to the last digit is good enough for reading
        membership = model.fit_transform(vectors)
    terms = np.asarray(model.components_, dtype=np.float64)
    sizes = np.linalg.norm(terms, axis=1)  # free to shift between the two: let the terms have length 1
    return np.asarray(membership * sizes, dtype=np.float64), terms / np.maximum(sizes, 1e-12)[:, None]


def _strongest(weights: Floats, names: list[str], n: int) -> tuple[tuple[str, float], ...]:
    return tuple((names[i], float(weights[i])) for i in strongest_first(weights, n) if weights[i] > 0)
