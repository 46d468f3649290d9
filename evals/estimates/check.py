"""Hold the formulas against what published runs report."""

import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewise.estimation import formulas
from tunewise.estimation.calculator import calculate
from tunewise.estimation.catalogue import gpu
from tunewise.schema import Estimate

TABLE = Path(__file__).with_name("published.toml")
WITHIN = 1.5


@dataclass(frozen=True)
class Row:
    """A published run and its prediction."""

    name: str
    reported: float
    estimate: Estimate
    source: str

    @property
    def predicted(self) -> float:
        """The one number that the range stands for."""
        return formulas.middle(self.estimate)

    @property
    def factor(self) -> float:
        """How far off the prediction is, at least 1."""
        return max(self.predicted / self.reported, self.reported / self.predicted)


def compare() -> list[Row]:
    """Every published run with its prediction."""
    runs = tomllib.loads(TABLE.read_text(encoding="utf-8"))["run"]
    return [Row(run["name"], run["reported"], _estimate(run), run["source"]) for run in runs]


def summary(rows: Sequence[Row]) -> tuple[float, float]:
    """Share within the factor, and the median factor."""
    factors = [row.factor for row in rows]
    return sum(factor <= WITHIN for factor in factors) / len(factors), statistics.median(factors)


def _estimate(run: dict[str, Any]) -> Estimate:
    size = run["parameters"]
    match run["kind"]:
        case "hours":
            return formulas.gpu_hours(size, run["tokens"], gpu(run["gpu"]), 2048)
        case "compute":
            return formulas.training_compute(size, run["tokens"], 2048)
        case "kv_cache":
            return _answered(f"KV cache of {run['name']}?")
        case _:
            return formulas.training_memory(size, run["method"], context=run["context"])[-2]


def _answered(question: str) -> Estimate:
    """What a user who asks so is shown, the total of it."""
    found = calculate(question)
    if found is None:
        raise ValueError(f"'{question}' is not calculated.")
    return found.estimates[-1]
