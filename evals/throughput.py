"""Verdicts a minute: a plain loop of `Advisor.judge` against the lanes of a batch, block by block in one run.

    python -m evals.throughput [--count 48] [--answers 8]

Blocks of the loop and of the lanes take turns and each runs twice, the better run counts, so that what else the
machine does hits both alike. Verdicts must be the same; the largest difference of a probability is shown.
`--answers` also times a loop of `Advisor.ask`, which is what one has without knowing of batches, on the first few.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from tunewise import Advisor
from tunewise.errors import TunewiseError
from tunewise.evaluation import scenarios as labelled
from tunewise.schema import Advice, Judgement
from tunewise.together import Lanes

ROOT = Path(__file__).parent
BLOCK = 8
REPEATS = 2
Result = TypeVar("Result")


def main() -> None:
    """Measure, print a table and store the figures."""
    options = _options()
    chosen = labelled.read(sorted((ROOT / "scenarios").glob("*.jsonl")), options.split)
    order = np.random.default_rng(options.seed).permutation(len(chosen))[: options.count]
    texts = [chosen[place].situation for place in order]
    advisor = Advisor(offline=True)
    lanes = Lanes(advisor)
    try:
        found = measure(advisor, lanes, texts)
        if options.answers:
            found |= whole_answers(advisor, lanes, texts[: options.answers])
    finally:
        lanes.close()
        advisor.close()
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(advisor: Advisor, lanes: Lanes, texts: Sequence[str]) -> dict[str, object]:
    """Verdicts a minute both ways, and how far the results are apart.

    Args:
        advisor: Its readings of earlier questions are forgotten.
        lanes: Of the same advisor.
        texts: Situations, no two alike.
    """
    advisor.judge("Sort 100 labelled pictures of cats.")
    loop: list[float] = []
    beside: list[float] = []
    apart: list[float] = []
    other = 0
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        alone, seconds = _timed(advisor, partial(_loop, advisor, block))
        loop.append(seconds)
        results, seconds = _timed(advisor, partial(_lanes, lanes, block))
        beside.append(seconds)
        print(f"{start + len(block)} of {len(texts)}: {loop[-1]:.1f} s and {beside[-1]:.1f} s", flush=True)
        for one, result in zip(alone, results, strict=True):
            other += result.verdict is not one.verdict
            apart.append(max(abs(result.probabilities[key] - share) for key, share in one.probabilities.items()))
    lengths = [advisor.model.count(text) for text in texts]
    return {
        "situations": len(texts),
        "tokens": {"median": median(lengths), "mean": round(sum(lengths) / len(lengths), 1)},
        "loop_a_minute": round(60 * len(texts) / sum(loop), 1),
        "lanes_a_minute": round(60 * len(texts) / sum(beside), 1),
        "ratio": round(sum(loop) / sum(beside), 3),
        "ratio_of_blocks": [round(one / two, 3) for one, two in zip(loop, beside, strict=True)],
        "other_verdicts": other,
        "largest_difference": round(max(apart), 5),
        "mean_difference": round(sum(apart) / len(apart), 6),
    }


def whole_answers(advisor: Advisor, lanes: Lanes, texts: Sequence[str]) -> dict[str, object]:
    """Verdicts a minute by a loop of whole answers, beside the lanes' on the same situations."""
    answers, seconds = _timed(advisor, partial(_answers, advisor, texts))
    verdicts, beside = _timed(advisor, partial(_lanes, lanes, texts))
    pairs = zip(answers, verdicts, strict=True)
    return {
        "answers": len(texts),
        "answers_a_minute": round(60 * len(texts) / seconds, 1),
        "ratio_to_answers": round(seconds / beside, 2),
        "other_verdicts_than_answers": sum(one.verdict is not two.verdict for one, two in pairs),
    }


def _answers(advisor: Advisor, texts: Sequence[str]) -> Iterator[Advice]:
    return (advisor.ask(text) for text in texts)


def _loop(advisor: Advisor, texts: Sequence[str]) -> Iterator[Judgement]:
    return (advisor.judge(text) for text in texts)


def _lanes(lanes: Lanes, texts: Sequence[str]) -> Iterator[Judgement]:
    for found in lanes.judge(texts):
        if isinstance(found, TunewiseError):
            raise found
        yield found


def _timed(advisor: Advisor, work: Callable[[], Iterable[Result]]) -> tuple[list[Result], float]:
    """What work comes to, and the seconds of its faster run: the other one met something else on the machine."""
    seconds = []
    for _ in range(REPEATS):
        advisor._readings.clear()
        began = time.perf_counter()
        results = list(work())
        seconds.append(time.perf_counter() - began)
    return results, min(seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Verdicts a minute, a plain loop against the lanes of a batch.")
    parser.add_argument("--count", type=int, default=48, help="situations")
    parser.add_argument("--answers", type=int, default=8, help="situations that are answered in full too; 0 for none")
    parser.add_argument("--split", default="test", help="split of the scenarios they are drawn from")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "throughput.json", help="file of the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
