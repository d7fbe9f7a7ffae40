"""TF-IDF vectors of texts, and how alike they are. scipy has no types: counts go in, typed arrays come out.

A term weighs (1 + ln count) · (1 + ln((1 + n) / (1 + d))), where d of n texts have it; every vector has
length 1. Ties keep their order, so that the same texts give the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentbus.cli.demo.terms import terms_of

Floats = NDArray[np.float64]


class Vectors:
    """One sparse vector per text.

    Args:
        counts: how often each text has each term.
        in_texts_at_least: rarer terms are left out.
        in_part_at_most: more frequent terms are left out; a part of all texts, 0 to 1.

    Attributes:
        matrix: scipy's sparse array, shape (texts, terms).
        names: the terms, in the order of the columns.
    """

    def __init__(
        self,
        counts: Sequence[Mapping[str, int]],
        *,
        in_texts_at_least: int = 1,
        in_part_at_most: float = 1.0,
    ) -> None:
        rarity = _rarity(counts, in_texts_at_least, max(in_part_at_most * len(counts), in_texts_at_least))
        self.names = list(rarity)
        column = {term: i for i, term in enumerate(self.names)}
        weighed = [_weigh(one, rarity) for one in counts]
        rows = [row for row, one in enumerate(weighed) for _ in one]
        columns = [column[term] for one in weighed for term in one]
        weights = [weight for one in weighed for weight in one.values()]
        sparse: Any = import_module("scipy.sparse")
        self.matrix: Any = sparse.csr_array((weights, (rows, columns)), shape=(len(counts), len(self.names)))

    def similarities(self) -> Floats:
        """Cosine similarity, shape (texts, texts), 0 to 1; a text without terms is like no other."""
        return np.asarray((self.matrix @ self.matrix.T).toarray(), dtype=np.float64)

    def strongest(self, text: int, n: int) -> list[str]:
        """The `n` terms that set one text apart from the others, strongest first."""
        return self._top(self._row(text), n)

    def shared(self, first: int, second: int, n: int) -> list[str]:
        """The `n` terms that make two texts alike, strongest first."""
        return self._top(self._row(first) * self._row(second), n)

    def _row(self, text: int) -> Floats:
        return np.asarray(self.matrix[[text], :].toarray(), dtype=np.float64).ravel()

    def _top(self, weights: Floats, n: int) -> list[str]:
        return [self.names[i] for i in strongest_first(weights, n) if weights[i] > 0]


def _rarity(counts: Sequence[Mapping[str, int]], least: float, most: float) -> dict[str, float]:
    """How much each term tells, for those in `least` to `most` texts, in the order of the terms."""
    texts_with = Counter(term for one in counts for term in one)
    return {
        term: 1.0 + log((1 + len(counts)) / (1 + found))
        for term, found in sorted(texts_with.items())
        if least <= found <= most
    }


def _weigh(counts: Mapping[str, int], rarity: Mapping[str, float]) -> dict[str, float]:
    """The vector of one text, with length 1."""
    weights = {term: (1.0 + log(n)) * rarity[term] for term, n in counts.items() if term in rarity}
    length = sqrt(sum(weight * weight for weight in weights.values()))
    return {term: weight / length for term, weight in weights.items()}


def similarities(texts: Sequence[str]) -> Floats:
    """Cosine similarity, shape (texts, texts), 0 to 1; a text without terms is like no other."""
    return Vectors([Counter(terms_of(text)) for text in texts]).similarities()


def strongest_first(weights: Floats, n: int | None = None) -> list[int]:
    """The first `n` indices of `weights`, flattened, from the greatest down; equals keep their order."""
    order: list[int] = np.argsort(-weights, axis=None, kind="stable")[:n].tolist()
    return order
