"""Labelled scenarios: what a person wrote, and the verdict that experts or history gave.

A file holds one JSON object a line. `evals/scenarios/README.md` is the data card.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from tunewise.errors import UserError
from tunewise.schema import Method, Value, Verdict

Split = Literal["fit", "dev", "test"]
NEAR_TWIN = 0.86
"""Cosine of two situations from which they must not stand on both sides of a split."""

ARXIV = re.compile(r"arXiv:?\s*(\d{4}\.\d{4,5})", re.I)
ADDRESS = re.compile(r"https?://[^\s),;]+")
NAMED = re.compile(r"real:\s*(?P<name>[A-Z][\w+. -]{2,40}?)\s*\(")
"""The project at the head of a source such as `real: Ditto (Li et al. 2020) …`."""
UNNAMED = frozenset({"recurring question", "recurring issue pattern"})


class Scenario(Value):
    """One labelled situation."""

    id: str
    """Unique over all files."""
    situation: str
    """What the person writes, before any decision."""
    verdict: Verdict
    """The label."""
    fair: tuple[Verdict, ...] = ()
    """Other verdicts that an expert could defend."""
    method: Method | None = None
    """How the verdict is carried out; None when more information is needed."""
    factors: dict[str, str] = Field(default_factory=dict)
    """Levels that are stated or plainly implied."""
    topics: tuple[str, ...] = ()
    """Topics of the knowledge folder that bear on it."""
    rationale: str = ""
    """Why the verdict is right."""
    source: str = ""
    """What it is drawn from, or `invented`."""
    modality: str = "unknown"
    """Kind of input."""
    task: str = ""
    """What is to be done with it."""
    difficulty: Literal["easy", "medium", "hard"] = "medium"
    """How clear the case is to an expert."""
    language: str = "en"
    """ISO 639-1 code."""
    writer: str = ""
    """The voice it is written in."""
    family: str
    """Scenarios of one source, or that differ in one fact, share it and never straddle a split."""
    split: Split = "fit"
    """What it may be used for."""

    @field_validator("method", mode="before")
    @classmethod
    def _no_method(cls, value: object) -> object:
        return None if value == "none" else value

    def accepts(self, verdict: Verdict) -> bool:
        """Whether a verdict is the label or a fair one."""
        return verdict is self.verdict or verdict in self.fair


def read(files: Iterable[Path], split: Split | None = None) -> list[Scenario]:
    """Scenarios of several files, in order.

    Args:
        files: JSON lines.
        split: Only these; all where None.

    Raises:
        UserError: A file is missing, or a line is no scenario.
    """
    found: list[Scenario] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file} cannot be read: {error}.", "Name a file of scenarios, one JSON object a line."
            ) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                scenario = Scenario.model_validate(json.loads(line))
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"])
                raise UserError(f"Line {number} of {file} is no scenario: {field}: {first['msg']}.") from error
            except (ValueError, RecursionError) as error:
                raise UserError(f"Line {number} of {file} is not JSON: {error}.") from error
            found.append(scenario)
    return [scenario for scenario in found if split is None or scenario.split == split]


def works(source: str) -> frozenset[str]:
    """Names of the works and threads that a source cites: arXiv ids, addresses, and the project it names first.

    Two scenarios drawn from one work share its facts even where no sentence of theirs is alike.
    """
    found = set(ARXIV.findall(source)) | set(ADDRESS.findall(source))
    named = NAMED.match(source)
    if named and named["name"].casefold() not in UNNAMED:
        found.add(named["name"].casefold())
    return frozenset(found)


def clusters(scenarios: Sequence[Scenario], vectors: NDArray[np.float32]) -> list[int]:
    """Groups that must stay on one side of a split: families joined with near-twins and with shared works.

    Args:
        scenarios: n of them.
        vectors: Their sentence embeddings, shape (n, 384), of length 1.

    Returns:
        The number of each scenario's group.
    """
    parent = list(range(len(scenarios)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[str, int] = {}
    for place, scenario in enumerate(scenarios):
        for name in (scenario.family, *works(scenario.source)):
            parent[root(place)] = root(first.setdefault(name, place))
    for left, right in zip(*np.where(np.triu(vectors @ vectors.T, 1) > NEAR_TWIN), strict=True):
        parent[root(int(left))] = root(int(right))
    return [root(place) for place in range(len(scenarios))]
