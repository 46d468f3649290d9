"""Every figure of a run, from its records."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tunewise.errors import UserError
from tunewise.evaluation import metrics
from tunewise.evaluation.rewriting import Rewriting, changes
from tunewise.evaluation.runs import Card, Kind, Record
from tunewise.evaluation.scenarios import Scenario
from tunewise.schema import Verdict

ORDER = list(Verdict)
CORE = (Verdict.TRAIN_FROM_SCRATCH, Verdict.FINE_TUNE)
WORST = 15
"""Errors that a report shows in full: those of which the head was surest."""


class Share(BaseModel):
    """A proportion with its 95 % Wilson interval."""

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, hits: Sequence[bool]) -> "Share":
        """The share of hits."""
        low, high = metrics.share_interval(hits)
        value = sum(hits) / len(hits) if hits else 0.0
        return cls(value=round(value, 4), low=round(low, 4), high=round(high, 4), count=len(hits))

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Row(BaseModel):
    """One way of judging, in figures."""

    way: str
    strict: Share
    fair: Share
    train_versus_fine_tune: Share
    wins: int = 0
    """Questions that only Tunewise got right."""
    losses: int = 0
    """Questions that only this way got right."""
    p: float = 1.0
    """Two-sided, exact McNemar test against Tunewise."""


class ErrorCase(BaseModel):
    """A wrong verdict, to be read."""

    id: str
    situation: str
    label: Verdict
    verdict: Verdict
    confidence: float
    fair: bool
    rationale: str


class Summary(BaseModel):
    """A report's figures."""

    card: Card
    scenarios: int
    failed: int
    rows: list[Row]
    """Tunewise first, then the baselines."""
    by_verdict: dict[Verdict, dict[str, float]]
    confusion: list[list[int]]
    """Rows: label; columns: verdict; in the order of `Verdict`."""
    ece: float
    brier: float
    log_loss: float
    reliability: list[tuple[float, float, int]]
    risk_coverage: list[tuple[float, float]]
    factors: dict[str, Share]
    by_group: dict[str, dict[str, Share]]
    """Strict accuracy by modality, difficulty and language."""
    robustness: dict[str, Share]
    """Share of verdicts that flip, by rewriting."""
    disagreement: Share
    """How often the sheet's pushes favour another verdict than the head."""
    answers: int
    breaches: list[str]
    own_words: Share
    retrieval_hits: Share
    """Answers of which at least one cited fact has a topic that the scenario names."""
    seconds: dict[str, dict[str, float]]
    tokens: dict[str, float]
    worst: list[ErrorCase]


def summarise(
    card: Card,
    records: Sequence[Record],
    scenarios: Sequence[Scenario],
    baselines: Mapping[str, Sequence[Verdict]],
    rewritings: Mapping[str, Rewriting],
) -> Summary:
    """Compute every figure.

    Args:
        card: Of the run.
        records: Of the run.
        scenarios: The labelled set that was run.
        baselines: Guesses of other ways for each scenario, by the name of the way.
        rewritings: By name; runs of old hold copies that theirs left as they were, which count for nothing.

    Raises:
        UserError: No scenario could be judged.
    """
    ids = {scenario.id for scenario in scenarios}
    records = [record for record in records if record.scenario in ids]
    judged = _by_id(records, "judged")
    kept = [scenario for scenario in scenarios if scenario.id in judged and judged[scenario.id].verdict]
    if not kept:
        told = next((record.error for record in records if record.error), "there are no records")
        raise UserError(f"No scenario could be judged: {told}", "Mend that, then run it again.")
    chances = np.array([[judged[s.id].probabilities[verdict] for verdict in ORDER] for s in kept])
    labels = np.array([ORDER.index(scenario.verdict) for scenario in kept])
    guesses = [ORDER[int(place)] for place in chances.argmax(axis=1)]
    table = confusion_matrix(labels, chances.argmax(axis=1), labels=range(len(ORDER)))
    answered = list(_by_id(records, "answered").values())
    rewritten = [record for record in records if record.kind == "rewritten" and record.error is None]
    return Summary(
        card=card,
        scenarios=len(scenarios),
        failed=sum(record.error is not None for record in records),
        rows=_rows(kept, guesses, records, {s.id: place for place, s in enumerate(scenarios)}, baselines),
        by_verdict=_by_verdict(labels, chances.argmax(axis=1)),
        confusion=table.tolist(),
        ece=round(metrics.expected_calibration_error(chances, labels), 4),
        brier=round(metrics.brier(chances, labels), 4),
        log_loss=round(metrics.log_loss(chances, labels), 4),
        reliability=metrics.calibration_bins(chances, labels),
        risk_coverage=metrics.risk_coverage(chances.max(axis=1), chances.argmax(axis=1) == labels),
        factors=_factors(kept, judged),
        by_group=_groups(kept, guesses),
        robustness=_robustness(_changed(rewritten, kept, rewritings), judged),
        disagreement=Share.of([_against_sheet(judged[scenario.id]) for scenario in kept]),
        answers=len(answered),
        breaches=[f"{record.scenario}: {breach}" for record in answered for breach in record.breaches],
        own_words=Share.of([place >= record.composed for record in answered for place in range(len(record.reasons))]),
        retrieval_hits=Share.of(_hits(answered, kept)),
        seconds=_seconds(answered, list(judged.values())),
        tokens={
            "read": statistics.median([record.tokens_read for record in answered or judged.values()]),
            "written": statistics.median([record.tokens_written for record in answered or judged.values()]),
        },
        worst=_worst(kept, judged),
    )


def _by_id(records: Sequence[Record], kind: Kind) -> dict[str, Record]:
    return {record.scenario: record for record in records if record.kind == kind and record.error is None}


def _row(way: str, scenarios: Sequence[Scenario], guesses: Sequence[Verdict], ours: Sequence[Verdict]) -> Row:
    right = [guess is scenario.verdict for guess, scenario in zip(guesses, scenarios, strict=True)]
    reference = [guess is scenario.verdict for guess, scenario in zip(ours, scenarios, strict=True)]
    wins, losses, p = metrics.paired_test(reference, right)
    return Row(
        way=way,
        strict=Share.of(right),
        fair=Share.of([s.accepts(guess) for guess, s in zip(guesses, scenarios, strict=True)]),
        train_versus_fine_tune=Share.of([hit for hit, s in zip(right, scenarios, strict=True) if s.verdict in CORE]),
        wins=wins,
        losses=losses,
        p=p,
    )


def _rows(
    kept: Sequence[Scenario],
    guesses: Sequence[Verdict],
    records: Sequence[Record],
    places: Mapping[str, int],
    baselines: Mapping[str, Sequence[Verdict]],
) -> list[Row]:
    ours = dict(zip((scenario.id for scenario in kept), guesses, strict=True))
    rows = [_row("Tunewise", kept, guesses, guesses)]
    for name, theirs in baselines.items():
        rows.append(_row(name, kept, [theirs[places[scenario.id]] for scenario in kept], guesses))
    for kind, name in (("plain", "plain prompt, JSON schema"), ("small", "0.5B model, factor sheet")):
        found = _by_id(records, kind)  # type: ignore[arg-type]
        some = [scenario for scenario in kept if scenario.id in found]
        if some:
            theirs = [_verdict(found[scenario.id]) for scenario in some]
            rows.append(_row(name, some, theirs, [ours[scenario.id] for scenario in some]))
    judged = _by_id(records, "judged")
    sheets = [_sheet_vote(judged[scenario.id]) for scenario in kept]
    return [*rows, _row("factor sheet alone (its pushes)", kept, sheets, guesses)]


def _verdict(record: Record) -> Verdict:
    if record.verdict is None:
        raise ValueError(f"the record of {record.scenario} holds no verdict")
    return record.verdict


def _sheet_vote(record: Record) -> Verdict:
    votes = Counter(record.pushes.values())
    return votes.most_common(1)[0][0] if votes else Verdict.NEEDS_MORE_INFORMATION


def _against_sheet(record: Record) -> bool:
    votes = Counter(record.pushes.values())
    best = max(votes.values(), default=0)
    return record.verdict is not Verdict.NEEDS_MORE_INFORMATION and votes[_verdict(record)] < best


def _by_verdict(labels: Any, guess: Any) -> dict[Verdict, dict[str, float]]:
    parts = precision_recall_fscore_support(labels, guess, labels=range(len(ORDER)), zero_division=0)
    names = ("precision", "recall", "f1", "count")
    return {
        verdict: {name: round(float(part[place]), 3) for name, part in zip(names, parts, strict=True)}
        for place, verdict in enumerate(ORDER)
    }


def _factors(scenarios: Sequence[Scenario], judged: Mapping[str, Record]) -> dict[str, Share]:
    hits: dict[str, list[bool]] = {}
    for scenario in scenarios:
        levels = judged[scenario.id].levels
        for name, level in scenario.factors.items():
            hits.setdefault(name, []).append(levels.get(name) == level)
    return {name: Share.of(values) for name, values in sorted(hits.items())}


def _groups(scenarios: Sequence[Scenario], guesses: Sequence[Verdict]) -> dict[str, dict[str, Share]]:
    groups: dict[str, dict[str, list[bool]]] = {"difficulty": {}, "language": {}, "modality": {}}
    for scenario, guess in zip(scenarios, guesses, strict=True):
        for name, members in groups.items():
            members.setdefault(getattr(scenario, name), []).append(guess is scenario.verdict)
    return {
        name: {key: Share.of(hits) for key, hits in sorted(members.items(), key=lambda item: -len(item[1]))}
        for name, members in groups.items()
    }


def _changed(
    rewritten: Sequence[Record], scenarios: Sequence[Scenario], rewritings: Mapping[str, Rewriting]
) -> list[Record]:
    """Copies that are not their situation over again, as far as their rewriting is known."""
    texts = {scenario.id: scenario.situation for scenario in scenarios}
    return [
        record
        for record in rewritten
        if (known := rewritings.get(record.rewriting or "")) is None or changes(texts.get(record.scenario, ""), known)
    ]


def _robustness(rewritten: Sequence[Record], judged: Mapping[str, Record]) -> dict[str, Share]:
    flips: dict[str, list[bool]] = {}
    for record in rewritten:
        if record.scenario in judged:
            flips.setdefault(record.rewriting or "", []).append(record.verdict is not judged[record.scenario].verdict)
    every = [flip for values in flips.values() for flip in values]
    return {name: Share.of(values) for name, values in ({"all": every} | flips).items() if values}


def _hits(answered: Sequence[Record], scenarios: Sequence[Scenario]) -> list[bool]:
    topics = {scenario.id: set(scenario.topics) for scenario in scenarios}
    return [bool(topics.get(record.scenario, set()) & set(record.topics)) for record in answered]


def _seconds(answered: Sequence[Record], judged: Sequence[Record]) -> dict[str, dict[str, float]]:
    found = {}
    for name, records in (("verdict", judged), ("retrieve", answered), ("reasons", answered), ("total", answered)):
        values = [record.seconds[name] for record in records if name in record.seconds]
        if values:
            middle, high = np.percentile(values, [50, 95])
            found[name] = {"median": round(float(middle), 3), "p95": round(float(high), 3)}
    return found


def _worst(scenarios: Sequence[Scenario], judged: Mapping[str, Record]) -> list[ErrorCase]:
    wrong = [
        ErrorCase(
            id=scenario.id,
            situation=scenario.situation,
            label=scenario.verdict,
            verdict=_verdict(record),
            confidence=round(record.probabilities[_verdict(record)], 3),
            fair=scenario.accepts(_verdict(record)),
            rationale=scenario.rationale,
        )
        for scenario in scenarios
        if (record := judged[scenario.id]).verdict is not scenario.verdict
    ]
    return sorted(wrong, key=lambda case: (case.fair, -case.confidence))[:WORST]
