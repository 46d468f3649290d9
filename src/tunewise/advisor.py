"""The way of a question: read, retrieve, fill the sheet, decide, give reasons, show."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tunewise import decision, dialogue, generation
from tunewise.errors import InputError, UserError
from tunewise.factors import Reading, sheet
from tunewise.parts import Parts
from tunewise.retrieval import Filter
from tunewise.schema import (
    Advice,
    Answer,
    DoneEvent,
    Event,
    Evidence,
    EvidenceEvent,
    Fact,
    Factor,
    FactorEvent,
    Hit,
    Judgement,
    OutlookEvent,
    Provenance,
    Reason,
    ReasonEvent,
    StatusEvent,
    TextEvent,
    Verdict,
    VerdictEvent,
)
from tunewise.session import Session, open_session
from tunewise.timing import Clock
from tunewise.turns import CancelToken

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

RESERVE = 700
"""Tokens of the context kept for sheet, facts and reasons."""
ANSWER_FACTS = 4
SHORT_FACT = 36
"""Words up to which a fact is preferred as the ground of a reason."""
GROUNDS = frozenset({"topic", "article", "rules", "case", "own"})
"""Kinds of documents that a reason may cite; a glossary defines and proves nothing."""
Result = TypeVar("Result", Advice, Answer)


class Advisor(Parts):
    """Reasons about model strategy with a local model.

    Loads on first use; safe to share between threads, which are served one after another. Takes what
    `Parts` takes: settings, a callback for the progress of a pull, and single settings by name.
    """

    # --- the public surface ---------------------------------------------------------------------

    def ask(self, situation: str) -> Advice:
        """Judge a situation.

        Args:
            situation: What goes in, what should come out, what data and means there are.

        Raises:
            InputError: The text is empty, binary, over-long, or none of ours.
            ArtifactError: A model is missing and cannot be fetched.
        """
        return _last(self.stream(situation), Advice)

    def stream(
        self,
        situation: str,
        *,
        corrections: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[Event]:
        """Judge a situation and hand out each result as it stands: sheet, verdict, evidence, reasons.

        Args:
            situation: As for `ask`.
            corrections: Levels that the user set, by factor.
            cancel: Stops the work when set.

        Raises:
            InputError: As `ask`.
            Cancelled: `cancel` was set.
        """
        text = dialogue.check(situation)
        clock = Clock()
        with self._loading(clock):
            self.load()
        if dialogue.route(text, self.on_topic(text)) is dialogue.Route.OTHER:
            raise InputError(dialogue.PURPOSE)
        yield from self._advise(text, clock, corrections or {}, cancel or CancelToken())

    def judge(self, situation: str, *, corrections: Mapping[str, str] | None = None) -> Judgement:
        """The verdict and the sheet alone, without facts and reasons: a fifth of the time of `ask`.

        Args:
            situation: As for `ask`; taken as one of ours whatever it says.
            corrections: Levels that the user set, by factor.

        Raises:
            InputError: The text is empty, binary or over-long.
        """
        text = dialogue.check(situation)
        clock = Clock()
        with self._loading(clock):
            self.load()
        with open_session(self.model, self.reader.prefix) as session:
            clock.load += session.load_seconds
            factors, decided = self._judge(session, text, corrections or {}, clock)
            clock.tokens_read = session.tokens_read
        return Judgement(
            situation=text,
            **{name: getattr(decided, name) for name in ("verdict", "confidence", "probabilities", "method", "notes")},
            calibrated=self.heads is not None,
            factors=factors,
            questions=self._questions(decided, factors),
            timings=clock.timings(),
        )

    def answer(self, question: str) -> Answer:
        """Answer a question about training, fine-tuning and using models, with citations.

        Raises:
            InputError: The text is empty, binary or over-long.
        """
        return _last(self.stream_answer(question), Answer)

    def stream_answer(self, question: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """`answer`, handing out the text as it is written."""
        text = dialogue.check(question)
        clock = Clock()
        with self._loading(clock):
            self.load()
        if self.on_topic(text) < dialogue.ON_TOPIC:
            yield DoneEvent(result=_refusal(text, clock))
            return
        yield from self._explain(text, clock, cancel or CancelToken())

    def respond(self, message: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Judge a situation or answer a question, whichever the message is."""
        yield from Conversation(self).stream(message, cancel=cancel)

    def conversation(self) -> "Conversation":
        """A conversation that remembers what was said."""
        return Conversation(self)

    def search(self, query: str, k: int = 5, only: Filter | None = None) -> list[Hit]:
        """Facts of the knowledge folder that fit a query, best first."""
        return self.index.search(dialogue.check(query), k, only=only)

    def batch(self, situations: Iterable[str]) -> Iterator[Advice]:
        """Judge many situations, in order."""
        for situation in situations:
            yield self.ask(situation)

    def as_runnable(self) -> "Runnable[str, Advice]":
        """This advisor as a LangChain runnable from a situation to `Advice`."""
        from tunewise.integrations import runnable

        return runnable(self.ask)

    # --- the steps ------------------------------------------------------------------------------

    @contextmanager
    def _loading(self, clock: Clock) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            clock.load += time.perf_counter() - began

    def on_topic(self, text: str) -> float:
        """Probability that a message is about models at all."""
        vector = self.embedder.encode([text])[0]
        closeness = float((self.index.vectors @ vector).max())
        return self.shipped_heads.topic.probabilities(dialogue.topic_features(text, vector, closeness))[1]

    def _advise(self, text: str, clock: Clock, corrections: Mapping[str, str], cancel: CancelToken) -> Iterator[Event]:
        yield StatusEvent(text="Reading the situation")
        with open_session(self.model, self.reader.prefix, cancel) as session:
            clock.load += session.load_seconds
            factors, decided = self._judge(session, text, corrections, clock)
            yield from (FactorEvent(factor=factor) for factor in factors)
            yield decided
            with clock.part("retrieve"):
                grounds = self._grounds(text, decided.verdict, factors)
            yield EvidenceEvent(evidence=tuple(Evidence.of(ground.fact) for ground in grounds))
            titles = {spec.name: spec.title for spec in self.library.factors}
            reasons: list[Reason] = []
            began = time.perf_counter()
            for event in generation.write_reasons(session, text, decided.verdict, grounds, titles):
                if isinstance(event, ReasonEvent):
                    reasons.append(event.reason)
                yield event
            clock.parts["reasons"] = time.perf_counter() - began
            clock.tokens_read, clock.tokens_written = session.tokens_read, session.tokens_written
        outlook = OutlookEvent(would_change=(), questions=self._questions(decided, factors))
        yield outlook
        yield DoneEvent(result=self._advice(text, factors, decided, tuple(reasons), outlook, clock))

    def _judge(
        self, session: Session, text: str, corrections: Mapping[str, str], clock: Clock
    ) -> tuple[tuple[Factor, ...], VerdictEvent]:
        self._check_corrections(corrections)
        self._check_length(text)
        with clock.part("sheet"):
            reading = self.reader.read(session, text)
            factors = sheet(text, self.library.factors, self._levels(reading), self.embedder, corrections)
        decided = self._decide(text, reading, factors)
        clock.parts["verdict"] = clock.elapsed
        return factors, decided

    def _check_corrections(self, corrections: Mapping[str, str]) -> None:
        specs = {spec.name: spec for spec in self.library.factors}
        for name, level in corrections.items():
            if name not in specs:
                raise UserError(f"There is no factor '{name}'.", f"Known are {', '.join(specs)}.")
            specs[name].level(level)

    def _check_length(self, text: str) -> None:
        room = self.settings.context - len(self.reader.prefix.head) - RESERVE
        tokens = self.model.count(text)
        if tokens > room:
            raise InputError(
                f"The message has {tokens:,} tokens, and at most {max(room, 0):,} fit beside the instructions.",
                "Shorten it, or set TUNEWISE_CONTEXT to a larger number.",
            )

    def _levels(self, reading: Reading) -> Mapping[str, tuple[float, ...]]:
        """Probabilities of the levels: read out of the hidden states where a head was fitted."""
        if self.heads is None:
            return reading.probabilities
        found = dict(reading.probabilities)
        for place, name in enumerate(reading.probabilities):
            if name in self.heads.factors:
                found[name] = self.heads.factors[name].probabilities(reading.states[place])
        return found

    def _decide(self, text: str, reading: Reading, factors: Sequence[Factor]) -> VerdictEvent:
        if self.heads is None:
            shares = decision.tempered(reading.verdicts, factors)
        else:
            vector = self.embedder.encode([text])[0]
            shares = self.heads.verdict.probabilities(
                decision.features(reading.states, reading.probabilities, reading.verdicts, vector)
            )
        probabilities = dict(zip(Verdict, shares, strict=True))
        verdict = decision.verdict_of(shares)
        return VerdictEvent(
            verdict=verdict,
            confidence=probabilities[verdict],
            probabilities=probabilities,
            method=decision.method(verdict, factors),
            notes=decision.notes(verdict, probabilities, factors, calibrated=self.heads is not None),
        )

    def _grounds(self, text: str, verdict: Verdict, factors: Sequence[Factor]) -> list[generation.Ground]:
        """For each factor that carries the verdict, the fact that fits it and the situation best."""
        chosen = decision.carrying(verdict, factors, self.settings.reasons)
        titles = {spec.name: spec.title for spec in self.library.factors}
        queries = [
            f"{verdict.label}. {titles[factor.name]}: {factor.meaning}. {factor.quote or text[:300]}"
            for factor in chosen
        ]
        vectors = self.embedder.encode([*queries, text])
        grounds: list[generation.Ground] = []
        taken: set[str] = set()
        for factor, query, vector in zip(chosen, queries, vectors, strict=False):
            mixed = vector + 0.5 * vectors[-1]
            mixed /= np.linalg.norm(mixed)
            hits = self.index.search_vector(query, mixed, len(chosen) + 1, only=Filter(kinds=GROUNDS))
            free = [hit.fact for hit in hits if hit.fact.id not in taken] or [hits[0].fact]
            # A short fact is read sooner and reasoned about better.
            fact = next((fact for fact in free[:3] if len(fact.text.split()) <= SHORT_FACT), free[0])
            taken.add(fact.id)
            grounds.append(generation.Ground(factor, fact))
        return grounds

    def _questions(self, decided: VerdictEvent, factors: Sequence[Factor]) -> tuple[str, ...]:
        """The question worth answering next; none where the verdict stands clear of the others."""
        ranked = sorted(decided.probabilities.values(), reverse=True)
        undecided = decided.verdict is Verdict.NEEDS_MORE_INFORMATION
        if not undecided and ranked[0] - ranked[1] > 2 * decision.CLOSE_CALL:
            return ()
        name = decision.question(decided.verdict, factors)
        return tuple(spec.ask for spec in self.library.factors if spec.name == name)

    def _advice(
        self,
        text: str,
        factors: tuple[Factor, ...],
        decided: VerdictEvent,
        reasons: tuple[Reason, ...],
        outlook: OutlookEvent,
        clock: Clock,
    ) -> Advice:
        return Advice(
            situation=text,
            verdict=decided.verdict,
            confidence=decided.confidence,
            probabilities=decided.probabilities,
            calibrated=self.heads is not None,
            method=decided.method,
            factors=factors,
            reasons=reasons,
            would_change=outlook.would_change,
            questions=outlook.questions,
            notes=decided.notes,
            timings=clock.timings(),
            provenance=self._provenance(),
        )

    def _provenance(self) -> Provenance:
        return Provenance(
            tunewise=version("tunewise"),
            model=self.model.path.name,
            model_sha256=self.model.fingerprint,
            prompts=self.library.digest,
            knowledge=self.index.corpus.digest,
            head=self.heads.digest if self.heads else None,
        )

    def _explain(self, text: str, clock: Clock, cancel: CancelToken) -> Iterator[Event]:
        with clock.part("retrieve"):
            facts: list[Fact] = [hit.fact for hit in self.index.search(text, ANSWER_FACTS)]
        yield EvidenceEvent(evidence=tuple(Evidence.of(fact) for fact in facts))
        written = ""
        began = time.perf_counter()
        with open_session(self.model, self.writer.prefix, cancel) as session:
            clock.load += session.load_seconds
            for piece in self.writer.write(session, text, facts):
                written += piece
                yield TextEvent(index=0, text=piece)
            clock.tokens_read, clock.tokens_written = session.tokens_read, session.tokens_written
        clock.parts["reasons"] = time.perf_counter() - began
        checked, evidence = generation.settle_answer(written, text, facts)
        yield DoneEvent(result=Answer(question=text, text=checked, evidence=evidence, timings=clock.timings()))


class Conversation:
    """A conversation: later messages add to the situation or ask about the subject."""

    def __init__(self, advisor: Advisor) -> None:
        self._advisor = advisor
        self._turns: list[str] = []

    def send(self, message: str) -> Advice | Answer:
        """Say something; the answer takes into account what was said before.

        Raises:
            InputError: The message is empty, binary or over-long.
        """
        for event in self.stream(message):
            if isinstance(event, DoneEvent):
                return event.result
        raise AssertionError("a stream ends with its result")

    def stream(self, message: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """`send`, handing out each result as it stands."""
        text = dialogue.check(message)
        advisor = self._advisor
        clock = Clock()
        with advisor._loading(clock):
            advisor.load()
        kind = dialogue.route(text, advisor.on_topic(text), follow_up=bool(self._turns))
        token = cancel or CancelToken()
        if kind is dialogue.Route.OTHER:
            yield DoneEvent(result=_refusal(text, clock))
        elif kind is dialogue.Route.QUESTION:
            yield from advisor._explain(text, clock, token)
        else:
            situation = dialogue.merge([*self._turns, text])
            for event in advisor._advise(situation, clock, {}, token):
                if isinstance(event, DoneEvent):
                    self._turns.append(text)
                yield event

    @property
    def situation(self) -> str:
        """What has been said of the situation so far."""
        return dialogue.merge(self._turns)


def _refusal(text: str, clock: Clock) -> Answer:
    return Answer(question=text, text=dialogue.PURPOSE, evidence=(), on_topic=False, timings=clock.timings())


def _last(events: Iterator[Event], kind: type[Result]) -> Result:
    for event in events:
        if isinstance(event, DoneEvent) and isinstance(event.result, kind):
            return event.result
    raise AssertionError("a stream ends with its result")
