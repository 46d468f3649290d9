"""How often the verdict turns as promised: `python -m evals.counterfactuals [--split dev] [--count 60] [--minutes 4]`.

Each change that `would_change` names is told in the situation, which the model then reads again; as many changes
drawn at random are told and read likewise.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evals.counterfactuals.trial import Trial, trials
from tunewise import Advisor
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.metrics import share_interval
from tunewise.together import Lanes

SCENARIOS = Path(__file__).parent.parent / "scenarios"
BLOCK = 4
"""Situations between two looks at the clock."""


def main() -> None:
    """Read situations until the time is up, and print how many promises were kept."""
    given = _options()
    chosen = [item for item in labelled.read(sorted(SCENARIOS.glob("*.jsonl")), given.split) if item.language == "en"]
    order = np.random.default_rng(given.seed).permutation(len(chosen))[: given.count]
    end = time.monotonic() + 60 * given.minutes
    advisor = Advisor(offline=True)
    lanes = Lanes(advisor)
    found: list[Trial] = []
    read = 0
    try:
        while read < len(order) and time.monotonic() < end:
            block = [chosen[place] for place in order[read : read + BLOCK]]
            found += trials(lanes, block, advisor.library.factors, given.seed)
            read += len(block)
    finally:
        lanes.close()
        advisor.close()
    print(f"{given.split}: {read} situations, {len({item.scenario for item in found})} with a change that is named")
    _report(found)


def _report(found: Sequence[Trial]) -> None:
    named, drawn = [item for item in found if item.named], [item for item in found if not item.named]
    first = list({item.scenario: item for item in reversed(named)}.values())
    _line("named changes: the verdict is the promised one", named, lambda item: item.kept)
    _line("the first named of each situation", first, lambda item: item.kept)
    _line("of one fact", [item for item in named if len(item.changes) == 1], lambda item: item.kept)
    _line("of two facts", [item for item in named if len(item.changes) > 1], lambda item: item.kept)
    _line("named changes: the verdict turned at all", named, lambda item: item.turned)
    _line("random changes: the verdict turned at all", drawn, lambda item: item.turned)
    if named:
        print(f"mean probability promised: {np.mean([item.chance for item in named]):.2f}")


def _line(name: str, items: Sequence[Trial], right: Callable[[Trial], bool]) -> None:
    if items:
        values = [right(item) for item in items]
        low, high = share_interval(values)
        print(f"{name}: {sum(values)} of {len(values)}, {np.mean(values):.2f} [{low:.2f}, {high:.2f}]")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.counterfactuals", description="Promises of would_change.")
    parser.add_argument("--split", choices=("fit", "dev", "test"), default="dev")
    parser.add_argument("--count", type=int, default=60, help="Most situations.")
    parser.add_argument("--minutes", type=float, default=4, help="Time for reading.")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
