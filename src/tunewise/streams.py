"""Text that comes in from a terminal or a pipe and goes out there, to a full disk or nowhere; none of it gets lost."""

import codecs
import io
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from tunewise.errors import InputError


def prepare() -> None:
    """Make the streams fit to be written to.

    Raises:
        SystemExit: There is no standard output: the next file to be opened would take its place, and get what
            llama.cpp prints.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stdout is None:
        sys.stderr.write("tunewise: Standard output is closed. Send it to /dev/null if you need none.\n")
        raise SystemExit(InputError.exit_code)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # A terminal without some sign shows a question mark in its place, and one of another encoding hands in such.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def let_go() -> None:
    """Send what cannot be written to standard output nowhere, or Python would complain when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stdin() -> str:
    """All of standard input.

    Raises:
        InputError: It is no text.
    """
    return _text(sys.stdin.buffer.read().decode, "input")


def argument(given: str) -> str:
    """An argument of the command line that is meant as text.

    Raises:
        InputError: It is none. Python keeps bytes that it cannot read as halves of a pair of code units.
    """
    return _text(lambda: given.encode("utf-8", "surrogateescape").decode(), "argument")


def _text(read: Callable[[], str], what: str) -> str:
    try:
        return read()
    except UnicodeError:
        raise InputError(f"The {what} is not text in UTF-8.", "Describe your situation in words.") from None


def as_json(data: Any, stream: TextIO, *, indent: int | None = None) -> str:
    """JSON that loses no letter on a stream: what the stream's encoding may lack is written as an escape."""
    return json.dumps(data, ensure_ascii=not _is_utf8(stream), indent=indent)


def print_json(data: Any) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(as_json(data, sys.stdout, indent=2) + "\n")


def _is_utf8(stream: TextIO) -> bool:
    try:
        return codecs.lookup(stream.encoding).name == "utf-8"
    # A stream of a program that keeps text as it is has no encoding.
    except (AttributeError, TypeError, LookupError):
        return False
