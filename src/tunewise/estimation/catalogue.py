"""What the formulas need to know of the world: accelerators, shapes of models, labels by method."""

import math
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from tunewise.errors import UserError
from tunewise.schema import Value


class Gpu(Value):
    """An accelerator."""

    name: str
    """As its maker calls it, with memory where there are several."""
    memory: float
    """GB (10^9 bytes)."""
    tflops: float
    """Dense 16-bit peak, without sparsity, in TFLOP/s."""
    bandwidth: float
    """Memory bandwidth in GB/s."""
    price: tuple[float, float] | None = None
    """Dollars an hour, low and high; None where the folder has no price."""
    mfu: tuple[float, float]
    """Share of the peak that training reaches, low and high."""
    aliases: tuple[str, ...]
    """How people write it, lower case, the longest first."""


class Shape(Value):
    """The shape of a published transformer."""

    name: str
    """Name of the model."""
    parameters: float
    """Number of weights."""
    layers: int
    """Number of blocks."""
    width: int
    """Size of the hidden state."""
    heads: int
    """Attention heads."""
    kv_heads: int
    """Heads of keys and values."""
    vocabulary: int
    """Size of the vocabulary."""
    aliases: tuple[str, ...] = ()
    """How people write it where they give no size."""

    @property
    def kv_width(self) -> int:
        """Numbers that a token leaves in a layer's key cache."""
        return self.width // self.heads * self.kv_heads


class Need(Value):
    """How many labels a method usually needs."""

    methods: tuple[str, ...]
    """Methods it holds for."""
    inputs: tuple[str, ...]
    """Kinds of input it holds for."""
    low: float
    """Lower end of the range."""
    high: float
    """Upper end of the range."""
    unit: str
    """What is counted."""
    note: str
    """What the two ends mean."""
    source: str
    """Facts of the knowledge folder that it rests on."""


@cache
def gpus() -> tuple[Gpu, ...]:
    """All accelerators."""
    return tuple(Gpu.model_validate(row) for row in _table("hardware")["gpu"])


@cache
def shapes() -> tuple[Shape, ...]:
    """All shapes."""
    return tuple(Shape.model_validate(row) for row in _table("shapes")["shape"])


@cache
def needs() -> tuple[Need, ...]:
    """Labels by method."""
    return tuple(Need.model_validate(row) for row in _table("labels")["need"])


def gpu(name: str) -> Gpu:
    """The accelerator of that name.

    Raises:
        UserError: None is called so.
    """
    wanted = name.lower().replace("-", " ").replace("gb", "").strip()
    for item in gpus():
        names = {item.name.lower().replace("gb", "").strip(), *(alias.replace("-", " ") for alias in item.aliases)}
        if wanted in names:
            return item
    raise UserError(f"There is no accelerator '{name}'.", f"Known are {', '.join(item.name for item in gpus())}.")


def shape_of(parameters: float) -> Shape:
    """The published shape nearest in size, scaled to that many parameters."""
    if not 0 < parameters < math.inf:
        raise UserError("A model needs a number of parameters above 0.", "Name its size, such as 7B.")
    nearest = min(shapes(), key=lambda item: abs(math.log(item.parameters / parameters)))
    return nearest.model_copy(update={"parameters": parameters})


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("tunewise.estimation").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
