"""Bills by the figures that a question gives itself: rent of cards, tokens of an API, labels bought one by one."""

import re
from collections.abc import Sequence
from itertools import pairwise

from tunewise.estimation.numbers import Amount, amounts
from tunewise.estimation.quantities import Quantity, first
from tunewise.estimation.questions import Topic
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate, Value

MONTH = 30
"""Days."""
SOURCE = "arithmetic of the figures given"
ASKED = re.compile(
    r"\b(?:costs?|costing|pric\w+|bill|pay|spend|how (?:much|many|long)|budget|afford|total|sanity|comes? to|damage"
    r"|what's|what is|is that|what would|kost\w+|coût\w*|combien|cuest\w+|cuánto|cost[ao]\w*|quanto)\b",
    re.I,
)
SIZES = re.compile(
    r"\bhow many (?!hours|days|weeks|epochs|steps|dollars|euros)|\b(?:which|what) (?:gpus?|cards?)\b", re.I
)
"""Who asks so wants to know first what to rent."""
PER_MILLION = re.compile(
    r"[ ]?(?:/|per |a |for |pro |par |por |al )[ ]?"
    r"(?:(?:1[ ]?|one |every )?(?:million|mio\.?|millón|milione)|1?[ ]?m)\b",
    re.I,
)
PER_ITEM = re.compile(r"[ ](?:apiece|each|(?:per|an?|pro|par|por)[ ](?P<item>[a-z-]+))\b", re.I)
RENTS = re.compile(r"\b(?:gpus?|cards?|rent\w*|cloud|spot|aws|gcp|azure|runpod|lambda|instances?|cluster)\b", re.I)
"""Only with such a word or a card's name is an hourly price the rent of one."""
MACHINE = re.compile(
    r"\b(?:nodes?|instances?|machines?|boxe?s?|servers?)\b(?![\s\S]*\b(?:per|each|a) (?:gpu|card))"
    r"|\bp\d\w*\.\d*\w+|\bhours? (?:an?|per|every|each) (?:day|night|week)\b",
    re.I,
)
"""What makes it uncertain for how much and how long an hourly price is paid."""
CARD_HOURS = re.compile(r"[ -]?(?:gpus?|card|[abhv]\d{2,3})[ -](?P<span>hours?|days?|weeks?)\b", re.I)
PEOPLE = (
    r"(?:users?|customers?|clients?|people|persons?|employees?|agents?|students?|members?|colleagues?|engineers?"
    r"|developers?|operators?|analysts?|advis[eo]rs?|reps|subscribers?|players?|patients?|readers?|teachers?|doctors?"
    r"|nurses?|lawyers?|clerks?|staff|seats?|nutzer\w*|mitarbeiter\w*|kunden|utilisateurs|employés|usuarios"
    r"|empleados|clientes)"
)
CROWD = re.compile(rf"[ ](?:(?!of\b|per\b|a\b|an\b)[\w-]+[ ])?{PEOPLE}\b(?!['’])", re.I)
HEAD = rf"(?:[ ](?:each|apiece)\b|[ ](?:per|for each|for every|by each|pro|par|por)[ ]{PEOPLE}\b)"
EACH_BEHIND = re.compile(HEAD, re.I)
EACH_BEFORE = re.compile(r"\b(?:each|every)\b(?![^.!?]*\btok)", re.I)
ACTS = re.compile(
    r",?[ ](?:(?:who|that|which)[ ])?(?:(?:ask|send|mak|tak|hav|writ|do|us|runn?)(?:e|es|s|ing)?|has|with|at|[x×*]"
    r"|times)[ ](?:about |around |roughly |some |~)?$",
    re.I,
)
"""Between people and a rate smaller than their number, which then is that of each: nobody asks half a question."""
COME = re.compile(r"[ ]?/|[ ](?:an?|per|each|every|pro|par|por|daily|weekly|monthly)\b(?! tok)", re.I)
"""Behind "5,000 users" of "5,000 users a day"."""
TOGETHER = re.compile(
    r"\b(?:in total|altogether|together|overall|combined|all in all|insgesamt|au total|en total)\b", re.I
)
PER_HEAD = re.compile(
    rf"[ ](?:[\w-]+[ ])?(?:per|a|for each|for every|pro|par|por)[ ]{PEOPLE}"
    r"(?:[ ](?:and|per|a|an|each|every|pro|par|por))+[ ](?P<span>day|week|month|tag|jour|día)\b",
    re.I,
)
"""Behind the 5 of "5 questions per user per day"."""
PERIODS = {"w": 7.0, "m": 30.0}
OFTEN = re.compile(r"\b(?:a|an|per|each|every)[ ](?:hour|day|week|month)\b|\b(?:hourly|daily|weekly|monthly)\b", re.I)
HOURS = {"h": 1.0, "d": 24.0, "w": 168.0}


class Bill(Value):
    """What something costs, or what a budget buys."""

    topic: Topic
    estimate: Estimate
    sentence: str
    """The result in a sentence, without its figures' origin."""


def bill(text: str, found: Sequence[Quantity]) -> Bill | None:
    """The bill that a question gives all figures for; None where it does not.

    Args:
        text: A question, such as "64 H100 for 21 days at $1.99 an hour, what does that cost?".
        found: What was read from it.
    """
    if "?" not in text or not ASKED.search(text):
        return None
    prices = [item for item in found if item.kind is Kind.MONEY and item.number > 0]
    millions = [price for price in prices if PER_MILLION.match(text, price.end)]
    if millions:
        return _tokens(text, millions, prices, found)
    if hourly := [price for price in prices if price.unit.endswith("/hour")]:
        unsure = SIZES.search(text) or MACHINE.search(text) or len({(price.number, price.unit) for price in hourly}) > 1
        return None if unsure else _rent(text, hourly[0], found)
    if len(prices) == 1 and (item := PER_ITEM.match(text, prices[0].end)):
        return _items(prices[0], item["item"], found)
    return None


def _rent(text: str, price: Quantity, found: Sequence[Quantity]) -> Bill | None:
    currency = price.unit.partition("/")[0]
    named = [item for item in found if item.kind is Kind.GPUS]
    cards = named[0] if named else None
    spans = [item for item in found if item.kind is Kind.DAYS]
    if len(spans) > 1 or (cards and not cards.number) or not (cards or RENTS.search(text)):
        return None
    # Which of them the price is for, and for how long, is anybody's guess.
    if any(not _again(item, named[0]) for item in named[1:]):
        return None
    time = spans[0] if spans else None
    count = cards.number if cards else 1.0
    hours = _card_hours(text) or (count * 24 * time.number if time else None)
    each = f"{price.number:g} {currency} an hour"
    if hours is not None:
        words = f"{hours:,.0f} GPU-hours at {each}"
        cost = _estimate("rent", hours * price.number, currency, f"{words}, for each card")
        return Bill(topic=Topic.RENT, estimate=cost, sentence=words)
    budget = next((item for item in found if item.kind is Kind.MONEY and item.unit == currency), None)
    if budget is None or budget.start == price.start:
        return None
    words = f"{budget.number:,.0f} {currency} at {each}" + (f" for each of {count:g}" if count > 1 else "")
    span = _estimate("hours that the budget buys", budget.number / (price.number * count), "hours", words)
    return Bill(topic=Topic.RENT, estimate=span, sentence=words)


def _again(card: Quantity, first: Quantity) -> bool:
    """Whether cards are those named first ("all 8 GPUs"), one of them ("for each H100"), or none ("we own no GPU")."""
    return not card.number or (card.gpu in (None, first.gpu) and card.number in (1, first.number))


def _card_hours(text: str) -> float | None:
    """GPU-hours that a text names: "150 GPU-days"."""
    for amount in amounts(text):
        if (match := CARD_HOURS.match(text, amount.end)) and amount.middle > 0:
            return amount.middle * HOURS[match["span"][0].lower()]
    return None


def _tokens(
    text: str, millions: Sequence[Quantity], prices: Sequence[Quantity], found: Sequence[Quantity]
) -> Bill | None:
    """Requests or items times tokens of each, or tokens as they are; two prices go with two kinds of tokens."""
    parts, times, work, monthly = _work(text, found)
    paid = _paid(text, millions, prices, parts)
    if len(parts) not in (1, 2) or len(paid) not in (1, len(parts)) or len({price.unit for price in paid}) > 1:
        return None
    one = "one price for all tokens; those of an answer often cost several times those of a prompt"
    assumptions = (one,) if len(paid) == 1 else ()
    if epochs := first(found, Kind.EPOCHS):
        times, work = times * epochs.number, f"{epochs.number:g} epochs × {work}"
    paid = paid if len(paid) == len(parts) else [paid[0]] * len(parts)
    lots = [(times * _written(part), price) for part, price in zip(parts, paid, strict=True)]
    unit = paid[0].unit
    words = " and ".join(
        f"{tokens:,.0f} tokens{monthly} at {price.number:g} {unit} a million" for tokens, price in lots
    )
    estimate = _estimate(
        f"bill for tokens{monthly}",
        sum(tokens / 1e6 * price.number for tokens, price in lots),
        unit + ("/month" if monthly else ""),
        f"{work}tokens × price: {words}",
        *assumptions,
    )
    return Bill(topic=Topic.TOKEN_BILL, estimate=estimate, sentence=words)


def _work(text: str, found: Sequence[Quantity]) -> tuple[list[Quantity], float, str, str]:
    """The kinds of tokens, how often they come, that in words, and " a month" if it is; no kind where it is unclear."""
    each = [item for item in found if item.kind is Kind.CONTEXT]
    totals = [item for item in found if item.kind is Kind.TOKENS]
    rates, counts = ([item for item in found if item.kind is kind] for kind in (Kind.RATE, Kind.EXAMPLES))
    crowds = _crowds(text)
    if crowds and each:
        daily = _crowd(text, crowds, rates)
        if daily is not None:
            return each, daily * MONTH, f"{daily:,.0f} a day × {MONTH} days × ", " a month"
        if rates or OFTEN.search(text):
            return [], 1.0, "", ""
    if rates and each and len(rates) == 1:
        return each, rates[0].number * MONTH, f"{rates[0].number:,.0f} a day × {MONTH} days × ", " a month"
    if not rates and len(counts) == 1 and each:
        return each, counts[0].number, f"{counts[0].number:,.0f} × ", ""
    return ([] if rates or each else totals), 1.0, "", ""


def _crowds(text: str) -> list[Amount]:
    """Numbers of people; those who come anew each day are none, but requests."""
    every = ((amount, CROWD.match(text, amount.end)) for amount in amounts(text) if not amount.bare)
    return [amount for amount, people in every if people and not COME.match(text, people.end())]


def _crowd(text: str, crowds: Sequence[Amount], rates: Sequence[Quantity]) -> float | None:
    """Requests a day of so many people; None where it may be of each or of all."""
    if len(crowds) != 1 or len(rates) > 1:
        return None
    crowd = crowds[0]
    if not rates:
        heads = ((amount, PER_HEAD.match(text, amount.end)) for amount in amounts(text))
        daily = [amount.middle / PERIODS.get(head["span"][0].lower(), 1.0) for amount, head in heads if head]
        return crowd.middle * daily[0] if len(daily) == 1 else None
    rate = rates[0]
    if TOGETHER.search(text):
        return rate.number
    between = text[crowd.end : rate.start] if crowd.end <= rate.start else ""
    people = CROWD.match(text, crowd.end)
    directly = people is not None and crowd.middle > rate.number and ACTS.fullmatch(text[people.end() : rate.start])
    if directly or EACH_BEHIND.match(text, rate.end) or EACH_BEFORE.search(between):
        return crowd.middle * rate.number
    return None


def _paid(
    text: str, millions: Sequence[Quantity], prices: Sequence[Quantity], parts: Sequence[Quantity]
) -> list[Quantity]:
    """The prices of a million tokens, also where it is said of one only; none where another price may be one, too."""
    bare = [price for price in prices if price in millions or "/" not in price.unit]
    if len(millions) > 1 or len(bare) == 1:
        return list(millions)
    for pair in pairwise(bare):
        if millions[0] in pair and _belong(text, pair, parts):
            return list(pair)
    unsure = len(parts) > 1 or any(part.start < price.start < millions[0].start for part in parts for price in bare)
    return [] if unsure else list(millions)


def _belong(text: str, pair: tuple[Quantity, Quantity], parts: Sequence[Quantity]) -> bool:
    """Whether "per million" is meant of both: "$3 in and $15 out per million", "2M in at $3 and 1M out at $15 …"."""
    one, other = pair
    if PER_MILLION.match(text, other.end) and other.start - one.end <= len(" input tokens and "):
        return True
    return len(parts) > 1 and parts[0].start < one.start < parts[1].start < other.start


def _written(tokens: Quantity) -> float:
    """Tokens as they are billed: 1k is 1,000, though a context of 1k has 1,024."""
    return next((amount.middle for amount in amounts(tokens.text)), tokens.number)


def _items(price: Quantity, item: str | None, found: Sequence[Quantity]) -> Bill | None:
    """The one count that the price is for: "45,000 receipts" at so much a receipt, or each."""
    counted = [one for one in found if one.kind is Kind.EXAMPLES]
    named = [one for one in counted if item and item.lower().rstrip("s") in one.text.lower()]
    if len(counted) != 1 or (item and not named):
        return None
    words = f"{counted[0].number:,.0f} at {price.number:g} {price.unit} a {item or 'piece'}"
    cost = _estimate("bill for labels or items", counted[0].number * price.number, price.unit, words)
    return Bill(topic=Topic.ITEM_BILL, estimate=cost, sentence=words)


def _estimate(quantity: str, value: float, unit: str, formula: str, *assumptions: str) -> Estimate:
    return Estimate(
        quantity=quantity, low=value, high=value, unit=unit, formula=formula, source=SOURCE, assumptions=assumptions
    )
