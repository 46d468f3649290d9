"""What a number counts, by the words around it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tunewise.estimation import nouns


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


@dataclass(frozen=True)
class Rule:
    """What stands behind or before a number, and what it counts then."""

    kind: Kind
    after: re.Pattern[str]
    before: re.Pattern[str]
    factor: Callable[[re.Match[str]], float]
    articles: bool
    """Whether "a" counts here, as in "a year"."""
    most: float
    """A larger number counts something else."""


def _rule(
    kind: Kind,
    after: str = "",
    before: str = "",
    factor: Callable[[re.Match[str]], float] = lambda match: 1.0,
    *,
    articles: bool = False,
    most: float = math.inf,
) -> Rule:
    return Rule(kind, re.compile(after, re.I), re.compile(rf"(?:{before})$", re.I), factor, articles, most)


def days(match: re.Match[str]) -> float:
    """Days of the span of time that `TIME` found."""
    return next(days for stem, days in nouns.DAYS if match["time"].lower().startswith(stem))


def _gigabytes(match: re.Match[str]) -> float:
    found = match.groupdict()
    return nouns.GIGABYTES[(found.get("byte") or found.get("byte2") or "g")[0].lower()]


def _per_day(match: re.Match[str]) -> float:
    if "qps" in match.groupdict() and match["qps"]:
        return 86_400.0
    if match["often"]:
        return 1 / OFTEN[match["often"].strip().lower()]
    return 1 / days(match)


HALF = r"(?P<half>[ ]and a half\b)?"
TIME = rf"(?P<time>{nouns.TIME}){HALF}"
OFTEN = {
    "hourly": 1 / 24, "daily": 1.0, "täglich": 1.0, "par jour": 1.0, "al día": 1.0, "weekly": 7.0, "wöchentlich": 7.0,
    "monthly": 30.0, "monatlich": 30.0, "yearly": 365.0, "annually": 365.0,
}  # fmt: skip
"""Days from one time to the next."""
BYTES = (
    r"(?P<byte>(?!kb[ ](?:away|up|down|from|long|reads?|of (?:dna|sequence)))[kmgtp]i?b"
    r"|(?-i:[GMT]o)|megs?|gigs?|gigabytes?|terabytes?|megabytes?)\b"
)
"""Thousands of bytes, not of bases."""
CURRENCY_BEFORE = r"(?P<mark>us\$|[$€£]|usd|eur|gbp)[ ]?"
CURRENCY_AFTER = (
    r"[ ]?(?:of )?(?P<mark>\$|€|£|(?:us[ -])?(?:dollar[si]?|dólares)\b|usd\b"
    r"|euros?\b|eur\b|bucks\b|pounds?\b|quid\b|gbp\b)"
)
SPOKEN_OF = r"(?:of |de |di |d['’])?(?:[\w'’-]+ ){0,2}?"
PER = r"(?:/|per |by |la |an? |each |every |pro |am |par |por |al |all['’]|(?:de )?l['’]|a )"
PER_TIME = rf"[ ]?{PER}[ ]?{TIME}"
PAID_TIME = re.compile(
    rf"(?:[ ]?(?:/|per )[ ]?(?:gpu|card|gb|tb|user|seat|node))?[ ]?(?:{PER}|im )[ ]?(?:gpu[ -]?)?{TIME}"
    r"|[ ](?P<often>monthly|monatlich|weekly|yearly|hourly)\b",
    re.I,
)
SEQUENCE = (
    r"(?:tokens?[ -](?:of )?(?:long )?(?:[a-z]+ )?"
    r"(?:[ck]ontext\w*|seq(?:uences?)?|length|long|window|prompts?|chunks?|completions?|answers?|repl(?:y|ies))"
    r"|(?:(?:input|output|prompt|completion) )?tokens?[ ]"
    r"(?:(?:in|out)(?=[.,;?/+]|[ ]and\b|$)|each|apiece"
    r"|(?:per|a|an) (?!sec|min|hour|day|week|month|year|param|step|epoch|batch|run|gpu|node|s\b|h\b)[a-z]+)"
    r"|context|ctx|kontext|sequence length|prompt(?![\w-]| \w+s\b))\b"
)
SEQUENCE_MOST = 65_536
"""Tokens up to which one sequence is meant: nobody trains on so few."""
ITEM = (
    r"\b(?:prompts?|chunks?|completions?|answers?|outputs?|messages?|sequences?|repl(?:y|ies)|page|ticket|je|avg\.?"
    r"|down(?= to )"
    r"|each(?:[ ]\w+)?(?:[ ](?:being|maybe))?"
    r"|(?:prompts|requests|questions|calls|messages|chats|queries)\b.{0,12}(?= at )"
    r"|(?:secuencias|séquences|sequenze|sequenzen)(?= (?:de|di|von) )"
    r"|(?:e-?mails?|documents?|docs|pages?|reviews?|tickets?|articles?|posts?|transcripts?)(?= of)"
    r"|[a-z]{3,}(?<!ts)(?<!model)(?<!run)s(?= (?:of|à) )"
    r"|(?:cut|truncated|capped|padded|limited)(?= (?:to|at) )|\d+b(?= with ))"
    r"(?:[ ](?:of|with|now|is|are|has|have|some|ca\.|about|at|to|à|nearly|around|roughly|de|di|von|up to|under|below"
    r"|max))*[ ][~≈]?"
)
"""What has tokens of its own, before their number."""
RULES: tuple[Rule, ...] = (
    _rule(Kind.BITS, r"[ -]?bits?\b"),
    _rule(
        Kind.RANK,
        before=r"\b(?:rank|rang|rango)(?: of)?[ =:]+|(?:\b|_)r[ ]?[=:][ ]?|(?:lora|with|at|,|using|from|to)[ ]r[ ]",
    ),
    _rule(Kind.EPOCHS, r"[ -]?(?:epoch(?:e?s)?|epochen|époques?|épocas?|epoche)\b", articles=True),
    _rule(
        Kind.BATCH,
        before=r"\b(?:(?:micro[- ]?)?batch|bs|lotes? de|lots? de|lotti da)"
        r"(?:[ -]?(?:size|größe|grösse))?(?: of| is| to)?[ =:]*",
    ),
    _rule(Kind.BATCH, r"[ ](?:concurrent|parallel|simultaneous|in flight)\b"),
    _rule(
        Kind.BATCH,
        r"[ ](?:[\w-]+[ ])?(?:users?|people(?= asking)|usuarios|utilisateurs|nutzer\w*"
        r"|requests?|calls|sessions?|clients?)"
        r"[ ](?:asking )?(?:in parallel|at the same time|at once|in flight)\b"
        r"|[ ](?!%)\w+[ ](?:concurrently|simult[aá]n\w+|gleichzeitig\w*)\b",
    ),
    _rule(Kind.LATENCY, r"[ ]?(?:ms|msec|milliseconds?|millisekunden|millisecondes)\b"),
    _rule(Kind.LATENCY, r"[ ]?(?:µs|μs|microseconds?)\b", factor=lambda match: 0.001),
    _rule(
        Kind.LATENCY,
        rf"[ -]?(?:s|secs?|seconds?|sekunden?|secondes?|segundos?)\b{HALF}(?!['’]|[ -]hand)"
        rf"(?![ -](?:of )?(?:{nouns.SOUND}|clips?|snippets?))",
        factor=lambda match: 1000.0,
    ),
    _rule(
        Kind.GPUS,
        rf"[ ]?[x×*]?[ -]?(?:{nouns.MAKER})?(?:{nouns.BETWEEN})?(?:{nouns.CARDS})"
        rf"(?!\w|[ -](?:hours?|days?)|{PER_TIME})",
        articles=True,
    ),
    _rule(Kind.GPUS, r"[ ]card\b", before=r"\b(?:on|with|have|has|own|using|to)[ ]", articles=True),
    _rule(Kind.GPUS, r"(?=[ ]\d+[ ]?gi?b[ -](?:cards?|gpus?)\b)", articles=True),
    _rule(Kind.CONTEXT, rf"[ -]?{SEQUENCE}"),
    _rule(
        Kind.CONTEXT,
        before=r"\b(?:contexte? de|kontext(?: von)?|contexto(?: de)?|contesto(?: d[ai])?|kv[ -]?cache(?: at| of)"
        r"|context at|length|contexts?|sequence|seq|ctx|max[_ ]?(?:seq[_ ]?)?len(?:gth)?)"
        r"(?:[ -](?:length|window|len|size))?(?: of| is|:|=| just| only)?[ ]?",
        after=r"(?![ ]?%|[\w-]*[ -]?(?:users?|requests?))",
    ),
    _rule(Kind.CONTEXT, r"[ -]?tokens?\b", before=ITEM, most=2e6),
    _rule(
        Kind.DATA,
        rf"[ ]?{BYTES}",
        r"\b(?:dataset|corpus|archive|dump|csv|quota|scratch)[ ](?:\w+ \w+ )?(?:is|has|have|of|with)[ ](?:about )?",
        _gigabytes,
    ),
    _rule(
        Kind.DATA,
        rf"[ ]?{BYTES} (?:on (?:the )?|of |(?:of )?free )(?:disk|tapes?|ssd|nvme|drive|s3|nfs|space)\b"
        r"|[ ]?(?P<byte2>[gt]b) free\b(?! v?ram| memory| on (?:my|the|a) (?:card|gpu))",
        factor=_gigabytes,
    ),
    _rule(
        Kind.DATA,
        rf"[ ]?{BYTES} (?:of |de |di |d['’])?(?:[\w-]+ ){{0,3}}?(?:{nouns.STORED})\b(?! memory| v?ram)",
        factor=_gigabytes,
    ),
    _rule(
        Kind.DATA,
        rf"[ ]?{BYTES}(?=\))",
        r"\b(?:scans?|scanned|archiv\w*|structures|data|images|files|videos?|recordings|corpus|set)"
        r"[ ]\((?:about |ca\.? |~|≈|roughly )?",
        _gigabytes,
    ),
    _rule(Kind.DATA, r"[ ]?(?P<byte>[km]b) each\b", factor=_gigabytes),
    _rule(
        Kind.DATA, rf"[ ]?{BYTES} of (?!(?:my|our|the|your)\b)(?!(?:[\w-]+ )?{nouns.HELD}\b)[a-z]", factor=_gigabytes
    ),
    _rule(
        Kind.DATA,
        r"[ ]?(?P<byte>[pt]i?b|(?-i:To)|terabytes?)\b(?! (?:of )?(?:[\w-]+ )?(?:v?ram|memory|ddr\d?))",
        factor=_gigabytes,
    ),
    _rule(Kind.MEMORY, rf"[ -]?(?:{BYTES}(?:[ ](?:of )?v?ram\b)?|g(?= of | ?v?ram))", factor=_gigabytes),
    _rule(Kind.MEMORY, r"g\b(?! of\b)", before=r"\b(?:with|has|have|only|just|vram|ram|got|card|gpu)[ ]"),
    _rule(Kind.MONEY, before=CURRENCY_BEFORE),
    _rule(Kind.MONEY, CURRENCY_AFTER),
    _rule(Kind.MONEY, r"[ ]?cents?\b", factor=lambda match: 0.01),
    _rule(Kind.MONEY, r"(?=[ ]?(?:/|an? |per )[ ]?(?:gpu[ -]?)?(?:hr|h|hour)\b)", before=r"\bat[ ]"),
    _rule(Kind.MONEY, r"(?=[ ](?:on|in|for|so)\b)", before=r"\bspent[ ](?:about |around |already )?"),
    _rule(Kind.MONEY, r"[ ](?P<mark>grand)\b", factor=lambda match: 1000.0),
    _rule(
        Kind.AUDIO,
        rf"[ -]?(?!(?:years?|months?|(?:days?|weeks?)\b[\w ]{{0,24}}(?:annotat|transcri|labell)))"
        rf"{TIME}[ ]{SPOKEN_OF}(?:{nouns.SOUND})",
        factor=lambda match: 24 * days(match),
        articles=True,
    ),
    _rule(
        Kind.AUDIO,
        rf"[ -]?(?=h|stund|or[ae]|min|ho){TIME}",
        before=rf"\b(?:{nouns.SOUND})\b[\s\S]{{0,100}}",
        factor=lambda match: 24 * days(match),
    ),
    _rule(
        Kind.DAYS,
        rf"(?:[ -]?|[ ](?:{nouns.MORE})[ ]){TIME}(?![ -](?:ago|old|later|of age|away)\b"
        r"|[ ](?:per|a|each)[ ](?:day|week|month)\b)",
        factor=days,
        articles=True,
    ),
    _rule(
        Kind.RATE,
        r"[ ]?tok(?:ens?)?[ ]?(?:/[ ]?|per |a |pro |al |par )(?P<qps>s|sec|seconds?|sekunde|secondo|seconde)\b",
        factor=_per_day,
    ),
    _rule(
        Kind.CONTEXT,
        rf"[ -]?(?:(?:input|output|prompt|completion) )?(?:tokens?|tok)\b(?!{PER_TIME}|[ ]?(?:/|per ))",
        most=SEQUENCE_MOST,
    ),
    _rule(Kind.TOKENS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:tokens?|tok)\b(?![ ]?(?:/|per[ ])[ ]?param)"),
    _rule(
        Kind.WORDS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:words|wörtern?|mots|palabras|parole)\b(?!{PER_TIME})"
    ),
    _rule(Kind.RATE, r"[ ]?(?P<qps>qps|rps)\b", factor=_per_day),
    _rule(Kind.RATE, rf"[ ]times{PER_TIME}(?P<often>)", factor=_per_day),
    _rule(
        Kind.RATE,
        rf"(?![ -]?(?:{nouns.UNCOUNTED}|words?|tokens?)\b)"
        rf"(?:(?:[ ]of(?=[ ]))?[ ]?(?:{nouns.BETWEEN}){{0,2}}?(?!{nouns.STOP}\b){nouns.WORD})??"
        rf"(?:{PER_TIME}|(?P<often>[ ](?:{'|'.join(OFTEN)})\b))",
        factor=_per_day,
        articles=False,
    ),
    _rule(Kind.PARAMETERS, rf"(?:[ -](?:of |de )?(?:{nouns.BETWEEN})?)?(?:{nouns.PARAMETERS})\b"),
    _rule(Kind.EXAMPLES, rf"[ ]?(?:多)?[ ]?(?:{nouns.MEASURES})"),
    _rule(
        Kind.EXAMPLES,
        rf"[\"”]?[ ]?(?:\([^)]{{1,40}}\)[ ])?(?:of |de |von )?(?:{nouns.BETWEEN}){{0,3}}?(?:{nouns.COUNTED})\b"
        rf"(?![ ]{nouns.UNCOUNTED}\b)",
    ),
    _rule(Kind.EXAMPLES, r"-(?:row|image|example|sample|document|pair|sentence)s?\b"),
    _rule(Kind.EXAMPLES, r"[ ]of (?:them|these|those|ours|mine)\b"),
    _rule(Kind.EXAMPLES, rf"[ ](?:hand-|hand )?(?:{nouns.LABELLED})\b(?![ ]{nouns.UNCOUNTED}\b)"),
    _rule(
        Kind.EXAMPLES, before=rf"\b(?:{nouns.COUNTED}|{nouns.LABELLED})[ ]?[:=][ ]*(?:[~≈]|about |some |circa |ca\. ?)?"
    ),
)
