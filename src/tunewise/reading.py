"""Documents of the user's own, read without trusting them.

A file is opened only if it lies in the folder that was named, is an ordinary file and not too large; a
confined process (`tunewise.loaders`) makes passages of it and is ended where it takes too long.
"""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tunewise.errors import UserError, WorkError, printable
from tunewise.loaders import LOADERS, Loaded, Passage, UnreadableError

LARGEST = 50_000_000
"""Bytes of the largest file that is read."""
MOST_FILES = 5_000
MOST_ENTRIES = 200_000
"""Entries of a folder that are looked at."""
SECONDS = 60.0
"""Time that a file may take."""
FORMATS = "Markdown, text, PDF, HTML or Word (.docx)"
INSTALL = "Run: pip install 'tunewise[documents]'"


@dataclass(frozen=True)
class Candidate:
    """A file that may be read."""

    path: Path
    """Where it is, absolute, links resolved."""
    name: str
    """How it is shown: relative to the parent of the folder that was named."""
    refused: str = ""
    """Why it must not be opened; empty where it may."""

    @property
    def suffix(self) -> str:
        """Tells its format; a link goes by its own ending, not by that of the file behind it."""
        return Path(self.name).suffix.lower()


def candidates(target: Path, *, known: bool = False) -> list[Candidate]:
    """The documents in a folder at any depth, or the one file that is named; hidden ones are passed over.

    Args:
        target: The folder or file.
        known: Documents were added from there before, so that it is no mistake where none is left.

    Raises:
        UserError: There is nothing at `target`, no document in it, or far too many.
    """
    try:
        home = target.expanduser().resolve(strict=True)
    except (OSError, RuntimeError):
        if known:
            return []
        raise UserError(f"There is no file or folder at {shown(str(target))}.", "Name one that exists.") from None
    if not home.is_dir():
        # A link goes by its own name, as in a folder: stores of files name what they hold by its hash.
        file = Candidate(home, shown(target.name))
        if file.suffix not in LOADERS:
            raise UserError(f"{file.name} cannot be read as a document.", f"Name a file in {FORMATS}.")
        return [file]
    found = []
    for path in _walk(home):
        name = shown(f"{home.name}/{path.relative_to(home).as_posix()}")
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            found.append(Candidate(path, name, "it is a link to itself"))
            continue
        # A link may not draw a file from elsewhere on this machine into the answers.
        inside = real.is_relative_to(home)
        found.append(Candidate(real, name) if inside else Candidate(path, name, "it is a link out of the folder"))
        if len(found) > MOST_FILES:
            raise UserError(f"{shown(str(target))} holds more than {MOST_FILES:,} documents.", "Name a smaller folder.")
    if not found and not known:
        raise UserError(f"{shown(str(target))} holds no document.", f"Put files in {FORMATS} there.")
    return found


def _walk(home: Path) -> Iterator[Path]:
    seen = 0
    for folder, inner, names in os.walk(home):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        seen += len(inner) + len(names)
        if seen > MOST_ENTRIES:
            raise UserError(f"{shown(str(home))} holds more than {MOST_ENTRIES:,} files.", "Name a smaller folder.")
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in LOADERS and not name.startswith("."):
                yield path


def shown(name: str) -> str:
    """A name as it can be printed: without control signs and bytes that are no text."""
    return printable(os.fsencode(name).decode("utf-8", "replace"))


def contents(file: Candidate) -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableError: It must not be opened, is no ordinary file, is empty or too large, or cannot be read.
    """
    if file.refused:
        raise UnreadableError(file.refused)
    try:
        # The path was resolved before: a link that stands there now was put there since.
        handle = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableError(f"it cannot be opened ({error.strerror or error})") from None
    with os.fdopen(handle, "rb") as opened:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadableError("it is not an ordinary file")
        if facts.st_size > LARGEST:
            raise UnreadableError(f"it has {facts.st_size / 1e6:,.0f} MB, and at most {LARGEST / 1e6:.0f} are read")
        if facts.st_size == 0:
            raise UnreadableError("it is empty")
        try:
            data = opened.read(LARGEST + 1)
        except OSError as error:
            raise UnreadableError(f"it cannot be read ({error.strerror or error})") from None
    if len(data) > LARGEST:
        raise UnreadableError("it grew while it was read")
    return data


class Reader:
    """Makes passages of documents in a confined process; started when it is first needed.

    Args:
        seconds: Time that a document may take.
    """

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, data: bytes, suffix: str) -> Loaded:
        """Read a document.

        Args:
            data: The whole file.
            suffix: The ending of its name, lower case.

        Raises:
            UnreadableError: It is broken, encrypted, empty or beyond the limits.
            WorkError: The library for its format is not installed.
        """
        reply = self._ask(data, suffix)
        if "missing" in reply:
            raise WorkError(f"Reading documents needs the library {reply['missing']}.", INSTALL)
        if "unreadable" in reply:
            raise UnreadableError(reply["unreadable"])
        passages = tuple(Passage(**passage) for passage in reply["passages"])
        return Loaded(reply["title"], passages, reply["pages"], reply["note"])

    def _ask(self, data: bytes, suffix: str) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, stop)
        timer.start()
        try:
            process.stdin.write(json.dumps({"suffix": suffix, "bytes": len(data)}).encode() + b"\n" + data)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if line.endswith(b"\n"):
            reply: dict[str, Any] = json.loads(line)
            return reply
        self._end()
        taken = f"it took longer than {self._seconds:g} seconds" if late.is_set() else "reading it ended the reader"
        raise UnreadableError(taken)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            # -P: a folder of documents that is also the working folder must not bring modules along.
            command = [sys.executable, "-P", "-B", "-m", "tunewise.loaders"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                # What was not read by the process that is gone cannot be flushed.
                except BrokenPipeError:
                    continue
