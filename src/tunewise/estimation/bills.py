"""Bills by the figures that a question gives itself: rent of cards, tokens of an API, labels bought one by one."""

import re
from collections.abc import Sequence

from tunewise.estimation.numbers import amounts
from tunewise.estimation.quantities import Quantity, first
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
PER_ITEM = re.compile(
    r"[ ](?:apiece|each|(?:per|an?|pro|par|por)[ ]"
    r"(?!hour|hr|day|week|month|year|million|1|token|gpu|card|gb|tb|kwh)(?P<item>[a-z-]+))\b",
    re.I,
)
CARD_HOURS = re.compile(r"[ -]?(?:gpus?|card|[abhv]\d{2,3})[ -](?P<span>hours?|days?|weeks?)\b", re.I)
HOURS = {"h": 1.0, "d": 24.0, "w": 168.0}


class Bill(Value):
    """What something costs, or what a budget buys."""

    what: str
    """`rent`, `tokens` or `items`."""
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
    for price in prices:
        behind = text[price.end :]
        if price.unit.endswith("/hour"):
            return None if SIZES.search(text) else _rent(text, price, found)
        if PER_MILLION.match(behind):
            return _tokens(price, found)
        if item := PER_ITEM.match(behind):
            return _items(price, item["item"] or "piece", found)
    return None


def _rent(text: str, price: Quantity, found: Sequence[Quantity]) -> Bill | None:
    currency = price.unit.partition("/")[0]
    cards, time = first(found, Kind.GPUS), first(found, Kind.DAYS)
    count = cards.number if cards else 1.0
    hours = _card_hours(text) or (count * 24 * time.number if time else None)
    each = f"{price.number:g} {currency} an hour"
    if hours is not None:
        words = f"{hours:,.0f} GPU-hours at {each}"
        cost = _estimate("rent", hours * price.number, currency, f"{words}, for each card")
        return Bill(what="rent", estimate=cost, sentence=words)
    budget = next((item for item in found if item.kind is Kind.MONEY and item.unit == currency), None)
    if budget is None or budget.start == price.start:
        return None
    words = f"{budget.number:,.0f} {currency} at {each}" + (f" for each of {count:g}" if count > 1 else "")
    span = _estimate("hours that the budget buys", budget.number / (price.number * count), "hours", words)
    return Bill(what="rent", estimate=span, sentence=words)


def _card_hours(text: str) -> float | None:
    """GPU-hours that a text names: "150 GPU-days"."""
    for amount in amounts(text):
        if (match := CARD_HOURS.match(text, amount.end)) and amount.middle > 0:
            return amount.middle * HOURS[match["span"][0].lower()]
    return None


def _tokens(price: Quantity, found: Sequence[Quantity]) -> Bill | None:
    each = sum(item.number for item in found if item.kind is Kind.CONTEXT)
    rate, items, tokens = (first(found, kind) for kind in (Kind.RATE, Kind.EXAMPLES, Kind.TOKENS))
    monthly = ""
    if rate and each:
        count, monthly = rate.number * MONTH * each, " a month"
        work = f"{rate.number:g} a day × {MONTH} days × {each:g} tokens"
    elif items and each:
        count, work = items.number * each, f"{items.number:g} × {each:g} tokens"
    elif tokens:
        count, work = tokens.number, f"{tokens.number:g} tokens"
    else:
        return None
    cost = _estimate(
        f"bill for tokens{monthly}",
        count / 1e6 * price.number,
        price.unit + ("/month" if monthly else ""),
        f"{work} × {price.number:g} {price.unit} a million",
        "one price for all tokens; those of an answer often cost several times those of a prompt",
    )
    words = f"{count:,.0f} tokens{monthly} at {price.number:g} {price.unit} a million"
    return Bill(what="tokens", estimate=cost, sentence=words)


def _items(price: Quantity, item: str, found: Sequence[Quantity]) -> Bill | None:
    items = first(found, Kind.EXAMPLES)
    if items is None:
        return None
    words = f"{items.number:,.0f} at {price.number:g} {price.unit} a {item}"
    cost = _estimate("bill for labels or items", items.number * price.number, price.unit, words)
    return Bill(what="items", estimate=cost, sentence=words)


def _estimate(quantity: str, value: float, unit: str, formula: str, *assumptions: str) -> Estimate:
    return Estimate(
        quantity=quantity, low=value, high=value, unit=unit, formula=formula, source=SOURCE, assumptions=assumptions
    )
