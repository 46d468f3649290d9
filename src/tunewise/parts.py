"""What an advisor consists of, loaded on first use."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise import corpus, generation
from tunewise.artifacts import ModelStore, PullProgress
from tunewise.documents import DocumentStore, Indexed, OwnDocument, with_documents
from tunewise.embedding import Embedder
from tunewise.factors import Reading, SheetReader, embed_levels
from tunewise.heads import SHIPPED, Heads
from tunewise.llm import LocalModel
from tunewise.observing import Observer
from tunewise.orders import Orders, Read
from tunewise.prompts import PromptLibrary
from tunewise.retrieval import Index, forget_others
from tunewise.settings import Settings, resource

EMBEDDER = "minilm-l6-v2-int8"
TOKENIZER = "minilm-l6-v2-tokenizer"


class Parts:
    """What an advisor consists of: model, index, prompts, heads; each loaded when it is first needed.

    Safe to share between threads.

    Args:
        settings: Where to look for model, knowledge and cache; read from the environment where None.
        on_pull: Called with progress while a missing model is fetched.
        overrides: Single settings, such as `model="qwen2.5-coder-0.5b"`.

    Raises:
        SettingsError: A setting cannot be used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        on_pull: Callable[[PullProgress], None] | None = None,
        **overrides: object,
    ) -> None:
        self.settings = settings or Settings.load(**overrides)
        self._on_pull = on_pull
        self._guard = threading.RLock()
        self._parts: dict[str, Any] = {}
        self._readings: dict[str, Reading] = {}
        self._last_read = ("", Read(""))

    def _part(self, name: str, make: Callable[[], Any]) -> Any:
        with self._guard:
            if name not in self._parts:
                self._parts[name] = make()
            return self._parts[name]

    @property
    def store(self) -> ModelStore:
        """The model store."""
        made: ModelStore = self._part(
            "store", lambda: ModelStore(self.settings.cache / "models", offline=self.settings.offline)
        )
        return made

    @property
    def library(self) -> PromptLibrary:
        """Prompts, factors and worked examples."""
        made: PromptLibrary = self._part("library", lambda: PromptLibrary(self.settings.prompts or resource("prompts")))
        return made

    @property
    def embedder(self) -> Embedder:
        """The sentence embedder."""
        made: Embedder = self._part("embedder", self._make_embedder)
        return made

    @property
    def index(self) -> Index:
        """The index of the knowledge folder and the user's documents; built where it is missing."""
        made: Index = self._part("index", self._make_index)
        # Another process, such as the command line beside an open page, may have added or removed some.
        if self._parts.get("documents", 0) != document_store(self.settings).state:
            made = self.build_index()
        return made

    @property
    def model(self) -> LocalModel:
        """The local model."""
        made: LocalModel = self._part("model", self._make_model)
        return made

    @property
    def reader(self) -> SheetReader:
        """Reads situations into factor sheets."""
        made: SheetReader = self._part("reader", lambda: SheetReader(self.model, self.library))
        return made

    @property
    def meanings(self) -> NDArray[np.float32]:
        """Embeddings of the levels of all factors."""
        made: NDArray[np.float32] = self._part("meanings", lambda: embed_levels(self.library.factors, self.embedder))
        return made

    @property
    def writer(self) -> generation.AnswerWriter:
        """Answers questions about the subject."""
        made: generation.AnswerWriter = self._part("writer", lambda: generation.AnswerWriter(self.model, self.library))
        return made

    @property
    def heads(self) -> Heads | None:
        """The decision heads, if any were fitted on this model with these prompts."""
        made: Heads | None = self._part("heads", self._make_heads)
        return made

    def _make_heads(self) -> Heads | None:
        fits = self.shipped_heads.fits(self.model.fingerprint, self.library.digest)
        return self.shipped_heads if fits else None

    @property
    def observer(self) -> Observer:
        """Takes note of every answer."""
        settings = self.settings
        made: Observer = self._part(
            "observer", lambda: Observer(settings.log, aloud=settings.verbose, text=settings.log_text)
        )
        return made

    @property
    def shipped_heads(self) -> Heads:
        """The heads that come with Tunewise, whatever the model."""
        made: Heads = self._part("shipped_heads", lambda: Heads.load(SHIPPED))
        return made

    def _make_embedder(self) -> Embedder:
        return Embedder(self.store.pull(EMBEDDER, self._on_pull), self.store.pull(TOKENIZER, self._on_pull))

    def _make_index(self) -> Index:
        return self.build_index()

    def build_index(self, *, rebuild: bool = False, progress: Callable[[int, int], None] | None = None) -> Index:
        """Bring the index up to date with the knowledge folder and the user's documents, and use it from here on.

        Args:
            rebuild: Build it anew even if it is current.
            progress: Called with facts done and facts in all while embedding.

        Raises:
            CorpusError: A file of the knowledge folder is malformed.
            StoreError: The index or the list of documents cannot be read or written.
        """
        state = document_store(self.settings).state
        self._tell_server()
        made = Index.open(
            self.settings.cache / "index",
            searched(self.settings),
            self.embedder,
            rebuild=rebuild,
            progress=progress,
            server=self.settings.chroma_server,
        )
        with self._guard:
            self._parts |= {"index": made, "documents": state}
        return made

    def _tell_server(self) -> None:
        """Say once, before anything is sent, that a file of the working folder names a Chroma server."""
        file = self.settings.filed("chroma")
        if file and "told" not in self._parts:
            self._parts["told"] = True
            server = self.settings.chroma_server
            sys.stderr.write(
                f"tunewise: Vectors of the facts and of what you ask go to the Chroma server {server}, says {file}.\n"
            )

    def add_documents(
        self,
        *targets: Path | str,
        on_file: Callable[[str, int, int], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Indexed:
        """Add documents of one's own: Markdown, text, PDF, HTML or Word; added again, they are brought up to date.

        Args:
            targets: Folders, searched at any depth, or files.
            on_file: Called before each file with its name, files done and files in all.
            progress: As for `build_index`.

        Raises:
            UserError: A target does not exist or holds no document, or none can be read.
            WorkError: A library is missing, or the cache cannot be written.
        """
        done = document_store(self.settings).add([Path(target) for target in targets], self.embedder, on_file)
        built = self.build_index(progress=progress)
        if done.removed:
            forget_others(built)
        return done

    def documents(self) -> tuple[OwnDocument, ...]:
        """The documents that were added."""
        return document_store(self.settings).documents()

    def remove_documents(self, *targets: Path | str) -> tuple[OwnDocument, ...]:
        """Forget documents: single ones, or all of a folder. The files themselves are left alone.

        Args:
            targets: Paths of files or folders, or the names under which they are listed.

        Returns:
            What was forgotten.

        Raises:
            UserError: No document was added from one of them; nothing is forgotten then.
        """
        gone = document_store(self.settings).remove(*targets)
        forget_others(self.build_index())
        return gone

    def _make_model(self) -> LocalModel:
        path = self.store.resolve(self.settings.model, self._on_pull)
        return LocalModel(
            path,
            fingerprint=self.store.fingerprint(path),
            context=self.settings.context,
            threads=self.settings.threads,
            prefixes=self.settings.cache / "prefixes",
        )

    def orders(self, text: str) -> Read:
        """A message as the model reads it: without sentences that are addressed to the model."""
        with self._guard:
            if self._last_read[0] != text:
                self._last_read = (text, Orders.shipped().read(text, self.embedder))
            return self._last_read[1]

    def load(self) -> None:
        """Load everything now rather than at the first question."""
        _ = self.index, self.reader, self.heads, self.meanings

    def close(self) -> None:
        """Free the model's memory."""
        with self._guard:
            model = self._parts.pop("model", None)
            self._parts.pop("reader", None)
            self._parts.pop("writer", None)
        if model is not None:
            model.close()


def knowledge_folder(settings: Settings) -> Path:
    """The knowledge folder that settings name."""
    return settings.knowledge or resource("knowledge")


def document_store(settings: Settings) -> DocumentStore:
    """Where the user's own documents are kept."""
    return DocumentStore(settings.cache / "documents")


def searched(settings: Settings) -> corpus.Corpus:
    """Everything that is searched: the knowledge folder and the user's own documents."""
    own = document_store(settings).corpus_documents()
    return with_documents(corpus.load(knowledge_folder(settings)), own)
