"""A situation told anew, so that one or two of its facts are others."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tunewise.schema import Factor

SENTENCES = Path(__file__).with_name("sentences.toml")
MOST_CUT = 0.5
"""Largest share of a situation that may be cut out for an old fact."""


@cache
def sentences() -> dict[str, dict[str, str]]:
    """A sentence for every level that can be told, by factor and level."""
    return tomllib.loads(SENTENCES.read_text(encoding="utf-8"))


def retold(situation: str, factors: Sequence[Factor], changes: Mapping[str, str]) -> str:
    """The situation with other facts.

    The words that an old fact rests on are cut out, unless they are most of the text or another stated fact rests
    on them too; the new fact is added as a sentence of its own.

    Args:
        situation: What the person wrote.
        factors: Its sheet.
        changes: New levels by factor.
    """
    text = situation
    kept = [line.quote for line in factors if line.quote and line.known and line.name not in changes]
    for line in factors:
        quote = line.quote if line.name in changes and line.known else None
        if quote and len(quote) <= MOST_CUT * len(situation) and not any(_shared(quote, other) for other in kept):
            text = text.replace(quote, " ", 1)
    added = " ".join(sentences()[factor][level] for factor, level in changes.items())
    body = re.sub(r"(?:^|(?<=[.!?]))\s*[,;:.–-]+(?=\s)", " ", text)
    body = re.sub(r"\s+(?=[,.;:!?])", "", re.sub(r"\s+", " ", body)).strip()
    # The question comes last, as people write it.
    question = re.search(r"(?<=[.!?])\s+[^.!?]*\?\s*$", body)
    if question:
        return f"{body[: question.start()].strip()} {added} {question.group().strip()}"
    stop = "" if not body or body[-1] in ".!?" else "."
    return f"{body}{stop} {added}".strip()


def _shared(quote: str, other: str) -> bool:
    return quote in other or other in quote
