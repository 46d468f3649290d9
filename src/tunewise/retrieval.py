"""Search over facts: adapted embeddings in Chroma and BM25 side by side, candidates put in order by `ranking`.

An index is a folder that is built once and never changed: named by the hash of what it was built from,
written under another name and moved into place, so that a crash leaves the old one. Vectors of facts
that did not change are taken over from the previous index.
"""

import json
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from filelock import FileLock
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from numpy.typing import NDArray
from pydantic import ValidationError

from tunewise.adapter import Adapter
from tunewise.corpus import Corpus
from tunewise.embedding import WIDTH, Embedder
from tunewise.errors import StoreError
from tunewise.ranking import Found, Layout, Side, best, query_terms, terms, woven
from tunewise.schema import Fact, Hit
from tunewise.spelling import Speller

FORMAT = 9
"""Version of the layout of an index folder."""
MANIFEST = "manifest.json"
WORDS = "words.json"
UNFINISHED = ".building-"
LETTERS = re.compile(r"[a-z]+")
BATCH = 256
"""Texts embedded between two reports of progress."""
STORED = 2_000
"""Vectors handed to Chroma at once."""
CANDIDATES = 60
"""Facts that each search hands to the fusion."""
FILTERED = 150
"""The same where a filter will drop some of them."""
TWIN = 0.92
"""Cosine above which two facts count as one."""


@dataclass(frozen=True)
class Filter:
    """Restricts a search; None lets everything through."""

    topics: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    statuses: frozenset[str] | None = None

    def admits(self, fact: Fact) -> bool:
        """Whether a fact passes."""
        return (
            (self.topics is None or fact.topic in self.topics)
            and (self.kinds is None or fact.kind in self.kinds)
            and (self.statuses is None or fact.sources[0].status in self.statuses)
        )


class Index:
    """Facts that can be searched. Use `Index.open`, which builds what is missing.

    Args:
        folder: A complete index folder.
        corpus: What it was built from.
        embedder: What it was built with.
        server: Address of the Chroma server that holds its vectors; None where they lie in the folder.

    Raises:
        StoreError: The folder is damaged or was built from something else, or the server does not answer.
    """

    def __init__(self, folder: Path, corpus: Corpus, embedder: Embedder, server: str | None = None) -> None:
        import bm25s

        self.folder = folder
        self.corpus = corpus
        self._embedder = embedder
        self.server = server
        self._facts = corpus.facts
        self._place = {fact.id: place for place, fact in enumerate(self._facts)}
        self._layout = Layout.of(self._facts)
        self._adapter = Adapter.shipped()
        self._unasked = unasked(corpus)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            if manifest["corpus"] != corpus.digest or manifest["facts"] != len(self._facts):
                raise StoreError("The index was built from another knowledge folder.", "Run 'tunewise index'.")
            if manifest["adapter"] != self._adapter.digest:
                raise StoreError("The index was built by another version of Tunewise.", "Run 'tunewise index'.")
            self.vectors: NDArray[np.float32] = np.load(folder / "vectors.npy", allow_pickle=False)
            self._near: NDArray[np.float32] = self._adapter.facts(self.vectors)
            self._lexical = bm25s.BM25.load(str(folder / "bm25"), load_corpus=False)
            self._bare = bm25s.BM25.load(str(folder / "bare"), load_corpus=False) if self._unasked else None
            self._speller = Speller(json.loads((folder / WORDS).read_text()), embedder.words())
            self._stored = _client(server, folder / manifest["store"]).get_collection(manifest["store"])
            if self._stored.count() != len(self._facts):
                raise StoreError("The index is not complete.", "Run 'tunewise index --rebuild'.")
        except StoreError:
            raise
        # Chroma, NumPy and bm25s raise errors of a dozen kinds over damaged files.
        except Exception as error:
            raise StoreError(f"The index cannot be read: {error}", "Run 'tunewise index --rebuild'.") from error

    @classmethod
    def open(
        cls,
        root: Path,
        corpus: Corpus,
        embedder: Embedder,
        *,
        rebuild: bool = False,
        progress: Callable[[int, int], None] | None = None,
        server: str | None = None,
    ) -> "Index":
        """The index of a corpus, built where it is missing or damaged.

        Args:
            root: Folder of all indexes.
            corpus: What to index.
            embedder: What to embed with.
            rebuild: Build it anew whatever is there.
            progress: Called with facts done and facts in all while embedding.
            server: Address of a Chroma server that is to hold the vectors, such as http://127.0.0.1:8000; texts
                stay here.

        Raises:
            StoreError: The folder cannot be written, or the server does not answer.
        """
        refused = (OSError, _chroma().errors.ChromaError)
        folder = index_folder(root, corpus, server)
        if server:
            _client(server, folder).heartbeat()
        if not rebuild and (found := cls._complete(folder, corpus, embedder, server)):
            return found
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            # Whoever waited for another process finds that its index is there.
            with FileLock(root.with_suffix(".lock")):
                if not rebuild and (found := cls._complete(folder, corpus, embedder, server)):
                    return found
                _build(folder, corpus, embedder, progress, reuse=not rebuild, server=server)
                return cls(folder, corpus, embedder, server)
        # On a full disk Chroma's database fails first, with an error of its own.
        except refused as error:
            raise StoreError(
                f"The index cannot be written to {root}: {getattr(error, 'strerror', None) or error}.",
                "Set TUNEWISE_CACHE to a folder that can be written.",
            ) from error

    @classmethod
    def _complete(cls, folder: Path, corpus: Corpus, embedder: Embedder, server: str | None) -> "Index | None":
        """The index in a folder; None where it is missing or damaged."""
        if not (folder / MANIFEST).is_file():
            return None
        try:
            return cls(folder, corpus, embedder, server)
        except StoreError:
            return None

    def search(self, query: str, k: int = 5, *, only: Filter | None = None) -> list[Hit]:
        """The facts that fit a query best.

        Args:
            query: Any text; a question or a whole situation.
            k: Most facts to return.
            only: Restricts the search.

        Returns:
            At most `k` hits, best first, no two of them near-twins.
        """
        query = self._speller.correct(query)
        return self._search(query, self._embedder.encode([query])[0], k, only or Filter())

    def search_vector(
        self, query: str, vector: NDArray[np.float32], k: int = 5, *, only: Filter | None = None
    ) -> list[Hit]:
        """`search` with the query's embedding at hand."""
        return self._search(self._speller.correct(query), vector, k, only or Filter())

    def _search(self, query: str, vector: NDArray[np.float32], k: int, only: Filter) -> list[Hit]:
        turned = self._adapter.queries(vector)
        near = Side(self._near, turned, self._lexical_scores(query), partial(self._dense, turned))
        found = self._ranked(near, k, only)
        if self._bare is not None:
            words = self._lexical_scores(query, self._bare)
            plain = Side(self.vectors, vector, words, partial(best, self.vectors @ vector))
            found = woven(found, self._ranked(plain, k, only), self._unasked)
        kept = set(self._without_twins([one.place for one in found], k))
        return [
            Hit(fact=self._facts[one.place], score=one.score, dense_rank=one.dense_rank, lexical_rank=one.lexical_rank)
            for one in found
            if one.place in kept
        ]

    def _ranked(self, side: Side, k: int, only: Filter) -> list[Found]:
        """Every candidate that a filter admits, best first; of all facts where a filter leaves too few."""

        def admits(place: int) -> bool:
            return only.admits(self._facts[place])

        wide = min(len(self._facts), CANDIDATES if only == Filter() else FILTERED)
        dense, lexical = side.candidates(wide, admits)
        if len(dense) < k and wide < len(self._facts):
            dense, lexical = side.candidates(len(self._facts), admits)
        return side.ranked(dense, lexical, self._layout)

    def vector(self, fact: Fact) -> NDArray[np.float32]:
        """Embedding of an indexed fact, shape (384,)."""
        return np.asarray(self.vectors[self._place[fact.id]], dtype=np.float32)

    def as_retriever(self, k: int = 5, only: Filter | None = None) -> BaseRetriever:
        """This index as a LangChain retriever of `Document`s; `id` is the fact's."""
        return FactRetriever(index=self, k=k, only=only)

    def cosines(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of every fact with a query, both in the adapter's space; shape (facts,).

        Args:
            vector: The query's embedding, shape (384,).
        """
        return np.asarray(self._near @ self._adapter.queries(vector), dtype=np.float32)

    def _dense(self, vector: NDArray[np.float32], k: int) -> list[int]:
        try:
            found = self._stored.query(query_embeddings=[vector], n_results=k, include=["distances"])
        # Over a network Chroma lets through whatever its HTTP client raises.
        except Exception as error:
            if self.server is None:
                raise
            raise _silent(self.server) from error
        return [self._place[identifier] for identifier in found["ids"][0] if identifier in self._place]

    def _lexical_scores(self, query: str, searcher: Any = None) -> NDArray[np.float32]:
        searcher = searcher or self._lexical
        words = query_terms(query, searcher.vocab_dict)
        if not words:
            return np.zeros(len(self._facts), dtype=np.float32)
        return np.asarray(searcher.get_scores(words), dtype=np.float32)

    def _without_twins(self, places: Sequence[int], k: int) -> list[int]:
        kept: list[int] = []
        for place in places:
            if len(kept) == k:
                break
            if not kept or float((self.vectors[kept] @ self.vectors[place]).max()) < TWIN:
                kept.append(place)
        return kept


class FactRetriever(BaseRetriever):
    """A LangChain retriever over an `Index`."""

    index: Any
    """The index."""
    k: int = 5
    """Most documents to return."""
    only: Any = None
    """Restricts the search."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(
                id=hit.fact.id,
                page_content=hit.fact.text,
                metadata={
                    "title": hit.fact.title,
                    "document": hit.fact.document,
                    "topic": hit.fact.topic,
                    "source": hit.fact.sources[0].citation,
                    "url": hit.fact.sources[0].url,
                    "score": hit.score,
                },
            )
            for hit in self.index.search(query, self.k, only=self.only)
        ]


def indexed_text(fact: Fact) -> str:
    """What is embedded of a fact: its words and the title it stands under."""
    return f"{fact.title}: {fact.text}"


def lexical_text(fact: Fact, questions: Sequence[str] = ()) -> str:
    """What BM25 reads of a fact: its words, the title and the heading it stands under, and what asks for it."""
    return " ".join([f"{fact.title}. {fact.section}: {fact.text}", *questions])


def unasked(corpus: Corpus) -> frozenset[int]:
    """Places of the facts that no question is known for, such as those of one's own documents."""
    return frozenset(place for place, fact in enumerate(corpus.facts) if fact.id not in corpus.questions)


def index_folder(root: Path, corpus: Corpus, server: str | None = None) -> Path:
    """Where the index of a corpus lies."""
    place = f"-{sha256(server.encode()).hexdigest()[:8]}" if server else ""
    return root / f"{corpus.digest[:16]}{place}-v{FORMAT}"


def _client(server: str | None, folder: Path) -> Any:
    """Chroma on a server, or embedded in a folder; either way it reports nothing to its makers.

    Raises:
        StoreError: The server does not answer as Chroma does, or a variable of the environment is not Chroma's.
    """
    chroma = _chroma()
    ours: dict[str, Any] = {"anonymized_telemetry": False, "allow_reset": False}
    if server is None:
        # Made of Chroma's defaults alone: CHROMA_API_IMPL and its like would send the vectors elsewhere.
        return chroma.PersistentClient(path=str(folder), settings=chroma.Settings.model_construct(**ours))
    address = urlsplit(server)
    secure = address.scheme == "https"
    port = address.port or (443 if secure else 80)
    ours |= {"chroma_server_host": None, "chroma_server_http_port": None}
    try:
        # The environment may hold what the server asks for, such as CHROMA_CLIENT_AUTH_CREDENTIALS.
        settings = chroma.Settings(_env_file=None, **ours)
        return chroma.HttpClient(address.hostname or "", port, ssl=secure, settings=settings)
    # Besides errors of its own, Chroma lets through whatever its HTTP client raises.
    except Exception as error:
        raise _silent(server) from error


@cache
def _chroma() -> Any:
    """Chroma. As it is imported it reads settings, also from a `.env` of the working folder, which may be a stranger's.

    Raises:
        StoreError: A variable of the environment is not what Chroma takes.
    """
    from pydantic_settings import BaseSettings

    ordinary = BaseSettings.__init__

    def without_file(made: BaseSettings, **values: Any) -> None:
        ordinary(made, **{"_env_file": None, **values})

    BaseSettings.__init__ = without_file  # type: ignore[assignment,method-assign]
    try:
        import chromadb.errors
    except ValidationError as error:
        names = ", ".join(".".join(str(part) for part in item["loc"]).upper() for item in error.errors())
        raise StoreError(f"Chroma cannot use {names} of the environment.", "Unset it.") from error
    finally:
        BaseSettings.__init__ = ordinary  # type: ignore[method-assign]
    return chromadb


def _silent(server: str) -> StoreError:
    return StoreError(
        f"The Chroma server at {server} does not answer.",
        "Start it with 'chroma run', or unset TUNEWISE_CHROMA to keep the index in the cache.",
    )


def _store(client: Any, name: str, facts: Sequence[Fact], vectors: NDArray[np.float32]) -> None:
    """Put vectors into a new collection. Their texts stay here: Chroma would index every three letters of them."""
    collection = client.create_collection(name, metadata={"hnsw:space": "cosine", "hnsw:search_ef": 100})
    for start in range(0, len(facts), STORED):
        part = slice(start, start + STORED)
        collection.add(ids=[fact.id for fact in facts[part]], embeddings=vectors[part])


def _build(
    folder: Path,
    corpus: Corpus,
    embedder: Embedder,
    progress: Callable[[int, int], None] | None,
    *,
    reuse: bool,
    server: str | None,
) -> None:
    root = folder.parent
    # It may hold texts of the user's own.
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    _clear_unfinished(root)
    scratch = root / f"{UNFINISHED}{os.getpid()}-{time.monotonic_ns()}"
    scratch.mkdir()
    try:
        facts = corpus.facts
        texts = [indexed_text(fact) for fact in facts]
        known = _known_vectors(root) if reuse else {}
        vectors = np.asarray(_embed(texts, known, embedder, progress), dtype=np.float32).reshape(len(facts), WIDTH)
        adapter = Adapter.shipped()
        # Chroma remembers every path it opened, so a folder that is built anew gets a new name. On a server
        # the name keeps apart what several machines built.
        name = f"chroma-{time.time_ns()}"
        _store(_client(server, scratch / name), name, facts, adapter.facts(vectors))
        read = [lexical_text(fact, corpus.questions.get(fact.id, ())) for fact in facts]
        _index_words(read, scratch / "bm25")
        if unasked(corpus):
            _index_words([lexical_text(fact) for fact in facts], scratch / "bare")
        np.save(scratch / "vectors.npy", vectors, allow_pickle=False)
        (scratch / WORDS).write_text(json.dumps(Counter(LETTERS.findall(" ".join(read).lower()))))
        keys = [sha256(text.encode()).hexdigest() for text in texts]
        (scratch / "texts.json").write_text(json.dumps(keys))
        manifest = {"corpus": corpus.digest, "facts": len(facts), "store": name, "server": server}
        manifest |= {"format": FORMAT, "adapter": adapter.digest}
        (scratch / MANIFEST).write_text(json.dumps(manifest))
        _put_in_place(scratch, folder, server)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _index_words(read: Sequence[str], folder: Path) -> None:
    import bm25s

    searcher = bm25s.BM25(method="lucene", k1=1.2, b=0.6)
    # An index of no word at all, as of signs alone, cannot be made: an empty one is never asked for.
    words = [terms(text) for text in read]
    searcher.index(words if any(words) else [[""] for _ in words], show_progress=False)
    searcher.save(str(folder))


def _put_in_place(scratch: Path, folder: Path, server: str | None) -> None:
    """Move a finished index into place; another process may have been first, or the old be damaged."""
    if folder.exists():
        _drop(folder, server)
    scratch.rename(folder)
    stale = sorted(folder.parent.glob("*-v*"), key=lambda path: path.stat().st_mtime)[:-3]
    for old in stale:
        _drop(old, server)


def forget_others(index: Index) -> None:
    """Delete every other index of the same folder: they hold texts that the user had removed."""
    root = index.folder.parent
    for folder in root.glob("*-v*"):
        if folder != index.folder:
            _drop(folder, index.server)
    # Whoever has the lock now has cleared the folder before it began to build.
    with suppress(OSError), FileLock(root.with_suffix(".lock"), timeout=0):
        _clear_unfinished(root)


def _clear_unfinished(root: Path) -> None:
    """Delete what killed processes left half built; under the lock, no other one is at work."""
    for folder in root.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _drop(folder: Path, server: str | None) -> None:
    """Delete an index, and what it holds on the server that is in use."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if server and manifest["server"] == server:
            _client(server, folder).delete_collection(manifest["store"])
    # A damaged index, or one whose collection is gone, is deleted all the same.
    except Exception as error:
        logging.getLogger(__name__).debug("The collection of %s was not deleted: %s", folder.name, error)
    shutil.rmtree(folder, ignore_errors=True)


def _known_vectors(root: Path) -> dict[str, NDArray[np.float32]]:
    """Vectors of earlier indexes by the hash of their text."""
    known: dict[str, NDArray[np.float32]] = {}
    for folder in root.glob(f"*-v{FORMAT}"):
        try:
            keys = json.loads((folder / "texts.json").read_text())
            known.update(zip(keys, np.load(folder / "vectors.npy", allow_pickle=False), strict=True))
        # A damaged old index only means that its facts are embedded again.
        except (OSError, ValueError, EOFError):
            continue
    return known


def _embed(
    texts: Sequence[str],
    known: dict[str, NDArray[np.float32]],
    embedder: Embedder,
    progress: Callable[[int, int], None] | None,
) -> list[NDArray[np.float32]]:
    keys = [sha256(text.encode()).hexdigest() for text in texts]
    # Texts of one length beside each other need no padding.
    missing = sorted((place for place, key in enumerate(keys) if key not in known), key=lambda place: len(texts[place]))
    vectors = dict(known)
    for start in range(0, len(missing), BATCH):
        places = missing[start : start + BATCH]
        rows = embedder.encode([texts[place] for place in places])
        vectors.update((keys[place], row) for place, row in zip(places, rows, strict=True))
        if progress:
            progress(start + len(places), len(missing))
    return [vectors[key] for key in keys]
