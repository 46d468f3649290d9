"""Fit the weights of `tunewise.ranking` on the development queries, and say what they would be worth on unseen ones.

    python -m evals.retrieval.fitting

Pairwise logistic regression (Joachims 2002): of two candidates of a query the one with the better grade shall stand
first, a pair counting as much as its gains differ. Prints the weights to be put into `Weights`, and nDCG@10 and
recall@5 of weights fitted without the seventh of the queries that they are tried on.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from evals.retrieval import data, measures, systems
from tunewise import Advisor
from tunewise.ranking import Weights

FOLDS = 7
STRENGTH = 0.03
"""Inverse of the regularisation, over coordinates of unit spread."""
SCALE = 4
"""The first four weights sum to 1."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def main() -> None:
    """Fit and print."""
    index = Advisor(offline=True).index
    grades = data.judgements()
    asked = [query for query in data.queries("development") if measures.answers(grades[query.id])]
    found: list[Floats] = []
    wanted: list[Ints] = []
    names: list[list[str]] = []
    for query, one in zip(asked, systems.ask(index, asked), strict=True):
        places, rows = systems.candidates(index, one)
        found.append(rows)
        names.append([index.corpus.facts[place].id for place in places])
        wanted.append(np.array([grades[query.id].get(name, 0) for name in names[-1]], dtype=np.int64))
    folds = np.random.default_rng(0).permutation(len(asked)) % FOLDS
    gains, recalls = [], []
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds != fold)
        fitted = fit([found[place] for place in inside], [wanted[place] for place in inside])
        for place in np.flatnonzero(folds == fold):
            ranking = [names[place][one] for one in np.argsort(-(found[place] @ fitted), kind="stable")[:10]]
            gains.append(measures.ndcg(ranking, grades[asked[place].id]))
            recalls.append(measures.recall(ranking, grades[asked[place].id], 5))
    print(f"unseen folds: nDCG@10 {np.mean(gains):.3f}, recall@5 {np.mean(recalls):.3f}")
    for field, weight in zip(fields(Weights), fit(found, wanted), strict=True):
        print(f"{field.name}: {weight:.2f}")


def fit(found: Sequence[Floats], wanted: Sequence[Ints]) -> Floats:
    """Weights of the mix.

    Args:
        found: What speaks for each candidate of each query, shape (candidates, 6).
        wanted: Their grades.
    """
    gaps, costs = [], []
    for rows, grades in zip(found, wanted, strict=True):
        for good in np.flatnonzero(grades):
            worse = np.flatnonzero(grades < grades[good])
            gaps.append(rows[good] - rows[worse])
            costs.append((2.0 ** grades[good] - 2.0 ** grades[worse]) / np.count_nonzero(grades))
    pairs, weights = np.vstack(gaps), np.concatenate(costs)
    spread = pairs.std(axis=0) + 1e-9
    signs = np.where(np.arange(len(pairs)) % 2, 1, -1)
    model = LogisticRegression(C=STRENGTH, fit_intercept=False, max_iter=300)
    model.fit(pairs / spread * signs[:, None], signs, sample_weight=weights / weights.mean())
    fitted = np.asarray(model.coef_[0] / spread, dtype=np.float64)
    return np.asarray(fitted / fitted[:SCALE].sum(), dtype=np.float64)


if __name__ == "__main__":
    main()
