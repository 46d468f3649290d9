"""Quantities as people write them: "7B", "4×A100 80GB", "50k rows", "2,5 Mio. Bilder", "half a billion tokens"."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tunewise.estimation import nouns
from tunewise.estimation.catalogue import Gpu, gpus, shapes
from tunewise.estimation.numbers import LIKE_LATIN, Amount, amounts
from tunewise.schema import Value


class Kind(StrEnum):
    """What a number counts."""

    PARAMETERS = "parameters"
    TOKENS = "tokens"
    WORDS = "words"
    CONTEXT = "context"
    """Tokens of one sequence."""
    EXAMPLES = "examples"
    """Rows, images, labels, documents and the like."""
    GPUS = "gpus"
    MEMORY = "memory"
    """GB of a card or a machine."""
    DATA = "data"
    """GB on a disk."""
    BITS = "bits"
    EPOCHS = "epochs"
    BATCH = "batch"
    RANK = "rank"
    MONEY = "money"
    DAYS = "days"
    LATENCY = "latency"
    """Milliseconds."""
    RATE = "rate"
    """Requests, or whatever is to be judged, a day."""
    AUDIO = "audio"
    """Hours of recordings."""


UNITS = {
    Kind.CONTEXT: "tokens", Kind.GPUS: "GPU", Kind.MEMORY: "GB", Kind.DATA: "GB", Kind.BATCH: "sequences",
    Kind.MONEY: "USD", Kind.LATENCY: "ms", Kind.RATE: "requests/day", Kind.AUDIO: "hours",
}  # fmt: skip
"""Units, where they are not the name of the kind."""


class Quantity(Value):
    """A number with its meaning, read from a text."""

    kind: Kind
    """What it counts."""
    number: float
    """In the unit of its kind: the mean of a range, the bound of "at most" or "at least"."""
    low: float | None
    """None where the text says no more than "at most"."""
    high: float | None
    """None where it says no more than "at least"."""
    unit: str
    """Such as GB, USD, EUR/month, or the name of the card."""
    text: str
    """The words it was read from, verbatim."""
    start: int
    """Place of these words in the text."""
    gpu: Gpu | None = None
    """Which card, for GPUS, if one of the catalogue is named."""

    @property
    def end(self) -> int:
        """Where the words end."""
        return self.start + len(self.text)


def read(text: str) -> tuple[Quantity, ...]:
    """Quantities of a text in the order in which they stand there; each word is read once."""
    plain = text.translate(LIKE_LATIN)
    found = [*_cards(plain), *_coded_bits(plain), *_none(plain)]
    for amount in amounts(plain):
        if not any(amount.first < item.end and item.start < amount.end for item in found):
            found += _counted(plain, amount)
    found += [item for item in _named(plain) if not any(other.kind is Kind.PARAMETERS for other in found)]
    whole = (item.model_copy(update={"text": text[item.start : item.end]}) for item in found if _sensible(item))
    return tuple(sorted(whole, key=lambda item: item.start))


def first(quantities: Sequence[Quantity], kind: Kind) -> Quantity | None:
    """The first quantity of a kind that is more than nothing."""
    return next((item for item in quantities if item.kind is kind and item.number > 0), None)


def _sensible(quantity: Quantity) -> bool:
    """Whether a formula can calculate with it: no model has no weights, and nothing is endless."""
    least = 1e-9 if quantity.kind in (Kind.PARAMETERS, Kind.BITS, Kind.BATCH, Kind.CONTEXT) else 0.0
    return least <= quantity.number < 1e30


# -- what stands around a number --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """What stands behind or before a number, and what it counts then."""

    kind: Kind
    after: re.Pattern[str]
    before: re.Pattern[str]
    factor: Callable[[re.Match[str]], float]
    articles: bool
    """Whether "a" counts here, as in "a year"."""


def _rule(
    kind: Kind,
    after: str = "",
    before: str = "",
    factor: Callable[[re.Match[str]], float] = lambda match: 1.0,
    *,
    articles: bool = False,
) -> _Rule:
    return _Rule(kind, re.compile(after, re.I), re.compile(rf"(?:{before})$", re.I), factor, articles)


def _days(match: re.Match[str]) -> float:
    return next(days for stem, days in nouns.DAYS if match["time"].lower().startswith(stem))


def _gigabytes(match: re.Match[str]) -> float:
    return nouns.GIGABYTES[(match["byte"] or "g")[0].lower()]


def _per_day(match: re.Match[str]) -> float:
    if "qps" in match.groupdict() and match["qps"]:
        return 86_400.0
    return 1.0 if match["daily"] else 1 / _days(match)


TIME = rf"(?P<time>{nouns.TIME})"
BYTES = r"(?P<byte>[kmgtp]i?b|gigs?|gigabytes?|terabytes?|megabytes?)\b"
CURRENCY_BEFORE = r"(?P<mark>us\$|[$€£]|usd|eur|gbp)[ ]?"
CURRENCY_AFTER = r"[ ]?(?P<mark>\$|€|£|(?:us[ -])?dollars?\b|usd\b|euros?\b|eur\b|bucks\b|pounds?\b|gbp\b)"
SPOKEN_OF = r"(?:of )?(?:[\w-]+ ){0,2}?"
PER_TIME = rf"[ ]?(?:/|per |an? |each |every |pro |am |par |por |al |a )[ ]?{TIME}"
SEQUENCE = r"(?:tokens?[ -](?:of )?(?:long )?(?:context|sequences?|window|prompts?)|context|ctx|sequence length)"
CODED = re.compile(r"\b(?P<code>int4|int8|fp8|fp16|bf16|fp32|nf4|q4\w*|q8\w*)\b", re.I)
BITS_OF = {"int4": 4, "nf4": 4, "int8": 8, "fp8": 8, "fp16": 16, "bf16": 16, "fp32": 32}
RULES: tuple[_Rule, ...] = (
    _rule(Kind.BITS, r"[ -]?bits?\b"),
    _rule(Kind.RANK, before=r"\b(?:rank|r)(?: of)?[ =:]+"),
    _rule(Kind.EPOCHS, r"[ -]?(?:epochs?|epochen|époques?)\b", articles=True),
    _rule(Kind.BATCH, before=r"\bbatch(?:[ -]?size)?(?: of| is)?[ =:]*"),
    _rule(Kind.BATCH, r"[ ](?:concurrent|parallel|simultaneous)\b"),
    _rule(Kind.LATENCY, r"[ ]?(?:ms|msec|milliseconds?|millisekunden|millisecondes)\b"),
    _rule(Kind.LATENCY, r"[ ]?(?:µs|μs|microseconds?)\b", factor=lambda match: 0.001),
    _rule(
        Kind.LATENCY,
        r"[ -]?(?:s|secs?|seconds?|sekunden?|secondes?|segundos?)\b(?!['’]|[ -]hand)"
        rf"(?![ -](?:{nouns.SOUND}|clips?|snippets?))",
        factor=lambda match: 1000.0,
    ),
    _rule(
        Kind.GPUS,
        rf"[ ]?[x×*]?[ -]?(?:{nouns.MAKER})?(?:{nouns.BETWEEN})?(?:{nouns.CARDS})(?!\w|[ -]hours?|{PER_TIME})",
        articles=True,
    ),
    _rule(Kind.GPUS, r"[ ]card\b", before=r"\b(?:on|with|have|has|own|using|to)[ ]", articles=True),
    _rule(Kind.GPUS, r"(?=[ ]\d+[ ]?gi?b[ -](?:cards?|gpus?)\b)", articles=True),
    _rule(Kind.CONTEXT, rf"[ -]?{SEQUENCE}"),
    _rule(
        Kind.CONTEXT,
        before=r"\b(?:context|sequence|seq|ctx)(?:[ -](?:length|window|len|size))?(?: of| is|:|=)?[ ]?",
        after=r"(?![ ]?%|[\w-]*[ -]?(?:users?|requests?))",
    ),
    _rule(Kind.DATA, rf"[ ]?{BYTES} (?:of )?(?:[\w-]+ ){{0,3}}?(?:{nouns.STORED})\b", factor=_gigabytes),
    _rule(Kind.DATA, rf"[ ]?{BYTES} of (?!(?:[\w-]+ )?{nouns.HELD}\b)[a-z]", factor=_gigabytes),
    _rule(Kind.DATA, r"[ ]?(?P<byte>[p]i?b)\b", factor=_gigabytes),
    _rule(Kind.MEMORY, rf"[ -]?(?:{BYTES}|g(?= of | ?v?ram))", factor=_gigabytes),
    _rule(Kind.MONEY, before=CURRENCY_BEFORE),
    _rule(Kind.MONEY, CURRENCY_AFTER),
    _rule(Kind.MONEY, r"[ ](?P<mark>grand)\b", factor=lambda match: 1000.0),
    _rule(
        Kind.AUDIO,
        rf"[ -]?{TIME}[ ]{SPOKEN_OF}(?:{nouns.SOUND})",
        factor=lambda match: 24 * _days(match),
        articles=True,
    ),
    _rule(
        Kind.AUDIO,
        rf"[ -]?(?=h|stund|or[ae]|min|ho){TIME}",
        before=rf"\b(?:{nouns.SOUND})\b[\s\S]{{0,100}}",
        factor=lambda match: 24 * _days(match),
    ),
    _rule(
        Kind.DAYS,
        rf"(?:[ -]?|[ ](?:{nouns.MORE})[ ]){TIME}(?![ -](?:ago|old|later|of age|away)\b)",
        factor=_days,
        articles=True,
    ),
    _rule(Kind.TOKENS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:tokens?|tok)\b"),
    _rule(
        Kind.WORDS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:words|wörtern?|mots|palabras|parole)\b(?!{PER_TIME})"
    ),
    _rule(Kind.RATE, r"[ ]?(?P<qps>qps|rps)\b", factor=_per_day),
    _rule(Kind.RATE, rf"[ ]times{PER_TIME}(?P<daily>)", factor=_per_day),
    _rule(
        Kind.RATE,
        rf"(?![ -]?(?:{nouns.UNCOUNTED}|words?|tokens?)\b)"
        rf"(?:[ ]?(?:{nouns.BETWEEN}){{0,2}}?(?!{nouns.STOP}\b){nouns.WORD})??"
        rf"(?:{PER_TIME}|(?P<daily>[ ](?:daily|täglich|par jour|al día)\b))",
        factor=_per_day,
        articles=False,
    ),
    _rule(Kind.PARAMETERS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:{nouns.PARAMETERS})\b"),
    _rule(Kind.EXAMPLES, rf"[ ]?(?:多)?[ ]?(?:{nouns.MEASURES})"),
    _rule(
        Kind.EXAMPLES,
        rf"[ ]?(?:of |de |von )?(?:{nouns.BETWEEN}){{0,3}}?(?:{nouns.COUNTED})\b(?![ ]{nouns.UNCOUNTED}\b)",
    ),
    _rule(Kind.EXAMPLES, r"[ ]of (?:them|these|those|ours|mine)\b"),
    _rule(Kind.EXAMPLES, rf"[ ](?:hand-|hand )?(?:{nouns.LABELLED})\b"),
    _rule(
        Kind.EXAMPLES, before=rf"\b(?:{nouns.COUNTED}|{nouns.LABELLED})[ ]?[:=][ ]*(?:[~≈]|about |some |circa |ca\. ?)?"
    ),
)
NEAR = 120
"""Characters around a number within which its meaning is looked for."""
DIMENSION = re.compile(r"-?d\b", re.I)
PART_OF_NAME = re.compile(r"(?:[a-z]-|\d[x×]|\d of )$", re.I)
"""What stands before the number of "Sentinel-2 pictures" and of "224x224 pictures"."""
SPENDS = re.compile(r"\b(?:costs?|bill|fees?|pays?|budget|price|spend)\b", re.I)
PASSES = re.compile(r"\b(?:in|within|takes?|took|after)[ ](?:about |only |just )?$", re.I)
SENTENCE = re.compile(r"[.!?][ ]")
MUCH_SOUND = 20
"""Hours from which a sentence on sound may stand before another one with the hours."""
SOUND_NEXT = re.compile(rf"[ -]?{nouns.TIME}[ ]{SPOKEN_OF}(?:{nouns.SOUND})", re.I)
NO_NOUN = re.compile(r"[ ]?(?:/|per|an?|each|every)[ ]?\b", re.I)
LASTS = re.compile(
    r"(?:^|[.,;:(!?][ ]|\b(?:in|for|within|about|around|over|than|of|have|has|got|takes?|took|is|be|runs?|lasts?|needs?"
    r"|after|spare|give|gives|and|or|plus|with|für|in|pendant|pour|en)[ ])(?:(?:about|at most|only|just|half)[ ])?$",
    re.I,
)
"""What stands before "a week" where it is a span of time, not "40 hours a week"."""
OPEN_CLASS = re.compile(
    rf"[ ](?:of )?(?:(?!{nouns.UNCOUNTED}\b){nouns.WORD} and )?"
    rf"(?:{nouns.BETWEEN}){{0,3}}?(?!{nouns.UNCOUNTED}\b|{nouns.STOP}\b)(?:{nouns.PLURAL})\b",
    re.I,
)
CALLED = re.compile(
    r"(?:-|\b(?:an?|the|our|this|that|open|small|big|even|or|local"
    r"|stock|prompted|base|tuned|larger|bigger|smaller)[ ])$",
    re.I,
)
"""What stands before a size by which a model is called: "the 7B"."""
GERMAN = re.compile(rf"[ ](?:(?!{nouns.STOP}\b)[a-zäöüß]+[ ])?[A-ZÄÖÜ][a-zäöüß]{{3,}}(?:en|er|e|n|s)\b")
"""German writes nouns large."""
DOZEN = re.compile(r"\b(?:dozen|dutzend|douzaines?)\b", re.I)
LONE = 3
"""Words of a text, such as the field of a form, in which a bare size is that of a model."""
MOST_CARDS = 200_000
"""More are no cards in a machine: "3 million cards" are of paper."""
LEAST_OPEN = 100
"""From this number on, any plural that is no known measure is taken for examples."""
NAMED_SIZE = re.compile(r"[A-Z][\w.-]*[ -]$")
MODEL_NEXT = re.compile(r"[ -]?(?:parameter|model|version|variant|net|encoder|lm\b|class)", re.I)
SIZE = re.compile(r"[\d.]+[ -]?(?:b|bn|billion)\b|[\d.]+m\b", re.I)
MIXTURES = {(8, 7e9): 46.7e9, (8, 22e9): 141e9}
"""Parameters of mixtures of experts that share attention (Jiang et al. 2024; Mistral AI 2024)."""
MIXTURE = re.compile(r"[x×](?P<size>\d+)b\b", re.I)


def _counted(text: str, amount: Amount) -> Iterator[Quantity]:
    behind, ahead = text[amount.end : amount.end + NEAR], text[max(amount.first - NEAR, 0) : amount.first]
    mixture = MIXTURE.match(behind)
    if mixture and (total := MIXTURES.get((int(amount.middle), float(mixture["size"]) * 1e9))):
        yield _made(Kind.PARAMETERS, text, (amount.first, amount.end + mixture.end()), (total, total))
        return
    if DIMENSION.match(behind) or (nouns.NUMBERED.search(ahead) and not amount.scaled and amount.middle < LEAST_OPEN):
        return
    for rule in RULES:
        if amount.bare and not rule.articles and not (rule.kind is Kind.LATENCY and amount.low is None):
            continue
        after, before = rule.after.match(behind), rule.before.search(ahead)
        if after and before and not _idle(rule.kind, text, amount):
            yield _ruled(rule, text, amount, before, after)
            return
    if not amount.bare and (found := _by_size(text, amount)):
        yield found


def _idle(kind: Kind, text: str, amount: Amount) -> bool:
    """Whether it cannot be of that kind after all: half an example, "40 a month" that something costs."""
    ahead = text[max(amount.first - 40, 0) : amount.first]
    if kind is Kind.EXAMPLES:
        return 0 < amount.middle < 1 or PART_OF_NAME.search(ahead) is not None
    if kind is Kind.GPUS:
        return amount.middle > MOST_CARDS
    if kind is Kind.EPOCHS:
        return amount.bare and text[amount.first : amount.end].lower() in ("a", "an")
    if kind is Kind.BATCH:
        return amount.scaled
    if kind is Kind.AUDIO and SOUND_NEXT.match(text, amount.end) is None:
        return PASSES.search(ahead) is not None or (amount.middle < MUCH_SOUND and SENTENCE.search(ahead) is not None)
    if kind is Kind.DAYS and amount.bare:
        return not LASTS.search(ahead)
    if kind is Kind.RATE and SIZE.fullmatch(text[amount.first : amount.end]) and CALLED.search(ahead):
        return True
    return kind is Kind.RATE and bool(SPENDS.search(ahead)) and NO_NOUN.match(text, amount.end) is not None


def _ruled(rule: _Rule, text: str, amount: Amount, before: re.Match[str], after: re.Match[str]) -> Quantity:
    factor, unit = rule.factor(after), None
    if rule.kind is Kind.CONTEXT:
        factor = _binary(amount)
    if rule.kind is Kind.MONEY:
        unit = _money(text, amount, before, after)
    reach = 0 if rule.kind in (Kind.AUDIO, Kind.EXAMPLES) else len(before.group())
    place = (min(amount.start, amount.first - reach), amount.end + after.end())
    ends = tuple(None if end is None else end * factor for end in (amount.low, amount.high))
    return _made(rule.kind, text, place, (ends[0], ends[1]), unit=unit)


def _binary(amount: Amount) -> float:
    """A context of 8k has 8,192 tokens; one of 10k has 10,000."""
    thousands = amount.middle / 1000
    power = amount.scaled and thousands >= 1 and thousands == int(thousands) and int(thousands).bit_count() == 1
    return 1.024 if power else 1.0


def _money(text: str, amount: Amount, before: re.Match[str], after: re.Match[str]) -> str:
    groups = {**before.groupdict(), **{name: mark for name, mark in after.groupdict().items() if mark}}
    currency = nouns.CURRENCIES[groups["mark"].lower()[:2]]
    time = re.match(PER_TIME, text[amount.end + after.end() :][:NEAR], re.I)
    return f"{currency}/{nouns.PERIODS[_days(time)]}" if time and _days(time) in nouns.PERIODS else currency


def _by_size(text: str, amount: Amount) -> Quantity | None:
    """A model called by its size, or any plural that is many enough to be data."""
    behind = text[amount.end : amount.end + NEAR]
    size = SIZE.search(text[amount.first : amount.end])
    if PART_OF_NAME.search(text[max(amount.first - 5, 0) : amount.first]) and not size:
        return None
    many = amount.middle >= LEAST_OPEN or DOZEN.search(text[amount.first : amount.end])
    opened = (OPEN_CLASS.match(behind) or GERMAN.match(behind)) if many and not _year(text, amount) else None
    if opened and not (CALLED.search(text[: amount.first][-12:]) and size):
        return _made(Kind.EXAMPLES, text, (amount.start, amount.end + opened.end()), (amount.low, amount.high))
    if size and text[amount.first - 1 : amount.first] not in ("$", "€", "£") and _called(text, amount):
        return _made(Kind.PARAMETERS, text, (amount.start, amount.end), (amount.low, amount.high))
    return None


def _called(text: str, amount: Amount) -> bool:
    """Whether a size is that of a model: billions are, millions may count anything."""
    if text[amount.end - 1 : amount.end] not in "mM":
        return True
    ahead = text[max(amount.first - 24, 0) : amount.first]
    named = CALLED.search(ahead) or NAMED_SIZE.search(ahead) or MODEL_NEXT.match(text, amount.end)
    return bool(named) or len(text.split()) <= LONE


def _year(text: str, amount: Amount) -> bool:
    return 1900 <= amount.middle <= 2100 and text[amount.first : amount.end].isdigit()


# -- cards, codes and names -------------------------------------------------------------------------------------------

NAMES = "|".join(
    sorted(
        {re.escape(alias).replace(r"\ ", r"[ -]?").replace(r"\-", "[ -]?") for gpu in gpus() for alias in gpu.aliases},
        key=len,
        reverse=True,
    )
)
CARD = re.compile(
    rf"(?<![\w.,])(?:(?P<glued>\d{{1,4}})[x×*][ ]?)?(?:{nouns.MAKER})(?P<card>{NAMES})s?(?![\w.,]*\d)(?!\w|[ -]hours?)"
    rf"(?![ ](?:{nouns.COUNTED})\b)(?:[ -]?(?:ti|sxm\d?|pcie))?(?:[ (-]*(?P<size>\d{{2,3}})[ ]?g(?:i?b)?\b\)?)?"
    r"(?:[ ]?[x×*][ ]?(?P<times>\d{1,4})(?!\d)|[ ](?:cluster|node|machine|server|box) (?:of|with) (?P<of>\d{1,5}))?",
    re.I,
)
BEFORE_CARD = re.compile(r"[ ]?(?:[x×*])?[ ]?(?:rented |used |old |nvidia |spare )*$", re.I)


def _cards(text: str) -> list[Quantity]:
    found = []
    counts = list(amounts(text))
    for match in CARD.finditer(text):
        parts = {name: value for name, value in match.groupdict().items() if value}
        card = _card(parts["card"], parts.get("size"))
        count = parts.get("glued") or parts.get("times") or parts.get("of")
        ahead = None if count else next((item for item in counts if _belongs(text, item, match.start())), None)
        start = ahead.start if ahead else match.start()
        ends = (ahead.low, ahead.high) if ahead else (float(count or 1),) * 2
        found.append(_made(Kind.GPUS, text, (start, match.end()), ends, gpu=card))
    return found


def _belongs(text: str, amount: Amount, card: int) -> bool:
    between = text[amount.end : card]
    return (
        0 <= card - amount.end <= 24
        and (between.strip() != "" or between == " " or amount.bare)
        and bool(BEFORE_CARD.fullmatch(between) or between.strip().lower() == "of")
    )


def _card(name: str, size: str | None) -> Gpu:
    plain = re.sub(r"[ -]+", " ", name.lower())
    fitting = [gpu for gpu in gpus() if any(alias.replace("-", " ") == plain for alias in gpu.aliases)]
    family = [gpu for gpu in gpus() if size and gpu.name.lower().startswith(plain) and f"{gpu.memory:g}" == size]
    return (family or fitting)[0]


def _coded_bits(text: str) -> Iterator[Quantity]:
    for match in CODED.finditer(text):
        code = match["code"].lower()
        width = float(BITS_OF.get(code, int(code[1]) if code[1].isdigit() else 16))
        yield _made(Kind.BITS, text, match.span(), (width, width))


def _none(text: str) -> Iterator[Quantity]:
    """What is said not to be there: "no labels", "without a GPU"."""
    for kind, pattern in ((Kind.EXAMPLES, nouns.NO_LABELS), (Kind.GPUS, nouns.NO_GPU)):
        for match in pattern.finditer(text):
            yield _made(kind, text, match.span(), (0.0, 0.0))


def _named(text: str) -> Iterator[Quantity]:
    """Models that are called by name without a size."""
    for shape in shapes():
        for alias in shape.aliases:
            match = re.search(rf"(?<!\w){re.escape(alias)}(?![\w]|\.\d)", text, re.I)
            if match:
                yield _made(Kind.PARAMETERS, text, match.span(), (shape.parameters, shape.parameters))
                break


def _made(
    kind: Kind,
    text: str,
    place: tuple[int, int],
    ends: tuple[float | None, float | None],
    *,
    unit: str | None = None,
    gpu: Gpu | None = None,
) -> Quantity:
    low, high = ends
    known = [end for end in ends if end is not None]
    words = text[place[0] : place[1]]
    start = place[0] + len(words) - len(words.lstrip())
    return Quantity(
        kind=kind,
        number=sum(known) / len(known),
        low=low,
        high=high,
        unit=unit or (gpu.name if gpu else UNITS.get(kind, kind.value)),
        text=words.strip(),
        start=start,
        gpu=gpu,
    )
