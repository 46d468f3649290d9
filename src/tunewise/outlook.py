"""What would change a verdict, and which question is worth asking next. Pure.

The decision head gives the log-odds of a situation; a second read-out, fitted on the labelled sheets,
says how they move when a factor takes another level. So a verdict is decided anew in microseconds.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunewise import decision
from tunewise.heads import ReadOut, softmax
from tunewise.prompts import FactorSpec
from tunewise.schema import Change, Choice, Counterfactual, Factor, Question, Verdict

MOST_CHANGES = 3
UNIFORM = 0.6
"""Weight of 'any level may be' beside what the model expects of a factor that was not stated."""
LEAST_GAIN = 0.01
"""Information, in nats, below which a question is not worth a person's time."""
GIVEN = ("task", "input")
"""Factors that make the project what it is: with another level it would be another project."""
SCALES = ("labels", "raw", "compute", "device")
"""Factors whose levels are ordered, so that a nearer level is a smaller change."""

PAIRS = (
    ("labels", "compute"), ("labels", "base"), ("labels", "baseline"), ("labels", "raw"), ("labels", "gap"),
    ("raw", "compute"), ("base", "compute"), ("base", "raw"), ("base", "baseline"), ("base", "gap"),
    ("gap", "baseline"), ("gap", "change"), ("baseline", "change"), ("device", "compute"), ("aim", "compute"),
)  # fmt: skip
"""Facts that change together in life: more labels with more money, another base model with another trial of it."""
CONTRADICTIONS = (
    ("gap", "none", "baseline", "fails"), ("gap", "none", "baseline", "short"), ("gap", "none", "base", "none"),
    ("base", "none", "baseline", "passes"), ("base", "none", "baseline", "short"),
)  # fmt: skip
"""Levels that cannot hold at once: no model exists, and one does the job."""
ENOUGH = 2
"""Changes of one fact from which no pair is looked for: a pair is more to swallow, and holds less often."""


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
    """The smallest changes that would turn the verdict, the smallest first.

    One fact is less than two, a step on an ordered factor less than two, and a stated fact comes before
    one that is not stated. At most one change a factor; two facts only where neither alone would do and
    hardly any single one does. What would be too close to call after the change is not named.
    """
    known = {factor.name for factor in factors if factor.known}
    singles = [turn for spec in decider.specs if spec.name not in GIVEN for turn in _turns(decider, spec)]
    best: dict[str, _Turn] = {}
    for turn in sorted(singles, key=lambda turn: turn.size(known)):
        best.setdefault(turn.changes[0].factor, turn)
    found = list(best.values())
    if len(found) < ENOUGH:
        found += _pairs(decider, known, {turn.changes[0] for turn in singles}, set(best))[: MOST_CHANGES - len(found)]
    return tuple(turn.told for turn in found[:MOST_CHANGES])


@dataclass(frozen=True)
class _Turn:
    """A change that turns the verdict."""

    changes: tuple[Change, ...]
    steps: int
    """How far the new levels lie from the present ones."""
    verdict: Verdict
    probability: float

    def size(self, known: Collection[str]) -> tuple[int, int, int, float]:
        """The smaller, the earlier it is named."""
        unstated = sum(change.factor not in known for change in self.changes)
        return (len(self.changes), self.steps, unstated, -self.probability)

    @property
    def told(self) -> Counterfactual:
        """As a reader gets it."""
        first, *rest = self.changes
        also = rest[0] if rest else None
        return Counterfactual(**first.model_dump(), verdict=self.verdict, probability=self.probability, also=also)


def _turns(decider: Decider, spec: FactorSpec) -> Iterator[_Turn]:
    for change, steps in _alternatives(decider, spec):
        turn = _turn(decider, (change,), steps)
        if turn:
            yield turn


def _pairs(decider: Decider, known: Collection[str], alone: Collection[Change], named: Collection[str]) -> list[_Turn]:
    """Pairs of changes that turn the verdict together and not alone; no factor is in two of them, or named already."""
    specs = {spec.name: spec for spec in decider.specs}
    turns = []
    for one, other in PAIRS:
        for first, near in _alternatives(decider, specs[one]):
            for second, far in _alternatives(decider, specs[other]):
                turn = None if {first, second} & set(alone) else _turn(decider, (first, second), near + far)
                turns += [turn] if turn else []
    taken = set(named)
    found = []
    for turn in sorted(turns, key=lambda turn: turn.size(known)):
        factors = {change.factor for change in turn.changes}
        if not taken & factors:
            found.append(turn)
            taken |= factors
    return found


def _alternatives(decider: Decider, spec: FactorSpec) -> list[tuple[Change, int]]:
    """The other levels of a factor, and how far each lies from the present one."""
    place = next(place for place, level in enumerate(spec.levels) if level.name == decider.levels[spec.name])
    ordered = spec.name in SCALES and spec.levels[place] != spec.silent
    return [
        (Change(factor=spec.name, level=level.name, meaning=level.meaning), abs(other - place) if ordered else 1)
        for other, level in enumerate(spec.levels)
        if other != place and level != spec.silent
    ]


def _turn(decider: Decider, changes: tuple[Change, ...], steps: int) -> _Turn | None:
    altered = {change.factor: change.level for change in changes}
    after = {**decider.levels, **altered}
    if any(after[one] == here and after[other] == there for one, here, other, there in CONTRADICTIONS):
        return None
    before, shares = decider.probabilities(), decider.probabilities(altered)
    now, verdict = decision.verdict_of(before), decision.verdict_of(shares)
    if verdict in (now, Verdict.NEEDS_MORE_INFORMATION):
        return None
    if max(shares) - shares[list(Verdict).index(now)] < decision.CLOSE_CALL:
        return None
    return _Turn(changes, steps, verdict, max(shares))


def best_question(
    decider: Decider,
    factors: Sequence[Factor],
    expected: Mapping[str, Sequence[float]],
    settled: Collection[str] = (),
) -> Question | None:
    """The unstated factor whose answer is expected to tell most about the verdict.

    That is the mutual information between its level and the verdict (Lindley 1956). A factor that the model
    only infers, without words of the person, is not stated; and the fewer factors are stated, the less the
    verdict as it stands is trusted. Nothing is asked where no answer could turn the verdict, unless more
    information is the verdict.

    Args:
        decider: Of the situation.
        factors: The sheet.
        expected: For each factor, the probability of each level as the model sees it.
        settled: Factors that were asked about before.
    """
    now = decision.verdict_of(decider.probabilities())
    decider = replace(decider, log_odds=decider.log_odds / (2 - sum(map(decision.stated, factors)) / len(factors)))
    best: tuple[float, Question] | None = None
    for spec, factor in zip(decider.specs, factors, strict=True):
        if decision.stated(factor) or spec.name in settled:
            continue
        gain, turns = _gain(decider, spec, expected[spec.name], now)
        worth = gain >= LEAST_GAIN and (turns or now is Verdict.NEEDS_MORE_INFORMATION)
        if worth and (best is None or gain > best[0]):
            choices = tuple(Choice(level=x.name, meaning=x.meaning) for x in spec.levels if x != spec.silent)
            best = (gain, Question(factor=spec.name, text=spec.ask, choices=choices, gain=gain))
    return best[1] if best else None


def _gain(decider: Decider, spec: FactorSpec, expected: Sequence[float], now: Verdict) -> tuple[float, bool]:
    places = [place for place, level in enumerate(spec.levels) if level != spec.silent]
    weights = np.asarray(expected, dtype=np.float64)[places] + 1e-9
    weights = (1 - UNIFORM) * weights / weights.sum() + UNIFORM / len(places)
    shares = np.array([decider.probabilities({spec.name: spec.levels[place].name}) for place in places])
    gain = _entropy(weights @ shares) - float(weights @ [_entropy(row) for row in shares])
    return max(gain, 0.0), any(decision.verdict_of(tuple(row)) is not now for row in shares)


def _entropy(shares: NDArray[np.float64]) -> float:
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
