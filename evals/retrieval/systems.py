"""Ways to rank the facts for a query: the shipped one, its parts, others tried, and the shipped one less a part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evals.retrieval.data import Query
from tunewise.adapter import Adapter
from tunewise.ranking import Weights, best, evidence, query_terms, scores, terms
from tunewise.retrieval import CANDIDATES, Index

DEPTH = 10
RRF = 60
"""Constant of reciprocal rank fusion (Cormack et al. 2009)."""
SHARE = 0.6
"""Weight of the embedding where two shares of the best score are mixed."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What both searches make of a query, for every fact of the index, shape (facts,)."""

    cosines: Floats
    """In the adapter's space."""
    plain: Floats
    """As the embedder gives them."""
    lexical: Floats


Ranker = Callable[[Index, Asked], list[int]]


def ask(index: Index, asked: Sequence[Query], *, mend: bool = True) -> list[Asked]:
    """Both searches, over all facts.

    Args:
        index: Where to search.
        asked: The queries.
        mend: Mend typing errors first.
    """
    texts = [index._speller.correct(query.text) if mend else query.text for query in asked]
    # One at a time, as an answer does it: what stands in a batch with a text changes its int8 embedding a little.
    vectors = [index._embedder.encode([text])[0] for text in texts]
    lexical = [index._lexical_scores(text) for text in texts]
    return [
        Asked(
            index.cosines(vector).astype(np.float64),
            (index.vectors @ vector).astype(np.float64),
            words.astype(np.float64),
        )
        for vector, words in zip(vectors, lexical, strict=True)
    ]


def bare(index: Index, asked: Sequence[Query]) -> list[Asked]:
    """Both searches over the words of the facts alone, without title and heading."""
    import bm25s

    facts = index.corpus.facts
    rows = index._embedder.encode([fact.text for fact in facts])
    adapter = Adapter.shipped()
    turned = adapter.facts(rows)
    searcher = bm25s.BM25(method="lucene", k1=1.2, b=0.6)
    searcher.index([terms(fact.text) for fact in facts], show_progress=False)
    found = []
    for query in asked:
        text = index._speller.correct(query.text)
        words = query_terms(text, searcher.vocab_dict)
        lexical = np.asarray(searcher.get_scores(words) if words else np.zeros(len(facts)), dtype=np.float64)
        vector = index._embedder.encode([text])[0]
        cosines = (turned @ adapter.queries(vector)).astype(np.float64)
        found.append(Asked(cosines, (rows @ vector).astype(np.float64), lexical))
    return found


def candidates(index: Index, asked: Asked) -> tuple[NDArray[np.int64], Floats]:
    """What both searches hand to the fusion: places, and what speaks for each, shape (candidates, 6)."""
    near = best(asked.cosines.astype(np.float32), CANDIDATES)
    words = [place for place in best(asked.lexical.astype(np.float32), CANDIDATES) if asked.lexical[place] > 0]
    places = np.array(list(dict.fromkeys([*near, *words])), dtype=np.int64)
    return places, evidence(places, asked.cosines[places], asked.lexical[places], index._layout)


def shipped(index: Index, asked: Asked, weights: Weights | None = None, *, diverse: bool = True) -> list[int]:
    """The order that `Index.search` gives.

    Args:
        index: Where to search.
        asked: What both searches found.
        weights: Of the mix; those that ship where not given.
        diverse: Leave out near-twins.
    """
    places, found = candidates(index, asked)
    mixed = scores(found, weights or Weights())
    ordered = [int(place) for place in places[np.lexsort((places, -mixed))]]
    return index._without_twins(ordered, DEPTH) if diverse else ordered[:DEPTH]


def by_embedding(index: Index, asked: Asked) -> list[int]:
    """Dense alone."""
    return _distinct(index, asked.cosines)


def by_plain_embedding(index: Index, asked: Asked) -> list[int]:
    """Dense alone, without the adapter."""
    return _distinct(index, asked.plain)


def without_adapter(index: Index, asked: Asked) -> list[int]:
    """The shipped order on cosines as the embedder gives them."""
    return shipped(index, replace(asked, cosines=asked.plain))


def by_words(index: Index, asked: Asked) -> list[int]:
    """BM25 alone."""
    return _distinct(index, asked.lexical)


def by_shares(index: Index, asked: Asked) -> list[int]:
    """Each score as a share of the best, mixed."""
    near, words = asked.cosines / asked.cosines.max(), asked.lexical / max(float(asked.lexical.max()), 1e-6)
    return _distinct(index, SHARE * near + (1 - SHARE) * words)


def by_ranks(index: Index, asked: Asked) -> list[int]:
    """Reciprocal rank fusion."""
    return _distinct(index, sum((1 / (RRF + _ranks(values)) for values in (asked.cosines, asked.lexical)), np.zeros(1)))


PARTS: dict[str, Ranker] = {"BM25 alone": by_words, "dense alone": by_embedding}
OTHERS: dict[str, Ranker] = {
    "reciprocal rank fusion": by_ranks,
    "shares of the best score": by_shares,
    "dense alone, unadapted": by_plain_embedding,
}
LESS: dict[str, Ranker] = {
    "without section": partial(shipped, weights=replace(Weights(), section=0.0)),
    "without document": partial(shipped, weights=replace(Weights(), document=0.0)),
    "without adapter": without_adapter,
    "without length": partial(shipped, weights=replace(Weights(), length=0.0)),
    "without article": partial(shipped, weights=replace(Weights(), article=0.0)),
    "without diversity": partial(shipped, diverse=False),
}


def _distinct(index: Index, values: Floats) -> list[int]:
    return index._without_twins(best(values.astype(np.float32), 4 * DEPTH), DEPTH)


def _ranks(values: Floats) -> Floats:
    ranks = np.empty(len(values))
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks
