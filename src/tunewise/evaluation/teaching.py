"""Teach a fitted head further scenarios, without reading again all that it was fitted on.

A fit with an L2 penalty minimises the log loss of its scenarios and the penalty together. Of the old scenarios only a
sample is read again: it stands for all of them, less its own slope where the head is now, so that the head would stay
as it is if nothing new came (Shamir, Srebro and Zhang 2014, "Communication-Efficient Distributed Optimization using an
Approximate Newton-type Method", arXiv:1312.7853). What is new counts in full. So a head learns from a thousand
scenarios in the time that it takes to read fifteen hundred.

Short messages leave unsaid what told situations tell, and learning from them costs those: so they may be taught to a
read-out of their own, which takes the place of the other as a message is shorter (Daumé 2007, "Frustratingly easy
domain adaptation", arXiv:0907.1815, with a share in place of a domain). Told situations are then judged as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from scipy.optimize import minimize
from sklearn.model_selection import GroupKFold

from tunewise.evaluation import fitting
from tunewise.evaluation.fitting import FOLDS, ORDER, Floats, Ints, Readings, Rows, Space
from tunewise.evaluation.scenarios import Scenario
from tunewise.heads import Heads, ReadOut, shortness

ITERATIONS = 500


def drawn(scenarios: Sequence[Scenario], count: int) -> list[Scenario]:
    """Some of the scenarios, the same ones each time."""
    return sorted(scenarios, key=lambda item: sha256(item.id.encode()).hexdigest())[:count]


def teach(
    heads: Heads,
    new: Sequence[Scenario],
    copies: Sequence[Scenario],
    old: Sequence[Scenario],
    readings: Readings,
    tokens: Ints,
    stands_for: float,
    *,
    short: bool = False,
) -> tuple[dict[str, ReadOut], dict[str, float]]:
    """Teach the verdict's read-outs further scenarios.

    Args:
        heads: As they are.
        new: What is taught.
        copies: Disturbed copies of some of the new ones, under their ids.
        old: A sample of those that the head was fitted on.
        readings: Of all three, in this order.
        tokens: Length of each of all three.
        stands_for: How many scenarios each of the old ones stands for.
        short: Teach the read-out of short messages alone; that of situations which are told stays as it is.

    Returns:
        The read-outs that changed, by name; and of the new scenarios, the figures before and, where there are
        families to leave out, after a lesson without their family.
    """
    count = len(new)
    every = [*new, *copies, *old]
    labels = np.array([ORDER.index(scenario.verdict) for scenario in every])
    sampled = np.arange(len(every) - len(old), len(every))
    pairs = fitting.pairs_of(every[: len(every) - len(old)], count)
    shares = np.array([shortness(length) for length in tokens]) if short else np.ones(len(every))
    odds = [heads.log_odds(row, length) for row, length in zip(readings.rows, tokens, strict=True)]
    start = np.array(odds) * heads.verdict.temperature
    lesson = Lesson.of(heads.verdict, readings.rows, start, shares, labels, sampled, stands_for, pairs)
    strength = heads.card.out_of_fold["strength"]
    groups = np.array([scenario.family for scenario in every])
    before = fitting.figures(lesson.start[:count], new, heads.verdict.temperature)
    figures = {"count": float(count)} | {f"{name} before": value for name, value in before.items()}
    folds = min(FOLDS, len(set(groups[:count])))
    if folds > 1:
        scores = np.zeros((count, len(ORDER)))
        taught = np.arange(len(every) - len(old))
        for train, test in GroupKFold(folds, shuffle=True, random_state=0).split(taught, groups=groups[taught]):
            held = test[test < count]
            apart = sampled[~np.isin(groups[sampled], groups[held])]
            scores[held] = lesson.log_odds(held, lesson.change(np.concatenate([train, apart]), strength))
        figures |= fitting.figures(scores, new, heads.verdict.temperature)
    change = lesson.change(np.arange(len(every)), strength)
    concerned = {} if short else {"verdict": heads.verdict}
    if short or heads.short:
        concerned["short"] = heads.short or heads.verdict
    return {name: lesson.taught(one, change) for name, one in concerned.items()}, figures


@dataclass(frozen=True)
class Lesson:
    """What a head is taught, in coordinates of its own standardised features."""

    space: Space
    """Spanned by all rows, each multiplied by its share."""
    start: Floats
    """Log-odds of the heads as they are, shape (rows, classes)."""
    shares: Floats
    """How much the read-out that is taught counts for each row, from 0 to 1."""
    labels: Ints
    """Class of every row."""
    weights: Floats
    """How many scenarios each row stands for; 1 where it is new."""
    old: Floats
    """1 where a row is one that the head was fitted on, else 0."""
    pairs: Ints
    """For each disturbed copy its place and that of its scenario, shape (copies, 2)."""

    @classmethod
    def of(
        cls,
        head: ReadOut,
        rows: Rows,
        start: Floats,
        shares: Floats,
        labels: Ints,
        sampled: Ints,
        stands_for: float,
        pairs: Ints,
    ) -> "Lesson":
        """Prepare a lesson.

        Args:
            head: Standardises the rows.
            rows: Features of new scenarios and of a sample of the old ones, shape (n, features).
            start: Log-odds of the heads as they are, shape (n, classes).
            shares: How much `head` counts for each row, shape (n,).
            labels: Classes, shape (n,).
            sampled: Places of the old ones.
            stands_for: How many scenarios each of these stands for.
            pairs: Places of disturbed copies and of their scenarios, shape (copies, 2).
        """
        counted = head.mean + (rows - head.mean) * shares[:, None].astype(np.float32)
        space = Space.scaled(counted, head.mean, head.scale)
        old = np.zeros(len(rows))
        old[sampled] = 1.0
        return cls(space, start, shares, labels, np.where(old > 0, stands_for, 1.0), old, pairs)

    def change(self, some: Ints, strength: float) -> tuple[Floats, Floats]:
        """What is best added to the head for some of the rows.

        Args:
            some: Places of the rows that are learned from.
            strength: Inverse regularisation strength of the addition.

        Returns:
            Coefficients of `space.coordinates`, shape (rank, classes), and of the intercept, (classes,).
        """
        steady = fitting.steadied(self.space.coordinates, self.pairs[np.isin(self.pairs, some).all(axis=1)])
        rows, shares = steady(self.space.coordinates[some]), self.shares[some, None]
        start, weights = self.start[some], self.weights[some, None]
        truth = np.eye(start.shape[1])[self.labels[some]]
        # The head stands where its old scenarios pull it nowhere: so the sample must not pull it either.
        slope = self.old[some, None] * (_chances(start) - truth)
        shape = (rows.shape[1] + 1, start.shape[1])

        def loss(flat: Floats) -> tuple[float, Floats]:
            added = flat.reshape(shape)
            moved = rows @ added[:-1] + shares * added[-1]
            scores = start + moved
            top = scores.max(axis=1)
            logs = top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - (scores * truth).sum(axis=1)
            value = float((weights[:, 0] * (logs - (slope * moved).sum(axis=1))).sum())
            pull = weights * (_chances(scores) - truth - slope)
            gradient = np.concatenate([rows.T @ pull + added[:-1] / strength, (shares * pull).sum(axis=0)[None]])
            return value + float((added[:-1] ** 2).sum()) / (2 * strength), gradient.ravel()

        found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
        added = found.x.reshape(shape)
        return steady(added[:-1].T).T, added[-1]

    def log_odds(self, some: Ints, change: tuple[Floats, Floats]) -> Floats:
        """Log-odds of some rows under a changed head, shape (rows, classes)."""
        coefficients, intercept = change
        moved = self.space.coordinates[some] @ coefficients + self.shares[some, None] * intercept
        return np.asarray(self.start[some] + moved, dtype=np.float64)

    def taught(self, head: ReadOut, change: tuple[Floats, Floats]) -> ReadOut:
        """The head with a change."""
        coefficients, intercept = change
        weights = (head.weights + self.space.spanned(coefficients)).astype(np.float32)
        return ReadOut(head.mean, head.scale, weights, (head.bias + intercept).astype(np.float32), head.temperature)


def _chances(scores: Floats) -> Floats:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float64)
