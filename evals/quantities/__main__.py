"""Share of phrases read exactly: `python -m evals.quantities [--split test] [--misses]`."""

import argparse
from collections import Counter

from evals.quantities.check import found_in, phrases, right
from tunewise.evaluation.metrics import share_interval


def main() -> None:
    """Print the share with its interval, by kind, and the misses."""
    parser = argparse.ArgumentParser(prog="python -m evals.quantities", description="How well quantities are read.")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--misses", action="store_true", help="List what was read wrongly.")
    given = parser.parse_args()
    items = phrases(given.split)
    hits = [right(item) for item in items]
    low, high = share_interval(hits)
    share = sum(hits) / len(hits)
    print(f"{given.split}: {sum(hits)} of {len(hits)} phrases read exactly, {share:.3f} [{low:.3f}, {high:.3f}]")
    of, ok = Counter[str](), Counter[str]()
    for item, hit in zip(items, hits, strict=True):
        kind = item.expected[0][0] if item.expected else "none"
        of[kind] += 1
        ok[kind] += hit
    print(", ".join(f"{kind} {ok[kind]}/{of[kind]}" for kind in sorted(of)))
    for item, hit in zip(items, hits, strict=True):
        if given.misses and not hit:
            print(f"{item.id} “{item.phrase}” in “{item.sentence}”: expected {item.expected}, read {found_in(item)}")


if __name__ == "__main__":
    main()
