"""`tunewise models`: the model files, what is known and what is here."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewise.streams import print_json

if TYPE_CHECKING:
    from tunewise.artifacts import ModelStore
    from tunewise.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The model files: what is known, what is here.", rich_markup_mode=None)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
ModelName = Annotated[str | None, typer.Argument(help="A name of 'tunewise models list'; the one in use if left out.")]


def _settings() -> "Settings":
    from tunewise.settings import Settings

    return Settings.load()


def _each(settings: "Settings", name: str | None, act: "Callable[[ModelStore, str], None]") -> None:
    from tunewise.artifacts import ModelStore, is_path
    from tunewise.parts import EMBEDDER, TOKENIZER

    store = ModelStore(settings.cache / "models", offline=settings.offline)
    own = is_path(settings.model)
    for item in [name] if name else [*([] if own else [settings.model]), EMBEDDER, TOKENIZER]:
        act(store, item)


@app.command("list")
def list_models(as_json: JsonFlag = False) -> None:
    """What is known, how large it is, and whether it is here."""
    from tunewise.artifacts import ModelStore

    settings = _settings()
    store = ModelStore(settings.cache / "models")
    rows = [
        artifact.model_dump(mode="json", include={"name", "kind", "bytes", "licence", "description"})
        | {"installed": store.installed(artifact.name), "in_use": artifact.name == settings.model}
        for artifact in store.catalogue.artifact
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "here" if row["installed"] else "-"
        mark = "*" if row["in_use"] else " "
        typer.echo(
            f"{mark} {row['name']:24} {row['bytes'] / 1e6:8,.0f} MB  {state:5} {row['licence']:11} {row['description']}"
        )


@app.command()
def pull(name: ModelName = None) -> None:
    """Fetch a model, or all that Tunewise needs. An interrupted pull goes on where it stopped."""
    from rich.console import Console

    from tunewise.terminal import PullBar

    bar = PullBar(Console(stderr=True))
    try:
        _each(_settings(), name, lambda store, item: typer.echo(f"{item}: {store.pull(item, bar)}"))
    finally:
        bar.stop()


@app.command()
def verify(name: ModelName = None) -> None:
    """Read the files whole and compare their checksums."""

    def check(store: "ModelStore", item: str) -> None:
        store.verify(item)
        typer.echo(f"{item}: right")

    _each(_settings(), name, check)


@app.command()
def path(name: ModelName = None) -> None:
    """Print where a model's file lies."""
    from tunewise.artifacts import is_path

    settings = _settings()
    if name is None and is_path(settings.model):
        typer.echo(str(Path(settings.model).expanduser()))
        return
    _each(settings, name or settings.model, lambda store, item: typer.echo(str(store.path(item))))
