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
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunewise.schema import Fact

UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, kana and Han, which are written without spaces between words."""
WORD = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+(?:[.-][^\W_{UNSPACED}]+)*")
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


class Found(NamedTuple):
    """A candidate of a search."""

    place: int
    """Among all facts."""
    score: float
    """Of the mix; comparable within one query only."""
    dense_rank: int | None
    lexical_rank: int | None


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


@dataclass(frozen=True)
class Side:
    """One way to look at a query."""

    rows: NDArray[np.float32]
    """Embeddings of all facts, shape (facts, 384)."""
    query: NDArray[np.float32]
    """The query's, shape (384,)."""
    words: NDArray[np.float32]
    """BM25 of every fact, shape (facts,)."""
    nearest: Callable[[int], list[int]]
    """Places of so many facts by cosine, nearest first."""

    def candidates(self, wide: int, admits: Callable[[int], bool]) -> tuple[list[int], list[int]]:
        """The best of each search, by embedding and by words.

        Args:
            wide: How many each hands over.
            admits: Whether a place may be handed over.
        """
        lexical = [place for place in best(self.words, wide) if self.words[place] > 0]
        return [place for place in self.nearest(wide) if admits(place)], [place for place in lexical if admits(place)]

    def ranked(self, dense: Sequence[int], lexical: Sequence[int], layout: Layout) -> list[Found]:
        """Candidates in the order of the mix, best first."""
        places = np.array(list(dict.fromkeys([*dense, *lexical])), dtype=np.int64)
        if not len(places):
            return []
        cosines = (self.rows[places] @ self.query).astype(np.float64)
        mixed = scores(evidence(places, cosines, self.words[places].astype(np.float64), layout), Weights())
        near, worded = ({place: rank for rank, place in enumerate(one, start=1)} for one in (dense, lexical))
        ordered = np.lexsort((places, -mixed))
        return [
            Found(int(places[one]), float(mixed[one]), near.get(int(places[one])), worded.get(int(places[one])))
            for one in ordered
        ]


def woven(asked: Sequence[Found], plain: Sequence[Found], unasked: Collection[int]) -> list[Found]:
    """Both orders in one, so that facts nobody wrote questions for are not crowded out by those that have some.

    A fact without questions takes the place that it has where none are known of any fact. The places between go to
    the facts with questions, in their own order.

    Args:
        asked: Candidates by the search that knows the questions, best first.
        plain: Candidates by the one that knows of none.
        unasked: Places, among all facts, of the facts without questions.
    """
    others = iter([one for one in asked if one.place not in unasked])
    order = [one if one.place in unasked else next(others, None) for one in plain]
    kept = [*(one for one in order if one is not None), *others]
    lowest = accumulate((one.score for one in kept), min)
    return [one._replace(score=score) for one, score in zip(kept, lowest, strict=True)]


def best(values: NDArray[np.float32], k: int) -> list[int]:
    """Places of the `k` largest values, largest first, ties in order; without sorting all."""
    if k < len(values):
        edge = np.partition(values, len(values) - k)[len(values) - k]
        places = np.flatnonzero(values >= edge)
    else:
        places = np.arange(len(values))
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")][:k]]


def terms(text: str) -> list[str]:
    """Stemmed words of a text without stop words, for BM25; a hyphenated word also in one and by its parts.

    Where a script sets no spaces, every two signs beside each other count as a word.
    """
    return [stem for word in WORD.findall(text.lower()) for stem in _stems(word)]


@lru_cache(maxsize=100_000)
def _stems(word: str) -> tuple[str, ...]:
    """What `terms` makes of a word; a folder says the same few thousand words over and over."""
    stem, stop = _stemmer()
    if word in stop:
        return ()
    if re.match(f"[{UNSPACED}]", word):
        return tuple(word[place : place + 2] for place in range(max(len(word) - 1, 1)))
    parts = [part for part in word.split("-") if part and part not in stop] if "-" in word else []
    return (stem(word.replace("-", "")), *map(stem, parts))


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
