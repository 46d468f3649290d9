"""Whether the fact under a reason is of the asker's field: no model needed, only labelled sheets.

    python -m evals.retrieval.reasons [--count 120]

For situations of the dev split, with their labelled levels and verdict, the share of grounds whose fact stands in a
topic that the scenario names. Quotations are left out, so that every ground is searched as for an inferred factor.
"""

import argparse
import random
from pathlib import Path

import numpy as np

from tunewise import Advisor
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.scenarios import Scenario
from tunewise.schema import Factor, Verdict

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m evals.retrieval.reasons", description="Facts under reasons.")
    parser.add_argument("--count", type=int, default=120, help="how many situations")
    chosen = sample(parser.parse_args().count)
    print(f"{len(chosen)} situations: {share(Advisor(offline=True), chosen):.3f} of the grounds are of a named topic")


def sample(count: int) -> list[Scenario]:
    """Some situations of the dev split that name topics and have a verdict."""
    every = labelled.read(sorted(SCENARIOS.glob("*.jsonl")), "dev")
    usable = [one for one in every if one.topics and one.verdict is not Verdict.NEEDS_MORE_INFORMATION]
    return random.Random(0).sample(usable, min(count, len(usable)))


def share(advisor: Advisor, scenarios: list[Scenario]) -> float:
    """Mean share of a situation's grounds whose fact stands in a topic that it names."""
    found = []
    for scenario in scenarios:
        grounds = advisor._grounds(scenario.situation, scenario.verdict, _sheet(advisor, scenario))
        if grounds:
            found.append(np.mean([ground.fact.topic in scenario.topics for ground in grounds]))
    return float(np.mean(found))


def _sheet(advisor: Advisor, scenario: Scenario) -> list[Factor]:
    """The labelled levels as a sheet; what is not labelled is silent where it can be, or left out."""
    lines = []
    for spec in advisor.library.factors:
        name = scenario.factors.get(spec.name, spec.silent.name if spec.silent else None)
        if name is not None:
            level = spec.level(name)
            lines.append(
                Factor(name=spec.name, level=name, meaning=level.meaning, probability=0.9, pushes_toward=level.pushes)
            )
    return lines


if __name__ == "__main__":
    main()
