"""Every error that Tunewise raises on purpose.

TunewiseError
├── UserError            what was given cannot be used            → exit code 2
│   ├── InputError       an empty, binary or over-long message
│   ├── SettingsError    a setting, model name or path is wrong
│   └── CorpusError      a file of the knowledge folder is malformed
└── WorkError            the work could not be done               → exit code 1
    ├── ArtifactError    a model file is missing, damaged or cannot be fetched
    ├── EngineError      the model could not be loaded or failed
    │   └── UnfitError   it answered, but nothing that fits
    ├── StoreError        the retrieval index is damaged or foreign
    └── Cancelled        the caller asked to stop

A message is one sentence on what was wrong; `remedy` is what to do about it. Faces print both and
no traceback; the class decides the exit code.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class TunewiseError(Exception):
    """Base of all errors that a user may see.

    Args:
        message: One sentence: what was wrong, and where.
        remedy: What to do next, as a sentence or a command; empty where nothing can be done.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UserError(TunewiseError):
    """What was given cannot be used; the user can mend it."""

    exit_code = 2


class InputError(UserError):
    """The message or file to work on is empty, binary, over-long or otherwise unusable."""


class SettingsError(UserError):
    """A setting, a model name or a path is wrong."""


class CorpusError(UserError):
    """A file of the knowledge folder or of the prompts is malformed."""


class WorkError(TunewiseError):
    """The work was understood but could not be done."""


class ArtifactError(WorkError):
    """A model file is missing, damaged or cannot be fetched."""


class EngineError(WorkError):
    """The model could not be loaded, or failed while it worked."""


class UnfitError(EngineError):
    """The model answered, but nothing that fits the form it was given."""


class StoreError(WorkError):
    """The retrieval index is damaged, or was built from something else."""


class Cancelled(WorkError):
    """The caller asked to stop."""


def printable(text: str) -> str:
    """What somebody else wrote, as it can stand in a message: without signs that a terminal would obey."""
    return "".join(char if char.isprintable() else "�" for char in text)


@contextmanager
def with_extra(name: str) -> Iterator[None]:
    """Say which extra to install where a library of it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tunewise"):
            raise
        raise WorkError(f"This needs the library {error.name}.", f"Run: pip install 'tunewise[{name}]'") from None
