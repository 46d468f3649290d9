"""Numbers as people write them: "1,5 Mio", "half a million", "between 300 and 500", "3 to 4 thousand", "10k+"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DIGITS = (
    r"\d{1,3}(?:[,.'\u00a0\u202f]\d{3})+(?!\d)(?:[.,]\d+)?|\d{1,3}(?:[ ]\d{3})+(?![\dbBmM])(?:[.,]\d+)?"
    r"|\d+(?:[.,]\d+)?|\.\d+"
)
"""In "Llama 3 405B" the blank groups no thousands."""
ONES = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40,
    "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "zero": 0,
    "ein": 1, "eine": 1, "einen": 1, "einer": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7,
    "acht": 8, "neun": 9, "zehn": 10, "zwölf": 12, "zwanzig": 20, "dreißig": 30, "fünfzig": 50,
    "un": 1, "une": 1, "deux": 2, "trois": 3, "quatre": 4, "cinq": 5, "huit": 8,
    "dix": 10, "vingt": 20, "cinquante": 50,
    "una": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "diez": 10, "veinte": 20, "tre": 3,
    "seis": 6, "ocho": 8, "quattro": 4, "cinque": 5, "otto": 8, "dieci": 10, "due": 2, "dois": 2, "duas": 2, "três": 3,
    "quatro": 4, "dwie": 2, "dwa": 2, "sete": 7, "oito": 8, "nove": 9, "dez": 10, "doze": 12, "quinze": 15, "vinte": 20,
    "trinta": 30, "quarenta": 40, "cinquenta": 50, "sessenta": 60, "oitenta": 80, "cem": 100,
    "siete": 7, "nueve": 9, "doce": 12, "quince": 15, "treinta": 30, "cuarenta": 40, "cincuenta": 50, "sesenta": 60,
    "ochenta": 80, "cien": 100, "quinientos": 500, "quinientas": 500,
    "onze": 11, "douze": 12, "trente": 30, "quarante": 40, "soixante": 60,
    "sette": 7, "dodici": 12, "quindici": 15, "venti": 20, "trenta": 30, "quaranta": 40, "cinquanta": 50,
    "duecento": 200, "trecento": 300, "cinquecento": 500, "duemila": 2000, "tremila": 3000, "cinquemila": 5000,
    "diecimila": 10_000, "ventimila": 20_000, "centomila": 100_000,
    "fünfzehn": 15, "vierzig": 40, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90,
    "zweihundert": 200, "dreihundert": 300, "fünfhundert": 500, "zweitausend": 2000, "dreitausend": 3000,
    "fünftausend": 5000, "zehntausend": 10_000, "zwanzigtausend": 20_000, "fünfzigtausend": 50_000,
    "hunderttausend": 100_000,
}  # fmt: skip
ITALIAN_TWO = r"due(?=[ ](?:settiman|giorn|mesi\b|or[ae]\b|anni\b|minuti|second|sched|mila\b|milion|gpu|rtx))"
"""In English something is due."""
ARTICLES = frozenset({"a", "an", "one", "single", "ein", "eine", "einen", "einer", "un", "une", "una"})
"""Before a noun these count nothing: "a user", "one label per image"."""
GROUPS = {
    "hundred": 100, "hundert": 100, "cent": 100, "cientos": 100, "dozen": 12, "dutzend": 12, "douzaine": 12,
    "docena": 12,
}  # fmt: skip
VAGUE = {
    "half a": (0.5, 0.5), "half an": (0.5, 0.5), "half": (0.5, 0.5), "quarter of a": (0.25, 0.25),
    "a quarter of a": (0.25, 0.25), "three quarters of a": (0.75, 0.75), "three quarters of an": (0.75, 0.75),
    "a quarter million": (2.5e5, 2.5e5), "quarter million": (2.5e5, 2.5e5), "a quarter billion": (2.5e8, 2.5e8),
    "eine halbe": (0.5, 0.5), "ein halbes": (0.5, 0.5), "un demi": (0.5, 0.5), "medio": (0.5, 0.5),
    "one and a half": (1.5, 1.5), "a couple of": (2, 2), "couple of": (2, 2), "a couple": (2, 2), "a pair of": (2, 2),
    "a few": (3, 5), "few": (3, 5), "ein paar": (3, 5), "quelques": (3, 5), "several": (3, 9), "mehrere": (3, 9),
    "einige": (3, 9), "plusieurs": (3, 9), "varios": (3, 9), "varias": (3, 9), "varios cientos": (300, 900),
    "unos cientos": (300, 900), "algunos cientos": (300, 900), "varios miles": (3000, 9000),
    "unos miles": (3000, 9000), "algunos miles": (3000, 9000), "a handful of": (3, 6),
    "handful of": (3, 6), "eine handvoll": (3, 6), "une poignée de": (3, 6),
}  # fmt: skip
"""Words for a range; how far it goes is a convention of ours, not a fact of the language."""
PLURALS = {
    "tens of thousands": 1e4, "hundreds of thousands": 1e5, "tens of millions": 1e7, "hundreds of millions": 1e8,
    "tens of billions": 1e10, "hundreds of billions": 1e11, "thousands of billions": 1e12,
    "tens": 10, "dozens": 12, "hundreds": 100, "thousands": 1e3, "millions": 1e6, "billions": 1e9,
    "hunderte": 100, "tausende": 1e3, "zehntausende": 1e4, "hunderttausende": 1e5, "millionen": 1e6,
    "des centaines": 100, "des milliers": 1e3, "des dizaines de milliers": 1e4, "cientos": 100, "miles": 1e3,
}  # fmt: skip
"""Plurals without a number: from two to ten of them."""
SCALES = {
    "k": 1e3, "thousand": 1e3, "thousands": 1e3, "thousnad": 1e3, "thosand": 1e3, "thousend": 1e3, "tsd": 1e3,
    "tausend": 1e3, "mil": 1e3, "mille": 1e3, "mila": 1e3, "milliers": 1e3, "hundert": 100, "centaines": 100,
    "lakh": 1e5, "lakhs": 1e5, "crore": 1e7, "crores": 1e7, "hundred": 100, "dozen": 12, "dutzend": 12,
    "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "mln": 1e6, "million": 1e6, "millions": 1e6, "milion": 1e6,
    "millionen": 1e6, "millones": 1e6,
    "millón": 1e6, "milioni": 1e6, "milhões": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9,
    "milliarde": 1e9, "milliarden": 1e9, "milliard": 1e9, "milliards": 1e9, "mrd": 1e9, "miliardi": 1e9,
    "t": 1e12, "tn": 1e12, "trillion": 1e12, "trillions": 1e12, "千": 1e3, "万": 1e4, "萬": 1e4, "亿": 1e8, "億": 1e8,
}  # fmt: skip
FOREIGN = frozenset({
    "millionen", "millones", "millón", "milioni", "milhões", "milliarden", "milliards", "miliardi", "tausend", "mil",
})  # fmt: skip
"""Scales of languages that write a comma before decimals."""
LETTERS = frozenset({"k", "m", "mm", "mn", "b", "bn", "t", "tn"})
MOST = (
    r"n['’]t (?:wanna |want to )?(?:pay|spend|cost|take|need) more than|not (?:pay|spend|cost|take) more than"
    r"|no worse than|no (?:larger|bigger) than"
    r"|faster than|sans dépasser|quicker than|no longer than|can't go over|cannot go over|not exceed"
    r"|never exceed|capped at|limited to|inférieure?s? à|inferior(?:es)? a|kleiner als|geringer als|meno di"
    r"|sotto(?: i| le)?"
    r"|under|below|less than|fewer than|at most|up to|no more than|not more than|maximum(?: of)?|max\.?|within|<=?|≤"
    r"|höchstens|maximal|bis zu|unter|weniger als|au plus|moins de|jusqu'à|máximo|hasta|menos de|al massimo"
)
LEAST = (
    r"over|above|atleast|more than|longer than|at least|no less than|minimum(?: of)?|exceeding|north of"
    r"|upwards of|>=?|≥|mehr als"
    r"|mindestens|über"
    r"|plus de|au moins|más de|al menos|oltre|almeno"
)
BOUND = re.compile(
    rf"(?:(?<!\w)(?:(?P<most>{MOST})|(?P<least>{LEAST}))[ ]?)(?:[~≈$€£]|about |around |some |an? )?$", re.I
)
MORE_THAN = re.compile(
    r"(?:^|[,.;:(!?–—-][ ]?|\b(?:have|has|had|with|of|is|are|was|were|be|at|and|or|well|just|only|slightly|little|bit"
    r"|haben|hat|von|mit|sind|ist"
    r"|go|for|costs?|needs?|got|gets?|takes?|took|by|from|to|in|on|contains?|holds?|gives?|collected|labell?ed|pay|paying|spen[dt]"
    r"|wrote|kept|says?|there are|anything|everything|models|used|own)[ ]"
    r"|\b(?!(?:trained|tuned|finetuned|averaged|iterated|distributed|computed|pooled|sharded|repeated|summed"
    r"|looped|shared|sampled|tested|evaluated|smoothed|finished)\b)\w{3,}ed[ ])$",
    re.I,
)
"""What stands before "over" where it means more than; "four epochs over 2B tokens" does not."""
BETWEEN = re.compile(r"\b(?:between|zwischen|entre|from|de|von|da)[ ][$€£]?$", re.I)
JOIN = re.compile(r"[ ]?[-–—][ ]?[$€£]?|[ ](?:to|bis|and|und|or|oder|à|et|a|y)[ ][$€£]?", re.I)
HOURLY = re.compile(
    r"[ ]?(?:[$€£]|usd|eur|euros?|dollars?)?[ ]?(?:/|per |an? )[ ]?(?:gpu[ -]?)?(?:h|hr|hour|std)\b", re.I
)
"""Behind "1.006", which then has three decimals: nobody pays thousands an hour."""
MARKS = ("$", "€", "£")
PRICED = re.compile(r"[ ]?(?:/|per |an? |pro )", re.I)
"""Behind "$1.250", which then has three decimals."""
COUPLE = "couple"
"""Two, where a scale follows: "couple hundred"; by itself it may be two people."""
FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
RAISING = re.compile("10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
HALF = re.compile(r"[ ]and a half\b", re.I)
ABOUT = re.compile(r"[ -]?(?:ish|odd)\b|[ ]or so(?=[ ][a-z])", re.I)
"""Behind "900ish pictures", "200-odd letters" and "nine hundred or so notes"."""
SUM = re.compile(
    r"\b(?:adds?|added|adding|comes?|came|went|goes|gr[eo]ws?|crept|creeps?|climb(?:s|ed)|rises?|rose|sums?"
    r"|amounts?|worked)[ ]$",
    re.I,
)
"""What stands before "up to 80k words" where so many are meant."""
OPEN = re.compile(r"\+(?!\w)|[ ](?:or more|and more|and up)\b|(?=多)", re.I)
TIMES = re.compile(r"[ ]?[x×*·][ ]?10\^")
REACH = 40
"""Characters in front of a number within which the words that bound it are looked for."""
GROUPED = re.compile(r"\d,$")
PLURAL_DIGITS = re.compile(r"'?s of\b", re.I)


def _alternatives(words: object) -> str:
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))  # type: ignore[attr-defined]


_ONE = f"{ITALIAN_TWO}|{_alternatives(set(ONES) - {'due'})}"
_COUNT = f"{ITALIAN_TWO}|{_alternatives(set(ONES) - ARTICLES - {'due'})}|one"
_GROUP = _alternatives(GROUPS)
_LARGE = ("thousand", "million")
"""Within a number in words they may stand before smaller ones: "two thousand five hundred"."""
CORE = re.compile(
    r"(?P<power>(?:\d+(?:\.\d+)?[ ]?[x×*·][ ]?)?10(?:\^\d{1,2}|[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})|\d+(?:\.\d+)?e\d{1,2}(?!\w))"
    rf"|(?P<fraction>[{''.join(FRACTIONS)}])"
    rf"|(?P<digits>(?<=[A-Za-z]-)\d+(?:\.\d+)?|{DIGITS})"
    r"|(?<![\w-])(?<!per )(?<!each )(?<!every )(?<!many )(?<!pro )(?<!par )(?<!for )"
    r"(?P<alone>(?=(?:thousand|million|billion)[ ][a-z]))"
    rf"|(?<![\w-])(?P<plural>{_alternatives(PLURALS)})(?=[ ](?:of|de|von)\b|[ ][A-ZÄÖÜ])"
    rf"|(?<![\w-])(?P<vague>{_alternatives(VAGUE)}"
    rf"|{COUPLE}(?=[ ](?:hundred|thousand|million|billion|dozen)\b))(?!\w)"
    rf"|(?<![\w-])(?P<words>(?:{_ONE}|{_GROUP})(?:[ -](?:(?<=hundred )and[ ])?(?:{_COUNT}|{_GROUP}"
    rf"|(?:{_alternatives(_LARGE)})[ -](?:and[ ])?(?:{_COUNT}))(?!\w))*)(?!\w)",
    re.I,
)
SCALE = re.compile(
    rf"[ \u00a0-]?(?P<word>(?:{_alternatives(set(SCALES) - LETTERS)})(?![a-z]))\.?"
    r"|(?P<letter>(?:k|mm|mn|m|bn|b|tn|t)(?![a-zäöü\d]))"
    r"|[ \u00a0](?P<apart>(?:K|k|M|B|T|[bmt]n)(?![a-zA-Z\d]))",
)
_SCALE_ANY = re.compile(SCALE.pattern.replace("(?P<apart>", "(?-i:(?P<apart>") + ")", re.I)


LIKE_LATIN = str.maketrans("İıſK", "IisK")
"""Letters that match a Latin one whatever the case, but are another in lower case."""


@dataclass(frozen=True)
class Amount:
    """A number, or a range, as it stands in a text."""

    low: float | None
    """None where the text gives only an upper bound."""
    high: float | None
    """None where it gives only a lower one."""
    start: int
    """Where it begins, with the words that bound it."""
    first: int
    """Where its first digit or numeral begins."""
    end: int
    bare: bool
    """Whether it is an article that may count nothing."""
    scaled: bool
    """Whether it has a scale of its own, such as k or million."""

    @property
    def middle(self) -> float:
        """One number for a formula: the mean of a range, the bound of an open one."""
        if self.low is None or self.high is None:
            return self.high if self.low is None and self.high is not None else self.low or 0.0
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class _Plain:
    low: float
    high: float
    end: int
    bare: bool = False
    scaled: bool = False


def amounts(text: str) -> Iterator[Amount]:
    """Every number of a text, in the order in which they stand there."""
    text = text.translate(LIKE_LATIN)
    place = 0
    while match := CORE.search(text, place):
        place = match.end()
        if match["digits"] and _inside_a_word(text, match.start()):
            continue
        plain = _plain(text, match)
        amount = _whole(text, match.start(), plain)
        place = max(amount.end, match.end())
        yield amount


def _inside_a_word(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    return (
        (before.isalnum() and before.isascii())
        or before in ("_", ".")
        or bool(GROUPED.search(text[max(start - 2, 0) : start]))
    )


def _plain(text: str, match: re.Match[str]) -> _Plain:
    low, high = _value(match)
    part = FRACTIONS.get(text[match.end() : match.end() + 1], 0.0) if match["digits"] else 0.0
    low, high, place = low + part, high + part, match.end() + (part > 0)
    halved = HALF.match(text, place) if match["digits"] or match["words"] else None
    digits = match["digits"] is not None or match["fraction"] is not None
    scale, end = _scale(text, halved.end() if halved else place, digits)
    halved = halved or (HALF.match(text, end) if match["digits"] else None)
    if halved:
        low, high, end = low + 0.5, high + 0.5, max(end, halved.end())
    if more := ABOUT.match(text, end):
        end = more.end()
    bare = bool(match["words"]) and ARTICLES.issuperset(match["words"].lower().split()) and scale == 1
    if match["digits"] and not match["plural"] and (many := PLURAL_DIGITS.match(text, end)):
        return _Plain(2 * low * scale, 10 * high * scale, many.end(), scaled=True)
    large = low // 1e6 * 1e6 if match["words"] and scale < 1e6 else 0.0
    return _Plain(large + (low - large) * scale, large + (high - large) * scale, end, bare, scale != 1)


def _value(match: re.Match[str]) -> tuple[float, float]:
    if match["power"]:
        power = RAISING.sub(lambda raised: f"10^{raised[1].translate(RAISED)}", match["power"].lower())
        base, _, exponent = TIMES.sub("e", power).replace("10^", "1e").partition("e")
        return (float(base) * 10 ** int(exponent),) * 2
    if match["digits"]:
        # A point before three digits groups thousands, unless a scale follows: "4.000 Bilder", "1.125 million".
        scale = _SCALE_ANY.match(match.string, match.end())
        whole = scale is None or (scale["word"] or "").lower() in FOREIGN
        paid = match.string[match.start() - 1 : match.start()] in MARKS and PRICED.match(match.string, match.end())
        whole = whole and not paid and HOURLY.match(match.string, match.end()) is None
        return (number(match["digits"], whole=whole),) * 2
    if match["alone"] is not None:
        return 1.0, 1.0
    if match["fraction"]:
        return (FRACTIONS[match["fraction"]],) * 2
    if match["plural"]:
        unit = PLURALS[match["plural"].lower()]
        return 2 * unit, 10 * unit
    if match["vague"]:
        if match["vague"].lower() == COUPLE:
            return 2.0, 2.0
        return VAGUE[match["vague"].lower()]
    return (_spelled(match["words"]),) * 2


def _scale(text: str, place: int, digits: bool) -> tuple[float, int]:
    factor = 1.0
    while found := _SCALE_ANY.match(text, place):
        word = (found["word"] or found["letter"] or found["apart"]).lower()
        if word in LETTERS and not digits:
            break
        factor *= SCALES[word]
        place = found.end()
    return factor, place


def _whole(text: str, start: int, plain: _Plain) -> Amount:
    """The amount with its other end, its bound and its plus sign."""
    second = None if text[start - 1 : start] == "-" or plain.bare else _second(text, start, plain)
    if second is not None:
        plain = second
    low: float | None = plain.low
    high: float | None = plain.high
    first, end = start, plain.end
    bound = BOUND.search(text[max(start - REACH, 0) : start])
    begin = max(start - REACH, 0) + (bound.start() if bound else 0)
    if bound and _bounds(text[max(begin - REACH, 0) : begin], bound):
        start = begin
        if low == high or bound["least"]:
            low, high = (None, high) if bound["most"] else (low, None)
    elif more := OPEN.match(text, end):
        end, high = more.end(), None
    return Amount(low, high, start, first, end, plain.bare, plain.scaled)


def _bounds(ahead: str, bound: re.Match[str]) -> bool:
    """Whether the words before a number bound it; "it adds up to" does not."""
    if bound["least"] and bound["least"].lower() in ("over", "über"):
        return MORE_THAN.search(ahead) is not None
    return not (bound["most"] and bound["most"].lower() == "up to" and SUM.search(ahead))


def _second(text: str, start: int, low: _Plain) -> _Plain | None:
    join = JOIN.match(text, low.end)
    match = CORE.match(text, join.end()) if join else None
    if join is None or match is None or not (match["digits"] or match["words"]):
        return None
    joined = join.group().strip(" $€£").lower()
    if joined in ("or", "oder") and low.scaled:
        return None
    if joined in ("and", "und", "et", "y", "a", "à") and not BETWEEN.search(text[max(start - 10, 0) : start]):
        return None
    high = _plain(text, match)
    factor = high.high / (_value(match)[1] or 1)
    if factor == 1 and low.low < 100 and match["words"] and match["words"].lower().endswith("hundred"):
        factor = 100.0
    first = low.low if low.scaled or low.low * factor >= high.high else low.low * factor
    if high.bare or not 0 <= first < high.high:
        return None
    return _Plain(first, high.high, high.end, scaled=high.scaled)


def _spelled(words: str) -> float:
    if ARTICLES.issuperset(words.lower().split()):
        return 1.0
    value = large = 0.0
    parts = re.split(r"[ -]+", words.lower())
    # "a five week run": the article belongs to the noun.
    for word in parts[1:] if parts[0] in ARTICLES and len(parts) > 1 and parts[1] in ONES else parts:
        if word in GROUPS:
            value = max(value, 1.0) * GROUPS[word]
        elif word in _LARGE:
            large, value = large + max(value, 1.0) * SCALES[word], 0.0
        elif word != "and":
            value += ONES[word]
    return large + value


def number(digits: str, *, whole: bool = False) -> float:
    """A number with its separators: "1,000,000", "1.5", "1 200", "4.000" where whole numbers are meant."""
    plain = re.sub(r"['\u00a0\u202f ]", "", digits)
    separators = re.findall(r"[.,]", plain)
    if not separators:
        return float(plain)
    grouped = bool(re.fullmatch(r"[1-9]\d{0,2}(?:[.,]\d{3})+", plain)) and len(set(separators)) == 1
    if grouped and (separators[0] == "," or len(separators) > 1 or whole):
        return float(re.sub(r"[.,]", "", plain))
    *front, last = re.split(r"[.,]", plain)
    return float(("".join(front) or "0") + "." + last)
