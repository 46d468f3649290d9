"""An advisor whose model runs elsewhere: the same steps, forms and checks, other words."""

import hashlib
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from tunewise import dialogue, generation
from tunewise.advisor import Advisor
from tunewise.chatting import ChatEngine
from tunewise.errors import Cancelled, UserError
from tunewise.factors import Reading
from tunewise.prompts import PHRASES
from tunewise.schema import (
    Answer,
    Event,
    Evidence,
    EvidenceEvent,
    FactorEvent,
    Judgement,
    Provenance,
    Reason,
    ReasonEvent,
    StatusEvent,
    TextEvent,
    Verdict,
)
from tunewise.settings import Settings
from tunewise.timing import Clock
from tunewise.turns import CancelToken

SURE = 0.9
"""Probability given to the word that the model chose; it tells us no other."""
ANSWER_FACTS = 4


class Sentences(BaseModel):
    """Reasons, one for each point."""

    model_config = ConfigDict(extra="forbid")
    reasons: list[str] = Field(max_length=5)


class RemoteAdvisor(Advisor):
    """An advisor on a LangChain chat model: the settings `engine` and `engine_url`.

    What a user writes goes to that model. Its words are held to the same sheet, quotations are found in the
    user's own text, reasons pass the same checks; no head fits it, so its probabilities are not calibrated.

    Args:
        settings: As for `Advisor`.
        chat: A LangChain chat model to use instead of making one from the setting's name.
        overrides: Single settings, such as `engine="openai:qwen2.5"`.

    Raises:
        UserError: No engine is set.
    """

    def __init__(self, settings: Settings | None = None, *, chat: object = None, **overrides: Any) -> None:
        super().__init__(settings, **overrides)
        self._chat = chat
        if self.settings.engine is None:
            raise UserError("No engine is set.", "Set TUNEWISE_ENGINE to provider:model.")

    @cached_property
    def engine(self) -> ChatEngine:
        """The chat model; where a file of the working folder names it, this is said before anything is sent.

        An address out of the file gets no key: whoever hands over a folder must not get the key of its reader.
        """
        keyless = self.settings.filed("engine_url") is not None
        if self._chat is None:
            self._tell(keyless)
        return ChatEngine(self.settings.engine or "", self.settings.engine_url, self._chat, keyless=keyless)

    def _tell(self, keyless: bool) -> None:
        settings = self.settings
        file = settings.filed("engine_url") or settings.filed("engine")
        if file is not None:
            place = f" at {settings.engine_url}" if settings.engine_url else ""
            key = "; it gets no API key unless TUNEWISE_ENGINE_URL names it" if keyless else ""
            sys.stderr.write(f"tunewise: Questions go to the engine {settings.engine}{place}, says {file}{key}.\n")

    @cached_property
    def _form(self) -> type[BaseModel]:
        fields: dict[str, Any] = {
            spec.name: (Literal[tuple(level.name for level in spec.levels)], ...) for spec in self.library.factors
        }
        fields["verdict"] = (Literal[tuple(verdict.value for verdict in Verdict)], ...)
        return create_model("Sheet", __config__=ConfigDict(extra="forbid"), **fields)

    def load(self) -> None:
        """Load all but the model, which is elsewhere."""
        _ = self.index, self.meanings, self.engine

    def _make_heads(self) -> None:
        """No head was fitted on a model elsewhere."""

    def judge(
        self, situation: str, *, corrections: Mapping[str, str] | None = None, settled: Collection[str] = ()
    ) -> Judgement:
        """As `Advisor.judge`."""
        self._check_corrections(corrections or {})
        text = dialogue.check(situation)
        clock = self._ready()
        return self.seen(self.conclude(text, self._ask_sheet(text, clock), corrections or {}, clock, settled))

    def _ask_sheet(self, text: str, clock: Clock) -> Reading:
        with self._guard:
            known = self._readings.get(self.orders(text).text)
        if known is not None:
            return known
        specs = self.library.factors
        system = self.library.prompt("remote/sheet").render(
            factors=specs, verdicts={verdict.value: PHRASES[verdict] for verdict in Verdict}
        )
        with clock.part("sheet"):
            filled = self.engine.fill([("system", system), ("human", self.orders(text).text)], self._form).model_dump()
        nothing = np.zeros((0, 0), dtype=np.float32)
        reading = Reading(
            {spec.name: _sure([level.name for level in spec.levels], filled[spec.name]) for spec in specs},
            _sure([verdict.value for verdict in Verdict], filled["verdict"]),
            nothing,
            nothing,
        )
        self._keep(text, reading)
        return reading

    def _advise(
        self, text: str, clock: Clock, corrections: Mapping[str, str], settled: Collection[str], cancel: CancelToken
    ) -> Iterator[Event]:
        yield StatusEvent(text="Reading the situation")
        reading = self._ask_sheet(text, clock)
        _look(cancel)
        factors, decided, prospects = self._judge(text, reading, corrections, clock, settled)
        yield from (FactorEvent(factor=factor) for factor in factors)
        yield decided
        with clock.part("retrieve"):
            grounds = self._grounds(text, decided.verdict, factors)
        yield EvidenceEvent(evidence=tuple(Evidence.of(ground.fact) for ground in grounds))
        with clock.part("reasons"):
            reasons = self._reasons(text, decided.verdict, grounds)
        _look(cancel)
        for index, reason in enumerate(reasons):
            yield ReasonEvent(index=index, reason=reason)
        yield prospects
        yield self._done(self._advice(text, factors, decided, tuple(reasons), prospects, clock))

    def _reasons(self, text: str, verdict: Verdict, grounds: list[generation.Ground]) -> list[Reason]:
        """A reason for each ground: the model's where it stands up to the checks, a composed one elsewhere."""
        spoken = [index for index, ground in enumerate(grounds) if generation.can_be_written(ground, verdict)]
        texts = [""] * len(grounds)
        if spoken:
            prompt = self.library.prompt("remote/reasons").render(
                decision=PHRASES[verdict], grounds=[grounds[index] for index in spoken]
            )
            found = self.engine.fill([("system", prompt), ("human", self.orders(text).text)], Sentences).reasons
            for index, sentence in zip(spoken, found, strict=False):
                texts[index] = sentence.strip()
        return [
            generation.settle(texts[index], text, verdict, ground, texts[:index])
            for index, ground in enumerate(grounds)
        ]

    def _explain(self, text: str, clock: Clock, cancel: CancelToken) -> Iterator[Event]:
        with clock.part("retrieve"):
            facts = [hit.fact for hit in self.index.search(text, ANSWER_FACTS)]
        yield EvidenceEvent(evidence=tuple(Evidence.of(fact) for fact in facts))
        listed = "\n".join(f"[{place}] {fact.readable}" for place, fact in enumerate(facts, start=1))
        system = self.library.prompt("answer").render()
        with clock.part("reasons"):
            written = self.engine.write([("system", system), ("human", f"Facts:\n{listed}\n\nQuestion: {text}")])
        _look(cancel)
        checked, evidence = generation.settle_answer(written, text, facts)
        yield TextEvent(index=0, text=checked)
        yield self._done(Answer(question=text, text=checked, evidence=evidence, timings=clock.timings()))

    def provenance(self) -> Provenance:
        """As `Advisor.provenance`; the checksum is that of the engine's name and address."""
        name = f"{self.engine.name} at {self.engine.url}" if self.engine.url else self.engine.name
        return Provenance(
            tunewise=version("tunewise"),
            model=name,
            model_sha256=hashlib.sha256(name.encode()).hexdigest(),
            prompts=self.library.digest,
            knowledge=self.index.corpus.digest,
        )


def make_advisor(settings: Settings, on_pull: Any = None) -> Advisor:
    """The advisor that the settings ask for."""
    return RemoteAdvisor(settings, on_pull=on_pull) if settings.engine else Advisor(settings, on_pull=on_pull)


def _sure(words: list[str], chosen: str) -> tuple[float, ...]:
    rest = (1 - SURE) / max(len(words) - 1, 1)
    return tuple(SURE if word == chosen else rest for word in words)


def _look(cancel: CancelToken) -> None:
    if cancel.is_set:
        raise Cancelled("Stopped.")
