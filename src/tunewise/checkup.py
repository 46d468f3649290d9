"""What `tunewise doctor` looks at: each finding says what is, and how to mend what is wrong."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from tunewise.artifacts import ModelStore, is_path
from tunewise.errors import TunewiseError
from tunewise.schema import Value
from tunewise.settings import Settings

PACKAGES = ("tunewise", "llama-cpp-python", "langchain-core", "chromadb", "onnxruntime", "gradio", "pydantic")
NEEDED_MEMORY = 2.5e9
"""Bytes that a question takes with the default model, measured by evals/bench."""


class Finding(Value):
    """One thing that was looked at."""

    subject: str
    state: Literal["good", "note", "bad"]
    text: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a question needs, without fetching anything."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _versions,
        _cache,
        _models,
        _knowledge,
        _machine,
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check(settings)
        except TunewiseError as error:
            findings.append(Finding(subject="trouble", state="bad", text=error.message, remedy=error.remedy))
        except OSError as error:
            # A path that the system does not even let us look at.
            where = f": {error.filename}" if error.filename else ""
            findings.append(
                Finding(
                    subject="trouble",
                    state="bad",
                    text=f"{error.strerror or error}{where}",
                    remedy="Name another path, or let yourself in.",
                )
            )
    return findings


def _versions(_: Settings) -> Iterator[Finding]:
    yield Finding(subject="python", state="good", text=f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Finding(subject=package, state="good", text=version(package))
        except PackageNotFoundError:
            yield Finding(
                subject=package,
                state="bad",
                text="is not installed",
                remedy="Install Tunewise again: pip install .",
            )


def _cache(settings: Settings) -> Iterator[Finding]:
    folder = settings.cache
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    text = f"{folder}, {free / 1e9:,.1f} GB free"
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding(
            subject="cache",
            state="bad",
            text=f"{folder} cannot be written",
            remedy="Set TUNEWISE_CACHE to a folder that can.",
        )
    else:
        yield Finding(subject="cache", state="good", text=text)


def _models(settings: Settings) -> Iterator[Finding]:
    from tunewise.parts import EMBEDDER, TOKENIZER

    store = ModelStore(settings.cache / "models", offline=True)
    own = is_path(settings.model)
    if own:
        path = store.resolve(settings.model)
        yield Finding(subject="model", state="good", text=f"{path} ({path.stat().st_size / 1e6:,.0f} MB)")
    for name in (EMBEDDER, TOKENIZER) if own else (settings.model, EMBEDDER, TOKENIZER):
        artifact = store.find(name)
        if store.installed(name):
            yield Finding(subject=name, state="good", text=f"here, SHA-256 {artifact.sha256[:12]}… was found right")
        elif store.path(name).exists():
            yield Finding(
                subject=name,
                state="bad",
                text=f"{store.path(name)} is not the published file",
                remedy=f"tunewise models verify {name}",
            )
        else:
            size = f"{artifact.bytes / 1e6:,.0f} MB"
            yield Finding(
                subject=name,
                state="note",
                text=f"not here yet; the first question fetches it ({size})",
                remedy=f"tunewise models pull {name}",
            )


def _knowledge(settings: Settings) -> Iterator[Finding]:
    from tunewise.parts import document_store, knowledge_folder, searched
    from tunewise.retrieval import MANIFEST, index_folder

    folder = knowledge_folder(settings)
    read = searched(settings)
    own = document_store(settings).documents()
    facts = len(read.facts) - sum(item.passages for item in own)
    yield Finding(subject="knowledge", state="good", text=f"{facts} facts in {folder}")
    if own:
        passages = sum(item.passages for item in own)
        yield Finding(subject="your documents", state="good", text=f"{passages} passages of {len(own)} files")
    built = (index_folder(settings.cache / "index", read, settings.chroma_server) / MANIFEST).is_file()
    text = "current" if built else "not built yet; the first question builds it in seconds"
    yield Finding(subject="index", state="good" if built else "note", text=text)


def _machine(settings: Settings) -> Iterator[Finding]:
    import psutil

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    threads = settings.threads or cores
    yield Finding(
        subject="threads",
        state="good" if threads <= cores else "note",
        text=f"{threads} of {cores} physical cores",
        remedy="" if threads <= cores else "More threads than cores slow the model: unset TUNEWISE_THREADS.",
    )
    free = psutil.virtual_memory().available
    yield Finding(
        subject="memory",
        state="good" if free > NEEDED_MEMORY else "bad",
        text=f"{free / 1e9:.1f} GB available, a question takes up to {NEEDED_MEMORY / 1e9:.1f} GB",
        remedy="" if free > NEEDED_MEMORY else "Close other programs, or set TUNEWISE_CONTEXT to 4096.",
    )
    speed = "expect a verdict in 1 to 3 seconds and the whole answer in 5 to 12 on a machine with 2 cores"
    yield Finding(subject="speed", state="good", text=speed)
