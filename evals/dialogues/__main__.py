"""Play the dialogues with the real model: does Tunewise ask for what matters?

    python -m evals.dialogues [--split dev|test] [--policies …] [--minutes M] [--write FILE]

A dialogue begins vaguely; every question is answered with the person's sentence about the factor asked
for, or with "I don't know.". At most three questions are asked: Tunewise's own ("best"), those of a fixed
order ("fixed"), or in random order ("random"). An interrupted run goes on where it stopped.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tunewise import Advisor, Verdict
from tunewise.conversation import Conversation
from tunewise.decision import WORTH_ASKING, stated
from tunewise.evaluation.metrics import paired_test, share_interval
from tunewise.prompts import FactorSpec
from tunewise.schema import Choice, Judgement, Question

Policy = Literal["best", "fixed", "random"]
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
POLICIES: tuple[Policy, ...] = ("best", "fixed", "random")
MOST = 3
IGNORANT = "I don't know."


class Knowledge(BaseModel):
    """What the person knows of a factor, and says when asked."""

    level: str
    says: str


class Dialogue(BaseModel):
    """A dialogue that can be played."""

    id: str
    split: Literal["dev", "test"]
    modality: str
    start: str
    facts: dict[str, Knowledge]
    """By factor; of every other factor the person knows nothing."""
    verdict: Verdict
    fair: tuple[Verdict, ...] = ()


class Played(BaseModel):
    """How a dialogue went."""

    dialogue: str
    policy: Policy
    head: str | None
    """Hash of the decision head; records of another one are played again."""
    asked: list[str]
    """Factors asked for."""
    verdicts: list[Verdict]
    """After no question, one, two and three; the last one stands where nothing more was asked."""
    said_before: int
    """Questions about a factor that the start had stated in the person's own words."""
    seconds: float


def read(split: str) -> list[Dialogue]:
    """Dialogues of a split."""
    lines = (HERE / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    return [dialogue for dialogue in map(Dialogue.model_validate_json, lines) if dialogue.split == split]


def question(
    policy: Policy, judgement: Judgement, asked: Sequence[str], specs: Sequence[FactorSpec], chance: random.Random
) -> Question | None:
    """The next question under a policy; None where nothing is worth asking."""
    if policy == "best":
        return judgement.question
    known = {factor.name for factor in judgement.factors if stated(factor)}
    left = [name for name in WORTH_ASKING if name not in known and name not in asked]
    if not left:
        return None
    name = left[0] if policy == "fixed" else chance.choice(left)
    spec = next(spec for spec in specs if spec.name == name)
    choices = tuple(Choice(level=level.name, meaning=level.meaning) for level in spec.levels if level != spec.silent)
    return Question(factor=name, text=spec.ask, choices=choices, gain=0.0)


def play(advisor: Advisor, dialogue: Dialogue, policy: Policy) -> Played:
    """Play one dialogue to its end."""
    began = time.perf_counter()
    chance = random.Random(dialogue.id)
    talk = Conversation(advisor)
    judgement = talk.judge(dialogue.start) or advisor.judge(dialogue.start)
    known = {factor.name for factor in judgement.factors if stated(factor)}
    asked: list[str] = []
    verdicts = [judgement.verdict]
    while len(asked) < MOST:
        next_question = question(policy, judgement, asked, advisor.specs, chance)
        if next_question is None:
            break
        asked.append(next_question.factor)
        talk.asked = next_question
        fact = dialogue.facts.get(next_question.factor)
        judgement = talk.judge(fact.says if fact else IGNORANT) or judgement
        verdicts.append(judgement.verdict)
    verdicts += [verdicts[-1]] * (MOST + 1 - len(verdicts))
    return Played(
        dialogue=dialogue.id,
        policy=policy,
        head=advisor.heads.digest if advisor.heads else None,
        asked=asked,
        verdicts=verdicts,
        said_before=len(known & set(asked)),
        seconds=round(time.perf_counter() - began, 2),
    )


def run(
    advisor: Advisor, dialogues: Sequence[Dialogue], policies: Sequence[Policy], records: Path, minutes: float
) -> Iterator[Played]:
    """Play what was not played yet, for at most so many minutes; hands out old and new records."""
    head = advisor.heads.digest if advisor.heads else None
    lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
    done = {(old.dialogue, old.policy): old for old in map(Played.model_validate_json, lines) if old.head == head}
    end = time.monotonic() + 60 * minutes
    work = [(dialogue, policy) for policy in policies for dialogue in dialogues]
    records.parent.mkdir(parents=True, exist_ok=True)
    with records.open("a", encoding="utf-8") as file, Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("Dialogues", total=len(work))
        for dialogue, policy in work:
            played = done.get((dialogue.id, policy))
            if played is None and time.monotonic() < end:
                played = play(advisor, dialogue, policy)
                file.write(played.model_dump_json() + "\n")
                file.flush()
            if played is not None:
                yield played
            progress.advance(bar)


def summary(dialogues: Sequence[Dialogue], played: Sequence[Played]) -> dict[str, object]:
    """Shares right, strict and fair, after each number of questions, with Wilson intervals, by policy."""
    known = {dialogue.id: dialogue for dialogue in dialogues}
    found: dict[str, object] = {}
    strict: dict[str, dict[str, bool]] = {}
    for policy in POLICIES:
        some = [item for item in played if item.policy == policy and item.dialogue in known]
        if not some:
            continue
        rows = {}
        for count in range(MOST + 1):
            right = [item.verdicts[count] is known[item.dialogue].verdict for item in some]
            fair = [
                hit or item.verdicts[count] in known[item.dialogue].fair for hit, item in zip(right, some, strict=True)
            ]
            rows[str(count)] = {"strict": _share(right), "fair": _share(fair)}
        strict[policy] = {item.dialogue: item.verdicts[MOST] is known[item.dialogue].verdict for item in some}
        found[policy] = {
            "dialogues": len(some),
            "after": rows,
            "questions": round(sum(len(item.asked) for item in some) / len(some), 2),
            "already_said": sum(item.said_before for item in some),
        }
    for rival in POLICIES[1:]:
        both = sorted(set(strict.get("best", {})) & set(strict.get(rival, {})))
        if both:
            wins, losses, chance = paired_test(
                [strict["best"][name] for name in both], [strict[rival][name] for name in both]
            )
            found[f"best against {rival}"] = {"only_best": wins, "only_other": losses, "p": round(chance, 4)}
    return found


def _share(hits: Sequence[bool]) -> list[float]:
    low, high = share_interval(hits)
    return [round(sum(hits) / len(hits), 3), round(low, 3), round(high, 3)]


def show(found: dict[str, object]) -> None:
    """The summary as a table."""
    table = Table("policy", "questions", "right strictly", "or fairly")
    for policy in POLICIES:
        part = found.get(policy)
        if isinstance(part, dict):
            for count, row in part["after"].items():
                cells = ["{:.3f} ({:.3f}–{:.3f})".format(*row[kind]) for kind in ("strict", "fair")]
                table.add_row(policy, count, *cells)
    console = Console()
    console.print(table)
    rest = {name: part for name, part in found.items() if name not in POLICIES}
    asked = {name: part["questions"] for name, part in found.items() if name in POLICIES and isinstance(part, dict)}
    console.print(json.dumps({"questions a dialogue": asked} | rest))


def main() -> None:
    """Read the arguments, play, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m evals.dialogues", description="Play the dialogues.")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many minutes; a later run goes on")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--out", type=Path, default=ROOT / "evals" / "runs" / "dialogues")
    parser.add_argument("--write", type=Path, help="also write the summary to this file")
    chosen = parser.parse_args()
    dialogues = read(chosen.split)
    advisor = Advisor(offline=True)
    advisor.load()
    played = list(run(advisor, dialogues, chosen.policies, chosen.out / f"{chosen.split}.jsonl", chosen.minutes))
    advisor.close()
    found = summary(dialogues, played)
    show(found)
    if chosen.write:
        chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
