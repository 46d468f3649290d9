"""Share of questions calculated by the right formula: `python -m evals.calculations [--split test] [--misses]`."""

import argparse

from evals.calculations.check import calculated, questions
from tunewise.evaluation.metrics import share_interval


def main() -> None:
    """Print how many questions are recognised, how many calculated rightly, and the misses."""
    parser = argparse.ArgumentParser(prog="python -m evals.calculations", description="Calculation questions in chat.")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--misses", action="store_true", help="List what went wrong.")
    given = parser.parse_args()
    items = questions(given.split)
    for name, chosen in (
        ("calculation questions by the right formula", [item for item in items if item.topic]),
        ("other messages left to advice and explanation", [item for item in items if not item.topic]),
    ):
        hits = [calculated(item.question) == item.topic for item in chosen]
        low, high = share_interval(hits)
        print(f"{given.split}: {name}: {sum(hits)} of {len(hits)}, {sum(hits) / len(hits):.2f} [{low:.2f}, {high:.2f}]")
        if given.misses:
            for item, hit in zip(chosen, hits, strict=True):
                if not hit:
                    print(f"  {item.id} “{item.question}”: {item.topic} expected, {calculated(item.question)} found")


if __name__ == "__main__":
    main()
