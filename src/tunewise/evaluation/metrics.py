"""Figures of merit, each with what it needs and nothing else. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RESAMPLES = 2000
BINS = 10


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of a mean over questions (percentile method); a share has `share_interval`.

    Args:
        values: One a question, shape (n,).
        level: Coverage.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return (0.0, 0.0)
    means = data[np.random.default_rng(0).integers(0, len(data), (RESAMPLES, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def share_interval(hits: Sequence[bool], level: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927, "Probable inference"): also where all are hits or none is.

    There every resample of a bootstrap is the same, and its interval has no width, though 20 questions without a
    miss allow a share of misses of 0.16.

    Args:
        hits: One a question, shape (n,).
        level: Coverage.
    """
    if not len(hits):
        return (0.0, 0.0)
    found = binomtest(sum(hits), len(hits)).proportion_ci(level, method="wilson")
    return (float(found.low), float(found.high))


def calibration_bins(chances: Floats, labels: Ints, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Reliability diagram: mean confidence, accuracy and count of each bin that holds anything.

    Args:
        chances: Probabilities, shape (n, classes).
        labels: Right classes, shape (n,).
        bins: Of equal width.
    """
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == labels
    places = np.minimum((sure * bins).astype(int), bins - 1)
    found = []
    for place in range(bins):
        here = places == place
        if here.any():
            found.append((float(sure[here].mean()), float(right[here].mean()), int(here.sum())))
    return found


def expected_calibration_error(chances: Floats, labels: Ints, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy, weighted by bin (Naeini et al. 2015)."""
    total = len(labels)
    return sum(abs(sure - right) * count for sure, right, count in calibration_bins(chances, labels, bins)) / total


def brier(chances: Floats, labels: Ints) -> float:
    """Mean squared distance between probabilities and truth, summed over classes (Brier 1950)."""
    truth = np.eye(chances.shape[1])[labels]
    return float(((chances - truth) ** 2).sum(axis=1).mean())


def log_loss(chances: Floats, labels: Ints) -> float:
    """Mean negative log-likelihood of the right class."""
    return float(-np.log(np.maximum(chances[np.arange(len(labels)), labels], 1e-9)).mean())


def risk_coverage(sure: Floats, right: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Accuracy among the share of questions that one is surest of, for growing shares."""
    order = np.argsort(-sure, kind="stable")
    hits = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    steps = np.unique(np.linspace(max(len(order) // 20, 1), len(order), 20).astype(int))
    return [(float(step / len(order)), float(hits[step - 1])) for step in steps]


def paired_test(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[int, int, float]:
    """Exact McNemar test of two systems on the same questions (McNemar 1947).

    Returns:
        Questions that only ours got right, that only theirs got right, and the two-sided p-value.
    """
    wins = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    losses = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    chance = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return wins, losses, chance
