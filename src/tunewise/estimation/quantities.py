"""Quantities as people write them: "7B", "4×A100 80GB", "50k rows", "2,5 Mio. Bilder", "half a billion tokens"."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tunewise.estimation import nouns
from tunewise.estimation.cards import cards
from tunewise.estimation.catalogue import Gpu, mixtures, shapes, written
from tunewise.estimation.numbers import LIKE_LATIN, MARKS, Amount, amounts
from tunewise.estimation.rules import OFTEN, PAID_TIME, RULES, SPOKEN_OF, UNITS, Kind, Rule, days
from tunewise.schema import Value


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


@lru_cache(maxsize=32)
def read(text: str) -> tuple[Quantity, ...]:
    """Quantities of a text in the order in which they stand there; each word is read once."""
    plain = readable(text)
    found = [*_cards(plain), *_coded_bits(plain), *_none(plain)]
    taken = {place for item in found for place in range(item.start, item.end)}
    for amount in amounts(plain):
        if taken.isdisjoint(range(amount.first, amount.end)):
            counted = list(_counted(plain, amount))
            taken.update(place for item in counted for place in range(item.start, item.end))
            found += counted
    found += [item for item in _named(plain) if not any(other.kind is Kind.PARAMETERS for other in found)]
    whole = (item.model_copy(update={"text": text[item.start : item.end]}) for item in found if _sensible(item))
    return tuple(sorted(whole, key=lambda item: item.start))


def readable(text: str) -> str:
    """A text of the same length in which letters are Latin and the size of a picture is a word without digits."""
    plain = text.translate(LIKE_LATIN)
    if PICTURE.search(plain) is None:
        return plain
    named = list(cards(plain))

    def word(match: re.Match[str]) -> str:
        whole = any(card.start < match.end() and match.start() < card.end for card in named)
        return match.group() if whole else "r" * len(match.group())

    return PICTURE.sub(word, plain)


def first(quantities: Sequence[Quantity], kind: Kind) -> Quantity | None:
    """The first quantity of a kind that is more than nothing."""
    return next((item for item in quantities if item.kind is kind and item.number > 0), None)


def stated(text: str, kind: Kind) -> float | None:
    """The number in a field of a form, such as "7B", with or without its noun; None where there is none."""
    # Few tokens are read as the length of a sequence.
    wanted = {kind, Kind.CONTEXT} if kind is Kind.TOKENS else {kind}
    every = (item for words in (text, f"{text} {kind.value}") for item in read(words))
    return next((item.number for item in every if item.kind in wanted), None)


def _sensible(quantity: Quantity) -> bool:
    """Whether a formula can calculate with it: no model has no weights, and nothing is endless."""
    least = 1e-9 if quantity.kind in (Kind.PARAMETERS, Kind.BITS, Kind.BATCH, Kind.CONTEXT) else 0.0
    return least <= quantity.number < 1e30


# -- what stands around a number --------------------------------------------------------------------------------------

CODED = re.compile(
    r"\b(?P<code>int4|int8|fp4|fp8|fp16|bf16|fp32|fp64|bfloat16|float16|float32|float64|half precision|nf4"
    r"|q[4568](?:_\w+)?)\b",
    re.I,
)
BITS_OF = {
    "int4": 4, "fp4": 4, "nf4": 4, "int8": 8, "fp8": 8, "fp16": 16, "bf16": 16, "bfloat16": 16, "float16": 16,
    "half precision": 16, "fp32": 32, "float32": 32, "fp64": 64, "float64": 64,
}  # fmt: skip
AFTERWARDS = re.compile(
    r"(?:[ ](?:an?|per)[ ]\w+)?[ ]"
    r"(?:(?P<most>or (?:less|fewer|under|below)|at most|tops|max)|or more|or longer|at least)\b",
    re.I,
)
"""A bound behind the unit: "five seconds or less"."""
NEAR = 120
"""Characters around a number within which its meaning is looked for."""
OVER = re.compile(r"over[ ]", re.I)
"""Before a span of time or epochs it means how long something goes on, not more than that."""
PICTURE = re.compile(
    r"(?<![\w.,])(?:\d{2,5}[x×]\d{2,5}(?:[x×]\d{1,5})?(?:px)?(?![\w.,]*\d|\w|[ ]?[kmgt]i?b\b)"
    r"|\d{3,5}[ ](?:[x×*]|by)[ ]\d{3,5}(?=[ ]?(?:px|pixels?|resolution|jpe?gs?|pngs?)\b"
    rf"|[ ](?:{nouns.BETWEEN})?{nouns.PICTURES}\b)"
    r"|(?:240|360|480|576|720|1080|1440|2160|4320)[pi]\b"
    r"|[248]k(?=[ -](?:resolution|uhd|video|footage|film|movie|cameras?|streams?|displays?|monitors?)\b))",
    re.I,
)
"""How large a picture is, which counts none: "512x512", "1080p", "4k video"."""
DIMENSION = re.compile(r"-?d\b|(?:st|nd|rd|th)\b|[x×]\d+[x×]\d", re.I)
PART_OF_NAME = re.compile(r"(?:[a-z]-|\d[x×]|\d of |\b(?:gtx|rtx|rx|quadro|radeon|geforce)[ ])$", re.I)
"""What stands before the number of "Sentinel-2 pictures", of "224x224 pictures" and of an old card's name."""
PEOPLE = re.compile(r"[ ](?:people|persons|leute|students|engineers|researchers)\b", re.I)
LEAST_PEOPLE = 10
"""Fewer people are a team."""
USUAL = {
    Kind.BITS: (0, 64), Kind.CONTEXT: (0, 2e7), Kind.RANK: (1, math.inf), Kind.PARAMETERS: (1000, math.inf),
    Kind.GPUS: (0, 200_000),
}  # fmt: skip
"""Beyond these ends a number is a key's bits, a coefficient r, settings of a method, or cards of paper."""
SPENDS = re.compile(r"\b(?:cheaper|costs?|bill|fees?|pays?|budget|price|spend)\b", re.I)
PASSES = re.compile(r"\b(?:in|within|takes?|took|after)[ ](?:about |only |just )?$", re.I)
SECOND = re.compile(r"[ ]second\b", re.I)
PRICED = re.compile(r"(?:\bper|\bfor every|\bpro|[$€£]\d* ?/)[ ]?$", re.I)
"""What stands before "1M tokens" that have a price."""
SENTENCE = re.compile(r"[.!?][ ]")
MUCH_SOUND = 20
"""Hours from which a sentence on sound may stand before another one with the hours."""
SOUND_NEXT = re.compile(rf"[ -]?{nouns.TIME}[ ]{SPOKEN_OF}(?:{nouns.SOUND})", re.I)
NO_NOUN = re.compile(r"[ ]?(?:/|per|an?|each|every)[ ]?\b", re.I)
LASTS = re.compile(
    r"(?:^|[.,;:(!?][ ]|\b(?:in|for|within|about|around|over|than|of|have|has|got|takes?|took|is|be|runs?|lasts?|needs?"
    r"|after|spare|give|gives|and|or|plus|with|für|in|pendant|pour|en)[ ])"
    r"(?:(?:about|at most|only|just|half|under|less than|over|more than|menos de|weniger als|meno di)[ ])?$",
    re.I,
)
"""What stands before "a week" where it is a span of time, not "40 hours a week"."""
SPAN = re.compile(
    r"one[ ](?:week|month|year|hour)\b|an?[ ]fortnight\b|an?[ ](?:hour|day|week|month|year)[ ]and a half\b", re.I
)
"""A span of time, whatever stands before it."""
OPEN_CLASS = re.compile(
    rf"[ ](?:of )?(?:(?!{nouns.UNCOUNTED}\b){nouns.WORD} and )?"
    rf"(?:{nouns.BETWEEN}){{0,3}}?(?!{nouns.UNCOUNTED}\b|{nouns.STOP}\b)(?:{nouns.PLURAL})\b",
    re.I,
)
MONTHS = (
    r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|mai|juni|juli|okt|dez)\.?"
    r"|january|february|march|april|august|september|october|november|december|januar|februar|märz|oktober|dezember"
    r"|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
)
SINCE = re.compile(
    rf"\b(?:since|year|early|mid|late|spring|summer|autumn|fall|winter|seit|depuis|desde|dal"
    rf"|(?:{MONTHS})(?:[ ]\d\d?,)?)"
    r"[ -](?:de )?$",
    re.I,
)
"""What stands before a year."""
IN_YEAR = re.compile(r"\b(?:in|until|till|by|before|after|during|im jahr|en|em|nel)[ ]$", re.I)
"""What may stand before a year, and before a number that is no round one seldom before anything else."""
ROUND = 50
CALLED = re.compile(
    r"(?:-|\b(?:an?|the|our|this|that|open|small|tiny|big|even|or|local"
    r"|stock|prompted|base|tuned|larger|bigger|smaller"
    r"|(?:model|modello|modèle|modelo|modell|net|network|transformer|encoder|student|teacher)"
    r"[ ](?:is|da|de|di|of|with|von|has|mit)|\bmodel|\blm with)[ ])$",
    re.I,
)
"""What stands before a size by which a model is called: "the 7B"."""
GERMAN = re.compile(rf"[ ](?:(?!{nouns.STOP}\b)[a-zäöüß]+[ ])?[A-ZÄÖÜ][a-zäöüß]{{3,}}(?:en|er|e|n|s)\b")
"""German writes nouns large."""
DOZEN = re.compile(r"\b(?:dozen|dutzend|douzaines?)\b", re.I)
LONE = 3
"""Words of a text, such as the field of a form, in which a bare size is that of a model."""
LEAST_OPEN = 100
"""From this number on, any plural that is no known measure is taken for examples."""
NAMED_SIZE = re.compile(
    r"(?:(?i:\b(?:nllb|whisper|\w*bert|t5|gpt\w*|llama|qwen|gemma|pythia|vit|clip|wav2vec)"
    r"[\w.-]*[ ](?P<model>(?:\w+[ ])?\(?))|[A-Z][\w.-]*[ -]\(?)$"
)
MODEL_NEXT = re.compile(
    r"[ -]?(?:parameter|model|version|variant|net|encoder|decoder|transformer"
    r"|vit|bert|student|teacher|unet|cnn|backbone|lm\b|class)",
    re.I,
)
SIZE = re.compile(r"[\d.]+[ -]?(?:b|bn|billion)\b|[\d.]+m\b", re.I)
MIXTURE = re.compile(r"[x×](?P<size>\d+)b\b", re.I)


def _counted(text: str, amount: Amount) -> Iterator[Quantity]:
    behind, ahead = text[amount.end : amount.end + NEAR], text[max(amount.first - NEAR, 0) : amount.first]
    mixture = MIXTURE.match(behind)
    if mixture and (total := _experts(amount.middle, float(mixture["size"]) * 1e9)):
        yield _made(Kind.PARAMETERS, text, (amount.first, amount.end + mixture.end()), (total, total))
        return
    if DIMENSION.match(behind) or _numbered(ahead, amount):
        return
    for rule in RULES:
        if amount.middle > rule.most:
            continue
        after = rule.after.match(behind)
        if after is None or not _counts(rule, amount, after):
            continue
        # Searched last, for it looks at every place before the number.
        before = rule.before.search(ahead)
        if before and not _idle(rule.kind, text, amount):
            yield _ruled(rule, text, amount, before, after)
            return
    if not amount.bare and (found := _by_size(text, amount)):
        yield found


def _experts(count: float, size: float) -> float | None:
    """All parameters of a mixture of so many experts of that size, which share attention; None of one unknown."""
    known = (item.parameters for item in mixtures() if item.experts == count and item.size == size)
    return next(known, None)


def _counts(rule: Rule, amount: Amount, after: re.Match[str]) -> bool:
    """Whether an article counts here: "a year", but of seconds only "under a second" and "a second and a half"."""
    if not amount.bare or rule.articles:
        return True
    return rule.kind is Kind.LATENCY and (amount.low is None or after.groupdict().get("half") is not None)


def _numbered(ahead: str, amount: Amount) -> bool:
    """Whether the number names a thing instead of counting: "ward 12", "port 8000"."""
    if amount.scaled:
        return False
    return nouns.NAMED.search(ahead) is not None or (
        amount.middle < LEAST_OPEN and nouns.NUMBERED.search(ahead) is not None
    )


def _idle(kind: Kind, text: str, amount: Amount) -> bool:
    """Whether it cannot be of that kind after all: half an example, "40 a month" that something costs."""
    ahead = text[max(amount.first - 40, 0) : amount.first]
    if kind in USUAL:
        least, most = USUAL[kind]
        return not least <= amount.middle <= most
    if kind is Kind.EXAMPLES:
        return _no_examples(text, amount, ahead)
    if kind is Kind.EPOCHS:
        return amount.bare and text[amount.first : amount.end].lower() in ("a", "an")
    if kind is Kind.BATCH:
        return amount.scaled
    if kind is Kind.AUDIO and SOUND_NEXT.match(text, amount.end) is None:
        return PASSES.search(ahead) is not None or (amount.middle < MUCH_SOUND and SENTENCE.search(ahead) is not None)
    if kind is Kind.TOKENS:
        return PRICED.search(ahead) is not None
    if kind is Kind.DAYS and amount.bare:
        return SECOND.match(text, amount.end) is not None or not _lasts(text, amount, ahead)
    if kind is Kind.RATE and SIZE.fullmatch(text[amount.first : amount.end][:NEAR]) and CALLED.search(ahead):
        return True
    return kind is Kind.RATE and bool(SPENDS.search(ahead)) and NO_NOUN.match(text, amount.end) is not None


def _lasts(text: str, amount: Amount, ahead: str) -> bool:
    """Whether "a week" is a span of time, not the period of "40 hours a week"."""
    if amount.low is None or amount.high is None or text.startswith("-", amount.end):
        return True
    return SPAN.match(text, amount.first) is not None or LASTS.search(ahead) is not None


def _no_examples(text: str, amount: Amount, ahead: str) -> bool:
    """Whether what looks like examples is half of one, a team, part of a name or a model's size."""
    if 0 < amount.middle < 1 or PART_OF_NAME.search(ahead) or _dated(text, amount, ahead):
        return True
    if amount.middle < LEAST_PEOPLE and PEOPLE.match(text, amount.end):
        return True
    named = NAMED_SIZE.search(ahead) if SIZE.fullmatch(text[amount.first : amount.end][:NEAR]) else None
    return named is not None and named["model"] is not None


def _ruled(rule: Rule, text: str, amount: Amount, before: re.Match[str], after: re.Match[str]) -> Quantity:
    unit = _money(text, amount, before, after) if rule.kind is Kind.MONEY else None
    factor = rule.factor(after)
    reach = 0 if rule.kind in (Kind.AUDIO, Kind.EXAMPLES, Kind.CONTEXT, Kind.DATA) else len(before.group())
    place = (min(amount.start, amount.first - reach), amount.end + after.end())
    low, high = (None if end is None else end * factor for end in (amount.low, amount.high))
    if after.groupdict().get("half"):
        low, high = (None if end is None else end + factor / 2 for end in (low, high))
    if rule.kind is Kind.CONTEXT and amount.scaled:
        low, high = (None if end is None else binary(end) for end in (low, high))
    if rule.kind in (Kind.EPOCHS, Kind.DAYS) and OVER.match(text, amount.start):
        high = low
    if low is not None and high is not None and (bound := AFTERWARDS.match(text, place[1])):
        low, high = (None, high) if bound["most"] else (low, None)
    return _made(rule.kind, text, place, (low, high), unit=unit)


def binary(tokens: float) -> float:
    """A context of 8k has 8,192 tokens; one of 10k has 10,000."""
    thousands = tokens / 1000
    power = thousands >= 1 and thousands == int(thousands) and int(thousands).bit_count() == 1
    return tokens * 1.024 if power else tokens


def _money(text: str, amount: Amount, before: re.Match[str], after: re.Match[str]) -> str:
    groups = {**before.groupdict(), **{name: mark for name, mark in after.groupdict().items() if mark}}
    currency = nouns.CURRENCIES[(groups.get("mark") or "$").lower()[:2]]
    paid = PAID_TIME.match(text, amount.end + after.end())
    if paid is None:
        return currency
    period = OFTEN[paid["often"].lower()] if paid["often"] else days(paid)
    return f"{currency}/{nouns.PERIODS[period]}" if period in nouns.PERIODS else currency


def _by_size(text: str, amount: Amount) -> Quantity | None:
    """A model called by its size, or any plural that is many enough to be data."""
    behind = text[amount.end : amount.end + NEAR]
    size = SIZE.search(text[max(amount.end - NEAR, amount.first) : amount.end])
    if PART_OF_NAME.search(text[max(amount.first - 5, 0) : amount.first]) and not size:
        return None
    many = amount.middle >= LEAST_OPEN or DOZEN.search(text[amount.first : amount.end])
    opened = (OPEN_CLASS.match(behind) or GERMAN.match(behind)) if many and not _year(text, amount) else None
    if opened and not (CALLED.search(text[max(amount.first - 12, 0) : amount.first]) and size):
        return _made(Kind.EXAMPLES, text, (amount.start, amount.end + opened.end()), (amount.low, amount.high))
    if size and text[amount.first - 1 : amount.first] not in MARKS and _called(text, amount):
        return _made(Kind.PARAMETERS, text, (amount.start, amount.end), (amount.low, amount.high))
    return None


def _called(text: str, amount: Amount) -> bool:
    """Whether a size is that of a model: billions are, millions may count anything."""
    if text[amount.end - 1 : amount.end] not in "mM":
        return True
    ahead = text[max(amount.first - 24, 0) : amount.first]
    named = CALLED.search(ahead) or NAMED_SIZE.search(ahead) or MODEL_NEXT.match(text, amount.end)
    return bool(named) or len(text.split(maxsplit=LONE)) <= LONE


def _dated(text: str, amount: Amount, ahead: str) -> bool:
    """Whether a year stands before what it does not count: "since 2021 images are …", "12 May 2024 samples …"."""
    if not _year(text, amount):
        return False
    return SINCE.search(ahead) is not None or (amount.middle % ROUND != 0 and IN_YEAR.search(ahead) is not None)


def _year(text: str, amount: Amount) -> bool:
    return 1900 <= amount.middle <= 2100 and text[amount.first : amount.end].isdigit()


# -- cards, codes and names -------------------------------------------------------------------------------------------


def _cards(text: str) -> list[Quantity]:
    return [_made(Kind.GPUS, text, (card.start, card.end), card.count, gpu=card.gpu) for card in cards(text)]


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
    names = {alias: shape for shape in shapes() for alias in shape.aliases}
    seen: set[str] = set()
    for match in written(*names).finditer(text):
        shape = next(shape for alias, shape in names.items() if written(alias).fullmatch(match.group()))
        if shape.name not in seen:
            seen.add(shape.name)
            yield _made(Kind.PARAMETERS, text, match.span(), (shape.parameters, shape.parameters))


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
