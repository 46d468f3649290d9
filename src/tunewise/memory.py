"""What a conversation has said of a situation: additions, corrections and what-ifs. Pure.

Every message is kept as it was written. What the model reads is the account as it stands: a corrected
figure takes the place of the older one, and words that were taken back are left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tunewise.decision import stated
from tunewise.estimation import quantities
from tunewise.estimation.numbers import Amount, amounts
from tunewise.estimation.quantities import Quantity
from tunewise.estimation.rules import Kind
from tunewise.factors import split_clauses
from tunewise.prompts import FactorSpec
from tunewise.schema import Contradiction, Factor, Judgement, LevelChange, Question


class Intent(StrEnum):
    """What a message does to what was said before."""

    ADDITION = "addition"
    CORRECTION = "correction"
    WHAT_IF = "what_if"
    """Asks how it would be; what was said stays."""


CORRECTION = re.compile(
    r"\b(?:actually|correction|sorry|my mistake|by mistake|mistaken|typo|meant|make (?:that|it)|scratch that"
    r"|strike that|no,? wait|(?:i|we|that|it|this|which) (?:was|were|is|got|had)(?: \w+){0,2} wrong"
    r"|misread|misspoke|mixed up|in (?:fact|truth|reality)|instead|no longer|any ?more|after all|change of plans?"
    r"|turns? out|turned out|should have (?:said|been|read)|korrektur|tatsächlich|eigentlich|verzeihung|en fait|pardon"
    r"|en realidad|perdón|me equivoqué)\b|不对|更正|其实|訂正|実は",
    re.I,
)
LEAD = r"^\W*(?:(?:ok|okay|and|so|but|hm+|well|just|now|und|aber|et|y|then)\W+)*"
SUPPOSED = (
    r"(?:what (?:about )?if|what would\b[^,?]{0,40}\bif|suppose|supposing|imagine|assum\w+|let'?s say|hypothetically"
    r"|in theory|say (?=we|i\b)|how would\b[^?]{0,60}\bif|would\b[^?]{0,60}\bif|was wäre,? wenn|angenommen"
    r"|et si|supposons|imaginons|y si|supongamos|如果|假如|もし)"
)
CONDITION = (
    r"(?:si|se) (?=.*[?？])|(?:if|wenn) (?=.*\?|(?:we|i|there|it|they|you|(?:the|our|my) [\w-]+)"
    r" (?:had|were|was|could|got|did|would|might)\b)"
)
WHAT_IF = re.compile(rf"{LEAD}(?:{SUPPOSED}|{CONDITION})(?:,? (?:that|if))?[\s,:]*", re.I | re.S)
MORE = re.compile(
    r"\b(?:another|more|additional(?:ly)?|extra|further|also|plus|as well|on top|besides|in addition|weitere|zusätzlich"
    r"|autres?|más|adicional\w*)\b",
    re.I,
)
NOT = re.compile(
    r"[\s,;(–-]*\b(?:(?:and )?not|\w+n't|instead of|rather than|no longer|nicht|statt|pas|en vez de)\s+"
    r"(?:[\w'-]+\s+){0,3}?$",
    re.I,
)
UNKNOWN = re.compile(
    r"^\W*(?:(?:oh|hm+|well|sorry|honestly|to be honest)\W+)*(?:(?:i|we)(?: really| honestly)?"
    r" (?:do ?n[o']t|can(?:no|')t)(?: really)? (?:know|say|tell)|dunno|no idea|not sure|unsure|unknown|no clue"
    r"|hard to say|keine ahnung|(?:das )?wei(?:ß|ss) (?:ich|wir) nicht|je ne sais pas|no (?:lo )?sé|不知道|わからない)"
    r"(?![^\W\d_])[^?]{0,60}$",
    re.I,
)
REPLY = re.compile(r"^\W*(?:yes|no|nope|yep|yeah|none|some|a few|about|around|roughly|ja|nein|oui|non|sí)\b", re.I)
SHORT = 12
"""Words up to which a message may be a bare answer, which is read together with its question."""
BARE = 4
"""Words up to which a message answers whatever was asked for, and says nothing without the question."""
COUNTED = ("labels", "raw", "compute")
"""Factors of which there can be more: another figure adds to the first."""
LONG_WORD = re.compile(r"[^\W\d_]{5,}")
UNLABELLED = re.compile(
    r"\b(?:un|non|not )-?(?:label|annotat|graded|tagged)\w*|\bwith(?:out| no) (?:any )?(?:label|annotation)\w*"
    r"|\bungelabel\w*|\bohne label\w*|\b(?:non |sin |sans )[ée]tiq\w*",
    re.I,
)
LABELLED = re.compile(r"label|annotat|graded|marked|tagged|gelabel|étiquet|etiquet", re.I)
GENERIC = frozenset({"label", "example", "sample", "annotation", "instance", "case"})
ONE_OF_A_KIND = frozenset({Kind.GPUS, Kind.MONEY, Kind.TOKENS, Kind.AUDIO})
"""Of these a situation has one figure as a rule, so that a second one contradicts the first."""
WHOLE = frozenset({Kind.GPUS, Kind.MONEY, Kind.AUDIO})
"""Of these the unit belongs to the figure: another one takes the place of both."""
YEAR = re.compile(r"(?:19|20)\d\d")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that put no spaces between words."""
FIRM = re.compile(r"\b(?:actually|correction|sorry|mistake\w*|meant|wrong|not|no)\b", re.I)
"""Words under which even a message that ends as a question corrects what was said."""
NEXT_WORDS = re.compile(r"[ -]?((?:[^\W\d_][\w-]* ?){0,2})")
SPACES = re.compile(r"[ \t]{2,}|[ \t]+(?=[,.;!?])")
LABEL_STEPS = ((1, "none"), (100, "dozens"), (1000, "hundreds"), (100_001, "thousands"), (float("inf"), "huge"))
"""Numbers of labels below which each level holds."""
STOP = frozenset(
    "of are is was were came from it and or not but that the a an in on at per percent to right for und von".split()
)
"""Behind a number these words say nothing of what it counts."""
LEAST_LEFT = 3
"""Letters that must be left of a message for it to be read at all."""


@dataclass(frozen=True)
class Figure:
    """A number in a text."""

    value: float
    kind: Kind | None
    """None where nothing says what it counts."""
    noun: str
    labelled: bool
    unlabelled: bool
    """Whether the words say that it has no labels; both are false where they say nothing of labels."""
    unit: str
    start: int
    end: int
    """Of the part that another figure can take the place of."""
    text: str
    """With what it counts, verbatim."""


@dataclass(frozen=True)
class Swap:
    """A figure that took the place of an older one."""

    text: str
    """The new figure."""
    words: str
    """The words of the message that gave it, verbatim."""
    factor: str
    """What it is about."""
    before: float
    """The older figure."""
    after: float
    """The new one."""


@dataclass(frozen=True)
class Account:
    """A situation as it stands after some messages; `hear` gives the next one."""

    said: tuple[str, ...] = ()
    """The messages, verbatim, oldest first."""
    passages: tuple[str, ...] = ()
    """What of each of them the model reads."""
    swaps: tuple[Swap, ...] = ()
    intent: Intent = Intent.ADDITION
    """Of the last message."""
    contradictions: tuple[Contradiction, ...] = ()
    """Between the last message and older ones."""
    unknown: str = ""
    """The factor of which the last message says that it is not known."""
    replies: bool = False
    """Whether the last message answers the question that was asked."""

    @property
    def situation(self) -> str:
        """What was written, whole."""
        return "\n".join(self.said)

    @property
    def text(self) -> str:
        """What the model reads."""
        return "\n".join(passage for passage in self.passages if passage)

    @property
    def hypothetical(self) -> bool:
        """Whether the last message only asks how it would be."""
        return self.intent is Intent.WHAT_IF

    def hear(self, message: str, asked: Question | None = None) -> "Account":
        """The account after one more message.

        Args:
            message: What the person writes.
            asked: The question that was put before, which a short message may answer.
        """
        if not self.said:
            return Account((message,), (message,))
        plain = replace(self, said=(*self.said, message), contradictions=(), unknown="", replies=False)
        if asked is not None and UNKNOWN.match(message) and not figures(message):
            plain = replace(plain, unknown=asked.factor, replies=True)
            return replace(plain, passages=(*self.passages, ""), intent=Intent.ADDITION)
        if asked is not None and answers(message, asked) and not _heard(plain, message).contradictions:
            bare = _length(message) <= BARE or REPLY.match(message) or UNKNOWN.match(message)
            passage = f"{asked.text} {message}" if bare else message
            return replace(plain, passages=(*self.passages, passage), replies=True, intent=Intent.ADDITION)
        return _heard(plain, message)

    def without(self, outdated: Sequence[Contradiction]) -> "Account":
        """The account without older words that the last message contradicts."""
        passages = [*self.passages]
        for contradiction in outdated:
            for place, passage in enumerate(passages[:-1]):
                passages[place] = _cut(passage, contradiction.before)
        told = () if self.hypothetical else tuple(outdated)
        return replace(self, passages=tuple(passages), contradictions=self.contradictions + told)

    def verbatim(self, quote: str | None) -> str | None:
        """A quotation of what the model reads in the person's own words, or None where there are none."""
        if quote is None or quote in self.situation:
            return quote
        return next((swap.words for swap in reversed(self.swaps) if swap.text in quote), None)


def answers(message: str, asked: Question) -> bool:
    """Whether a short message is a bare answer to a question, such as "about 400" or "no, never"."""
    if _length(message) > SHORT or _asks(message) or CORRECTION.search(message) or WHAT_IF.match(message):
        return False
    if REPLY.match(message) or UNKNOWN.match(message):
        return True
    words = set(LONG_WORD.findall(" ".join([asked.text, *(choice.meaning for choice in asked.choices)]).lower()))
    return _length(message) <= BARE or bool(words & set(LONG_WORD.findall(message.lower())))


def figures(text: str) -> list[Figure]:
    """Figures of a text in order; those that count nothing known are taken by the words behind them."""
    found = list(amounts(text))
    read = [_counted(text, item, found) for item in quantities.read(text) if item.number]
    taken = [(figure.start, figure.start + len(figure.text)) for figure in read]
    for amount in found:
        inside = any(start < amount.end and amount.first < end for start, end in taken)
        if not inside and text[amount.first].isdigit() and not text[amount.end :].lstrip().startswith("%"):
            read.append(_loose(text, amount))
    return sorted(read, key=lambda figure: figure.start)


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


def contradiction(factor: str, title: str, before: str, after: str) -> Contradiction:
    """Two statements that cannot both hold, in words."""
    text = f"{title}: you said “{before}” before and “{after}” now; the newer statement counts."
    return Contradiction(factor=factor, before=before, after=after, text=text)


def _heard(account: Account, message: str) -> Account:
    lead = WHAT_IF.match(message)
    start = lead.end() if lead else 0
    cue = bool(CORRECTION.search(message))
    passages, swaps, contradictions, revoked = [*account.passages], [], [], []
    olds = [(place, old) for place, passage in enumerate(passages) for old in figures(passage)]
    for new, (place, old), taken in _pairs(figures(message), olds, message, eager=cue or lead is not None):
        amount = message[new.start : new.end]
        passage = passages[place]
        passages[place] = passage[: old.start] + amount + passage[old.end :]
        words = next((clause for clause in split_clauses(message) if amount in clause), message)
        swaps.append(Swap(amount, words, _factor(old), old.value, new.value))
        contradictions.append(contradiction(_factor(old), "Figures", old.text, new.text))
        if taken is not None:
            revoked.append(taken)
        break
    if lead is not None or (swaps and _asks(message) and not FIRM.search(message)):
        statement = message[start:].rstrip(" ?？.") + "."
        return replace(account, passages=(*passages, statement), swaps=(*account.swaps, *swaps), intent=Intent.WHAT_IF)
    return replace(
        account,
        passages=(*passages, _statement(message, revoked)),
        swaps=(*account.swaps, *swaps),
        intent=Intent.CORRECTION if cue or contradictions else Intent.ADDITION,
        contradictions=tuple(contradictions),
    )


def _pairs(
    news: Sequence[Figure], olds: Sequence[tuple[int, Figure]], message: str, *, eager: bool
) -> list[tuple[Figure, tuple[int, Figure], Figure | None]]:
    """New figures with the older one each takes the place of, and the mention of it that was taken back."""
    pairs: list[tuple[Figure, tuple[int, Figure], Figure | None]] = []
    for taken in news:
        same = [item for item in olds if item[1].value == taken.value]
        denied = bool(NOT.search(message[: taken.start]))
        others = [new for new in news if new.value != taken.value and same and (denied or _fit(new, same[-1][1]))]
        if others and (denied or eager):
            nearest = min(others, key=lambda new: abs(new.start - taken.start))
            pairs.append((nearest, same[-1], taken if denied else None))
    if pairs:
        return pairs
    for new in news:
        around = message[max(new.start - 30, 0) : new.start + len(new.text) + 15]
        if new.kind is None and (0 < new.value < 1 or YEAR.fullmatch(new.text)):
            continue
        if MORE.search(around) or any(old.value == new.value and old.kind is new.kind for _, old in olds):
            continue
        ranked = sorted(olds, key=lambda item: (_fit(new, item[1]), _likely(new, item[1]), item[0], item[1].start))
        if ranked and _fit(new, ranked[-1][1]) >= (1 if eager else 2):
            pairs.append((new, ranked[-1], None))
    return sorted(pairs, key=lambda pair: -_fit(pair[0], pair[1][1]))


def _fit(new: Figure, old: Figure) -> int:
    """How surely two figures are about the same thing: 2 certainly, 1 where the message corrects something."""
    if new.kind is None or old.kind is None:
        if new.noun and old.noun and new.noun == old.noun:
            return 2
        return int(not new.noun and old.kind in (None, Kind.EXAMPLES, *ONE_OF_A_KIND))
    if new.kind is not old.kind or (new.unlabelled and old.labelled) or (new.labelled and old.unlabelled):
        return 0
    if new.kind is not Kind.EXAMPLES:
        return 2 if new.kind in ONE_OF_A_KIND and _period(new) == _period(old) else 1
    if new.noun in GENERIC:
        return 2 if old.labelled or old.noun in GENERIC else 1
    return (2 if new.noun == old.noun else 1) if new.labelled == old.labelled else 0


def _likely(new: Figure, old: Figure) -> bool:
    """A number that counts nothing named is about examples, where there are any, sooner than about cards or money."""
    return new.kind is not None or old.kind is Kind.EXAMPLES


def _period(figure: Figure) -> str:
    """What a rate is per: `month` of `USD/month`; empty for a sum."""
    return figure.unit.partition("/")[2]


def _factor(old: Figure) -> str:
    if old.kind in (Kind.GPUS, Kind.MONEY):
        return "compute"
    return "labels" if old.labelled or old.kind in (None, Kind.EXAMPLES, Kind.AUDIO) else "raw"


def _counted(text: str, item: Quantity, found: Sequence[Amount]) -> Figure:
    whole = item.start + len(item.text)
    amount = next((amount for amount in found if item.start <= amount.first < whole), None)
    window = re.split(r"[.;\n](?!\d)", text[item.start : whole + 30])[0]
    entire = item.kind in WHOLE or amount is None
    return Figure(
        value=item.number,
        kind=item.kind,
        noun=_stem(re.findall(r"[\w-]+", item.text)[-1]),
        labelled=_labelled(window),
        unlabelled=not _labelled(window) and bool(UNLABELLED.search(window)),
        unit=item.unit,
        start=item.start if entire or amount is None else amount.first,
        end=whole if entire or amount is None else amount.end,
        text=item.text,
    )


def _loose(text: str, amount: Amount) -> Figure:
    words = NEXT_WORDS.match(text, amount.end)
    noun = words.group(1) if words and not STOP & set(words.group(1).lower().split()) else ""
    return Figure(
        value=amount.middle,
        kind=None,
        noun=_stem(noun.split()[-1]) if noun.strip() else "",
        labelled=_labelled(noun),
        unlabelled=not _labelled(noun) and bool(UNLABELLED.search(noun)),
        unit="",
        start=amount.first,
        end=amount.end,
        text=f"{text[amount.first : amount.end]} {noun}".strip(),
    )


def _labelled(words: str) -> bool:
    return bool(LABELLED.search(UNLABELLED.sub(" ", words)))


def _length(message: str) -> int:
    """Words of a message; two letters are one where words are not set apart."""
    return len(message.split()) + len(UNSPACED.findall(message)) // 2


def _asks(message: str) -> bool:
    return message.rstrip().endswith(("?", "？", "؟"))


def _stem(word: str) -> str:
    return re.sub(r"s$", "", word.lower())


def _statement(message: str, revoked: Sequence[Figure]) -> str:
    """A message without the figures that it takes back."""
    for figure in revoked:
        lead = NOT.search(message[: figure.start])
        start = lead.start() if lead else figure.start
        message = message[:start] + message[figure.end :]
    return _tidied(message)


def _cut(passage: str, words: str) -> str:
    # Of "14 GPUs" the words "4 GPUs" are no part, nor are they of "1.4 GPUs".
    left = re.sub(rf"(?<!\w)(?<!\d[.,]){re.escape(words)}(?!\w)", "", passage)
    if left == passage:
        return passage
    left = _tidied(left)
    return left if len(re.findall(r"[^\W\d_]", left)) >= LEAST_LEFT else ""


def _tidied(text: str) -> str:
    text = SPACES.sub(lambda match: " " if match.end() < len(text) and text[match.end()] not in ",.;!?" else "", text)
    return re.sub(r"([,.;])(?:\s*[,;.])+", r"\1", text).strip(" ,;")


def _step(labels: float) -> str:
    """The level of a number of labels, as prompts/factors.toml defines them."""
    return next(level for limit, level in LABEL_STEPS if labels < limit)


def _settled(factor: Factor) -> bool:
    return factor.name != "task" and factor.quote is not None and stated(factor)


def _stands(account: Account, words: str) -> bool:
    return any(words in passage for passage in account.passages[:-1])
