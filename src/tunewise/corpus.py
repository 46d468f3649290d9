"""The knowledge folder: Markdown with front matter, one fact an item, a source on each.

A file opens with a header between two lines of `---` (title, topic, kind, checked). A fact is one line
`- **ID** text`, followed by lines `  Source: citation <url> | status | as of DATE`.

Beside the files may lie `questions.jsonl`: for a fact, by its id, what people ask who need it. They are searched with
the fact and never shown (Nogueira et al. 2019, "Document expansion by query prediction", arXiv:1904.08375).
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from tunewise.errors import CorpusError
from tunewise.schema import Fact, Source, Value

ITEM = re.compile(r"^- \*\*(?P<id>[A-Z][\w.-]*)\*\* (?P<text>\S.*)$")
SOURCE = re.compile(
    r"^  Source: (?P<citation>[^<|]+?)(?: <(?P<url>https?://[^>\s]+)>)?"
    r" \| (?P<status>verified|recalled|derived)(?: \| as of (?P<date>\d{4}-\d\d(?:-\d\d)?))?$"
)
MALFORMED = (ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, yaml.YAMLError)
"""What PyYAML raises over a header; a scalar that is tagged as what it is not makes it stumble in any of these ways."""
QUESTIONS = "questions.jsonl"
REQUIRED = ("title", "topic", "kind", "checked")


class Asked(Value):
    """A line of `questions.jsonl`."""

    id: str
    """The fact."""
    questions: tuple[str, ...]
    """In the words of people who do not know it."""


@dataclass(frozen=True)
class Document:
    """A file of the knowledge folder."""

    path: str
    """Relative to the folder, with forward slashes."""
    digest: str
    """SHA-256 of its bytes."""
    header: dict[str, str]
    """Front matter; title, topic, kind and checked are always there."""
    facts: tuple[Fact, ...]
    """In the order of the file."""


@dataclass(frozen=True)
class Corpus:
    """A whole knowledge folder."""

    documents: tuple[Document, ...]
    """Sorted by path."""
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What people ask who need a fact, by its identifier."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact, in the order of the files."""
        return tuple(fact for document in self.documents for fact in document.facts)

    @property
    def by_id(self) -> dict[str, Fact]:
        """Every fact by its identifier."""
        return {fact.id: fact for fact in self.facts}

    @property
    def digest(self) -> str:
        """Hash of all files; changes when any of them does."""
        total = hashlib.sha256()
        for document in self.documents:
            total.update(f"{document.path}\0{document.digest}\0".encode())
        if self.questions:
            total.update(json.dumps(sorted(self.questions.items())).encode())
        return total.hexdigest()


def load(folder: Path) -> Corpus:
    """Read a knowledge folder.

    Args:
        folder: Searched for `*.md` at any depth; README files are passed over.

    Raises:
        CorpusError: The folder is missing or empty, a file is malformed, or an id stands twice.
    """
    if not folder.is_dir():
        raise CorpusError(f"There is no knowledge folder at {folder}.", "Set TUNEWISE_KNOWLEDGE to one.")
    # A link may not draw a file from elsewhere on this machine into the answers.
    home = folder.resolve()
    files = sorted(path for path in folder.rglob("*.md") if path.name != "README.md" and _inside(path, home))
    documents = tuple(_read(path, folder) for path in files)
    seen: dict[str, str] = {}
    for document in documents:
        for fact in document.facts:
            if fact.id in seen:
                raise CorpusError(f"The fact id {fact.id} stands in {seen[fact.id]} and in {document.path}.")
            seen[fact.id] = document.path
    if not seen:
        raise CorpusError(f"The knowledge folder {folder} holds no facts.")
    return Corpus(documents, _questions(folder / QUESTIONS, seen))


def _inside(path: Path, home: Path) -> bool:
    try:
        return path.resolve().is_relative_to(home)
    # Before Python 3.13, a link to itself.
    except (OSError, RuntimeError):
        raise CorpusError(f"{path.name} cannot be read: it is a link that leads nowhere.") from None


def _reason(error: Exception) -> str:
    """What is wrong, in one line; libraries write several."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        # Marks count from 0, behind the line that opens the front matter.
        return f"line {error.problem_mark.line + 2}: {error.problem}"
    if isinstance(error, LookupError | AttributeError):
        return "a value of its front matter is not of the kind that its tag names"
    return str(error).partition("\n")[0]


def _questions(file: Path, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What is asked of facts; those of an id that is not `known` are an error."""
    if not file.is_file():
        return {}
    try:
        text = file.read_text("utf-8")
        # Not by `splitlines`: strings of JSON may hold the separators of Unicode.
        lines = [_asked(line, place) for place, line in enumerate(text.split("\n"), start=1) if line.strip()]
    except (OSError, ValueError) as error:
        raise CorpusError(f"{file.name} cannot be read: {_reason(error)}.") from error
    strangers = [line.id for line in lines if line.id not in known]
    if strangers:
        raise CorpusError(f"{file.name} has questions of a fact that does not exist: {strangers[0]}.")
    return {line.id: line.questions for line in lines}


def _asked(line: str, place: int) -> Asked:
    try:
        return Asked.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(f"line {place}: {_reason(error)}") from error


def _read(path: Path, folder: Path) -> Document:
    name = path.relative_to(folder).as_posix()
    try:
        data = path.read_bytes()
        header, body = _split(data.decode("utf-8-sig"))
    except (OSError, *MALFORMED) as error:
        raise CorpusError(f"{name} cannot be read: {_reason(error)}.") from error
    missing = [key for key in REQUIRED if not header.get(key)]
    if missing:
        raise CorpusError(f"The front matter of {name} lacks {', '.join(missing)}.")
    facts = tuple(_facts(body, name, header))
    return Document(name, hashlib.sha256(data).hexdigest(), header, facts)


def _split(text: str) -> tuple[dict[str, str], str]:
    parts = text.replace("\r\n", "\n").split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise ValueError("it has no front matter")
    header = yaml.safe_load(parts[1])
    if not isinstance(header, dict):
        raise ValueError("its front matter is not a mapping")
    # A nest of aliases can stand for more text than any memory holds: nothing nested is looked into.
    if any(isinstance(part, dict | list | tuple | set) for pair in header.items() for part in pair):
        raise ValueError("its front matter is nested")
    return {str(key): str(value) for key, value in header.items() if value is not None}, parts[2]


def _facts(body: str, name: str, header: dict[str, str]) -> Iterator[Fact]:
    lines = body.split("\n")
    section = ""
    for place, line in enumerate(lines):
        section = line[3:].strip() if line.startswith("## ") else section
        item = ITEM.match(line)
        if item is None:
            if line.startswith("- **"):
                raise CorpusError(f"{name} has an item without a proper id: {line[:60]}")
            continue
        sources = tuple(_sources(lines, place + 1, name))
        if not sources:
            raise CorpusError(f"The fact {item['id']} in {name} has no source.")
        try:
            yield Fact(
                id=item["id"],
                text=item["text"].strip(),
                document=name,
                title=header["title"],
                section=section,
                topic=header["topic"],
                kind=header["kind"],
                sources=sources,
            )
        except ValidationError as error:
            raise CorpusError(f"The fact {item['id']} in {name} is malformed: {_reason(error)}.") from error


def _sources(lines: list[str], start: int, name: str) -> Iterator[Source]:
    for line in lines[start:]:
        if not line.startswith("  Source:"):
            return
        match = SOURCE.match(line.rstrip())
        if match is None:
            raise CorpusError(f"{name} has a source that cannot be read: {line.strip()[:80]}")
        yield Source(
            citation=match["citation"].strip(),
            url=match["url"],
            status=match["status"],
            as_of=match["date"],
        )
