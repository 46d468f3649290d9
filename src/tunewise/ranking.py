"""How the candidates of a search are put in order: words for BM25, and a linear mix of what speaks for a fact.

A fact is short and read out of its surroundings, so what stands around it counts too: how well the best fact
of its section fits, and how well the words of its whole document do. The weights are those of a pairwise
logistic regression (Joachims 2002, "Optimizing search engines using clickthrough data") on the development queries of
`evals/retrieval`; `python -m evals.retrieval.fitting` fits them again.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tunewise.schema import Fact

WORD = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
SUPPORT = 5
"""Facts of a document that its own fit is taken from."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """What each thing that speaks for a fact counts."""

    cosine: float = 0.28
    """Cosine with the query, both in the adapter's space, as a share of the best candidate's."""
    lexical: float = 0.43
    """BM25, as a share of the best candidate's."""
    section: float = 0.17
    """The best cosine of its section, as such a share."""
    document: float = 0.12
    """Mean BM25 of the best five candidates of its document, as such a share."""
    length: float = 0.08
    """Natural logarithm of its words: a longer fact says more."""
    article: float = -0.07
    """Whether it is one of the article, whose general statements sit near every question."""


@dataclass(frozen=True)
class Layout:
    """Where facts stand, as arrays of shape (facts,)."""

    section: NDArray[np.int64]
    """Number of the section."""
    document: NDArray[np.int64]
    """Number of the document."""
    length: Floats
    """Natural logarithm of the count of words."""
    article: Floats
    """1 where the fact is one of the article."""

    @classmethod
    def of(cls, facts: Sequence[Fact]) -> "Layout":
        """The layout of an index's facts, in its order."""
        return cls(
            section=_numbers([(fact.document, fact.section) for fact in facts]),
            document=_numbers([fact.document for fact in facts]),
            length=np.log([max(len(fact.text.split()), 1) for fact in facts]),
            article=np.array([fact.kind == "article" for fact in facts], dtype=np.float64),
        )


def evidence(places: NDArray[np.int64], cosines: Floats, lexical: Floats, layout: Layout) -> Floats:
    """What speaks for each candidate, in the order of `Weights`; shape (candidates, 6).

    Args:
        places: The candidates' places among all facts.
        cosines: Of each with the query.
        lexical: BM25 of each.
        layout: Where the facts stand.
    """
    near = cosines / max(float(cosines.max()), 1e-6)
    words = lexical / max(float(lexical.max()), 1e-6)
    section = _grouped(layout.section[places], near, lambda values: float(values.max()))
    document = _grouped(layout.document[places], words, _support)
    return np.stack([near, words, section, document, layout.length[places], layout.article[places]], axis=1)


def scores(found: Floats, weights: Weights) -> Floats:
    """The mix for each candidate; higher is better, comparable within one query only."""
    return np.asarray(found @ np.array(astuple(weights)), dtype=np.float64)


def best(values: NDArray[np.float32], k: int) -> list[int]:
    """Places of the `k` largest values, largest first, ties in order; without sorting all."""
    if k < len(values):
        edge = np.partition(values, len(values) - k)[len(values) - k]
        places = np.flatnonzero(values >= edge)
    else:
        places = np.arange(len(values))
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")][:k]]


def terms(text: str) -> list[str]:
    """Stemmed words of a text without stop words, for BM25; a hyphenated word also in one and by its parts."""
    stem, stop = _stemmer()
    found = []
    for word in WORD.findall(text.lower()):
        if word in stop:
            continue
        parts = [part for part in word.split("-") if part and part not in stop] if "-" in word else []
        found += [stem(word.replace("-", "")), *map(stem, parts)]
    return found


def query_terms(text: str, vocabulary: Collection[str]) -> list[str]:
    """`terms` of a query that an index knows, and of neighbours that it writes as one word ("fine tuning")."""
    stem, stop = _stemmer()
    words = WORD.findall(text.lower())
    pairs = [stem((one + two).replace("-", "")) for one, two in pairwise(words) if one not in stop]
    return [word for word in [*terms(text), *pairs] if word in vocabulary]


@lru_cache(maxsize=1)
def _stemmer() -> tuple[Callable[[str], str], frozenset[str]]:
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return Stemmer.Stemmer("english").stemWord, frozenset(STOPWORDS_EN_PLUS)


def _numbers(names: Sequence[object]) -> NDArray[np.int64]:
    known: dict[object, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


def _support(values: Floats) -> float:
    return float(np.sort(values)[::-1][:SUPPORT].sum()) / SUPPORT


def _grouped(groups: NDArray[np.int64], values: Floats, summary: Callable[[Floats], float]) -> Floats:
    """A figure of each candidate's group, taken over the candidates in it."""
    _, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return np.array([summary(values[member]) for member in members])[inverse]
