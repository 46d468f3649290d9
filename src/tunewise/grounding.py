"""What a sentence may say: verbatim spans, and numbers and names that nothing supports. Pure."""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:\s?[kKmMbB](?![a-zA-Z]))?")
NAME = re.compile(r"\b(?:[A-Z][a-z]*[A-Z0-9][\w-]*|[A-Z]{2,}[\w-]*|[A-Z][a-z]+[\w-]*)\b")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9}
NUMBER_WORDS = {
    word: float(value)
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
} | {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "dozen": 12.0, "half": 0.5}
SCALES = ("hundred", "thousand", "million", "billion", "dozen")
SPELLED = re.compile(rf"\b(?:{'|'.join(NUMBER_WORDS)})(?:[ -](?:{'|'.join(NUMBER_WORDS)}))*\b", re.I)
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
        raw = match.group().replace(",", "").replace(" ", "")
        factor = SUFFIX.get(raw[-1].lower(), 1.0)
        value = float(raw.rstrip("kKmMbB"))
        end = _scaled(text, match.end())
        scale = NUMBER_WORDS.get(text[match.end() : end].lower().strip(" -").rstrip("s"), 1.0)
        yield text[match.start() : end], value * factor * scale


def _spelled(text: str) -> Iterator[tuple[str, float]]:
    """Numbers in words, each with its value; a scale behind a figure belongs to the figure."""
    for match in SPELLED.finditer(text):
        if text[: match.start()].rstrip(" -")[-1:].isdigit():
            continue
        value = 0.0
        for word in re.split("[ -]", match.group().lower()):
            here = NUMBER_WORDS[word]
            value = value * here if word in SCALES and value else value + here
        yield match.group(), value


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
    words = {word.lower() for word in WORD.findall(text)}
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


def _scaled(sentence: str, end: int) -> int:
    """Where a number ends: behind the word that scales it ("4 thousand"), if one follows at once."""
    after = WORD.match(sentence, end + (sentence[end : end + 1] in (" ", "-")))
    return after.end() if after and after.group().lower().rstrip("s") in SCALES else end


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
