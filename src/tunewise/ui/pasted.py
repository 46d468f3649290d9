"""Pasted documents: of a long message the model reads what says most about the project, verbatim and in order."""

import re

from tunewise import dialogue
from tunewise.errors import InputError
from tunewise.factors import UNSPACED

LONG = 6_000
"""Characters up to which a message is read whole; reading more takes the model over ten seconds."""
READ = 3_000
"""Characters that are read of a longer one."""
LONGEST = 200_000
"""Characters that are looked through."""
PASSAGE = 300
"""Characters of a passage, about: whole sentences are kept together."""
SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？]+|\n+|$)\s*")
OWN, DIGIT, QUESTION, EDGE = 0.5, 0.25, 0.25, 2.0
"""What counts for a passage beside words of the field: it speaks of 'us', counts, asks, begins or ends the message."""
MOST_WORDS = 3
"""Words of the field that count in a passage."""


def excerpt(text: str) -> str:
    """What the model reads of a message: all of it, or the passages that say most about the project.

    Raises:
        InputError: The message is too long to be looked through.
    """
    if len(text) <= LONG:
        return text
    if len(text) > LONGEST:
        raise InputError(
            f"The message has {len(text):,} characters, and at most {LONGEST:,} can be looked through.",
            "Add the document in the Knowledge tab, and describe your situation here.",
        )
    passages = _passages(text)
    scores = [_score(passage) for passage in passages]
    scores[0] += EDGE
    scores[-1] += EDGE
    kept: set[int] = set()
    room = READ
    for place in sorted(range(len(passages)), key=lambda place: -scores[place]):
        # What says nothing of a project only hides what does.
        if scores[place] > 0 and len(passages[place]) <= room:
            kept.add(place)
            room -= len(passages[place])
    return "\n".join(passages[place] for place in sorted(kept))


def notice(text: str, read: str) -> str:
    """What a reader must know of a message that was not read whole; empty where it was."""
    if read == text:
        return ""
    # Words cannot be counted where most letters belong to a script that sets none apart.
    unit, whole, part = "words", len(text.split()), len(read.split())
    if len(UNSPACED.findall(text)) > len(text) / 2:
        unit, whole, part = "characters", len(text), len(read)
    return (
        f"Your message is long ({whole:,} {unit}). The verdict rests on the {part:,} {unit} "
        "that say most about the project; they stand under “What it read in your words”."
    )


def _passages(text: str) -> list[str]:
    passages = [""]
    for piece in SENTENCE.findall(text):
        for start in range(0, len(piece), PASSAGE * 2):
            part = piece[start : start + PASSAGE * 2]
            if passages[-1] and len(passages[-1]) + len(part) > PASSAGE:
                passages.append("")
            passages[-1] += part
    return [passage.strip() for passage in passages if passage.strip()]


def _score(passage: str) -> float:
    """How much a passage says about a project; by its words, as embedding a whole document takes seconds."""
    field = min(len(dialogue.FIELD.findall(passage)), MOST_WORDS) / MOST_WORDS
    signs = (bool(dialogue.OWN.search(passage)), bool(dialogue.DIGIT.search(passage)), "?" in passage)
    return field + sum(weight * sign for weight, sign in zip((OWN, DIGIT, QUESTION), signs, strict=True))
