"""The way of a question: read, retrieve, fill the sheet, decide, give reasons, show."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewise import decision, dialogue, generation, outlook
from tunewise.conversation import Conversation
from tunewise.counsel import counsel
from tunewise.errors import InputError, UserError
from tunewise.estimation import calculator
from tunewise.factors import Reading, correct, sheet
from tunewise.observing import Seen
from tunewise.outlook import Decider
from tunewise.parts import Parts
from tunewise.prompts import FactorSpec
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
    Question,
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
KEPT_READINGS = 32
"""Situations whose reading is kept, so that a correction is decided without the model."""
OPENING = 300
"""Characters of the situation that a search for a reason's fact reads, so that it stays in the asker's field."""
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
        self.load()
        if dialogue.route(text, self.on_topic(text)) is dialogue.Route.OTHER:
            raise InputError(dialogue.PURPOSE)
        yield from self.advise(text, corrections=corrections, cancel=cancel)

    def judge(
        self, situation: str, *, corrections: Mapping[str, str] | None = None, settled: Collection[str] = ()
    ) -> Judgement:
        """The verdict and the sheet alone, without facts and reasons: a fifth of the time of `ask`.

        Args:
            situation: As for `ask`; taken as one of ours whatever it says.
            corrections: Levels that the user set, by factor.
            settled: Factors that were asked about before and need not be asked about again.

        Raises:
            InputError: The text is empty, binary or over-long.
        """
        self._check_corrections(corrections or {})
        text = dialogue.check(situation)
        clock = self._ready()
        with self._guard:
            reading = self._readings.get(self.orders(text).text)
        if reading is None:
            with open_session(self.model, self.reader.prefix) as session:
                clock.load += session.load_seconds
                reading = self._read(session, text, clock)
                clock.tokens_read = session.tokens_read
        return self.seen(self.conclude(text, reading, corrections or {}, clock, settled))

    def conclude(
        self,
        text: str,
        reading: Reading,
        corrections: Mapping[str, str],
        clock: Clock,
        settled: Collection[str] = (),
    ) -> Judgement:
        """What a reading of a situation comes to; no pass of the model."""
        factors, decided, prospects = self._judge(text, reading, corrections, clock, settled)
        return Judgement(
            situation=text,
            **decided.model_dump(exclude={"event"}),
            **prospects.model_dump(exclude={"event"}),
            calibrated=self.heads is not None,
            factors=factors,
            timings=clock.timings(),
        )

    def seen(self, result: Seen) -> Seen:
        """Let the operator see a result, if he looks."""
        if not self.observer.idle:
            self.observer.see(result, self.provenance())
        return result

    def answer(self, question: str) -> Answer:
        """Answer a question about training, fine-tuning and using models, with citations.

        Raises:
            InputError: The text is empty, binary or over-long.
        """
        return _last(self.stream_answer(question), Answer)

    def stream_answer(self, question: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """`answer`, handing out the text as it is written."""
        text = dialogue.check(question)
        clock = self._ready()
        calculation = calculator.calculate(text)
        if calculation is not None:
            yield from self._figures(text, calculation, clock)
            return
        if self.on_topic(text) < dialogue.ON_TOPIC:
            yield self._done(_refusal(text, clock))
            return
        yield from self._explain(text, clock, cancel or CancelToken())

    def respond(self, message: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Judge a situation or answer a question, whichever the message is."""
        yield from Conversation(self).stream(message, cancel=cancel)

    def conversation(self) -> Conversation:
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

    def _ready(self) -> Clock:
        """Load what is missing; a clock that knows how long that took."""
        clock = Clock()
        self.load()
        clock.load = time.perf_counter() - clock.start
        return clock

    @property
    def specs(self) -> Sequence[FactorSpec]:
        """Definitions of the factors."""
        return self.library.factors

    def on_topic(self, text: str) -> float:
        """Probability that a message is about models at all."""
        vector = self.embedder.encode([text])[0]
        closeness = float((self.index.vectors @ vector).max())
        return self.shipped_heads.topic.probabilities(dialogue.topic_features(text, vector, closeness))[1]

    def advise(
        self,
        text: str,
        *,
        corrections: Mapping[str, str] | None = None,
        settled: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Iterator[Event]:
        """`stream` of a text that is known to be a situation; arguments as for `judge`."""
        clock = self._ready()
        self._check_corrections(corrections or {})
        yield from self._advise(text, clock, corrections or {}, settled, cancel or CancelToken())

    def _advise(
        self, text: str, clock: Clock, corrections: Mapping[str, str], settled: Collection[str], cancel: CancelToken
    ) -> Iterator[Event]:
        yield StatusEvent(text="Reading the situation")
        with open_session(self.model, self.reader.prefix, cancel) as session:
            clock.load += session.load_seconds
            reading = self._read(session, text, clock)
            factors, decided, prospects = self._judge(text, reading, corrections, clock, settled)
            yield from (FactorEvent(factor=factor) for factor in factors)
            yield decided
            with clock.part("retrieve"):
                grounds = self._grounds(text, decided.verdict, factors)
            yield EvidenceEvent(evidence=tuple(Evidence.of(ground.fact) for ground in grounds))
            reasons: list[Reason] = []
            began = time.perf_counter()
            for event in generation.write_reasons(session, text, decided.verdict, grounds):
                if isinstance(event, ReasonEvent):
                    reasons.append(event.reason)
                yield event
            clock.parts["reasons"] = time.perf_counter() - began
            clock.tokens_read, clock.tokens_written = session.tokens_read, session.tokens_written
        yield prospects
        yield self._done(self._advice(text, factors, decided, tuple(reasons), prospects, clock))

    def _judge(
        self, text: str, reading: Reading, corrections: Mapping[str, str], clock: Clock, settled: Collection[str]
    ) -> tuple[tuple[Factor, ...], VerdictEvent, OutlookEvent]:
        specs = self.library.factors
        expected = self._levels(reading)
        with clock.part("sheet"):
            found = sheet(self.orders(text).text, specs, expected, self.embedder, self.meanings)
            # Words from both sides of a sentence that was passed over can look like one clause.
            found = tuple(
                line if (line.quote or "") in text else line.model_copy(update={"quote": None}) for line in found
            )
            factors = correct(found, specs, corrections)
        decider = Decider(
            log_odds=self._log_odds(text, reading, found),
            levels={factor.name: factor.level for factor in found},
            specs=specs,
            effects=self.shipped_heads.sheet,
        )
        decider = replace(
            decider,
            log_odds=np.log(np.asarray(decider.probabilities(corrections)) + 1e-12),
            levels={factor.name: factor.level for factor in factors},
        )
        decided = self._decide(text, decider, factors)
        clock.parts["verdict"] = clock.elapsed
        return factors, decided, self._outlook(decider, decided, factors, expected, settled)

    def _read(self, session: Session, text: str, clock: Clock) -> Reading:
        self.check_length(text)
        with clock.part("sheet"):
            reading = self.reader.read(session, self.orders(text).text)
        self._keep(text, reading)
        return reading

    def _done(self, result: Advice | Answer) -> DoneEvent:
        return DoneEvent(result=self.seen(result))

    def _keep(self, text: str, reading: Reading) -> None:
        with self._guard:
            self._readings[self.orders(text).text] = reading
            while len(self._readings) > KEPT_READINGS:
                self._readings.pop(next(iter(self._readings)))

    def _check_corrections(self, corrections: Mapping[str, str]) -> None:
        specs = {spec.name: spec for spec in self.library.factors}
        for name, level in corrections.items():
            if name not in specs:
                raise UserError(f"There is no factor '{name}'.", f"Known are {', '.join(specs)}.")
            specs[name].level(level)

    def check_length(self, text: str) -> None:
        """Refuse a situation that does not fit beside the instructions."""
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
                found[name] = self.heads.factors[name].probabilities(
                    decision.factor_features(reading.states[place], reading.pooled)
                )
        return found

    def _log_odds(self, text: str, reading: Reading, factors: Sequence[Factor]) -> NDArray[np.float64]:
        if self.heads is None:
            return np.log(np.asarray(decision.tempered(reading.verdicts, factors)) + 1e-12)
        obeyed = self.orders(text).text
        vector = self.embedder.encode([obeyed])[0]
        features = decision.features(reading.states, reading.pooled, vector)
        return self.heads.log_odds(features, self.model.count(obeyed))

    def _decide(self, text: str, decider: Decider, factors: Sequence[Factor]) -> VerdictEvent:
        probabilities = dict(zip(Verdict, shares := decider.probabilities(), strict=True))
        verdict = decision.verdict_of(shares)
        said = decision.notes(verdict, probabilities, factors, calibrated=self.heads is not None)
        return VerdictEvent(
            verdict=verdict,
            confidence=probabilities[verdict],
            probabilities=probabilities,
            method=decision.method(verdict, factors, self.orders(text).text),
            notes=said + self.orders(text).notes,
        )

    def _outlook(
        self,
        decider: Decider,
        decided: VerdictEvent,
        factors: Sequence[Factor],
        expected: Mapping[str, Sequence[float]],
        settled: Collection[str],
    ) -> OutlookEvent:
        question = outlook.best_question(decider, factors, expected, settled)
        if question is None and decided.verdict is Verdict.NEEDS_MORE_INFORMATION:
            name = decision.open_factor(decided.verdict, factors, settled)
            spec = next(spec for spec in self.library.factors if spec.name == name)
            question = Question(factor=spec.name, text=spec.ask, choices=(), gain=0.0)
        return OutlookEvent(
            would_change=outlook.would_change(decider, factors),
            questions=(question.text,) if question else (),
            question=question,
        )

    def _grounds(self, text: str, verdict: Verdict, factors: Sequence[Factor]) -> list[generation.Ground]:
        """For each factor that carries the verdict, the fact that fits it and the situation best."""
        because = self.library.because[verdict]
        chosen = decision.carrying(verdict, factors, self.settings.reasons, because)
        titles = {spec.name: spec.title for spec in self.library.factors}
        queries = [
            f"{verdict.label}. {titles[factor.name]}: {factor.meaning}. {factor.quote or ''} {text[:OPENING]}"
            for factor in chosen
        ]
        vectors = self.embedder.encode([*queries, text])
        inputs = {factor.level for factor in factors if factor.name == "input"}
        foreign = frozenset(topic for level in inputs for topic in self.library.foreign_topics(level))
        only = Filter(kinds=GROUNDS, topics=frozenset(fact.topic for fact in self.index.corpus.facts) - foreign)
        grounds: list[generation.Ground] = []
        taken: set[str] = set()
        for factor, query, vector in zip(chosen, queries, vectors, strict=False):
            mixed = vector + vectors[-1]
            mixed /= np.linalg.norm(mixed)
            # A folder of one's own may have no fact of these kinds and topics.
            hits = self.index.search_vector(query, mixed, len(chosen) + 1, only=only) or self.index.search_vector(
                query, mixed, len(chosen) + 1
            )
            free = [hit.fact for hit in hits if hit.fact.id not in taken] or [hits[0].fact]
            # A short fact is read sooner and reasoned about better.
            fact = next((fact for fact in free[:3] if len(fact.text.split()) <= SHORT_FACT), free[0])
            taken.add(fact.id)
            clause = because.get(f"{factor.name}.{factor.level}")
            grounds.append(generation.Ground(factor, fact, titles[factor.name], clause))
        return grounds

    def _advice(
        self,
        text: str,
        factors: tuple[Factor, ...],
        decided: VerdictEvent,
        reasons: tuple[Reason, ...],
        prospects: OutlookEvent,
        clock: Clock,
    ) -> Advice:
        level = {factor.name: factor.level for factor in factors}
        return Advice(
            situation=text,
            **decided.model_dump(exclude={"event"}),
            **prospects.model_dump(exclude={"event"}),
            calibrated=self.heads is not None,
            factors=factors,
            reasons=reasons,
            estimates=calculator.for_advice(decided.method, level.get("input", ""), self.orders(text).text),
            **dict(counsel(decided.verdict, level, self.orders(text).text, self.index.corpus.by_id)),
            timings=clock.timings(),
            provenance=self.provenance(),
        )

    def provenance(self) -> Provenance:
        """What computes the answers, so that they can be repeated."""
        return Provenance(
            tunewise=version("tunewise"),
            model=self.model.path.name,
            model_sha256=self.model.fingerprint,
            prompts=self.library.digest,
            knowledge=self.index.corpus.digest,
            head=self.heads.digest if self.heads else None,
        )

    def _figures(self, text: str, calculation: calculator.Calculation, clock: Clock) -> Iterator[Event]:
        """A calculation question, answered by formulas alone."""
        with clock.part("retrieve"):
            known = self.index.corpus.by_id
            facts = [known[name] for name in calculation.facts if name in known]
            facts = facts or [hit.fact for hit in self.index.search(text, 1)]
        evidence = tuple(Evidence.of(fact) for fact in facts)
        yield EvidenceEvent(evidence=evidence)
        spoken = f"{calculation.sentence} {''.join(f'[{place}]' for place in range(1, len(evidence) + 1))}"
        yield TextEvent(index=0, text=spoken)
        result = Answer(
            question=text, text=spoken, evidence=evidence, estimates=calculation.estimates, timings=clock.timings()
        )
        yield self._done(result)

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
        yield self._done(Answer(question=text, text=checked, evidence=evidence, timings=clock.timings()))


def _refusal(text: str, clock: Clock) -> Answer:
    return Answer(question=text, text=dialogue.PURPOSE, evidence=(), on_topic=False, timings=clock.timings())


def _last(events: Iterator[Event], kind: type[Result]) -> Result:
    for event in events:
        if isinstance(event, DoneEvent) and isinstance(event.result, kind):
            return event.result
    raise AssertionError("a stream ends with its result")
