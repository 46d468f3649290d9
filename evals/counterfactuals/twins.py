"""Promises against twins: the same story told twice by its writer, with one decisive fact changed.

    python -m evals.counterfactuals.twins

Needs no model: the judgements stand in the records of a report. From the one telling, the sheet's levels are altered
to those of the other, and the verdict so computed is held against the verdict that the model gave to the other.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

import tunewise
from evals.counterfactuals.trial import Trial
from tunewise import decision
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.metrics import share_interval
from tunewise.heads import Heads
from tunewise.outlook import Decider
from tunewise.prompts import PromptLibrary
from tunewise.schema import Verdict
from tunewise.settings import resource

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print how many verdicts of twins were foretold."""
    parser = argparse.ArgumentParser(prog="python -m evals.counterfactuals.twins", description="Twins foretold.")
    parser.add_argument("--records", type=Path, default=ROOT / "reports/test/records.jsonl")
    found = list(trials(parser.parse_args().records))
    apart = [item for item in found if item.turned]
    told = [item for item in found if item.promised is not item.before]
    print(f"{len(found)} ordered pairs of twins, {len(apart)} with verdicts that differ")
    _line("verdicts that turned, foretold", apart)
    _line("turns foretold, that came true", told)


def trials(records: Path) -> Iterator[Trial]:
    """One trial for every ordered pair of twins whose sheets differ."""
    stored = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines() if line.strip()]
    judged = {record["scenario"]: record for record in stored if record.get("levels")}
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for scenario in labelled.read(sorted((ROOT / "scenarios").glob("*.jsonl"))):
        if scenario.id in judged:
            families[scenario.family].append(judged[scenario.id])
    library = PromptLibrary(resource("prompts"))
    effects = Heads.load(Path(tunewise.__file__).parent).sheet
    for members in families.values():
        for one, other in permutations(members, 2):
            changes = {name: level for name, level in other["levels"].items() if one["levels"][name] != level}
            shares = np.array([one["probabilities"][verdict.value] for verdict in Verdict])
            decider = Decider(np.log(shares + 1e-12), one["levels"], library.factors, effects)
            after = decider.probabilities(changes)
            if changes:
                yield Trial(
                    scenario=one["scenario"],
                    named=True,
                    changes=changes,
                    before=Verdict(one["verdict"]),
                    promised=decision.verdict_of(after),
                    chance=max(after),
                    after=Verdict(other["verdict"]),
                )


def _line(name: str, items: Sequence[Trial]) -> None:
    values = [item.kept for item in items]
    low, high = share_interval(values)
    print(f"{name}: {sum(values)} of {len(values)}, {np.mean(values):.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
