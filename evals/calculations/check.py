"""Messages with the formula that answers them, or none, and what is made of them."""

import json
from dataclasses import dataclass
from pathlib import Path

from tunewise.errors import UserError
from tunewise.estimation.calculator import calculate

QUESTIONS = Path(__file__).with_name("questions.jsonl")


@dataclass(frozen=True)
class Question:
    """A message, and which formula answers it."""

    id: str
    split: str
    question: str
    topic: str | None
    """A `questions.Topic`; None where the message asks for advice or an explanation."""


def questions(split: str, file: Path = QUESTIONS) -> list[Question]:
    """The messages of a split, `dev` or `test`."""
    rows = [Question(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row.split == split]


def calculated(message: str) -> str | None:
    """The formula that the advisor takes for a message in a conversation."""
    try:
        found = calculate(message)
    except UserError:
        return None
    return found.topic.value if found else None
