"""Play the conversations with the real model: does the sheet follow the newest statement?

    python -m evals.conversations [--split dev|test|all] [--minutes M] [--write FILE] [--verbose]

Each conversation names the level that a factor should have after the last turn, and whether a contradiction
with an older statement has to be pointed out. An interrupted run goes on where it stopped.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tunewise import Advisor
from tunewise.conversation import Conversation
from tunewise.evaluation.metrics import share_interval

HERE = Path(__file__).parent
RECORDS = HERE.parent / "runs" / "conversations.jsonl"
Kind = Literal["correction", "addition", "what_if", "contradiction", "small_talk"]


class Turns(BaseModel):
    """A conversation and what should come of it."""

    id: str
    split: Literal["dev", "test"]
    kind: Kind
    turns: tuple[str, ...]
    factor: str
    level: str
    """Of the factor, after the last turn."""
    contradiction: bool
    """Whether one has to be pointed out."""


class Outcome(BaseModel):
    """What came of a conversation."""

    conversation: str
    head: str | None
    """Hash of the decision head; a record of another one is played again."""
    kind: Kind
    level: str
    right: bool
    """The factor has the level that it should have."""
    pointed_out: bool
    """A contradiction was pointed out."""
    heeded: bool
    """That is as it should be."""
    supposed: bool
    """The what-ifs, and they alone, were taken as such."""
    said: list[str]
    """The contradictions in words, and what changed."""


def play(advisor: Advisor, item: Turns) -> Outcome:
    """Play one conversation."""
    talk = Conversation(advisor)
    said, kinds, found = [], [], None
    for turn in item.turns:
        found = talk.judge(turn)
        if found is not None:
            kinds.append(found.hypothetical)
            said += [contradiction.text for contradiction in found.contradictions]
    pointed_out = bool(said)
    found = found or talk.standing
    if found is None:
        raise SystemExit(f"{item.id}: the first turn is no situation")
    said += [f"{change.factor}: {change.before} → {change.after}" for change in found.changes]
    level = next(factor.level for factor in found.factors if factor.name == item.factor)
    return Outcome(
        conversation=item.id,
        head=advisor.heads.digest if advisor.heads else None,
        kind=item.kind,
        level=level,
        right=level == item.level,
        pointed_out=pointed_out,
        heeded=pointed_out == item.contradiction,
        supposed=any(kinds) == (item.kind == "what_if"),
        said=said,
    )


def run(advisor: Advisor, items: Sequence[Turns], records: Path, minutes: float) -> Iterator[Outcome]:
    """Play what was not played yet, for at most so many minutes; hands out old and new outcomes."""
    head = advisor.heads.digest if advisor.heads else None
    lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
    done = {old.conversation: old for old in map(Outcome.model_validate_json, lines) if old.head == head}
    end = time.monotonic() + 60 * minutes
    records.parent.mkdir(parents=True, exist_ok=True)
    with records.open("a", encoding="utf-8") as file:
        for item in track(items, "Conversations", console=Console(stderr=True)):
            outcome = done.get(item.id)
            if outcome is None and time.monotonic() < end:
                outcome = play(advisor, item)
                file.write(outcome.model_dump_json() + "\n")
                file.flush()
            if outcome is not None:
                yield outcome


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, list[float]]]:
    """Shares by kind and over all, with Wilson intervals."""
    groups = {kind: [item for item in outcomes if item.kind == kind] for kind in get_args(Kind)}
    return {
        name: {
            "conversations": [len(some)],
            "level": _share([item.right for item in some]),
            "contradiction": _share([item.heeded for item in some]),
            "what_if": _share([item.supposed for item in some]),
        }
        for name, some in {**groups, "all": list(outcomes)}.items()
        if some
    }


def _share(hits: Sequence[bool]) -> list[float]:
    low, high = share_interval(hits)
    return [round(sum(hits) / len(hits), 3), round(low, 3), round(high, 3)]


def main() -> None:
    """Read the arguments, play, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m evals.conversations", description="Play the conversations.")
    parser.add_argument("--split", choices=["dev", "test", "all"], default="all")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many minutes; a later run goes on")
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--write", type=Path, help="also write the figures to this file")
    parser.add_argument("--verbose", action="store_true", help="show every conversation that went wrong")
    chosen = parser.parse_args()
    lines = (HERE / "turns.jsonl").read_text(encoding="utf-8").splitlines()
    items = [item for item in map(Turns.model_validate_json, lines) if chosen.split in (item.split, "all")]
    advisor = Advisor(offline=True)
    advisor.load()
    outcomes = list(run(advisor, items, chosen.out, chosen.minutes))
    advisor.close()
    found = summary(outcomes)
    table = Table("kind", "n", "level right", "contradiction heeded", "what-if told apart")
    for name, row in found.items():
        shares = ["{:.3f} ({:.3f}–{:.3f})".format(*row[part]) for part in ("level", "contradiction", "what_if")]
        table.add_row(name, str(row["conversations"][0]), *shares)
    Console().print(table)
    if chosen.verbose:
        for outcome in outcomes:
            if not (outcome.right and outcome.heeded and outcome.supposed):
                print(outcome.model_dump_json())
    if chosen.write:
        chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
