"""The user's own documents: added, listed and removed; searched beside the knowledge that ships.

Their passages are kept in a folder of the cache, named by the hash of the file they come from, so that a
document is read once and can be searched after a restart whether or not its file is still there. A list,
replaced in one step, says which documents count.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from tunewise import corpus
from tunewise.embedding import Embedder
from tunewise.errors import InputError, StoreError, UserError
from tunewise.loaders import Loaded, UnreadableError
from tunewise.orders import Orders, split
from tunewise.reading import Candidate, Reader, candidates, contents, shown
from tunewise.schema import Fact, Source, Value

OWN = "own"
"""Topic, kind and status of what comes out of the user's documents."""
LIST = "documents.json"
MOST_PASSAGES = 100_000
"""Passages of all documents together; embedding so many takes some ten minutes."""
LAYOUT = 3
"""Version of what is kept; raised whenever the loaders cut or clean in another way."""
Progress = Callable[[str, int, int], None]
"""Called with the name of the file that is being read, files done and files in all."""


class OwnDocument(Value):
    """A document that the user added."""

    path: str
    """Where its file was, absolute; bytes that are no text are written as `\\xff`."""
    name: str
    """How it is cited: its path from the folder that was named, that folder included."""
    title: str
    """Its own title; the name of the file where it has none."""
    digest: str
    """SHA-256 of the file."""
    passages: int
    """How many passages of it can be searched."""
    pages: int | None
    """Pages that were read; None where the format has none."""
    added: str
    """Date (YYYY-MM-DD) on which it was read."""
    notes: tuple[str, ...] = ()
    """What was left out of it or guessed, in clauses."""
    key: str
    """Names the passages that are kept."""


class Skipped(Value):
    """A file that was not read."""

    name: str
    """The file."""
    why: str
    """The reason, as a clause that completes its name: `it is encrypted`."""


class Indexed(Value):
    """What came of adding documents."""

    added: tuple[OwnDocument, ...] = ()
    """Read for the first time."""
    changed: tuple[OwnDocument, ...] = ()
    """Read again, because their content changed."""
    unchanged: tuple[OwnDocument, ...] = ()
    """Taken over as they were."""
    removed: tuple[str, ...] = ()
    """Names of those whose files are gone or can no longer be read."""
    skipped: tuple[Skipped, ...] = ()
    """Files that were not read."""


class KeptPassage(Value):
    """A passage as it is kept."""

    place: str
    """Page or section; empty where there is none."""
    text: str
    """The passage, verbatim."""
    told: str | None = None
    """What the model reads of it, where that is less."""


class Kept(Value):
    """The passages of one file."""

    title: str
    pages: int | None
    notes: tuple[str, ...]
    passages: tuple[KeptPassage, ...]


LISTED = TypeAdapter(tuple[OwnDocument, ...])


class DocumentStore:
    """Keeps the passages of the user's documents. Several processes may share its folder.

    Args:
        folder: Of its own; made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, targets: Sequence[Path], embedder: Embedder, progress: Progress | None = None) -> Indexed:
        """Read documents; those of a folder that was added before are brought up to date, and forgotten where gone.

        Args:
            targets: Folders, searched at any depth, or files.
            embedder: Tells orders to the model from descriptions.
            progress: Called before every file.

        Raises:
            UserError: Nothing was added before from a target that does not exist or holds no document, or from any
                of the targets, and none of their documents can be read.
            WorkError: A library is missing, or the folder of the store cannot be written.
        """
        homes = [_home(target) for target in targets]
        files = self._files(targets, homes)
        with self._locked():
            before = {item.path: item for item in self.documents()}
            read, skipped = self._read(files, before, embedder, progress)
            lost = [item for path, item in before.items() if path not in read and _under(path, homes)]
            if skipped and not read and not lost:
                first = skipped[0]
                rest = f", nor can {len(skipped) - 1} others" if len(skipped) > 1 else ""
                raise InputError(f"{first.name} cannot be read: {first.why}{rest}.", "Name documents that hold text.")
            kept = {path: item for path, item in before.items() if item not in lost} | read
            self._write(kept.values())
        return Indexed(
            added=tuple(item for path, item in read.items() if path not in before),
            changed=tuple(item for path, item in read.items() if path in before and before[path].key != item.key),
            unchanged=tuple(item for path, item in read.items() if path in before and before[path].key == item.key),
            removed=tuple(item.name for item in lost),
            skipped=tuple(skipped),
        )

    def documents(self) -> tuple[OwnDocument, ...]:
        """What was added, by path.

        Raises:
            StoreError: The list is damaged.
        """
        try:
            return LISTED.validate_json((self.folder / LIST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, ValidationError):
            raise StoreError(
                f"The list of your documents in {self.folder} is damaged.",
                "Delete that folder, then add your documents again with 'tunewise index FOLDER'.",
            ) from None

    def remove(self, *targets: Path | str) -> tuple[OwnDocument, ...]:
        """Forget documents, or all of a folder; the files themselves are left alone.

        Args:
            targets: Paths of files or folders, there or not, or the names under which they are listed.

        Raises:
            UserError: No document was added from one of them; nothing is forgotten then.
        """
        # An empty path would mean the working folder.
        if not all(str(target).strip() for target in targets):
            raise UserError("No document is named.", "Name a file or folder of 'tunewise index --list'.")
        with self._locked():
            before = self.documents()
            gone: dict[str, OwnDocument] = {}
            for target in targets:
                found = _named(before, target)
                if not found:
                    self._sweep(before)
                    raise UserError(f"No document was added from {shown(str(target))}.", "See 'tunewise index --list'.")
                gone |= {item.path: item for item in found}
            self._write(item for item in before if item.path not in gone)
        return tuple(gone.values())

    @property
    def state(self) -> int:
        """Changes whenever the list does, whoever changes it; 0 where there is none."""
        try:
            return (self.folder / LIST).stat().st_mtime_ns
        except OSError:
            return 0

    def corpus_documents(self) -> tuple[corpus.Document, ...]:
        """The documents as the index takes them: one fact a passage, cited by file and page.

        Raises:
            StoreError: The list is damaged, or passages of a document are lost.
        """
        listed = self.documents()
        while True:
            try:
                return tuple(_corpus_document(item, self._kept(item.key, item.name)) for item in listed)
            except StoreError:
                # What another process removed since the list was read is not lost.
                before, listed = listed, self.documents()
                if listed == before:
                    raise

    def _files(self, targets: Sequence[Path], homes: Sequence[Path]) -> list[Candidate]:
        """What the targets hold, each file once."""
        listed = [item.path for item in self.documents()]
        files: dict[Path, Candidate] = {}
        for target, home in zip(targets, homes, strict=True):
            known = any(_under(path, [home]) for path in listed)
            files |= {file.path: file for file in candidates(target, known=known)}
        return list(files.values())

    def _read(
        self,
        files: Sequence[Candidate],
        before: dict[str, OwnDocument],
        embedder: Embedder,
        progress: Progress | None,
    ) -> tuple[dict[str, OwnDocument], list[Skipped]]:
        read: dict[str, OwnDocument] = {}
        skipped: list[Skipped] = []
        named = {_spelt(file.path) for file in files}
        total = sum(item.passages for path, item in before.items() if path not in named)
        with Reader() as reader:
            for done, file in enumerate(files):
                if progress:
                    progress(file.name, done, len(files))
                try:
                    item = self._document(file, before.get(_spelt(file.path)), reader, embedder)
                    if total + item.passages > MOST_PASSAGES:
                        raise UnreadableError(f"{MOST_PASSAGES:,} passages are the most that can be kept")
                except UnreadableError as error:
                    skipped.append(Skipped(name=file.name, why=str(error)))
                    continue
                total += item.passages
                read[item.path] = item
        return read, skipped

    def _document(self, file: Candidate, before: OwnDocument | None, reader: Reader, embedder: Embedder) -> OwnDocument:
        data = contents(file)
        digest = hashlib.sha256(data).hexdigest()
        key = f"{digest[:32]}{file.suffix}-{_version()}"
        if before and before.key == key and before.name == file.name and self._file(key).is_file():
            return before
        if not self._file(key).is_file():
            kept = _without_orders(reader.read(data, file.suffix), embedder)
            _replace(self._file(key), kept.model_dump_json())
        kept = self._kept(key, file.name)
        return OwnDocument(
            path=_spelt(file.path),
            name=file.name,
            title=kept.title or Path(file.name).stem,
            digest=digest,
            passages=len(kept.passages),
            pages=kept.pages,
            added=date.today().isoformat(),
            notes=kept.notes,
            key=key,
        )

    def _file(self, key: str) -> Path:
        return self.folder / "passages" / f"{key}.json"

    def _kept(self, key: str, name: str) -> Kept:
        try:
            return Kept.model_validate_json(self._file(key).read_bytes())
        except (OSError, ValidationError):
            raise StoreError(
                f"The passages of {name} are lost.",
                "Remove it with 'tunewise index --remove', then add it again.",
            ) from None

    def _write(self, items: Iterable[OwnDocument]) -> None:
        """Replace the list, then drop what no document on it needs."""
        listed = sorted(items, key=lambda item: item.path)
        _replace(self.folder / LIST, LISTED.dump_json(tuple(listed), indent=1).decode())
        self._sweep(listed)

    def _sweep(self, listed: Iterable[OwnDocument]) -> None:
        """Drop passages that no document of the list needs, and what a process that was killed left half written."""
        needed = {self._file(item.key) for item in listed}
        for file in (*(self.folder / "passages").iterdir(), *self.folder.glob(f".{LIST}.*")):
            if file not in needed:
                file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / "passages").mkdir(exist_ok=True, mode=0o700)
            with FileLock(self.folder / ".lock"):
                yield
        except OSError as error:
            raise StoreError(
                f"Your documents cannot be kept in {self.folder}: {error.strerror or error}.",
                "Set TUNEWISE_CACHE to a folder that can be written.",
            ) from error


def _spelt(path: Path) -> str:
    """A path as text; bytes of it that are none are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _home(target: Path) -> Path:
    """Where a target is, links resolved; as it stands where it names no user, or a link to itself."""
    try:
        return target.expanduser().resolve()
    except (OSError, RuntimeError):
        return target


def _named(listed: Sequence[OwnDocument], target: Path | str) -> tuple[OwnDocument, ...]:
    """The documents that a path names, else those that a name of the list does."""
    home = _home(Path(target))
    name = str(target).rstrip("/")
    return tuple(item for item in listed if _under(item.path, [home])) or tuple(
        item for item in listed if item.name == name or item.name.startswith(f"{name}/")
    )


def _under(path: str, homes: Sequence[Path]) -> bool:
    return any(Path(path).is_relative_to(_spelt(home)) for home in homes)


def _replace(file: Path, text: str) -> None:
    """Write a file in one step: a crash leaves the old one."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(file)


@cache
def _version() -> str:
    """Changes with whatever decides what is kept of a document."""
    rules = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("orders.json", "orders.py"))
    return f"{LAYOUT}-{hashlib.sha256(rules).hexdigest()[:8]}"


def _without_orders(loaded: Loaded, embedder: Embedder) -> Kept:
    """Set apart what the model must not read: sentences that are addressed to it.

    A person still sees and finds them where other sentences stand beside them; a passage of nothing but
    orders is left out.
    """
    orders = Orders.shipped()
    pieces = [split(passage.text) for passage in loaded.passages]
    scores = iter(orders.scores([piece for sentences in pieces for piece in sentences], embedder))
    passages: list[KeptPassage] = []
    withheld = 0
    for passage, sentences in zip(loaded.passages, pieces, strict=True):
        good = [piece for piece in sentences if next(scores) < orders.first]
        withheld += len(sentences) - len(good)
        told = "".join(good).strip()
        if told:
            passages.append(
                KeptPassage(place=passage.place, text=passage.text, told=None if told == passage.text else told)
            )
    if not passages:
        raise UnreadableError("it holds nothing but orders to a model")
    plural = (
        "sentences that read like orders to a model are"
        if withheld > 1
        else "sentence that reads like an order to a model is"
    )
    notes = (loaded.note, f"{withheld} {plural} kept from it" if withheld else "")
    return Kept(
        title=loaded.title, pages=loaded.pages, notes=tuple(note for note in notes if note), passages=tuple(passages)
    )


def _corpus_document(item: OwnDocument, kept: Kept) -> corpus.Document:
    mark = hashlib.sha256(item.path.encode()).hexdigest()[:10]
    facts = tuple(
        Fact(
            id=f"own-{mark}-{number}",
            text=passage.text,
            told=passage.told,
            document=item.name,
            title=item.title,
            topic=OWN,
            kind=OWN,
            sources=(Source(citation=", ".join(filter(None, (item.name, passage.place))), status=OWN),),
        )
        for number, passage in enumerate(kept.passages, start=1)
    )
    header = {"title": item.title, "topic": OWN, "kind": OWN, "checked": item.added}
    return corpus.Document(item.name, f"{item.path}\0{item.key}", header, facts)


def with_documents(knowledge: corpus.Corpus, own: Sequence[corpus.Document]) -> corpus.Corpus:
    """A knowledge folder and the user's documents, to be searched together."""
    return replace(knowledge, documents=(*knowledge.documents, *own))
