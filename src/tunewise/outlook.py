"""What would change a verdict, and which question is worth asking next. Pure.

The decision head gives the log-odds of a situation; a second read-out, fitted on the labelled sheets,
says how they move when a factor takes another level. So a verdict is decided anew in microseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewise import decision
from tunewise.heads import ReadOut, softmax
from tunewise.prompts import FactorSpec
from tunewise.schema import Choice, Counterfactual, Factor, Question, Verdict

MOST_CHANGES = 3
UNIFORM = 0.3
"""Weight of 'any level may be' beside what the model expects of a factor that was not stated."""
LEAST_GAIN = 0.01
"""Information, in nats, below which a question is not worth a person's time."""
GIVEN = ("task", "input")
"""Factors that make the project what it is: with another level it would be another project."""
SCALES = ("labels", "raw", "compute", "device")
"""Factors whose levels are ordered, so that a nearer level is a smaller change."""


@dataclass(frozen=True)
class Decider:
    """The decision of one situation, ready to be taken again under other levels."""

    log_odds: NDArray[np.float64]
    """Of the four verdicts, shape (4,), as the situation stands."""
    levels: Mapping[str, str]
    """Of every factor, as the situation stands."""
    specs: Sequence[FactorSpec]
    effects: ReadOut
    """From a sheet as one-hot vector to verdicts."""

    def probabilities(self, changes: Mapping[str, str] | None = None) -> tuple[float, ...]:
        """Probability of each verdict if some factors had other levels."""
        if not changes:
            return softmax(self.log_odds)
        before = decision.one_hot(self.specs, self.levels)
        after = decision.one_hot(self.specs, {**self.levels, **changes})
        return softmax(self.log_odds + self.effects.shift(before, after))


def would_change(decider: Decider, factors: Sequence[Factor]) -> tuple[Counterfactual, ...]:
    """The smallest changes of one factor that would turn the verdict, the most telling first.

    At most one a factor. On an ordered factor the nearest level that turns the verdict is taken, on
    any other the one under which the new verdict is most probable.
    """
    now = decision.verdict_of(decider.probabilities())
    found = []
    for spec in decider.specs:
        if spec.name in GIVEN:
            continue
        turns = _turns(decider, spec, now)
        if turns:
            found.append(min(turns, key=lambda turn: turn[0])[1])
    known = {factor.name for factor in factors if factor.known}
    found.sort(key=lambda change: (change.factor not in known, -change.probability))
    return tuple(found[:MOST_CHANGES])


def _turns(decider: Decider, spec: FactorSpec, now: Verdict) -> list[tuple[float, Counterfactual]]:
    names = [level.name for level in spec.levels]
    place = names.index(decider.levels[spec.name])
    turns = []
    for other, level in enumerate(spec.levels):
        if other == place or level == spec.silent:
            continue
        shares = decider.probabilities({spec.name: level.name})
        verdict = decision.verdict_of(shares)
        if verdict in (now, Verdict.NEEDS_MORE_INFORMATION):
            continue
        ordered = spec.name in SCALES and spec.levels[place] != spec.silent
        cost = float(abs(other - place)) if ordered else -max(shares)
        change = Counterfactual(
            factor=spec.name, level=level.name, meaning=level.meaning, verdict=verdict, probability=max(shares)
        )
        turns.append((cost, change))
    return turns


def best_question(
    decider: Decider, factors: Sequence[Factor], expected: Mapping[str, Sequence[float]]
) -> Question | None:
    """The unstated factor whose answer is expected to tell most about the verdict.

    That is the mutual information between its level and the verdict (Lindley 1956). Nothing is asked
    where no answer could turn the verdict, unless more information is the verdict.

    Args:
        decider: Of the situation.
        factors: The sheet.
        expected: For each factor, the probability of each level as the model sees it.
    """
    now = decision.verdict_of(decider.probabilities())
    best: tuple[float, Question] | None = None
    for spec, factor in zip(decider.specs, factors, strict=True):
        if not _open(factor) or spec.name == "task":
            continue
        gain, turns = _gain(decider, spec, expected[spec.name], now)
        worth = gain >= LEAST_GAIN and (turns or now is Verdict.NEEDS_MORE_INFORMATION)
        if worth and (best is None or gain > best[0]):
            choices = tuple(Choice(level=x.name, meaning=x.meaning) for x in spec.levels if x != spec.silent)
            best = (gain, Question(factor=spec.name, text=spec.ask, choices=choices, gain=gain))
    return best[1] if best else None


def _open(factor: Factor) -> bool:
    return not factor.corrected and (not factor.known or (factor.name == "input" and factor.level == "other"))


def _gain(decider: Decider, spec: FactorSpec, expected: Sequence[float], now: Verdict) -> tuple[float, bool]:
    places = [place for place, level in enumerate(spec.levels) if level != spec.silent]
    weights = np.asarray(expected, dtype=np.float64)[places] + 1e-9
    weights = (1 - UNIFORM) * weights / weights.sum() + UNIFORM / len(places)
    shares = np.array([decider.probabilities({spec.name: spec.levels[place].name}) for place in places])
    gain = _entropy(weights @ shares) - float(weights @ [_entropy(row) for row in shares])
    return max(gain, 0.0), any(decision.verdict_of(tuple(row)) is not now for row in shares)


def _entropy(shares: NDArray[np.float64]) -> float:
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
