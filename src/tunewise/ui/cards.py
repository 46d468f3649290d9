"""What stands beside the chat, as HTML. The templates escape every text of a user, a model or a document."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunewise.batching import Outcome, summarise
from tunewise.counsel import Counsel
from tunewise.decision import CLOSE_CALL
from tunewise.documents import OwnDocument, Skipped
from tunewise.estimation.calculator import span
from tunewise.heads import HeadCard
from tunewise.prompts import FactorSpec
from tunewise.render import at_share, percent, what_changed
from tunewise.schema import (
    Advice,
    Counterfactual,
    DoneEvent,
    Estimate,
    Event,
    Evidence,
    EvidenceEvent,
    Fact,
    Factor,
    FactorEvent,
    Judgement,
    OutlookEvent,
    Question,
    Reason,
    ReasonEvent,
    StatusEvent,
    StepKind,
    TextEvent,
    Verdict,
    VerdictEvent,
)

if TYPE_CHECKING:
    from tunewise.evaluation.comparison import Comparison

UNCALIBRATED = "not calibrated"
"""Words of the note on probabilities that stand for no frequency."""
CLOSE = 0.5
"""Confidence below which no verdict is more likely than not."""
SURE = 0.8
WIDE = 30.0
"""Times the smallest figure that the largest is before their axis is logarithmic."""
MOST_CHANGES = 40
"""Verdicts that two runs differ in, as far as they are listed."""
SHORT: dict[Verdict, str] = {
    Verdict.TRAIN_FROM_SCRATCH: "from scratch",
    Verdict.FINE_TUNE: "fine-tune",
    Verdict.USE_AS_IS: "as it is",
    Verdict.NEEDS_MORE_INFORMATION: "ask first",
}
STEPS: dict[StepKind, str] = {
    StepKind.CHECK: "Check first",
    StepKind.EXPERIMENT: "Cheap trial",
    StepKind.BUILD: "Then build",
    StepKind.STOP: "Stop rule",
    StepKind.FALLBACK: "If it fails",
}


class Certainty(StrEnum):
    """How sure a verdict is."""

    CONFIDENT = "Confident"
    LIKELY = "Likely"
    LEANING = "Leaning"
    CLOSE = "Too close to call"


@dataclass(frozen=True)
class Part:
    """A piece of the user's message."""

    text: str
    factor: str = ""
    """The factor that rests on it, if any."""


@dataclass(frozen=True)
class View:
    """What is known of an answer so far; a fold over its events."""

    status: str = ""
    verdict: VerdictEvent | None = None
    factors: tuple[Factor, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    drafts: Mapping[int, str] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    would_change: tuple[Counterfactual, ...] = ()
    question: Question | None = None
    situation: str = ""
    advice: Advice | None = None
    judged: Judgement | None = None
    """The decision after the last correction."""
    changed: str = ""
    """What a correction or the last message changed, in words."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Levels, by factor, that the user set in the sheet since the last answer."""
    counsel: Counsel = field(default_factory=Counsel)
    """How to act on the verdict."""
    figures: tuple[Estimate, ...] = ()
    """Estimates that go with the verdict, or the result of a calculation."""

    def after(self, event: Event) -> "View":
        """The view once an event has arrived."""
        match event:
            case StatusEvent():
                return replace(self, status=event.text)
            case FactorEvent():
                return replace(self, factors=(*self.factors, event.factor))
            case VerdictEvent():
                return replace(self, verdict=event, status="Looking up facts")
            case EvidenceEvent():
                return replace(self, evidence=event.evidence, status="Writing the reasons")
            case TextEvent():
                text = self.drafts.get(event.index, "") + event.text
                return replace(self, drafts={**self.drafts, event.index: text})
            case ReasonEvent():
                drafts = {index: text for index, text in self.drafts.items() if index != event.index}
                return replace(self, reasons=(*self.reasons, event.reason), drafts=drafts)
            case OutlookEvent():
                return replace(self, would_change=event.would_change, question=event.question)
            case DoneEvent(result=Advice() as advice):
                return View.of(advice)
            case _:
                return self

    @classmethod
    def of(cls, advice: Advice) -> "View":
        """The view of a whole advice."""
        return cls(
            verdict=_event(advice),
            factors=advice.factors,
            evidence=_cited(advice.reasons),
            reasons=advice.reasons,
            would_change=advice.would_change,
            question=advice.question,
            situation=advice.situation,
            advice=advice,
            counsel=Counsel(**{name: getattr(advice, name) for name in Counsel.model_fields}),
            figures=advice.estimates,
            changed=what_changed(advice),
        )

    def rested(self) -> "View":
        """The view of an answer that goes no further."""
        return replace(self, status="", drafts={})

    @property
    def certainty(self) -> str:
        """The confidence in words that a layperson reads rightly."""
        if self.verdict is None:
            return ""
        confidence = self.verdict.confidence
        odds = _odds(confidence)
        if any(UNCALIBRATED in note for note in self.verdict.notes):
            odds = UNCALIBRATED
        sure = certainty(self.verdict.probabilities, confidence)
        return odds if sure is Certainty.CLOSE else f"{sure} · {odds}"

    @property
    def close(self) -> bool:
        """Whether the two best verdicts lie too near to each other to call."""
        decided = self.verdict
        return decided is not None and certainty(decided.probabilities, decided.confidence) is Certainty.CLOSE

    @property
    def leaders(self) -> tuple[Verdict, ...]:
        """The two most probable verdicts."""
        shares = self.verdict.probabilities if self.verdict else {}
        return tuple(sorted(shares, key=lambda verdict: -shares[verdict])[:2])

    @property
    def marked(self) -> list[Part]:
        """The situation in pieces; those that a factor rests on carry its name."""
        return marked(self.situation, self.factors)

    def number(self, evidence: Evidence) -> int:
        """The number under which evidence is cited."""
        facts = [item.fact for item in self.evidence]
        return facts.index(evidence.fact) + 1 if evidence.fact in facts else len(facts) + 1

    def corrected(self, judgement: Judgement, advised: Counsel, figures: tuple[Estimate, ...]) -> "View":
        """The view after the user set levels; reasons of another verdict or from another level are left out."""
        reasons = _standing(self.advice, judgement)
        return replace(
            self,
            verdict=_event(judgement),
            factors=judgement.factors,
            would_change=judgement.would_change,
            question=judgement.question,
            reasons=reasons,
            evidence=_cited(reasons),
            changed=_difference(self.advice, judgement),
            judged=judgement,
            counsel=advised,
            figures=figures,
        )

    @property
    def decided(self) -> Advice | None:
        """The advice as it stands, with what the user corrected; None before there is one."""
        if self.advice is None or self.judged is None:
            return self.advice
        fields = {name: getattr(self.judged, name) for name in Judgement.model_fields if name != "timings"}
        rest = {"reasons": self.reasons, "estimates": self.figures, **dict(self.counsel)}
        return Advice(**{**dict(self.advice), **fields, **rest})


def _odds(confidence: float) -> str:
    # Ten in ten would be a promise.
    share = "more than 9" if confidence >= 0.95 else str(round(10 * confidence))
    return f"{share} in 10 such verdicts are right"


def certainty(probabilities: Mapping[Verdict, float], confidence: float) -> Certainty:
    """How sure a verdict is, in a word that a layperson reads rightly."""
    ranked = sorted(probabilities.values(), reverse=True)
    if ranked[0] - ranked[1] < CLOSE_CALL:
        return Certainty.CLOSE
    if confidence < CLOSE:
        return Certainty.LEANING
    return Certainty.CONFIDENT if confidence >= SURE else Certainty.LIKELY


def marked(text: str, factors: Sequence[Factor]) -> list[Part]:
    """A text in pieces; those that a factor rests on carry its name and level."""
    spans = sorted(
        (text.find(factor.quote), factor.quote, f"{factor.name.replace('_', ' ')}: {factor.meaning}")
        for factor in factors
        if factor.quote and factor.quote in text
    )
    parts, end = [], 0
    for start, quote, name in spans:
        if start >= end:
            parts += [Part(text[end:start]), Part(quote, name)]
            end = start + len(quote)
    return [*parts, Part(text[end:])]


def message_with_marks(text: str, factors: Sequence[Factor]) -> str:
    """A message of the user as HTML: all of it escaped, the words that a factor rests on marked."""
    return _render("message", parts=marked(text, factors))


def ranges(figures: Sequence[Estimate]) -> list[tuple[Estimate, float, float, bool]]:
    """Estimates with the place of their range on the axis that all of the same unit share.

    Returns:
        For each the estimate, start and end as shares of the axis, and whether the axis is logarithmic.
    """
    found = []
    for figure in figures:
        same = [other for other in figures if other.unit == figure.unit]
        low, high = min(other.low for other in same), max(other.high for other in same)
        log = low > 0 and high / low > WIDE
        start, end = (
            (math.log(each * 2 / low) / math.log(high * 2 / low) if log else each / (high or 1))
            for each in (figure.low, figure.high)
        )
        found.append((figure, start, end, log))
    return found


def _event(judgement: Judgement) -> VerdictEvent:
    return VerdictEvent(**{name: getattr(judgement, name) for name in VerdictEvent.model_fields if name != "event"})


def _standing(advice: Advice | None, judgement: Judgement) -> tuple[Reason, ...]:
    """The reasons of an advice that hold for another judgement: for its verdict, and from levels that it has too."""
    if advice is None or advice.verdict is not judgement.verdict:
        return ()
    levels = {factor.name: factor.level for factor in judgement.factors}
    same = {factor.name for factor in advice.factors if levels.get(factor.name) == factor.level}
    return tuple(reason for reason in advice.reasons if same.issuperset(reason.factors))


def _cited(reasons: Sequence[Reason]) -> tuple[Evidence, ...]:
    return tuple(evidence for reason in reasons for evidence in reason.evidence)


def _difference(before: Advice | None, after: Judgement) -> str:
    changed = [factor for factor in after.factors if factor.corrected]
    if before is None or not changed:
        return ""
    what = "; ".join(factor.meaning for factor in changed)
    if before.verdict is after.verdict:
        return f"With your correction ({what}) the verdict stays, {at_share(after.confidence, before.confidence)}."
    return f"With your correction ({what}) the verdict turns from “{before.verdict.label}” to “{after.verdict.label}”."


def verdict_card(view: View) -> str:
    """The verdict, its probabilities, the method, the reasons and their sources."""
    return _render("verdict", view=view)


def plan_card(view: View) -> str:
    """How to carry the verdict out, what comes second and why, and the next steps."""
    return _render("plan", counsel=view.counsel, method=view.verdict and view.verdict.method, kinds=STEPS)


def question_card(view: View) -> str:
    """The one question worth answering next, with its answers as buttons."""
    return _render("question", view=view)


def sheet_card(view: View, specs: Sequence[FactorSpec]) -> str:
    """The factor sheet: each level can be corrected; the user's words are marked in the message."""
    known = {factor.name: factor for factor in view.factors}
    lines = [(known[spec.name], spec) for spec in specs if spec.name in known]
    return _render("sheet", view=view, lines=lines, short=SHORT)


def figures_card(view: View) -> str:
    """Estimates with their ranges, formulas and sources."""
    return _render("figures", view=view)


def calculation_card(sentence: str, estimates: Sequence[Estimate]) -> str:
    """The answer to a calculation question."""
    return note(sentence) + _render("figures", view=View(figures=tuple(estimates)))


def calculator_card(
    size: str, ways: Sequence[tuple[str, Estimate]], fits: str, groups: Sequence[tuple[str, Sequence[Estimate]]]
) -> str:
    """Memory by way as bars, then the other figures."""
    most = max(estimate.high for _, estimate in ways)
    bars = [(name, each.low / most, each.high / most, span(each)) for name, each in ways]
    return _render("calculator", size=size, bars=bars, fits=fits, groups=groups)


def batch_card(status: str, total: int, outcomes: Sequence[Outcome]) -> str:
    """How far a batch is, and its verdicts so far."""
    summary = summarise(outcomes)
    counts = [(verdict.label, count) for verdict, count in summary.verdicts.items()]
    judged = [outcome.result for outcome in outcomes if outcome.result]
    certainties = Counter(certainty(result["probabilities"], result["confidence"]) for result in judged)
    return _render(
        "batch",
        status=status,
        total=total,
        done=len(outcomes),
        counts=counts,
        certainties=[(sure.value, certainties[sure]) for sure in Certainty],
        failed=summary.failed,
    )


def comparison_card(name: str, other: str, found: "Comparison") -> str:
    """Two runs side by side."""
    return _render("comparison", run=name, other=other, found=found, most=MOST_CHANGES)


def head_card(card: HeadCard | None) -> str:
    """What the decision head is worth, as it was measured when it was fitted."""
    if card is None:
        return note("This model has no fitted head: its own words decide, and its probabilities are not calibrated.")
    found = card.out_of_fold
    return note(
        f"The decision head was fitted on {card.scenarios:,} labelled situations. On situations it had not seen "
        f"{found['strict']:.0%} of its verdicts were right and {found['fair']:.0%} right or fair; its confidence is "
        f"off by {found['ece']:.1%} on average."
    )


def note(text: str) -> str:
    """A sentence in a card."""
    return _render("note", text=text)


def topics_card(facts: int, documents: int, topics: Sequence[tuple[tuple[str, str], int]]) -> str:
    """What the knowledge folder holds, by topic."""
    return _render("topics", facts=facts, documents=documents, topics=topics)


def facts_list(facts: Sequence[Fact], total: int | None = None) -> str:
    """Facts with their sources, in order; how many there are in all where only some are shown."""
    return _render("facts", facts=[Evidence.of(fact) for fact in facts], total=total or len(facts))


def documents_card(documents: Sequence[OwnDocument]) -> str:
    """The user's own documents."""
    return _render("documents", documents=documents)


def added_card(documents: Sequence[OwnDocument], skipped: Sequence[Skipped]) -> str:
    """What came of adding documents."""
    return _render("added", documents=documents, skipped=skipped)


def _render(name: str, **values: object) -> str:
    return _environment().get_template(f"{name}.html.j2").render(**values).strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tunewise.ui", "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["span"] = span
    environment.filters["ranges"] = ranges
    environment.filters["lower_first"] = lambda text: text[:1].lower() + text[1:]
    environment.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    return environment
