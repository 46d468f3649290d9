"""What a sentence may say: verbatim spans, and numbers and names that nothing supports. Pure."""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from math import prod

from tunewise.estimation.numbers import LIKE_LATIN

# "7B-parameter" has a suffix; "4 T-shirts", "2 T4" and "5 t" have none.
NUMBER = re.compile(
    r"(?<![\w.])(?P<figures>\d[\d,]*(?:\.\d+)?)(?:(?P<suffix>[kmbtKMBT])(?![a-zA-Z\d])|\s(?P<apart>[kmbKMBT])(?![a-zA-Z\d-]))?"
)
NAME = re.compile(r"\b(?:[A-Z][a-z]*[A-Z0-9][\w-]*|[A-Z]{2,}[\w-]*|[A-Z][a-z]+[\w-]*)\b")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
COUNTS = (
    {word: float(value) for value, word in enumerate(DIGITS + TEENS)}
    | {word: float(value) for value, word in zip(range(20, 100, 10), TENS, strict=True)}
    | {"half": 0.5}
)
GROUPS = {"dozen": 12.0, "hundred": 1e2}
LARGE = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
SCALES = GROUPS | LARGE
SCALE = re.compile(rf"[ -]?({'|'.join(SCALES)})s?\b", re.I)
_SMALL = rf"(?>(?:{'|'.join(TENS)})(?:[ -](?:{'|'.join(DIGITS[1:])})\b)?|{'|'.join(TEENS + DIGITS)})\b"
_GROUP = (
    rf"(?:(?:{_SMALL}[ -])?hundred(?:[ -](?:and[ -])?{_SMALL}(?![ -](?:{'|'.join(GROUPS)})\b))?"
    rf"|(?:{_SMALL}[ -])?dozen|{_SMALL})"
)
_LARGE = rf"(?:{_GROUP}[ -])?(?:{'|'.join(LARGE)})"
# In "between two thousand and five thousand" the "and" is not part of a number.
SPELLED = re.compile(
    rf"\b(?:half|{_LARGE}(?:[ -]{_LARGE})*(?:[ -](?:and[ -])?{_GROUP}(?![ -](?:{'|'.join(SCALES)})\b))?|{_GROUP})\b",
    re.I,
)
COMMON_NAMES = frozenset(
    """
    a an and any as at because both but by can for from given having if in it its no not on only or
    our since so some such that the their there these they this those though thus to training train
    use using we what when where while with without you your fine-tune fine-tuning tune tuning data
    labels labelled labeled model models pre-trained pretrained i ai ml nlp llm llms gpu gpus cpu
    api rag
    """.split()
)
"""Capitalised words that are no proper names, and abbreviations that everybody in the field uses."""


def numbers(text: str) -> set[float]:
    """Values of the numbers in a text: `4,000`, `4k`, `4.0K`, `4 thousand` and `four thousand` are the same."""
    return {value for _, value in _figures(text)} | {value for _, value in _spelled(text)}


def _figures(text: str) -> Iterator[tuple[str, float]]:
    """Numbers in figures, each with the word that scales it and its value."""
    for match in NUMBER.finditer(text):
        suffix = (match["suffix"] or match["apart"] or "").lower()
        end, scale = _scaled(text, match.end())
        value = float(match["figures"].replace(",", "")) * SUFFIX[suffix] * scale
        # The same number however it is scaled: 2.3 × 1e6 is a hair less than 2300000.
        yield text[match.start() : end], float(f"{value:.12g}")


def _spelled(text: str) -> Iterator[tuple[str, float]]:
    """Numbers in words, each with its value; a scale behind a figure belongs to the figure."""
    for match in SPELLED.finditer(text):
        words = re.split("[ -]", _plain(match.group()))
        if words[0] in SCALES and text[: match.start()].rstrip(" -")[-1:].isdigit():
            continue
        yield match.group(), _value(words)


def _value(words: Iterable[str]) -> float:
    """What a number in words comes to."""
    total = group = 0.0
    for word in words:
        if word in LARGE:
            total, group = (total + group * LARGE[word], 0.0) if group else ((total or 1.0) * LARGE[word], 0.0)
        elif word in GROUPS:
            group = (group or 1.0) * GROUPS[word]
        else:
            group += COUNTS.get(word, 0.0)
    return total + group


def _plain(words: str) -> str:
    return words.translate(LIKE_LATIN).lower()


def names(text: str) -> set[str]:
    """Proper names in a sentence, lower-cased: capitalised words and abbreviations.

    The first word of a sentence is a name only if it is written like no ordinary word (`XLS-R`).
    """
    found: set[str] = set()
    for match in NAME.finditer(text):
        word = match.group()
        before = text[: match.start()].rstrip()
        opens = not before or before[-1] in ".!?:"
        if opens and word[1:].islower():
            continue
        for part in [word, *word.split("-")]:
            if len(part) > 1 and part.lower() not in COMMON_NAMES:
                found.add(part.lower())
    return found


def _stems(text: str) -> set[str]:
    found = WORD.findall(text.lower())
    # What is said of "OpenAI's" is said of OpenAI.
    words = {*found, *(re.sub(r"['’]\w*$", "", word) for word in found)}
    parts = {part for word in words for part in word.split("-")}
    return {_stem(word) for word in words | parts}


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def violations(sentence: str, supports: Iterable[str]) -> list[str]:
    """Numbers and proper names in a sentence that occur in none of its supports.

    Args:
        sentence: What is to be shown.
        supports: Texts it may draw on: the situation, the cited facts, estimates shown beside it.

    Returns:
        One short description a breach; empty where all is supported.
    """
    known = "\n".join(supports)
    allowed = numbers(known)
    breaches = [f"number {told}" for told, value in _figures(sentence) if value not in allowed]
    # "One" and "two" are as often said of nothing that was counted.
    breaches += [f"number {told}" for told, value in _spelled(sentence) if value > 2 and value not in allowed]
    stems = _stems(known)
    breaches += [f"name {name}" for name in sorted(names(sentence)) if _stem(name) not in stems]
    return breaches


def _scaled(text: str, end: int) -> tuple[int, float]:
    """Where a number ends, behind the words that scale it ("4 hundred thousand") if any follow, and their product."""
    factors = []
    while found := SCALE.match(text, end):
        factors.append(SCALES[_plain(found[1])])
        end = found.end()
    return end, prod(factors)


def copied(sentence: str, text: str) -> float:
    """Share of a sentence that stands in a text as one run of words, from 0 to 1.

    A sentence that is copied out of its evidence says nothing about the situation.
    """
    words, others = WORD.findall(sentence.lower()), WORD.findall(text.lower())
    if not words:
        return 0.0
    run = SequenceMatcher(None, words, others, autojunk=False).find_longest_match()
    return run.size / len(words)


def overlap(sentence: str, text: str) -> float:
    """Share of a sentence's content words that also occur in a text, from 0 to 1."""
    words = {_stem(word.lower()) for word in WORD.findall(sentence) if len(word) > 3}
    return len(words & _stems(text)) / len(words) if words else 0.0
