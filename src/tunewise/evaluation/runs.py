"""A run of the evaluation: every step is a line of a file, so that an interrupted run goes on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from tunewise import grounding
from tunewise.advisor import Advisor
from tunewise.errors import StoreError, TunewiseError, UserError
from tunewise.evaluation.rewriting import Material, Rewriting, changes, rewrite
from tunewise.evaluation.scenarios import Scenario
from tunewise.llm import HOLE
from tunewise.schema import Advice, Judgement, Verdict
from tunewise.session import open_session

Kind = Literal["judged", "rewritten", "answered", "plain", "small"]
RECORDS, CARD = "records.jsonl", "run.json"
PLAIN = "baselines/plain"
SMALL_MODEL = "qwen2.5-coder-0.5b"


class Card(BaseModel):
    """What a run was made of; a run only goes on under the same card."""

    model: str
    model_sha256: str
    prompts: str
    knowledge: str
    head: str | None
    scenarios: dict[str, str]
    """Id and situation's split of every scenario in the run."""
    started: str
    """UTC, ISO 8601."""

    def same_as(self, other: "Card") -> bool:
        """Whether records under one card count under the other: all but the date and the set is the same."""
        return self.model_copy(update={"started": other.started, "scenarios": other.scenarios}) == other


class Record(BaseModel):
    """The outcome of one step."""

    kind: Kind
    scenario: str
    rewriting: str | None = None
    verdict: Verdict | None = None
    """None where the step failed."""
    probabilities: dict[Verdict, float] = {}
    levels: dict[str, str] = {}
    pushes: dict[str, Verdict] = {}
    """Factors of the sheet that push toward a verdict."""
    seconds: dict[str, float] = {}
    tokens_read: int = 0
    tokens_written: int = 0
    breaches: list[str] = []
    composed: int = 0
    """Reasons that had to be composed."""
    reasons: list[str] = []
    topics: list[str] = []
    """Topics of the facts cited."""
    questions: list[str] = []
    error: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells the step from every other one of a run."""
        return (self.kind, self.scenario, self.rewriting or "")


@dataclass(frozen=True)
class Step:
    """One piece of work of a run."""

    kind: Kind
    scenario: Scenario
    rewriting: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Matches the key of its record."""
        return (self.kind, self.scenario.id, self.rewriting or "")


@dataclass(frozen=True)
class Plan:
    """How much of each kind of work a run does; the scenarios of each are spread evenly over the set."""

    rewritten: int = 60
    """Scenarios that are rewritten in every way that changes them."""
    answered: int = 40
    """Scenarios that get a whole answer, with reasons."""
    plain: int = 100
    """Scenarios that the plain prompt judges."""
    small: int = 0
    """Scenarios that the 0.5B model judges."""
    classifiers: bool = True
    """Whether simple classifiers are fitted on the other scenarios, to compare with; some minutes."""

    def steps(self, scenarios: Sequence[Scenario], rewritings: Mapping[str, Rewriting]) -> list[Step]:
        """The work, in order."""
        every = [Step("judged", scenario) for scenario in scenarios]
        some = spread(scenarios, self.rewritten)
        every += [
            Step("rewritten", scenario, name)
            for scenario in some
            for name, rewriting in rewritings.items()
            if changes(scenario.situation, rewriting)
        ]
        every += [Step("answered", scenario) for scenario in spread(scenarios, self.answered)]
        every += [Step("plain", scenario) for scenario in spread(scenarios, self.plain)]
        return every + [Step("small", scenario) for scenario in spread(scenarios, self.small)]


def spread(scenarios: Sequence[Scenario], count: int) -> list[Scenario]:
    """At most `count` scenarios, evenly from verdict to verdict and from file to file."""
    ordered = sorted(scenarios, key=lambda scenario: (scenario.verdict.value, scenario.id))
    count = min(count, len(ordered))
    return [ordered[(2 * place + 1) * len(ordered) // (2 * count)] for place in range(count)] if count else []


class Run:
    """A run in a folder.

    Args:
        folder: Made where it is missing.
        card: What the run is made of.
        fresh: Start over instead of going on.

    Raises:
        UserError: The folder holds a run of something else.
        StoreError: The folder cannot be written.
    """

    def __init__(self, folder: Path, card: Card, *, fresh: bool = False) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                (folder / RECORDS).unlink(missing_ok=True)
                (folder / CARD).unlink(missing_ok=True)
            if (folder / CARD).exists() and not load_card(folder).same_as(card):
                raise UserError(
                    f"{folder} holds a run of another model, prompt, head or knowledge folder.",
                    "Name another folder, or start over with --fresh.",
                )
            (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"The run cannot be written to {folder}: {error.strerror or error}.") from error
        self.records = {record.key: record for record in load_records(folder)}

    def done(self, step: Step) -> bool:
        """Whether a step needs no doing: one that failed is tried again, as what stood in its way may be mended."""
        record = self.records.get(step.key)
        return record is not None and record.error is None

    def go(self, steps: Sequence[Step], advisors: Mapping[str, Advisor], material: Material) -> Iterator[Record]:
        """Do what has not been done yet, or failed; hands out each record as it is written.

        Args:
            steps: The whole work.
            advisors: The `default` one, and the `small` one where small steps are asked for.
            material: For the rewritings.
        """
        with (self.folder / RECORDS).open("a", encoding="utf-8") as file:
            if file.tell():
                # A crash may have cut the last line off; the next record must not be glued to it.
                file.write("\n")
            for step in steps:
                if self.done(step):
                    continue
                advisor = advisors["small" if step.kind == "small" else "default"]
                record = take(step, advisor, material)
                file.write(record.model_dump_json(exclude_defaults=True) + "\n")
                file.flush()
                self.records[record.key] = record
                yield record


def card_of(advisor: Advisor, scenarios: Sequence[Scenario]) -> Card:
    """The card of a run of these scenarios by this advisor."""
    made = advisor.provenance()
    return Card(
        model=made.model,
        model_sha256=made.model_sha256,
        prompts=made.prompts,
        knowledge=made.knowledge,
        head=made.head,
        scenarios={scenario.id: scenario.split for scenario in scenarios},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def load_card(folder: Path) -> Card:
    """The card of a run.

    Raises:
        UserError: The folder holds no run.
    """
    try:
        return Card.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} holds no run of 'tunewise eval'.") from error


def load_records(folder: Path) -> list[Record]:
    """The records of a run; a last line that was cut off by a crash is left out."""
    file = folder / RECORDS
    if not file.exists():
        return []
    found = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        try:
            found.append(Record.model_validate(json.loads(line)))
        except (ValidationError, json.JSONDecodeError):
            continue
    return found


def take(step: Step, advisor: Advisor, material: Material) -> Record:
    """Do one step; an error of the advisor becomes part of the record."""
    fields: dict[str, Any] = {"kind": step.kind, "scenario": step.scenario.id, "rewriting": step.rewriting}
    text = step.scenario.situation
    if step.rewriting:
        text = rewrite(text, material.rewritings()[step.rewriting])
    try:
        match step.kind:
            case "plain":
                return Record(**fields, **_plainly(advisor, text))
            case "answered":
                return Record(**fields, **_answered(advisor, text))
            case _:
                return Record(**fields, **_judged(advisor.judge(text)))
    except TunewiseError as error:
        return Record(**fields, error=str(error))


def breaches(advice: Advice, advisor: Advisor) -> list[str]:
    """Promises that an answer breaks; empty where it keeps all."""
    facts = {fact.id: fact for fact in advisor.index.corpus.facts}
    found = []
    if Advice.model_validate(json.loads(advice.model_dump_json())) != advice:
        found.append("does not survive JSON")
    if len(advice.reasons) != advisor.settings.reasons:
        found.append(f"{len(advice.reasons)} reasons")
    if advice.verdict is Verdict.NEEDS_MORE_INFORMATION and not advice.questions:
        found.append("no question")
    for factor in advice.factors:
        if factor.quote is not None and factor.quote not in advice.situation:
            found.append(f"the user never wrote: {factor.quote}")
    for reason in advice.reasons:
        for evidence in reason.evidence:
            if evidence.quote != facts[evidence.fact].text:
                found.append(f"{evidence.fact} is not verbatim")
        supports = [advice.situation, *(evidence.quote for evidence in reason.evidence)]
        if not reason.composed:
            found += [f"{breach}: {reason.text}" for breach in grounding.violations(reason.text, supports)]
    return found


def _judged(judgement: Judgement) -> dict[str, Any]:
    timings = judgement.timings
    return {
        "verdict": judgement.verdict,
        "probabilities": judgement.probabilities,
        "levels": {factor.name: factor.level for factor in judgement.factors},
        "pushes": {factor.name: factor.pushes_toward for factor in judgement.factors if factor.pushes_toward},
        "seconds": {name: round(getattr(timings, name), 3) for name in ("retrieve", "verdict", "reasons", "total")},
        "tokens_read": timings.tokens_read,
        "tokens_written": timings.tokens_written,
        "questions": list(judgement.questions),
    }


def _answered(advisor: Advisor, text: str) -> dict[str, Any]:
    advice = advisor.ask(text)
    facts = {fact.id: fact for fact in advisor.index.corpus.facts}
    return _judged(advice) | {
        "breaches": breaches(advice, advisor),
        "composed": sum(reason.composed for reason in advice.reasons),
        "reasons": [reason.text for reason in advice.reasons],
        "topics": [facts[evidence.fact].topic for reason in advice.reasons for evidence in reason.evidence],
    }


def _plainly(advisor: Advisor, text: str) -> dict[str, Any]:
    """The verdict of an ordinary prompt with JSON under a grammar: the first value is the verdict."""
    prefix = advisor.model.prefix(
        [
            {"role": "system", "content": advisor.library.prompt(PLAIN).render()},
            {"role": "user", "content": HOLE},
        ]
    )
    with open_session(advisor.model, prefix) as session:
        session.read(text)
        session.close_turn()
        session.read('{"verdict": "')
        choice = session.choose([verdict.value for verdict in Verdict])
    verdict = list(Verdict)[choice.index]
    return {"verdict": verdict, "probabilities": dict(zip(Verdict, choice.probabilities, strict=True))}
