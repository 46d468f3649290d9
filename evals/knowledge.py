"""Check a knowledge folder: `corpus.load` refuses what is malformed, this says what a careful editor would mend.

    python -m evals.knowledge [FOLDER]

Prints one line a finding and exits with 1 if there is any. Lengths follow plain-language practice: a sentence of more
than 40 words is hardly read in one go, and a fact of more than 60 is more than one.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewise import Advisor, Settings, corpus
from tunewise.corpus import Corpus
from tunewise.errors import TunewiseError
from tunewise.schema import Fact, Source
from tunewise.settings import resource

LONGEST_FACT = 60
LONGEST_SENTENCE = 40
NEAR_DUPLICATE = 0.92
"""Cosine of MiniLM embeddings. Of the pairs above 0.86 in November 2026 the one at 0.94 told the same twice; those at
0.91 (a rule and its glossary line), 0.89 (a cost for two model sizes) and 0.87 (two studies that agree) did not."""
TOLD_TWICE = 0.80
"""The same, for two topic pages that cite one work: seven of the ten pairs above it were one fact in two places."""
IDS = {
    "topic": re.compile(r"F\d\d\.\d\d"),
    "case": re.compile(r"C\d\d\.\d\d"),
    "rules": re.compile(r"[RX]\d\d"),
    "glossary": re.compile(r"G\d\d"),
    "article": re.compile(r"A\d\d"),
}
MENTION = re.compile(r"\b(?:[FC]\d\d\.\d\d|[RX]\d\d|topics/[\w-]+\.md)\b")
ARXIV = re.compile(r"arXiv:(\S+?)(?=[\s,;:)]|$)")
ARXIV_ID = re.compile(r"\d\d(0[1-9]|1[0-2])\.\d{4,5}(v\d+)?")
DATED_NAME = re.compile(r"\b[A-Z].*\b(19|20)\d\d\b")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]?\s+(?=[\"“(]?[A-Z0-9])")
AGEING = {
    "a price": re.compile(r"[$€£]\s?\d|\b(USD|EUR|[Dd]ollars?|[Ee]uros?)\b|\bper (\w+-)?hour\b"),
    "a law": re.compile(r"\b(GDPR|HIPAA|EDPB|Act)\b"),
    "a licence": re.compile(r"\blicen[cs]", re.I),
    "a product": re.compile(r"\bAPIs?\b"),
}
AGEING_TOPICS = frozenset({"licensing-privacy-regulation", "vendor-frameworks"})
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.M)


@dataclass(frozen=True, order=True)
class Finding:
    """Something to mend."""

    place: str
    """File, and fact where there is one."""
    complaint: str
    """What is wrong, in a few words."""

    def __str__(self) -> str:
        return f"{self.place}: {self.complaint}"


def check(folder: Path, knowledge: Corpus, vectors: NDArray[np.float32]) -> list[Finding]:
    """Everything that is to be mended in a folder, sorted.

    Args:
        folder: The knowledge folder; read again for its links.
        knowledge: What `corpus.load` read from it.
        vectors: Unit vectors of `knowledge.facts`, in their order.
    """
    return sorted(
        {
            *headers(knowledge),
            *identifiers(knowledge),
            *lengths(knowledge.facts),
            *sources(knowledge),
            *dates(knowledge.facts),
            *links(folder),
            *repetitions(knowledge.facts, vectors),
        }
    )


def headers(knowledge: Corpus) -> Iterator[Finding]:
    """Kinds and topics that nobody knows, dates that are none, an article without its author."""
    topics = {Path(document.path).stem for document in knowledge.documents if document.header["kind"] == "topic"}
    for document in knowledge.documents:
        kind, topic, name = document.header["kind"], document.header["topic"], Path(document.path).stem
        if kind not in IDS:
            yield Finding(document.path, f"the kind {kind} is unknown")
        if kind == "topic" and topic != name:
            yield Finding(document.path, f"its topic is {topic}, not the name of the file")
        if topic not in topics | {"rules", "glossary", "article"}:
            yield Finding(document.path, f"the topic {topic} has no page")
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", document.header["checked"]):
            yield Finding(document.path, "the date of checking is not YYYY-MM-DD")
        if kind == "article" and not document.header.get("author"):
            yield Finding(document.path, "the article has no author")


def identifiers(knowledge: Corpus) -> Iterator[Finding]:
    """Ids that do not fit their kind, and pages that share their number with another."""
    pages: dict[str, set[str]] = defaultdict(set)
    for fact in knowledge.facts:
        pattern = IDS.get(fact.kind)
        if pattern and not pattern.fullmatch(fact.id):
            yield Finding(_place(fact), f"the id does not fit the kind {fact.kind}")
        if "." in fact.id:
            pages[fact.id.partition(".")[0]].add(fact.document)
    for number, names in pages.items():
        if len(names) > 1:
            yield Finding(", ".join(sorted(names)), f"share the number {number}")


def lengths(facts: Iterable[Fact]) -> Iterator[Finding]:
    """Facts and sentences that are too long, or that do not end."""
    for fact in facts:
        words = len(fact.text.split())
        if words > LONGEST_FACT:
            yield Finding(_place(fact), f"{words} words, {LONGEST_FACT} at most")
        longest = max(len(sentence.split()) for sentence in SENTENCE_END.split(fact.text))
        if longest > LONGEST_SENTENCE:
            yield Finding(_place(fact), f"a sentence of {longest} words, {LONGEST_SENTENCE} at most")
        if not fact.text.endswith((".", "!", "?", '."', '?"')):
            yield Finding(_place(fact), "does not end in a full stop")


def sources(knowledge: Corpus) -> Iterator[Finding]:
    """Facts without a precise source, arXiv ids that are none or differ from their address, ids that lead nowhere."""
    known = set(knowledge.by_id) | {document.path for document in knowledge.documents}
    authors = {document.path: document.header.get("author", "") for document in knowledge.documents}
    for fact in knowledge.facts:
        author = authors[fact.document].split(" ")[-1]
        own = fact.kind == "article" and author and author in fact.sources[0].citation
        if not own and not any(_precise(source) for source in fact.sources):
            yield Finding(_place(fact), "no source names author and year, an arXiv id, a page or another fact")
        if fact.sources[0].status == "verified" and not fact.sources[0].url and not own:
            yield Finding(_place(fact), "was verified at a source without an address")
        for source in fact.sources:
            yield from (Finding(_place(fact), complaint) for complaint in _arxiv(source))
            dead = set(_mentions(source.citation)) - known
            if dead:
                yield Finding(_place(fact), f"refers to {', '.join(sorted(dead))}, which does not exist")


def _precise(source: Source) -> bool:
    citation = source.citation
    return bool(source.url or ARXIV.search(citation) or MENTION.search(citation) or DATED_NAME.search(citation))


def _arxiv(source: Source) -> Iterator[str]:
    named = ARXIV.findall(source.citation)
    for number in named:
        if not ARXIV_ID.fullmatch(number):
            yield f"arXiv:{number} is no arXiv id"
    linked = re.fullmatch(r"https://arxiv\.org/abs/(\S+)", source.url or "")
    if linked and named and _unversioned(linked[1]) not in map(_unversioned, named):
        yield f"links to arXiv {linked[1]} and cites {', '.join(named)}"


def _unversioned(number: str) -> str:
    return re.sub(r"v\d+$", "", number)


def _mentions(text: str) -> list[str]:
    return [match[0] for match in MENTION.finditer(text)]


def dates(facts: Iterable[Fact]) -> Iterator[Finding]:
    """Facts that age and do not say as of when.

    A fact ages where it names money, a law, a licence or an API, or stands in a topic of such. A bare "cost" compares
    two ways and does not age.
    """
    for fact in facts:
        why = [name for name, pattern in AGEING.items() if pattern.search(fact.text)]
        if fact.topic in AGEING_TOPICS:
            why.append(f"the topic {fact.topic}")
        # The rules and the glossary name such things without stating how they stand.
        if why and fact.kind in ("topic", "case") and not any(source.as_of for source in fact.sources):
            yield Finding(_place(fact), f"tells {why[0]} and has no 'as of' date")


def links(folder: Path) -> Iterator[Finding]:
    """Relative links and anchors in the Markdown files that lead nowhere."""
    for page in sorted(folder.rglob("*.md")):
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            path, anchor = match["path"], match["anchor"]
            if re.match(r"[a-z]+:", path):
                continue
            target = page.parent / path if path else page
            if not target.exists():
                yield Finding(page.relative_to(folder).as_posix(), f"the link to {path} is dead")
            elif anchor and anchor not in _anchors(target):
                yield Finding(page.relative_to(folder).as_posix(), f"{path or 'the page'} has no heading #{anchor}")


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def repetitions(facts: tuple[Fact, ...], vectors: NDArray[np.float32]) -> Iterator[Finding]:
    """Pairs of facts that say the same, and facts of one work told on two topic pages."""
    likeness = vectors @ vectors.T
    likely = {(int(a), int(b)) for a, b in np.argwhere(np.triu(likeness, 1) >= min(NEAR_DUPLICATE, TOLD_TWICE))}
    works: dict[str, set[int]] = defaultdict(set)
    for index, fact in enumerate(facts):
        for source in fact.sources:
            for number in ARXIV.findall(source.citation):
                works[number].add(index)
    twice = {pair for members in works.values() for pair in combinations(sorted(members), 2)}
    for a, b in sorted(likely):
        one, other = facts[a], facts[b]
        pages = {one.document, other.document}
        if likeness[a, b] >= NEAR_DUPLICATE or (
            (a, b) in twice and len(pages) == 2 and one.kind == other.kind == "topic"
        ):
            yield Finding(_place(one), f"says the same as {other.id} (cosine {likeness[a, b]:.2f})")


def _place(fact: Fact) -> str:
    return f"{fact.document} {fact.id}"


def main() -> int:
    """Check the folder of the settings or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m evals.knowledge", description="Check a knowledge folder.")
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args().folder
    try:
        folder = given or Settings.load().knowledge or resource("knowledge")
        knowledge = corpus.load(folder)
        vectors = Advisor().embedder.encode([fact.text for fact in knowledge.facts])
    except TunewiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    findings = check(folder, knowledge, vectors)
    for finding in findings:
        print(finding)
    print(f"{len(knowledge.facts)} facts in {len(knowledge.documents)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
