"""How well two labellers agree on the test split, and what becomes of the scenarios on which they do not.

    python -m evals.agreement [--settle]

Reads `evals/scenarios/labels/second.jsonl`: verdicts of labellers who saw the situations only. Where
each finds the other's verdict defensible, the scenario stays and both verdicts count as fair; where
they do not, `--settle` takes it out of the files.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.scenarios import Scenario

SCENARIOS = Path(__file__).parent / "scenarios"
SECOND = SCENARIOS / "labels" / "second.jsonl"
RESULT = SCENARIOS / "labels" / "agreement.json"


def agreed(scenario: Scenario, second: dict[str, list[str] | str]) -> bool:
    """Whether either labeller finds the other's verdict right or defensible."""
    other = {str(second["verdict"]), *second["fair"]}
    ours = {scenario.verdict.value, *(verdict.value for verdict in scenario.fair)}
    return str(second["verdict"]) in ours or scenario.verdict.value in other


def main() -> None:
    """Read the arguments, print and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m evals.agreement", description="Agreement of two labellers.")
    parser.add_argument("--settle", action="store_true", help="take scenarios of plain disagreement out of the files")
    settle = parser.parse_args().settle
    second = {row["id"]: row for row in map(json.loads, SECOND.read_text().splitlines())}
    files = sorted(SCENARIOS.glob("*.jsonl")) + sorted(SCENARIOS.glob("held-out/*.jsonl"))
    both = [scenario for scenario in labelled.read(files) if scenario.id in second]
    first = [scenario.verdict.value for scenario in both]
    other = [second[scenario.id]["verdict"] for scenario in both]
    same = sum(a == b for a, b in zip(first, other, strict=True))
    disputed = [scenario.id for scenario in both if not agreed(scenario, second[scenario.id])]
    kept = [scenario for scenario in both if scenario.id not in disputed]
    figures = {
        "labelled_twice": len(both),
        "same_verdict": round(same / len(both), 3),
        "cohen_kappa": round(float(cohen_kappa_score(first, other)), 3),
        "one_defends_the_other": round(len(kept) / len(both), 3),
        "disputed": disputed,
    }
    pairs = Counter(pair for pair in zip(first, other, strict=True) if pair[0] != pair[1])
    print(json.dumps(figures, indent=1), pairs.most_common(8))
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    if settle:
        for file in files:
            rows = [json.loads(line) for line in file.read_text().splitlines() if line]
            kept_rows = [row for row in rows if row["id"] not in disputed]
            file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept_rows))


if __name__ == "__main__":
    main()
