"""Batch runs that are killed at random moments: every row must be judged exactly once.

    python -m evals.resumption [--kills 50] [--seed 1]

A child judges a table with the real journal, lock and output code; in place of the model's forward
pass stands a verdict that the text determines, because the kill, not the verdict, is what is tried. The
child appends a line to a log for every row that it judges, so that a row judged again after its result was
kept is seen.
"""

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewise.batching import Job
from tunewise.schema import Judgement, Method, Provenance, Timings, Verdict
from tunewise.tables import read_table

ROWS = 400
PAUSE = 0.004
"""Seconds that a row takes."""


class Steady:
    """Judges by the length of the text, and logs what it judged."""

    window = 4

    def __init__(self, log: Path) -> None:
        self.log = log

    def provenance(self) -> Provenance:
        """What its results depend on."""
        return Provenance(tunewise="0", model="steady", model_sha256="0", prompts="0", knowledge="0")

    def judge(self, texts: Sequence[str]) -> Iterator[Judgement]:
        """Judge texts, as a cluster does."""
        return map(self._one, texts)

    def _one(self, text: str) -> Judgement:
        """A judgement in the form of the real one."""
        time.sleep(PAUSE)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
        chosen = list(Verdict)[len(text) % 4]
        return Judgement(
            situation=text,
            verdict=chosen,
            confidence=1.0,
            probabilities={verdict: float(verdict is chosen) for verdict in Verdict},
            method=None if chosen is Verdict.NEEDS_MORE_INFORMATION else Method.PROMPTING,
            notes=(),
            would_change=(),
            questions=("What is missing?",),
            question=None,
            calibrated=True,
            factors=(),
            timings=Timings(),
        )


@dataclass(frozen=True)
class Result:
    """What a run with kills came to."""

    kills: int
    """Kills that hit a run that was under way."""
    lost: int
    """Rows missing from the output."""
    doubled: int
    """Rows that stand in the output twice."""
    repeated: int
    """Rows judged again: at most one a kill, the one whose result was not yet kept."""
    wrong: int
    """Rows whose result is not that of an undisturbed run."""

    @property
    def exact(self) -> bool:
        """Whether nothing was lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong) and self.repeated <= self.kills


def run(kills: int, seed: int, rows: int = ROWS) -> Result:
    """Kill a batch run so many times, let it end, and compare with an undisturbed one."""
    chance, hit = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = folder / "in.csv"
        with table.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([["id", "text"], *([n, f"row {n} {'x' * (n % 7)}"] for n in range(rows))])
        log, out = folder / "log", folder / "out.csv"
        while hit < kills:
            child = _start(table, out, log)
            before, ended = _size(log), False
            while not ended and _size(log) == before:
                time.sleep(0.002)
                ended = _ended(child)
            time.sleep(chance.uniform(0, 4 * PAUSE))
            if ended or _ended(child):
                raise RuntimeError("the table is too short for so many kills")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            hit += 1
        os.waitpid(_start(table, out, log), 0)
        os.waitpid(_start(table, folder / "whole.csv", folder / "other"), 0)
        found, whole = _read(out), _read(folder / "whole.csv")
        judged = Counter(log.read_text(encoding="utf-8").splitlines())
    ids = Counter(row["id"] for row in found)
    return Result(
        kills=hit,
        lost=rows - len(ids),
        doubled=sum(count - 1 for count in ids.values()),
        repeated=sum(count - 1 for count in judged.values()),
        wrong=sum(row != other for row, other in zip(found, whole, strict=False)),
    )


def _start(table: Path, out: Path, log: Path) -> int:
    """Judge a table in a process of its own; its number."""
    child = os.fork()
    if child == 0:
        try:
            steady = Steady(log)
            for _ in Job(steady, read_table(table), out, cluster=steady).run():  # type: ignore[arg-type]
                pass
        finally:
            os._exit(0)
    return child


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] != 0


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    """Read the arguments, run, print."""
    options = argparse.ArgumentParser(prog="python -m evals.resumption", description="Kill batch runs.")
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    result = run(given.kills, given.seed)
    print(result)
    print(f"{result.kills} of {result.kills} kills survived exactly" if result.exact else "not exact")
    sys.exit(0 if result.exact else 1)


if __name__ == "__main__":
    main()
