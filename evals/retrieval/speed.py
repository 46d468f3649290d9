"""How long a query, a build and an update take, in the folder's own size and over very many facts."""

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from evals.retrieval.data import Query
from tunewise import corpus
from tunewise.corpus import Corpus, Document
from tunewise.embedding import Embedder
from tunewise.facts import Fact
from tunewise.retrieval import Index

REPEATS = 3
NUMBER = re.compile(r"\d+(?:\.\d+)?")
NOISE = 0.05
"""Spread of what is added to each coordinate of a varied fact's embedding, whose own spread is about the same."""


class Varied(Embedder):
    """The real embedder for queries; for varied facts a stand-in: the real fact's embedding with noise.

    Embedding 100,000 facts takes ten minutes and more, and where they lie matters little to the time of a search.
    """

    def __init__(self, inner: Embedder, known: dict[str, NDArray[np.float32]]) -> None:
        self._inner, self._known = inner, known

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings, those of varied facts made up."""
        if all(text in self._known for text in texts):
            return np.array([self._known[text] for text in texts], dtype=np.float32)
        return self._inner.encode(texts)

    def words(self) -> list[str]:
        """Those of the real embedder."""
        return self._inner.words()


def own_size(folder: Path, embedder: Embedder, asked: Sequence[Query]) -> dict[str, float]:
    """Seconds of a full build and of an update of one file, and milliseconds of a query.

    Args:
        folder: The knowledge folder.
        embedder: What to embed with.
        asked: Queries to time.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "knowledge"
        shutil.copytree(folder, copy)
        known = corpus.load(copy)
        began = time.perf_counter()
        index = Index.open(Path(scratch) / "index", known, embedder)
        built = time.perf_counter() - began
        query = _query(index, asked)
        path = copy / known.documents[0].path
        path.write_text(path.read_text() + "- **ZZ99** Something new of zebras.\n  Source: Someone 2024 | recalled\n")
        changed = corpus.load(copy)
        began = time.perf_counter()
        Index.open(Path(scratch) / "index", changed, embedder)
        updated = time.perf_counter() - began
    return {"facts": len(known.facts), "build_s": round(built, 2), "update_s": round(updated, 2), "query_ms": query}


def large(index: Index, count: int, asked: Sequence[Query]) -> dict[str, float]:
    """Milliseconds of a query over very many facts, recombined from sentences of the folder with other figures.

    Args:
        index: Of the knowledge folder.
        count: Facts to make.
        asked: Queries to time.
    """
    random = np.random.default_rng(0)
    facts = index.corpus.facts
    sentences = [sentence for fact in facts for sentence in re.split(r"(?<=[.:;]) ", fact.text) if len(sentence) > 20]
    made: list[Fact] = []
    known: dict[str, NDArray[np.float32]] = {}
    for number in range(count):
        place = int(random.integers(len(facts)))
        other = sentences[int(random.integers(len(sentences)))]
        text = NUMBER.sub(lambda _: str(int(random.integers(2, 9_999))), f"{facts[place].text.split('. ')[0]}. {other}")
        update = {"id": f"Z{number}", "text": text, "document": f"z{number // 40}.md", "section": str(number // 8)}
        fact = facts[place].model_copy(update=update)
        row = index.vectors[place] + random.normal(0, NOISE, index.vectors.shape[1])
        known[f"{fact.title}: {text}"] = (row / np.linalg.norm(row)).astype(np.float32)
        made.append(fact)
    documents = [
        Document(f"z{start // 40}.md", str(start), {}, tuple(made[start : start + 40])) for start in range(0, count, 40)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        big = Index.open(Path(scratch), Corpus(tuple(documents)), Varied(index._embedder, known))
        built = time.perf_counter() - began
        query = _query(big, asked)
    return {"facts": count, "build_s": round(built, 1), "query_ms": query}


def _query(index: Index, asked: Sequence[Query]) -> float:
    """Median over the queries of the fastest of a few tries: other work on the machine only ever adds."""
    times = []
    for query in asked:
        tries = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            index.search(query.text, 5)
            tries.append(time.perf_counter() - began)
        times.append(min(tries))
    return round(1000 * median(times), 2)
