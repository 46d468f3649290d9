"""`tunewise index`: the search index, and the user's own documents in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunewise.streams import print_json

if TYPE_CHECKING:
    from rich.progress import Progress

    from tunewise.advisor import Advisor
    from tunewise.documents import OwnDocument


@contextmanager
def _bar() -> "Iterator[_Bar]":
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress)


class _Bar:
    """Two lines of progress: files read, facts embedded."""

    def __init__(self, progress: "Progress") -> None:
        self._update = progress.update
        self._files = progress.add_task("Reading files", total=None, visible=False)
        self._facts = progress.add_task("Embedding facts", total=None)

    def files(self, name: str, done: int, total: int) -> None:
        """Show which file is read."""
        self._update(self._files, completed=done, total=total, visible=True)

    def facts(self, done: int, total: int) -> None:
        """Show how many facts are embedded."""
        self._update(self._facts, completed=done, total=total)


def build(advisor: "Advisor", *, rebuild: bool, as_json: bool) -> None:
    """Bring the index up to date."""
    from tunewise.parts import knowledge_folder

    with _bar() as bar:
        built = advisor.build_index(rebuild=rebuild, progress=bar.facts)
    own = advisor.documents()
    passages = sum(item.passages for item in own)
    facts, files = len(built.corpus.facts) - passages, len(built.corpus.documents) - len(own)
    if as_json:
        folder = str(knowledge_folder(advisor.settings))
        print_json({"folder": folder, "facts": facts, "files": files, "passages": passages, "documents": len(own)})
        return
    typer.echo(f"{facts} facts of {files} files in {knowledge_folder(advisor.settings)} can be searched.")
    if own:
        typer.echo(_total(own))


def add(advisor: "Advisor", targets: Sequence[Path], *, as_json: bool) -> None:
    """Add documents, and say what came of each."""
    with _bar() as bar:
        done = advisor.add_documents(*targets, on_file=bar.files, progress=bar.facts)
    if as_json:
        print_json(done.model_dump(mode="json"))
        return
    for word, items in (("added", done.added), ("changed", done.changed)):
        for item in items:
            typer.echo(f"{word:8} {_line(item)}")
    if done.unchanged:
        typer.echo(f"{len(done.unchanged)} unchanged")
    for name in done.removed:
        typer.echo(f"removed  {name}: its file is gone or cannot be read any more")
    for skipped in done.skipped:
        typer.echo(f"skipped  {skipped.name}: {skipped.why}", err=True)
    typer.echo(_total(advisor.documents()))


def remove(advisor: "Advisor", targets: Sequence[str], *, as_json: bool) -> None:
    """Forget documents."""
    gone = advisor.remove_documents(*targets)
    if as_json:
        print_json([item.model_dump(mode="json") for item in gone])
        return
    for item in gone:
        typer.echo(f"removed  {item.name}")


def show(advisor: "Advisor", *, as_json: bool) -> None:
    """List the documents that were added."""
    own = advisor.documents()
    if as_json:
        print_json([item.model_dump(mode="json") for item in own])
        return
    for item in own:
        typer.echo(f"{_line(item)}; added {item.added} from {item.path}")
    typer.echo(_total(own) if own else "No document of yours was added yet. Add a folder: tunewise index FOLDER")


def _line(item: "OwnDocument") -> str:
    pages = f", {_count(item.pages, 'page')}" if item.pages else ""
    return "; ".join((f"{item.name}: {_count(item.passages, 'passage')}{pages}", *item.notes))


def _total(own: "Sequence[OwnDocument]") -> str:
    passages = _count(sum(item.passages for item in own), "passage")
    return f"{passages} of {_count(len(own), 'document')} of yours can be searched."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
