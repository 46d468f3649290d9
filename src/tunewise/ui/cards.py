"""What stands beside the chat, as HTML. The templates escape every text of a user, a model or a document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunewise.batching import Outcome, summarise
from tunewise.decision import CLOSE_CALL
from tunewise.estimation.calculator import span
from tunewise.heads import HeadCard
from tunewise.prompts import FactorSpec
from tunewise.render import percent, what_changed
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
    Method,
    OutlookEvent,
    Question,
    Reason,
    ReasonEvent,
    StatusEvent,
    TextEvent,
    Verdict,
    VerdictEvent,
)

CLOSE = 0.5
"""Confidence below which no verdict is more likely than not."""
SURE = 0.8
SHORT: dict[Verdict, str] = {
    Verdict.TRAIN_FROM_SCRATCH: "from scratch",
    Verdict.FINE_TUNE: "fine-tune",
    Verdict.USE_AS_IS: "as it is",
    Verdict.NEEDS_MORE_INFORMATION: "ask first",
}
METHODS: dict[Method, str] = {
    Method.FULL: "tune all weights",
    Method.LORA: "LoRA adapters",
    Method.QLORA: "QLoRA: adapters on a 4-bit base",
    Method.LINEAR_PROBE: "a classifier on frozen features",
    Method.CONTINUED_PRETRAINING: "continued pre-training",
    Method.DISTILLATION: "distillation into a smaller model",
    Method.PREFERENCE_TUNING: "preference tuning",
    Method.BOOSTED_TREES: "gradient-boosted trees",
    Method.CLASSICAL: "a classical model",
    Method.SMALL_NETWORK: "a small network",
    Method.SUPERVISED_NETWORK: "a network trained on your labels",
    Method.SELF_SUPERVISED_PRETRAINING: "self-supervised pre-training",
    Method.PROMPTING: "prompting",
    Method.FEW_SHOT: "prompting with examples",
    Method.RAG: "retrieval (RAG)",
    Method.LONG_CONTEXT: "a long context",
    Method.OFF_THE_SHELF: "a ready-made model",
}


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
    changed: str = ""
    """What a correction or the last message changed, in words."""
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
            evidence=tuple(evidence for reason in advice.reasons for evidence in reason.evidence),
            reasons=advice.reasons,
            would_change=advice.would_change,
            question=advice.question,
            situation=advice.situation,
            advice=advice,
            figures=advice.estimates,
            changed=what_changed(advice),
        )

    @property
    def certainty(self) -> str:
        """The confidence in words that a layperson reads rightly."""
        if self.verdict is None:
            return ""
        ranked = sorted(self.verdict.probabilities.values(), reverse=True)
        odds = f"{round(10 * self.verdict.confidence)} in 10 such verdicts are right"
        if ranked[0] - ranked[1] < CLOSE_CALL:
            return f"Too close to call · {odds}"
        if self.verdict.confidence < CLOSE:
            return f"Leaning · {odds}"
        return f"{'Confident' if self.verdict.confidence >= SURE else 'Likely'} · {odds}"

    @property
    def marked(self) -> list[Part]:
        """The situation in pieces; those that a factor rests on carry its name."""
        spans = sorted(
            (self.situation.find(factor.quote), factor.quote, factor.name)
            for factor in self.factors
            if factor.quote and factor.quote in self.situation
        )
        parts, end = [], 0
        for start, quote, name in spans:
            if start >= end:
                parts += [Part(self.situation[end:start]), Part(quote, name)]
                end = start + len(quote)
        return [*parts, Part(self.situation[end:])]

    def number(self, evidence: Evidence) -> int:
        """The number under which evidence is cited."""
        facts = [item.fact for item in self.evidence]
        return facts.index(evidence.fact) + 1 if evidence.fact in facts else len(facts) + 1

    def corrected(self, judgement: Judgement) -> "View":
        """The view after the user set levels; the reasons of another verdict are left out."""
        same = self.verdict is not None and self.verdict.verdict is judgement.verdict
        return replace(
            self,
            verdict=_event(judgement),
            factors=judgement.factors,
            would_change=judgement.would_change,
            question=judgement.question,
            reasons=self.reasons if same else (),
            evidence=self.evidence if same else (),
            changed=_difference(self.advice, judgement),
        )


def _event(judgement: Judgement) -> VerdictEvent:
    return VerdictEvent(**{name: getattr(judgement, name) for name in VerdictEvent.model_fields if name != "event"})


def _difference(before: Advice | None, after: Judgement) -> str:
    changed = [factor for factor in after.factors if factor.corrected]
    if before is None or not changed:
        return ""
    what = "; ".join(factor.meaning for factor in changed)
    if before.verdict is after.verdict:
        shares = f"at {percent(after.confidence)} instead of {percent(before.confidence)}"
        return f"With your correction ({what}) the verdict stays, {shares}."
    return f"With your correction ({what}) the verdict turns from “{before.verdict.label}” to “{after.verdict.label}”."


def verdict_card(view: View) -> str:
    """The verdict, its probabilities, the method, the reasons and their sources."""
    return _render("verdict", view=view, methods=METHODS)


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
    return _render(
        "batch",
        status=status,
        total=total,
        done=len(outcomes),
        counts=counts,
        close=summary.close,
        failed=summary.failed,
    )


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


def facts_list(facts: Sequence[Fact]) -> str:
    """Facts with their sources, in order."""
    return _render("facts", facts=[Evidence.of(fact) for fact in facts])


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
    return environment
