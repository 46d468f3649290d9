"""Phrases with what a reader must find in them, and how many are read so exactly."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewise.estimation.quantities import Quantity, read

PHRASES = Path(__file__).with_name("phrases.jsonl")
Found = tuple[str, float | None, float | None, str]
"""Kind, low, high and unit."""


@dataclass(frozen=True)
class Phrase:
    """A few words in their sentence, and the quantities that they state."""

    id: str
    split: str
    phrase: str
    sentence: str
    expected: tuple[Found, ...]
    """Empty where the number is no quantity of any of our kinds."""


def phrases(split: str, file: Path = PHRASES) -> list[Phrase]:
    """The phrases of a split, `dev` or `test`."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [_phrase(row) for row in rows if row["split"] == split]


def found_in(phrase: Phrase) -> tuple[Found, ...]:
    """What is read from the sentence and touches the phrase."""
    start = phrase.sentence.lower().index(phrase.phrase.lower())
    end = start + len(phrase.phrase)
    return tuple(_plain(item) for item in read(phrase.sentence) if item.start < end and start < item.end)


def right(phrase: Phrase) -> bool:
    """Whether kinds, both ends and units are all as expected, and nothing else is read."""
    found = found_in(phrase)
    return len(found) == len(phrase.expected) and all(
        one[0] == other[0] and one[3] == other[3] and _same(one[1], other[1]) and _same(one[2], other[2])
        for one, other in zip(sorted(found, key=str), sorted(phrase.expected, key=str), strict=True)
    )


def share(items: Sequence[Phrase]) -> float:
    """Share read exactly."""
    return sum(map(right, items)) / len(items)


def _phrase(row: dict[str, object]) -> Phrase:
    expected = row.pop("expected")
    assert isinstance(expected, list)
    quantities = tuple((item["kind"], item["low"], item["high"], item["unit"]) for item in expected)
    return Phrase(**row, expected=quantities)  # type: ignore[arg-type]


def _plain(item: Quantity) -> Found:
    return (item.kind.value, item.low, item.high, item.unit)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-4)
