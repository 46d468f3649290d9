"""Give every scenario a split, once: fit, dev or test.

    python -m evals.split [SCENARIOS.jsonl …]

Families and near-twins (by sentence embedding) stay together; verdicts are spread evenly. A scenario
that has a split keeps it, and a new one joins the split of its family or twin.
"""

import argparse
import json
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path

from tunewise import Advisor
from tunewise.evaluation import scenarios as labelled

SCENARIOS = Path(__file__).parent / "scenarios"
SHARES = {"test": 0.22, "dev": 0.14, "fit": 0.64}


def main() -> None:
    """Read the arguments and write the files anew."""
    parser = argparse.ArgumentParser(prog="python -m evals.split", description="Assign fit, dev and test.")
    parser.add_argument("scenarios", nargs="*", type=Path, default=sorted(SCENARIOS.glob("*.jsonl")))
    files = parser.parse_args().scenarios
    raw = [json.loads(line) for file in files for line in file.read_text().splitlines() if line]
    given = {item["id"]: item["split"] for item in raw if "split" in item}
    scenarios = labelled.read(files)
    vectors = Advisor().embedder.encode([scenario.situation for scenario in scenarios])
    groups: dict[int, list[labelled.Scenario]] = defaultdict(list)
    for group, scenario in zip(labelled.clusters(scenarios, vectors), scenarios, strict=True):
        groups[group].append(scenario)
    counts: dict[str, Counter[str]] = {split: Counter() for split in SHARES}
    assigned = dict(given)
    for members in groups.values():
        known = [assigned[scenario.id] for scenario in members if scenario.id in assigned]
        if known:
            # A new twin of a fit scenario may not enter the test, so the group goes where most of it is.
            split = Counter(known).most_common(1)[0][0]
            for scenario in members:
                assigned.setdefault(scenario.id, split)
                counts[assigned[scenario.id]][scenario.verdict] += 1
    for members in sorted(groups.values(), key=lambda group: sha256(group[0].situation.encode()).digest()):
        if members[0].id in assigned:
            continue
        need = {
            split: share * (sum(counts[other][members[0].verdict] for other in SHARES) + len(members))
            - counts[split][members[0].verdict]
            for split, share in SHARES.items()
        }
        split = max(need, key=lambda name: need[name])
        for scenario in members:
            assigned[scenario.id] = split
            counts[split][scenario.verdict] += 1
    for file in files:
        items = [json.loads(line) for line in file.read_text().splitlines() if line]
        lines = [json.dumps(item | {"split": assigned[item["id"]]}, ensure_ascii=False) for item in items]
        file.write_text("".join(line + "\n" for line in lines))
    for split, counter in counts.items():
        print(split, sum(counter.values()), dict(counter))


if __name__ == "__main__":
    main()
