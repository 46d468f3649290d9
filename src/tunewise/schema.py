"""Every type that crosses a module border: frozen, extra fields forbidden, one text per field."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tunewise.facts import Evidence as Evidence
from tunewise.facts import Fact as Fact
from tunewise.facts import Hit as Hit
from tunewise.facts import Source as Source
from tunewise.facts import Value as Value
from tunewise.vocabulary import LABELS as LABELS
from tunewise.vocabulary import METHOD_LABELS as METHOD_LABELS
from tunewise.vocabulary import Method as Method
from tunewise.vocabulary import StepKind as StepKind
from tunewise.vocabulary import Verdict as Verdict

# --- the verdict and what carries it ---------------------------------------------------------


class Factor(Value):
    """One line of the factor sheet: what the situation says about one decisive point."""

    name: str
    """Name of the factor, such as `labels`."""
    level: str
    """Chosen level, such as `thousands`; `unknown` where nothing is said."""
    meaning: str
    """The level in plain words, to be shown to a person."""
    quote: str | None = None
    """The user's own words that the level rests on, verbatim; None where they say nothing of it."""
    probability: Annotated[float, Field(ge=0, le=1)]
    """Probability of the level among the factor's levels; 1 where the user set it."""
    pushes_toward: Verdict | None = None
    """The verdict that this level speaks for; None where it speaks for none."""
    corrected: bool = False
    """True where the user set the level."""

    @property
    def known(self) -> bool:
        """Whether the situation says anything about this factor."""
        return self.level not in ("unknown", "untried")


class Reason(Value):
    """One reason for the verdict, tied to what the user said and to what is known."""

    text: str
    """One sentence, at most two."""
    factors: tuple[str, ...]
    """Names of the factors that it rests on; at least one."""
    evidence: tuple[Evidence, ...]
    """Quotations that support it; at least one."""
    composed: bool = False
    """True where the model's own sentence failed its check and one was composed from factor and fact."""


class Change(Value):
    """One fact of the situation that is another."""

    factor: str
    """Name of the factor that changes."""
    level: str
    """Its new level."""
    meaning: str
    """The new level in plain words."""


class Counterfactual(Value):
    """A change of the situation, and what the verdict would then be."""

    factor: str
    """Name of the factor that changes."""
    level: str
    """Its new level."""
    meaning: str
    """The new level in plain words."""
    verdict: Verdict
    """The verdict after the change."""
    probability: Annotated[float, Field(ge=0, le=1)]
    """Probability of that verdict after the change."""
    also: Change | None = None
    """What must change with it, where neither alone would do."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that changes: one fact or two."""
        first = Change(factor=self.factor, level=self.level, meaning=self.meaning)
        return (first, self.also) if self.also else (first,)

    @property
    def words(self) -> str:
        """All that changes, in plain words."""
        return " and ".join(change.meaning for change in self.changes)


class Choice(Value):
    """A possible answer to a question."""

    level: str
    """Level of the factor."""
    meaning: str
    """The level in plain words."""


class Question(Value):
    """What is worth finding out next."""

    factor: str
    """Name of the factor that it settles."""
    text: str
    """The question in plain words."""
    choices: tuple[Choice, ...]
    """The possible answers."""
    gain: float
    """Expected information about the verdict, in nats; 0 where it was not computed."""


class LevelChange(Value):
    """A factor of which another level holds since the last message."""

    factor: str
    """Name of the factor."""
    before: str
    """Its level before."""
    after: str
    """Its level now."""
    meaning_before: str
    """The level before in plain words."""
    meaning_after: str
    """The level now in plain words."""


class Contradiction(Value):
    """Two statements of a conversation that cannot both hold; the newer one counts."""

    factor: str
    """Name of the factor that they are about."""
    before: str
    """The older words, verbatim."""
    after: str
    """The newer words, verbatim."""
    text: str
    """Both in a sentence."""


class Estimate(Value):
    """A figure from a formula or the literature, never from the model."""

    quantity: str
    """What is estimated."""
    low: float
    """Lower end of the range, in `unit`."""
    high: float
    """Upper end of the range, in `unit`."""
    unit: str
    """Unit of both ends."""
    formula: str
    """How it was computed."""
    source: str
    """Where the formula or the range comes from."""
    assumptions: tuple[str, ...] = ()
    """What else it rests on."""


class Alternative(Value):
    """A way to carry the verdict out, beside the one advised."""

    method: Method
    """The way."""
    why: str
    """What speaks for it; empty where nothing that was said does."""
    why_not: str
    """Why it comes second."""
    evidence: tuple[Evidence, ...] = ()
    """Rules of the knowledge folder that it rests on."""


class PlanStep(Value):
    """One of the next steps."""

    kind: StepKind
    """What it is for."""
    text: str
    """What to do."""
    evidence: tuple[Evidence, ...] = ()
    """Rules of the knowledge folder that it rests on."""


class Timings(Value):
    """Where the time went, in seconds since the question was handed over, and tokens."""

    load: float = 0.0
    """Loading model and prefix; 0 when they were in memory."""
    retrieve: float = 0.0
    """Searching the knowledge folder."""
    sheet: float = 0.0
    """Reading the situation and filling the factor sheet."""
    verdict: float = 0.0
    """From the question to the verdict, without loading."""
    reasons: float = 0.0
    """Writing and checking the reasons."""
    total: float = 0.0
    """From the question to the end, without loading."""
    tokens_read: int = 0
    """Tokens evaluated as input; those of the cached prefix are not counted."""
    tokens_written: int = 0
    """Tokens generated."""


class Provenance(Value):
    """What computed the answer, so that it can be repeated."""

    tunewise: str
    """Version of the package."""
    model: str
    """Name of the model file."""
    model_sha256: str
    """Checksum of the model file."""
    prompts: str
    """Hash of the prompts and factors."""
    knowledge: str
    """Hash of the knowledge folder."""
    head: str | None = None
    """Hash of the decision head; None where the factor sheet alone decided."""


class Judgement(Value):
    """A verdict without its reasons: what batch runs and evaluations need of a situation."""

    situation: str
    """What the user wrote, whole."""
    verdict: Verdict
    """The most probable verdict."""
    confidence: Annotated[float, Field(ge=0, le=1)]
    """Probability of the verdict."""
    probabilities: dict[Verdict, float]
    """Probability of each verdict; they sum to 1."""
    calibrated: bool
    """True where the probabilities come from a decision head that was calibrated on labelled scenarios."""
    method: Method | None
    """How to carry the verdict out; None when more information is needed."""
    factors: tuple[Factor, ...]
    """The factor sheet."""
    would_change: tuple[Counterfactual, ...] = ()
    """Changes of one factor that would turn the verdict."""
    questions: tuple[str, ...] = ()
    """What to find out next, the weightiest first; never empty when more information is needed."""
    question: Question | None = None
    """The first of `questions` with its possible answers; None where nothing is worth asking."""
    notes: tuple[str, ...] = ()
    """What a reader must know: a close call, a sheet that disagrees with the verdict, a contradiction."""
    hypothetical: bool = False
    """True where the last message only asked how it would be; what was said before still holds."""
    changes: tuple[LevelChange, ...] = ()
    """What the last message of a conversation changed in the sheet."""
    contradictions: tuple[Contradiction, ...] = ()
    """Between the last message of a conversation and older ones."""
    previous: Verdict | None = None
    """The verdict before the last message; None at the beginning of a conversation."""
    previous_confidence: float | None = None
    """Its probability."""
    timings: Timings
    """Where the time went."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not math.isclose(sum(self.probabilities.values()), 1.0, abs_tol=1e-6):
            raise ValueError("probabilities must sum to 1")
        if set(self.probabilities) != set(Verdict):
            raise ValueError("every verdict needs a probability")
        if not math.isclose(self.confidence, self.probabilities[self.verdict], abs_tol=1e-9):
            raise ValueError("confidence must be the probability of the verdict")
        undecided = self.verdict is Verdict.NEEDS_MORE_INFORMATION
        if undecided and not self.questions:
            raise ValueError("needs_more_information must come with a question")
        if undecided != (self.method is None):
            raise ValueError("a method goes with every verdict but needs_more_information")
        for factor in self.factors:
            if factor.quote is not None and factor.quote not in self.situation:
                raise ValueError(f"quote of {factor.name} is not in the situation")
        return self


class Advice(Judgement):
    """A verdict with a justification that can be checked."""

    kind: Literal["advice"] = "advice"
    """Tells an `Advice` from an `Answer` in JSON."""
    reasons: tuple[Reason, ...]
    """Why, in order of weight."""
    estimates: tuple[Estimate, ...] = ()
    """Figures with unit, formula and source."""
    method_reason: str = ""
    """What speaks for the method, in a clause or two."""
    method_evidence: tuple[Evidence, ...] = ()
    """Rules of the knowledge folder that the method rests on."""
    alternatives: tuple[Alternative, ...] = ()
    """Other ways to carry the verdict out, the runner-up first."""
    plan: tuple[PlanStep, ...] = ()
    """The next steps, the cheapest experiment first."""
    provenance: Provenance
    """What computed it."""

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        names = {factor.name for factor in self.factors}
        for reason in self.reasons:
            if not reason.factors or not reason.evidence or not set(reason.factors) <= names:
                raise ValueError("a reason needs known factors and evidence")
        return self


class Answer(Value):
    """A cited answer to a question about the subject, or a polite refusal of another one."""

    kind: Literal["answer"] = "answer"
    """Tells an `Answer` from an `Advice` in JSON."""
    question: str
    """What the user wrote, whole."""
    text: str
    """The answer."""
    evidence: tuple[Evidence, ...]
    """What it rests on; empty only where `on_topic` is false."""
    estimates: tuple[Estimate, ...] = ()
    """The figures of a calculation."""
    on_topic: bool = True
    """False where the question was none of ours, and `text` says what Tunewise is for."""
    timings: Timings
    """Where the time went."""


# --- events, in the order in which they are shown --------------------------------------------


class StatusEvent(Value):
    """What is going on before the first result."""

    event: Literal["status"] = "status"
    text: str
    """One short sentence."""


class FactorEvent(Value):
    """A line of the factor sheet has been filled."""

    event: Literal["factor"] = "factor"
    factor: Factor
    """The line."""


class VerdictEvent(Value):
    """The verdict stands; nothing that follows can change it."""

    event: Literal["verdict"] = "verdict"
    verdict: Verdict
    """The most probable verdict."""
    confidence: float
    """Its probability."""
    probabilities: dict[Verdict, float]
    """Probability of each verdict."""
    method: Method | None
    """How to carry it out."""
    notes: tuple[str, ...]
    """A close call, or a sheet that disagrees."""


class EvidenceEvent(Value):
    """The facts that the reasons will rest on."""

    event: Literal["evidence"] = "evidence"
    evidence: tuple[Evidence, ...]
    """In the order in which they are numbered."""


class TextEvent(Value):
    """A piece of a reason or an answer, as the model writes it; not checked yet."""

    event: Literal["text"] = "text"
    index: int
    """Which reason, from 0; 0 for an answer."""
    text: str
    """Only what is new."""


class ReasonEvent(Value):
    """A reason is complete and checked; it replaces the pieces with its index."""

    event: Literal["reason"] = "reason"
    index: int
    """Which reason, from 0."""
    reason: Reason
    """The reason."""


class OutlookEvent(Value):
    """What would change the verdict, and what to find out next."""

    event: Literal["outlook"] = "outlook"
    would_change: tuple[Counterfactual, ...]
    """Changes that would turn the verdict."""
    questions: tuple[str, ...]
    """The question worth answering next."""
    question: Question | None = None
    """The same with its possible answers."""


class DoneEvent(Value):
    """The whole result; always the last event."""

    event: Literal["done"] = "done"
    result: Advice | Answer
    """What `ask`, `answer` or `send` returns."""


Event = StatusEvent | FactorEvent | VerdictEvent | EvidenceEvent | TextEvent | ReasonEvent | OutlookEvent | DoneEvent
