"""Figures of merit of a ranking against graded judgements: 2 answers the query, 1 helps, 0 does not. Pure.

A fact that nobody judged counts as 0, as at TREC (Voorhees 2002, "The philosophy of information retrieval evaluation").
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

ANSWERS = 2
"""Grade of a fact that answers the query or a needed part of it."""
RESAMPLES = 10_000
Grades = Mapping[str, int]


def answers(grades: Grades) -> int:
    """How many facts answer a query."""
    return sum(grade == ANSWERS for grade in grades.values())


def recall(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Answering facts among the first k, over the most that could stand there: min(k, answering facts).

    Args:
        ranking: Identifiers of facts, best first.
        grades: Grade of each judged fact; at least one answers.
        k: Depth.
    """
    found = sum(grades.get(fact, 0) == ANSWERS for fact in ranking[:k])
    return found / min(k, answers(grades))


def hit(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """1 where some fact that answers stands among the first k, else 0."""
    return float(any(grades.get(fact, 0) == ANSWERS for fact in ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], grades: Grades) -> float:
    """1 / place of the first fact that answers; 0 where none does."""
    places = (place for place, fact in enumerate(ranking, start=1) if grades.get(fact, 0) == ANSWERS)
    return 1 / next(places, np.inf)


def ndcg(ranking: Sequence[str], grades: Grades, k: int = 10) -> float:
    """Normalised discounted cumulative gain with gains 2^grade - 1 (Järvelin and Kekäläinen 2002; Burges et al. 2005).

    Args:
        ranking: Identifiers of facts, best first.
        grades: Grade of each judged fact; at least one above 0.
        k: Depth.
    """
    best = _gain(sorted(grades.values(), reverse=True)[:k])
    return _gain([grades.get(fact, 0) for fact in ranking[:k]]) / best


def randomisation(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Two-sided p-value of a paired randomisation test of two means (Smucker et al. 2007): signs flipped by query."""
    gaps = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (RESAMPLES, len(gaps)))
    extreme = np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12
    return float((extreme.sum() + 1) / (RESAMPLES + 1))


def kappa(first: Sequence[int], second: Sequence[int], *, weighted: bool = False) -> float:
    """Cohen's kappa of two rounds of grades 0 to 2; weighted counts a gap of two four times as much as one of one."""
    table: NDArray[np.float64] = np.zeros((3, 3))
    for one, two in zip(first, second, strict=True):
        table[one, two] += 1 / len(first)
    gaps = np.subtract.outer(np.arange(3), np.arange(3))
    cost = gaps**2 if weighted else gaps != 0
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    return float(1 - (cost * table).sum() / (cost * chance).sum())


def _gain(grades: Sequence[int]) -> float:
    return float(sum((2**grade - 1) / np.log2(place + 2) for place, grade in enumerate(grades)))
