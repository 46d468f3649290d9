"""The base of all values, and the facts of the knowledge folder with their sources."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of all values: immutable, compared by content, refusing unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Source(Value):
    """Where a fact comes from."""

    citation: str
    """Authors, year, title, identifier."""
    url: str | None = None
    """Address of the page, where there is one."""
    status: Literal["verified", "recalled", "derived", "own"] = "verified"
    """verified: read at the source; recalled: from memory of it; derived: worked out; own: the user's."""
    as_of: str | None = None
    """Date (YYYY-MM or YYYY-MM-DD) for facts that age: prices, laws, licences, products."""


class Fact(Value):
    """The smallest citable unit of the knowledge folder."""

    id: str
    """Stable identifier, unique in the folder, such as `F09.01`."""
    text: str
    """The fact in at most 60 words (80 in a user's document), verbatim as it stands in the file."""
    told: str | None = None
    """What the model reads of it, where that is less: sentences that give it orders are left out."""
    document: str
    """File it stands in, relative to the knowledge folder."""
    title: str
    """Title of that file."""
    section: str = ""
    """Heading it stands under; empty above the first."""
    topic: str
    """Slug of the topic, such as `peft`."""
    kind: str
    """article, topic, case, rules, glossary, or own for a user's document."""
    sources: tuple[Source, ...]
    """At least one."""

    @property
    def readable(self) -> str:
        """What the model reads of it."""
        return self.text if self.told is None else self.told


class Hit(Value):
    """A fact found for a query."""

    fact: Fact
    """What was found."""
    score: float
    """Fused relevance; higher is better, comparable within one query only."""
    dense_rank: int | None = None
    """Place in the embedding search, from 1; None where it was not among the candidates."""
    lexical_rank: int | None = None
    """Place in the BM25 search, from 1; None where it was not among the candidates."""


class Evidence(Value):
    """A verbatim quotation of the knowledge folder or of a document of the user's own, with its source."""

    quote: str
    """The words of the fact, exactly as they stand in `document`."""
    document: str
    """File in the knowledge folder, or a user's document: its path from the folder that was added."""
    title: str
    """Title of that file."""
    source: str
    """Citation of the work that the fact rests on; of a user's document, file and page or section."""
    url: str | None = None
    """Address of that work."""
    fact: str
    """Identifier of the fact."""
    status: str
    """How the source was checked: verified, recalled, derived or own."""
    as_of: str | None = None
    """Date for facts that age."""

    @classmethod
    def of(cls, fact: Fact) -> "Evidence":
        """Quote a fact whole, with its first source."""
        source = fact.sources[0]
        return cls(
            quote=fact.text,
            document=fact.document,
            title=fact.title,
            source=source.citation,
            url=source.url,
            fact=fact.id,
            status=source.status,
            as_of=source.as_of,
        )
