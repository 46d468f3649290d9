"""Decision heads: linear read-outs of the model's hidden states, stored as plain arrays.

A small model knows more than it says, and a linear map fitted on labelled scenarios gets it out of the
hidden state (Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes",
arXiv:1610.01644). A head belongs to one model file and one set of prompts; for any other it is no good.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import ArtifactError, UserError
from tunewise.schema import Value

AVERAGED, SPREAD = 3, slice(1, 3)
"""Layers of `llm.DEPTHS` of whose states the mean over the situation is taken, from the first, and the
standard deviation."""
POOLED = 5
"""How many states these give."""
SHIPPED = Path(__file__).resolve().parent
"""Where this installation reads its heads from."""
SHORT = (60, 100)
"""Tokens of a message up to which the read-out for short ones counts alone, and from which it does not count."""
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What numpy raises of a file of arrays that is cut short or foreign."""


@dataclass(frozen=True)
class ReadOut:
    """A fitted linear map from a feature vector to probabilities."""

    mean: NDArray[np.float32]
    """Mean of each feature, shape (features,)."""
    scale: NDArray[np.float32]
    """Standard deviation of each feature, shape (features,); never 0."""
    weights: NDArray[np.float32]
    """Shape (features, classes)."""
    bias: NDArray[np.float32]
    """Shape (classes,)."""
    temperature: float = 1.0
    """Divides the log-odds; fitted out of fold (Guo et al. 2017, arXiv:1706.04599)."""

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of the classes for one feature vector, shape (features,)."""
        scores = (features - self.mean) / self.scale @ self.weights + self.bias
        return np.asarray(scores / self.temperature, dtype=np.float64)

    def probabilities(self, features: NDArray[np.float32]) -> tuple[float, ...]:
        """Class probabilities of one feature vector, shape (features,)."""
        return softmax(self.log_odds(features))

    def shift(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
        """How the log-odds move when the features do."""
        return np.asarray((after - before) / self.scale @ self.weights / self.temperature, dtype=np.float64)


class HeadCard(Value):
    """Where a head comes from and what it is worth."""

    model_sha256: str
    """The model file it was fitted on."""
    prompts: str
    """Hash of the prompts it was fitted with."""
    scenarios: int
    """How many labelled scenarios."""
    out_of_fold: dict[str, float]
    """Figures of grouped cross-validation, each scenario judged by a fit that had not seen its family."""


@dataclass(frozen=True)
class Heads:
    """The read-outs of the verdict, of each factor and of the topic."""

    card: HeadCard
    verdict: ReadOut
    """Of situations that are told."""
    short: ReadOut | None
    """The verdict of short messages, which leave nearly everything unsaid; None where none was taught."""
    topic: ReadOut
    """Whether a message is about models at all; needs the embedder only, so it serves every model."""
    sheet: ReadOut
    """From the levels of a sheet to the verdict, fitted on labelled sheets; serves every model."""
    factors: Mapping[str, ReadOut]
    digest: str
    """SHA-256 of the file of arrays."""
    known: NDArray[np.uint64]
    """Marks of the scenarios that it was fitted on or taught; see `mark`."""

    @property
    def readouts(self) -> dict[str, ReadOut]:
        """All read-outs by name, as `save` takes them."""
        short = {} if self.short is None else {"short": self.short}
        return {"verdict": self.verdict, "topic": self.topic, "sheet": self.sheet, **short, **self.factors}

    def log_odds(self, features: NDArray[np.float32], tokens: int) -> NDArray[np.float64]:
        """Log-odds of the verdicts for one situation, in the order of `Verdict`.

        Args:
            features: As `decision.features` gives them.
            tokens: Length of the situation.
        """
        told = self.verdict.log_odds(features)
        share = shortness(tokens)
        if self.short is None or not share:
            return told
        return (1 - share) * told + share * self.short.log_odds(features)

    def knows(self, scenario: str) -> bool:
        """Whether it was fitted on a scenario or taught it, by the scenario's id."""
        return bool(np.isin(mark(scenario), self.known))

    def fits(self, model_sha256: str, prompts: str) -> bool:
        """Whether the head was fitted on this model with these prompts."""
        return self.card.model_sha256 == model_sha256 and self.card.prompts == prompts

    @classmethod
    def load(cls, folder: Path) -> "Heads":
        """Read a head.

        Raises:
            ArtifactError: The files are missing or damaged.
        """
        arrays, card = folder / "head.npz", folder / "head.json"
        try:
            with np.load(arrays, allow_pickle=False) as stored:
                known = stored["known"] if "known" in stored.files else np.zeros(0, dtype=np.uint64)
                data = {name: stored[name].astype(np.float32) for name in stored.files if name != "known"}
            names = {name.split("/")[0] for name in data}
            readouts = {name: _read_out(data, name) for name in names}
            return cls(
                card=HeadCard.model_validate(json.loads(card.read_text(encoding="utf-8"))),
                verdict=readouts.pop("verdict"),
                short=readouts.pop("short", None),
                topic=readouts.pop("topic"),
                sheet=readouts.pop("sheet"),
                factors=readouts,
                digest=hashlib.sha256(arrays.read_bytes()).hexdigest(),
                known=known,
            )
        except DAMAGE as error:
            raise ArtifactError(
                f"The decision head in {folder} is damaged: {error}.", "Install Tunewise again."
            ) from error


def shortness(tokens: int) -> float:
    """How much the read-out for short messages counts for one of so many tokens, from 0 to 1.

    It fades out, so that a few words more or less turn nothing by themselves.
    """
    alone, never = SHORT
    return min(max((never - tokens) / (never - alone), 0.0), 1.0)


def mark(scenario: str) -> np.uint64:
    """The first eight bytes of the SHA-256 of a scenario's id."""
    return np.uint64(int.from_bytes(hashlib.sha256(scenario.encode()).digest()[:8], "little"))


def save(folder: Path, card: HeadCard, readouts: Mapping[str, ReadOut], known: Iterable[np.uint64]) -> None:
    """Write a head: `head.npz` and `head.json`. Half precision is ample for a linear map.

    What stood there before stands until both files are whole.

    Args:
        folder: Where to.
        card: Where the head comes from.
        readouts: By name.
        known: Marks of the scenarios behind it.

    Raises:
        UserError: The folder cannot be written.
        ValueError: The card holds a figure that is none.
    """
    data: dict[str, NDArray[Any]] = {"known": np.array(sorted(set(known)), dtype=np.uint64)}
    for name, readout in readouts.items():
        for part in ("mean", "scale", "weights"):
            data[f"{name}/{part}"] = getattr(readout, part).astype(np.float16)
        data[f"{name}/bias"] = readout.bias.astype(np.float32)
        data[f"{name}/temperature"] = np.array([readout.temperature], dtype=np.float32)
    text = card.model_dump_json(indent=2) + "\n"
    HeadCard.model_validate_json(text)
    arrays, written = folder / "head.partial.npz", folder / "head.partial.json"
    try:
        np.savez_compressed(arrays, **data)  # type: ignore[arg-type]
        written.write_text(text, encoding="utf-8")
        arrays.replace(folder / "head.npz")
        written.replace(folder / "head.json")
    except OSError as error:
        raise UserError(f"The head cannot be written to {folder}: {error}.", "Name another folder.") from error
    finally:
        with suppress(OSError):
            arrays.unlink(missing_ok=True)
            written.unlink(missing_ok=True)


def softmax(scores: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    """Probabilities from log-odds; they sum to 1."""
    exponents = np.exp(scores.astype(np.float64) - float(scores.max()))
    return tuple(float(value) for value in exponents / exponents.sum())


def _read_out(data: Mapping[str, NDArray[np.float32]], name: str) -> ReadOut:
    return ReadOut(
        mean=data[f"{name}/mean"],
        scale=np.maximum(data[f"{name}/scale"], 1e-4),
        weights=data[f"{name}/weights"],
        bias=data[f"{name}/bias"],
        temperature=float(data[f"{name}/temperature"][0]),
    )
