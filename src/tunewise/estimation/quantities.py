"""Quantities as people write them: "7B", "4×A100 80GB", "50k rows", "2,5 Mio. Bilder", "half a billion tokens"."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

from tunewise.estimation.catalogue import Gpu, gpus, shapes
from tunewise.schema import Value


class Kind(StrEnum):
    """What a number counts."""

    PARAMETERS = "parameters"
    TOKENS = "tokens"
    CONTEXT = "context"
    """Tokens of one sequence."""
    EXAMPLES = "examples"
    """Rows, images, labels, documents and the like."""
    GPUS = "gpus"
    MEMORY = "memory"
    """GB."""
    BITS = "bits"
    EPOCHS = "epochs"
    BATCH = "batch"
    RANK = "rank"
    DOLLARS = "dollars"
    DAYS = "days"
    AUDIO = "audio"
    """Hours of recordings."""


class Quantity(Value):
    """A number with its meaning, read from a text."""

    kind: Kind
    """What it counts."""
    number: float
    """In the unit of its kind."""
    text: str
    """The words it was read from, verbatim."""
    start: int
    """Place of these words in the text."""
    gpu: Gpu | None = None
    """Which card, for GPUS."""


WORDS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "sixteen": 16, "twenty": 20, "thirty": 30, "forty": 40,
    "fifty": 50, "hundred": 100, "dozen": 12, "half a": 0.5, "a couple of": 2, "couple of": 2,
}  # fmt: skip
ARTICLES = frozenset({"a", "an", "one", "single"})
"""Before a noun these count nothing: "a user", "one label per image"."""
SCALES = {
    "k": 1e3, "thousand": 1e3, "tsd": 1e3, "tausend": 1e3, "mil": 1e3, "lakh": 1e5, "lakhs": 1e5,
    "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6, "millionen": 1e6, "crore": 1e7,
    "millones": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9, "milliarden": 1e9, "mrd": 1e9,
    "t": 1e12, "tn": 1e12, "trillion": 1e12, "trillions": 1e12, "hundred": 100, "dozen": 12, "hundred thousand": 1e5,
}  # fmt: skip
DAYS = {
    "minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 30, "year": 365, "tag": 1,
    "woche": 7, "monat": 30,
}  # fmt: skip
DIGITS = r"\d{1,3}(?:[,.'\u00a0\u202f ]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?"
NUMBER = (
    rf"(?P<digits>{DIGITS}|(?<![\w-])(?:half a|a couple of|a|an|one|single|two|three|four|five|six|seven|eight|nine|ten"
    r"|twelve|sixteen|twenty|thirty|forty|fifty)(?=[\s-]))"
)
SCALE = (
    r"(?:[ \u00a0-]?(?P<scale>hundred thousand|(?:thousand|tausend|tsd|millions?|millionen|millones|mio|milliarden"
    r"|mrd|billions?|trillions?|lakhs?|crore|hundred|dozen|mil)(?![a-z])\.?|(?:k|mm|mn|m|bn|b|tn|t)(?![a-z])))?"
)
COUNTED = (
    r"(?:rows?|records?|samples?|examples?|images?|pictures?|photos?|pics|scans?|x-?rays?|slides?|labels?|annotations?|pairs?"
    r"|documents?|docs|articles?|tickets?|e-?mails?|messages?|reviews?|sentences?|clips?|recordings?|videos?|frames?|cases?|users?"
    r"|customers?|patients?|pages?|transcripts?|questions?|prompts?|conversations?|dialogues?|sequences?|molecules?|tweets?|files?"
    r"|tiles?|items?|products?|transactions?|points|datapoints|instances|entries|bilder|zeilen|beispiele|lignes|exemples|filas)"
)
CARD_NAME = "|".join(
    sorted(
        {re.escape(alias).replace(r"\ ", r"[ -]?").replace(r"\-", "[ -]?") for gpu in gpus() for alias in gpu.aliases},
        key=len,
        reverse=True,
    )
)
MAKER = r"(?:nvidia |rtx |geforce |tesla |used |consumer )*"
OWNED = r"(?<![\w-])(?P<article>my|our|the|old|used)"
SEQUENCE = r"(?:tokens?[ -](?:of )?(?:long )?(?:context|sequences?|window|prompts?)|context|ctx|sequence length)"
SOUND = r"(?:audio|speech|recordings?|transcri\w+|calls|sound|music)"
TIME = r"(?P<time>minute|hour|day|week|month|year|tag|woche|monat)"
PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.I))
    for kind, pattern in (
        (
            Kind.GPUS,
            rf"(?:(?:{NUMBER}|{OWNED})[ ]?[x×*]?[ ]?{MAKER})?"
            rf"(?<![\w.])(?:(?P<glued>\d{{1,4}})[x×*][ ]?)?{MAKER}(?P<card>{CARD_NAME})s?(?![\w])"
            r"(?:[ -]?(?:ti|sxm|pcie))?(?:[ (-]*(?P<size>\d+)[ ]?gi?b\)?)?"
            r"(?:[ ]?[x×*][ ]?(?P<after>\d{1,4})(?!\d))?",
        ),
        (Kind.BITS, r"(?P<digits>\d{1,2})[ -]?bits?\b|\b(?P<code>int4|int8|fp8|fp16|bf16|fp32|nf4|q4\w*|q8\w*)\b"),
        (Kind.RANK, r"\b(?:rank|r)[ =]+(?P<digits>\d+)"),
        (Kind.EPOCHS, rf"{NUMBER}[ -]?epochs?\b"),
        (
            Kind.BATCH,
            r"\bbatch(?:[ -]size)?(?: of)?[ =:]*(?P<digits>\d+)"
            r"|(?P<digits2>\d+) (?:concurrent|parallel|simultaneous)",
        ),
        (
            Kind.CONTEXT,
            rf"{NUMBER}{SCALE}[ -]?{SEQUENCE}|\b(?:context|sequence|seq|ctx)(?:[ -](?:length|window|len|size))?"
            r"(?: of| is|:|=)? ?(?P<digits2>\d[\d,.]*)[ ]?(?P<scale2>k)?",
        ),
        (Kind.MEMORY, rf"{NUMBER}[ ]?(?P<unit>tb|tib|gb|gib|gig|gigs|mb)\b"),
        (Kind.DOLLARS, rf"[$€£] ?{NUMBER}{SCALE}"),
        (Kind.DOLLARS, rf"{NUMBER}{SCALE}[ ]?(?:\$|€|dollars?\b|usd\b|euros?\b|eur\b|bucks\b)"),
        (Kind.AUDIO, rf"{NUMBER}{SCALE}[ -]?(?:hours?|hrs?|h|stunden)\b(?= (?:of |\w+ ){{0,3}}{SOUND})"),
        (Kind.DAYS, rf"{NUMBER}[ -]?{TIME}e?n?s?\b"),
        (Kind.TOKENS, rf"{NUMBER}{SCALE}[ -]?(?:\w+ )?(?:tokens?|tok)\b"),
        (Kind.PARAMETERS, rf"{NUMBER}{SCALE}[ -]?(?:parameters?|params?|weights)\b"),
        (Kind.EXAMPLES, rf"{NUMBER}{SCALE}[ -]?(?:[\w-]+[ ]){{0,3}}?{COUNTED}\b"),
        (
            Kind.PARAMETERS,
            # Millions alone may count anything; glued to an M they are the size of a model.
            r"(?<![\w$€£.,])(?P<digits>\d+(?:\.\d+)?)(?:(?=[ -]?b)[ -]?(?P<scale>b|bn|billion)|(?P<scale2>m))\b"
            r"(?![ -]?(?:€|\$|dollars?|usd))",
        ),
    )
)
BITS_OF = {"int4": 4, "nf4": 4, "int8": 8, "fp8": 8, "fp16": 16, "bf16": 16, "fp32": 32}


def read(text: str) -> tuple[Quantity, ...]:
    """Quantities of a text in the order in which they stand there; each word is read once."""
    found: list[Quantity] = []
    for kind, pattern in PATTERNS:
        for match in pattern.finditer(text):
            if not any(_overlap(match, other) for other in found):
                quantity = _quantity(kind, match)
                if quantity is not None and _sensible(quantity):
                    found.append(quantity)
    found += [item for item in _named(text) if not any(other.kind is Kind.PARAMETERS for other in found)]
    return tuple(sorted(found, key=lambda item: item.start))


def first(quantities: Sequence[Quantity], kind: Kind) -> Quantity | None:
    """The first quantity of a kind."""
    return next((item for item in quantities if item.kind is kind), None)


def number(digits: str, *, whole: bool = False) -> float:
    """A number with its separators: "1,000,000", "1.5", "1 200", "4.000" where whole numbers are meant."""
    words = WORDS.get(digits.lower())
    if words is not None:
        return words
    plain = re.sub(r"['\u00a0\u202f ]", "", digits)
    separators = re.findall(r"[.,]", plain)
    if not separators:
        return float(plain)
    grouped = bool(re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", plain)) and len(set(separators)) == 1
    if grouped and (separators[0] == "," or len(separators) > 1 or whole):
        return float(re.sub(r"[.,]", "", plain))
    *front, last = re.split(r"[.,]", plain)
    return float("".join(front) + "." + last)


def _quantity(kind: Kind, match: re.Match[str]) -> Quantity | None:
    parts = {name: value for name, value in match.groupdict().items() if value}
    if kind is Kind.GPUS:
        return _gpus(match, parts)
    if kind is Kind.BITS and "code" in parts:
        code = parts["code"].lower()
        return _made(kind, match, BITS_OF.get(code, float(code[1]) if code[1].isdigit() else 16))
    digits = parts.get("digits") or parts.get("digits2")
    if digits is None:
        return None
    scale = (parts.get("scale") or parts.get("scale2") or "").lower().rstrip(".")
    if kind is Kind.EXAMPLES and not scale and digits.lower() in ARTICLES:
        return None
    value = number(digits, whole=kind is Kind.EXAMPLES and not scale) * SCALES.get(scale, 1)
    if kind is Kind.MEMORY:
        value *= {"t": 1000, "m": 0.001}.get(parts["unit"][0].lower(), 1)
    if kind is Kind.DAYS:
        value *= DAYS[parts["time"].lower()]
    return _made(kind, match, value)


def _sensible(quantity: Quantity) -> bool:
    """Whether a formula can calculate with it: no model has no weights, and nothing is endless."""
    least = 1e-9 if quantity.kind in (Kind.PARAMETERS, Kind.GPUS, Kind.BITS, Kind.BATCH, Kind.CONTEXT) else 0.0
    return least <= quantity.number < 1e30


def _gpus(match: re.Match[str], parts: dict[str, str]) -> Quantity:
    count = parts.get("digits") or parts.get("glued") or parts.get("after") or "1"
    name, size = re.sub(r"[ -]+", " ", parts["card"].lower()), parts.get("size")
    fitting = [gpu for gpu in gpus() if any(alias.replace("-", " ") == name for alias in gpu.aliases)]
    family = [gpu for gpu in gpus() if size and gpu.name.lower().startswith(name) and f"{gpu.memory:g}" == size]
    return _made(Kind.GPUS, match, number(count, whole=True), (family or fitting)[0])


def _named(text: str) -> Iterator[Quantity]:
    """Models that are called by name without a size."""
    for shape in shapes():
        for alias in shape.aliases:
            match = re.search(rf"(?<!\w){re.escape(alias)}(?!\w)", text, re.I)
            if match:
                yield _made(Kind.PARAMETERS, match, shape.parameters)
                break


def _made(kind: Kind, match: re.Match[str], value: float, gpu: Gpu | None = None) -> Quantity:
    return Quantity(kind=kind, number=value, text=match.group().strip(), start=match.start(), gpu=gpu)


def _overlap(match: re.Match[str], other: Quantity) -> bool:
    return match.start() < other.start + len(other.text) and other.start < match.end()
