"""Promises kept: a change that is said to turn the verdict, told in the situation, which is then read again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evals.counterfactuals.retelling import retold, sentences
from tunewise.evaluation.scenarios import Scenario
from tunewise.prompts import FactorSpec
from tunewise.schema import Counterfactual, Judgement, Verdict
from tunewise.together import Lanes


@dataclass(frozen=True)
class Trial:
    """One changed situation, read again."""

    scenario: str
    named: bool
    """Whether the advisor named the change; else it was drawn at random."""
    changes: dict[str, str]
    """New levels by factor."""
    before: Verdict
    promised: Verdict | None
    chance: float
    """Probability that the promise gave to its verdict; 0 where there was none."""
    after: Verdict

    @property
    def turned(self) -> bool:
        """Whether the verdict is another one now."""
        return self.after is not self.before

    @property
    def kept(self) -> bool:
        """Whether it is the promised one."""
        return self.after is self.promised


def trials(lanes: Lanes, scenarios: Sequence[Scenario], specs: Sequence[FactorSpec], seed: int) -> Iterator[Trial]:
    """Read each situation, change it in every way that is named and in as many random ways, and read again."""
    found = lanes.judge([scenario.situation for scenario in scenarios])
    for scenario, judged in zip(scenarios, list(found), strict=True):
        if isinstance(judged, Judgement) and judged.would_change:
            yield from _of(lanes, scenario, judged, specs, np.random.default_rng([seed, len(scenario.situation)]))


def _of(
    lanes: Lanes, scenario: Scenario, judged: Judgement, specs: Sequence[FactorSpec], random: np.random.Generator
) -> Iterator[Trial]:
    promises: list[tuple[dict[str, str], Counterfactual | None]] = [
        ({change.factor: change.level for change in promise.changes}, promise) for promise in judged.would_change
    ]
    named = [changes for changes, _ in promises]
    others = [changes for changes in _others(judged, specs) if changes not in named]
    drawn = random.permutation(len(others))[: len(promises)]
    promises += [(others[place], None) for place in drawn]
    texts = [retold(scenario.situation, judged.factors, changes) for changes, _ in promises]
    for (changes, promise), again in zip(promises, lanes.judge(texts), strict=True):
        if isinstance(again, Judgement):
            yield Trial(
                scenario=scenario.id,
                named=promise is not None,
                changes=changes,
                before=judged.verdict,
                promised=promise.verdict if promise else None,
                chance=promise.probability if promise else 0.0,
                after=again.verdict,
            )


def _others(judged: Judgement, specs: Sequence[FactorSpec]) -> list[dict[str, str]]:
    levels = {factor.name: factor.level for factor in judged.factors}
    tellable = sentences()
    return [
        {spec.name: level.name}
        for spec in specs
        for level in spec.levels
        if level.name in tellable.get(spec.name, {}) and level.name != levels[spec.name]
    ]
