"""Fit the detector of orders to the model, and say how often it would pass over an honest sentence.

    python -m evals.orders

Orders are `evals/robustness/fit-orders.txt`; descriptions are the sentences of the scenarios to fit on and
of `fit-asides.txt`. Figures are out of fold, grouped by line and by scenario; `attacks.jsonl` plays no part.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from tunewise import Advisor
from tunewise.evaluation import scenarios
from tunewise.orders import CERTAIN, features, plain, split

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "src" / "tunewise" / "orders.json"
STRENGTH = 0.3
FALSE_FIRST, FALSE_BESIDE = 0.0005, 0.02
"""Shares of honest sentences above the two thresholds."""


def material() -> tuple[list[str], NDArray[np.bool_], NDArray[np.int64]]:
    """Sentences, whether each is an order, and what it belongs to."""
    folder = ROOT / "evals" / "robustness"
    fit = scenarios.read(sorted((ROOT / "evals" / "scenarios").glob("*.jsonl")), "fit")
    honest = [item.situation for item in fit] + (folder / "fit-asides.txt").read_text(encoding="utf-8").splitlines()
    orders = (folder / "fit-orders.txt").read_text(encoding="utf-8").splitlines()
    rows = [(piece, False, place) for place, text in enumerate(honest) for piece in split(text)]
    rows += [(piece, True, len(honest) + place) for place, text in enumerate(orders) for piece in split(text)]
    return [row[0] for row in rows], np.array([row[1] for row in rows]), np.array([row[2] for row in rows])


def main() -> None:
    """Fit, write the weights, print the figures."""
    pieces, labels, groups = material()
    rows = features(pieces, Advisor(offline=True).embedder)
    scores = np.zeros(len(rows))
    for train, test in GroupKFold(5).split(rows, labels, groups):
        model = LogisticRegression(C=STRENGTH, max_iter=2000, class_weight="balanced").fit(rows[train], labels[train])
        scores[test] = model.decision_function(rows[test])
    first, beside = (float(np.quantile(scores[~labels], 1 - share)) for share in (FALSE_FIRST, FALSE_BESIDE))
    certain = np.array([bool(CERTAIN.search(plain(piece))) for piece in pieces])
    passed = certain | (scores >= first)
    model = LogisticRegression(C=STRENGTH, max_iter=2000, class_weight="balanced").fit(rows, labels)
    weights = [round(float(weight), 4) for weight in model.coef_[0]]
    fitted = {"bias": float(model.intercept_[0]), "first": first, "beside": beside, "weights": weights}
    TARGET.write_text(json.dumps(fitted) + "\n", encoding="utf-8")
    print(f"{(~labels).sum():,} honest sentences: {passed[~labels].mean():.3%} passed over (out of fold)")
    for place in np.flatnonzero(passed & ~labels):
        print("   ", "certain" if certain[place] else "fitted ", " ".join(pieces[place].split())[:150])
    print(f"{labels.sum():,} sentences of orders: {passed[labels].mean():.1%} found (out of fold)")


if __name__ == "__main__":
    main()
