"""Figures as a conversation mentions them: what each counts, and whether two are about the same thing. Pure."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tunewise.estimation import quantities
from tunewise.estimation.numbers import Amount, amounts
from tunewise.estimation.quantities import Quantity
from tunewise.estimation.rules import Kind

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
BUDGET = re.compile(r"\b(?:budget|spend|presupuesto)\b[^.;!?\n]*$", re.I)
"""Before a number that counts nothing named: it is money."""
BUDGET_REACH = 40
PERCENT = re.compile(r"\s*%")
NEXT_WORDS = re.compile(r"[ -]?((?:[^\W\d_][\w-]* ?){0,2})")
STOP = frozenset(
    "of are is was were came from it and or not but that the a an in on at per percent to right for und von".split()
)
"""Behind a number these words say nothing of what it counts."""


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


def figures(text: str) -> list[Figure]:
    """Figures of a text in order; those that count nothing known are taken by the words behind them."""
    found = list(amounts(quantities.readable(text)))
    read = [_counted(text, item, found) for item in quantities.read(text) if item.number]
    taken = {place for figure in read for place in range(figure.start, figure.start + len(figure.text))}
    for amount in found:
        free = taken.isdisjoint(range(amount.first, amount.end))
        if free and text[amount.first].isdigit() and PERCENT.match(text, amount.end) is None:
            read.append(_loose(text, amount))
    return sorted(read, key=lambda figure: figure.start)


def fit(new: Figure, old: Figure) -> int:
    """How surely two figures are about the same thing: 2 certainly, 1 where the message corrects something."""
    if new.kind is None or old.kind is None:
        if new.noun and old.noun and new.noun == old.noun:
            return 2
        return int(not new.noun and old.kind in (None, Kind.EXAMPLES, *ONE_OF_A_KIND))
    if new.kind is not old.kind or (new.unlabelled and old.labelled) or (new.labelled and old.unlabelled):
        return 0
    if new.kind is not Kind.EXAMPLES:
        return 2 if new.kind in ONE_OF_A_KIND and period(new) == period(old) else 1
    if new.noun in GENERIC:
        return 2 if old.labelled or old.noun in GENERIC else 1
    return (2 if new.noun == old.noun else 1) if new.labelled == old.labelled else 0


def period(figure: Figure) -> str:
    """What a rate is per: `month` of `USD/month`; empty for a sum."""
    return figure.unit.partition("/")[2]


def _counted(text: str, item: Quantity, found: Sequence[Amount]) -> Figure:
    whole = item.start + len(item.text)
    nearest = bisect_left(found, item.start, key=lambda amount: amount.first)
    amount = found[nearest] if nearest < len(found) and found[nearest].first < whole else None
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
    end = words.end(1) if words and noun else amount.end
    return Figure(
        value=amount.middle,
        kind=Kind.MONEY if not noun.strip() and _budgeted(text, amount) else None,
        noun=_stem(noun.split()[-1]) if noun.strip() else "",
        labelled=_labelled(noun),
        unlabelled=not _labelled(noun) and bool(UNLABELLED.search(noun)),
        unit="",
        start=amount.first,
        end=amount.end,
        text=text[amount.first : end].strip(),
    )


def _budgeted(text: str, amount: Amount) -> bool:
    """Whether a number that counts nothing named is what may be spent: "our budget is actually 20k"."""
    named = YEAR.fullmatch(text, amount.first, amount.end)
    return named is None and BUDGET.search(text, max(amount.first - BUDGET_REACH, 0), amount.first) is not None


def _labelled(words: str) -> bool:
    return bool(LABELLED.search(UNLABELLED.sub(" ", words)))


def _stem(word: str) -> str:
    return re.sub(r"s$", "", word.lower())
