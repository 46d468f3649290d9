"""A conversation: what was said is remembered, and an answer says what the newest message changed."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeVar

from tunewise import dialogue
from tunewise.decision import stated
from tunewise.errors import InputError
from tunewise.estimation import calculator
from tunewise.memory import CORRECTION, MORE, Account, Intent, Swap, contradiction
from tunewise.prompts import FactorSpec
from tunewise.schema import (
    Advice,
    Answer,
    Contradiction,
    DoneEvent,
    Event,
    Factor,
    FactorEvent,
    Judgement,
    LevelChange,
    Question,
    VerdictEvent,
)
from tunewise.timing import Clock
from tunewise.turns import CancelToken

WHAT_IF = "Taken as a what-if: what you said before still holds."
LEAST = 0.5
"""Probability from which the level of a message by itself is set against what was said before."""
COUNTED = ("labels", "raw", "compute")
"""Factors of which there can be more: another figure adds to the first."""
LABEL_STEPS = ((1, "none"), (100, "dozens"), (1000, "hundreds"), (100_001, "thousands"), (float("inf"), "huge"))
"""Numbers of labels below which each level holds."""
Result = TypeVar("Result", bound=Judgement)


class Judge(Protocol):
    """What a conversation needs of an advisor."""

    @property
    def specs(self) -> Sequence[FactorSpec]:
        """Definitions of the factors."""

    def load(self) -> None:
        """Load everything now."""

    def on_topic(self, text: str) -> float:
        """Probability that a message is about models at all."""

    def judge(
        self, situation: str, *, corrections: Mapping[str, str] | None = None, settled: Collection[str] = ()
    ) -> Judgement:
        """The verdict and the sheet of a situation."""

    def advise(
        self,
        situation: str,
        *,
        corrections: Mapping[str, str] | None = None,
        settled: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Iterator[Event]:
        """Judge what is known to be a situation, and hand out each result."""

    def stream_answer(self, question: str, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Answer a question about the subject."""


class Conversation:
    """A conversation: later messages add to the situation, correct it, ask what if, or ask about the subject.

    Args:
        advisor: Answers.
        turns: What was said of the situation before, oldest first; to take a conversation up again.
        earlier: What was advised at each of these turns, if it is known.
        asked: The question that stood when each of them was said, by place, None where none did; for others it is
            the one that the turn before was answered with.
    """

    def __init__(
        self,
        advisor: Judge,
        turns: Sequence[str] = (),
        earlier: Sequence[Judgement] = (),
        asked: Mapping[int, Question | None] = MappingProxyType({}),
    ) -> None:
        self._advisor = advisor
        self._account = Account()
        self._corrections: dict[str, str] = {}
        self._settled: set[str] = set()
        self.asked: Question | None = None
        """The question that the next message may answer; set it to have asked another one."""
        for place, turn in enumerate(turns):
            # A level that was set in between has another question asked.
            self.asked = asked.get(place, self.asked)
            account = self._account.hear(turn, self.asked)
            if place < len(earlier):
                # Those about figures were found again by hearing the message.
                known = account.contradictions
                account = account.without([one for one in earlier[place].contradictions if one not in known])
            self._keep(account, earlier[place] if place < len(earlier) else None)

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
        text = dialogue.check(message, follow_up=bool(self._account.said), asked=self.asked is not None)
        self._advisor.load()
        if not self._tells(text):
            yield from self._reply(text, cancel)
            return
        before = self._standing()
        account, corrections = self._heard(text, before)
        settled = self._answered(account)
        for event in self._advisor.advise(account.text, corrections=corrections, settled=settled, cancel=cancel):
            match event:
                case FactorEvent(factor=factor):
                    yield FactorEvent(factor=_in_own_words(factor, account))
                case VerdictEvent():
                    yield event.model_copy(update={"notes": (*_notes(account), *event.notes)})
                case DoneEvent(result=Advice() as advice):
                    result = _told(advice, before, account, self.asked)
                    self._keep(account, result)
                    yield DoneEvent(result=result)
                case _:
                    yield event

    def judge(self, message: str) -> Judgement | None:
        """`send`, without reasons: a fifth of the time; None where the message says nothing of a situation.

        Raises:
            InputError: The message is empty, binary or over-long.
        """
        text = dialogue.check(message, follow_up=bool(self._account.said), asked=self.asked is not None)
        self._advisor.load()
        if not self._tells(text):
            return None
        before = self._standing()
        account, corrections = self._heard(text, before)
        found = self._advisor.judge(account.text, corrections=corrections, settled=self._answered(account))
        result = _told(found, before, account, self.asked)
        self._keep(account, result)
        return result

    def correct(self, factor: str, level: str) -> Judgement:
        """Set a level of the factor sheet and decide anew, without reading again; it holds from here on.

        Raises:
            UserError: There is no such factor or level.
            InputError: Nothing was said of a situation yet.
        """
        corrections = self._corrections | {factor: level}
        if not self._account.said:
            raise InputError("Nothing was said of a situation yet.", "Describe your situation first.")
        found = self._advisor.judge(self._account.text, corrections=corrections, settled=self._settled)
        self._corrections = corrections
        self.asked = found.question
        return _in_place(found, self._account)

    @property
    def situation(self) -> str:
        """What has been said of the situation so far."""
        return self._account.situation

    @property
    def text(self) -> str:
        """What the model reads of it: without words that were taken back."""
        return self._account.text

    @property
    def standing(self) -> Judgement | None:
        """The verdict and the sheet of what was said so far, what-ifs left out; None before the first message."""
        found = self._standing()
        return _in_place(found, self._account) if found else None

    def _tells(self, text: str) -> bool:
        """Whether a message says something of the situation."""
        if calculator.calculate(text) is not None or self._courteous(text):
            return False
        asks = text.endswith(("?", "？", "؟")) or (dialogue.QUESTION.match(text) and not dialogue.OWN.search(text))
        if self.asked is not None and not asks:
            # Whoever was asked answers in whatever words.
            return True
        follow_up = bool(self._account.said)
        route = dialogue.route(text, self._advisor.on_topic(text), follow_up=follow_up)
        if follow_up and route is dialogue.Route.OTHER:
            cues = cued(text, self._advisor.specs)
            return not text.endswith("?") and any(cues[name] for name in cues if name != "task")
        if follow_up and self._account.hear(text).hypothetical:
            return True
        return route is dialogue.Route.ADVICE

    def _courteous(self, text: str) -> bool:
        return dialogue.courteous(text, asked=self.asked is not None)

    def _reply(self, text: str, cancel: CancelToken | None) -> Iterator[Event]:
        if self._courteous(text):
            reply = dialogue.WELCOME if self._account.said else dialogue.GREETING
            answer = Answer(question=text, text=reply, evidence=(), on_topic=False, timings=Clock().timings())
            yield DoneEvent(result=answer)
            return
        yield from self._advisor.stream_answer(text, cancel=cancel)

    def _standing(self) -> Judgement | None:
        if not self._account.said:
            return None
        return self._advisor.judge(self._account.text, corrections=self._corrections, settled=self._settled)

    def _heard(self, text: str, before: Judgement | None) -> tuple[Account, dict[str, str]]:
        """The account with a message, and the levels that the person set and has not contradicted since."""
        account = self._account.hear(text, self.asked)
        specs, silent = self._advisor.specs, self._silent(account.unknown)
        if before is None or account.replies:
            return account, self._corrections | silent
        swaps = account.swaps[len(self._account.swaps) :]
        if not touched(before, account, specs) or not dialogue.has_words(account.passages[-1]):
            return account, self._corrections | implied(before, swaps, (), specs) | silent
        alone = self._advisor.judge(account.passages[-1])
        outdated = opposed(before, alone, account, specs, LEAST)
        spoken = {factor.name for factor in alone.factors if factor.known and factor.quote}
        kept = {name: level for name, level in self._corrections.items() if name not in spoken}
        return account.without(outdated), kept | implied(before, swaps, outdated, specs) | silent

    def _answered(self, account: Account) -> set[str]:
        """Factors that need not be asked about again after a message."""
        return self._settled | ({self.asked.factor} if self.asked and not account.hypothetical else set())

    def _keep(self, account: Account, result: Judgement | None) -> None:
        if account.hypothetical:
            return
        self._account = account
        if result is not None:
            self._corrections = {factor.name: factor.level for factor in result.factors if factor.corrected}
        if self.asked is not None:
            self._settled.add(self.asked.factor)
        self.asked = result.question if result else None

    def _silent(self, name: str) -> dict[str, str]:
        """The level that stands for "not stated", of a factor that has one."""
        return {spec.name: spec.silent.name for spec in self._advisor.specs if spec.name == name and spec.silent}


def changes(before: Judgement, after: Judgement) -> tuple[LevelChange, ...]:
    """Factors of which another level holds than before; those that the newest words speak of come first."""
    older = {factor.name: factor for factor in before.factors}
    found = [
        LevelChange(
            factor=factor.name,
            before=older[factor.name].level,
            after=factor.level,
            meaning_before=older[factor.name].meaning,
            meaning_after=factor.meaning,
        )
        for factor in sorted(after.factors, key=lambda factor: factor.quote in (None, older[factor.name].quote))
        if factor.level != older[factor.name].level
    ]
    return tuple(found)


def implied(
    before: Judgement, swaps: Sequence[Swap], outdated: Sequence[Contradiction], specs: Sequence[FactorSpec]
) -> dict[str, str]:
    """Levels that follow from what the last message corrects, whatever the model reads.

    A corrected count of labels has its level by definition, and who takes back the one of two levels
    holds the other.

    Args:
        before: Of the account without the message.
        swaps: Figures that the message replaces.
        outdated: From `opposed`.
        specs: Definitions of the factors.
    """
    older = {factor.name: factor.level for factor in before.factors}
    levels = {
        swap.factor: _step(swap.after)
        for swap in swaps
        if swap.factor == "labels" and _step(swap.before) == older["labels"]
    }
    taken = {contradiction.factor for contradiction in outdated}
    for spec in specs:
        names = [level.name for level in spec.levels if level != spec.silent]
        if spec.name in taken and len(names) == 2 and older[spec.name] in names:
            levels[spec.name] = names[1 - names.index(older[spec.name])]
    return levels


def cued(message: str, specs: Sequence[FactorSpec]) -> dict[str, int]:
    """How many words of a message hint at each factor."""
    words = re.findall(r"[^\W_][\w-]*", message.lower())
    return {spec.name: sum(word.startswith(cue.lower()) for cue in spec.cues for word in words) for spec in specs}


def touched(before: Judgement, account: Account, specs: Sequence[FactorSpec]) -> tuple[str, ...]:
    """Factors that older words settle and that the last message seems to speak of, the likeliest first."""
    cues = cued(account.said[-1], specs)
    found = [factor.name for factor in before.factors if (factor.corrected or _settled(factor)) and cues[factor.name]]
    return tuple(sorted(found, key=lambda name: -cues[name]))


def opposed(
    before: Judgement, alone: Judgement, account: Account, specs: Sequence[FactorSpec], least: float
) -> tuple[Contradiction, ...]:
    """Where the last message says otherwise than older words, by the levels that the model reads.

    Where the model finds no other level in the message, but the person says that something was wrong or asks
    how it would be, the words about the factor that the message speaks of most are taken as outdated.

    Args:
        before: Of the account without the message.
        alone: Of the message by itself.
        account: With the message.
        specs: Definitions of the factors.
        least: Probability from which a level of the message by itself is believed.
    """
    message, titles = account.said[-1], {spec.name: spec.title for spec in specs}
    newer = {factor.name: factor for factor in alone.factors}
    more = MORE.search(message) and not CORRECTION.search(message)
    certain, likely = [], {}
    for older in before.factors:
        new, words = newer[older.name], older.quote
        other = _settled(older) and new.level != older.level
        if not other or words is None or not _stands(account, words) or (more and older.name in COUNTED):
            continue
        said = new.quote if new.quote and new.quote in message else message
        found = contradiction(older.name, titles[older.name], words, said)
        if new.known and new.quote and new.probability >= least:
            certain.append(found)
        else:
            likely[older.name] = found
    if certain or account.contradictions or account.intent is Intent.ADDITION:
        return tuple(certain)
    return tuple(likely[name] for name in touched(before, account, specs) if name in likely)[:1]


def _settled(factor: Factor) -> bool:
    return factor.name != "task" and factor.quote is not None and stated(factor)


def _stands(account: Account, words: str) -> bool:
    return any(words in passage for passage in account.passages[:-1])


def _step(labels: float) -> str:
    """The level of a number of labels, as prompts/factors.toml defines them."""
    return next(level for limit, level in LABEL_STEPS if labels < limit)


def _notes(account: Account) -> tuple[str, ...]:
    told = tuple(contradiction.text for contradiction in account.contradictions)
    return (WHAT_IF, *told) if account.hypothetical else told


def _told(result: Result, before: Judgement | None, account: Account, asked: Question | None) -> Result:
    """A result with what the message changed, and in the person's own words."""
    update: dict[str, object] = {
        "notes": (*_notes(account), *result.notes),
        "hypothetical": account.hypothetical,
        "contradictions": account.contradictions,
    }
    if before is not None:
        update |= {
            "changes": changes(before, result),
            "previous": before.verdict,
            "previous_confidence": before.confidence,
        }
    if account.hypothetical and asked is not None:
        # What was asked before the what-if is what the next message answers.
        update |= {"question": asked, "questions": (asked.text,)}
    return _in_place(result.model_copy(update=update), account)


def _in_place(result: Result, account: Account) -> Result:
    factors = tuple(_in_own_words(factor, account) for factor in result.factors)
    return result.model_copy(update={"situation": account.situation, "factors": factors})


def _in_own_words(factor: Factor, account: Account) -> Factor:
    quote = account.verbatim(factor.quote)
    if quote is None and factor.corrected:
        quote = next((swap.words for swap in reversed(account.swaps) if swap.factor == factor.name), None)
    return factor.model_copy(update={"quote": quote if quote and quote in account.situation else None})
