"""Queries and the judgements on them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
SPLITS = ("development", "test")


@dataclass(frozen=True)
class Query:
    """What somebody asks."""

    id: str
    text: str
    voice: str
    """Who asks it, and how."""


def queries(split: str) -> list[Query]:
    """The queries of a split, in the order of its file."""
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Query(row["id"], row["query"], row.get("voice", "plain")) for row in map(json.loads, lines)]


def judgements(name: str = "judgements") -> dict[str, dict[str, int]]:
    """Grade of each judged fact, by query.

    Args:
        name: File without its ending.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[row["query"]][row["fact"]] = row["grade"]
    return dict(found)
