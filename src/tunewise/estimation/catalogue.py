"""What the formulas need to know of the world: accelerators, shapes of models, labels by method."""

import math
import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from tunewise.errors import UserError
from tunewise.schema import Value

SAME_SIZE = 0.1
"""How far the logarithm of a size may lie from that of the model meant: a "70B" has 70.6 billion parameters."""


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
    price_source: str = ""
    """Facts of the knowledge folder that the price rests on."""
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
    also: tuple[str, ...] = ()
    """Other names with the size, of models of this very shape."""
    lends: bool = True
    """Whether another model of about its size may be calculated with it."""
    open: bool = True
    """Whether its weights can be had."""

    @property
    def kv_width(self) -> int:
        """Numbers that a token leaves in a layer's key cache."""
        return self.width // self.heads * self.kv_heads


class Mixture(Value):
    """A published mixture of experts."""

    name: str
    """Name of the model."""
    parameters: float
    """Number of weights, all of which memory must hold."""
    active: float
    """Number of those with which a token is computed."""
    experts: int | None = None
    """How many stand in its name, as in "8x7B"."""
    size: float | None = None
    """The size that stands there."""
    aliases: tuple[str, ...]
    """How people write its name before the size."""
    source: str
    """Where both numbers are from."""


class Need(Value):
    """How many labels a method usually needs."""

    methods: tuple[str, ...]
    """Methods it holds for."""
    inputs: tuple[str, ...]
    """Kinds of input it holds for."""
    about: tuple[str, ...] = ()
    """Beginnings of words of which the situation has one; empty if it holds for any."""
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
def mixtures() -> tuple[Mixture, ...]:
    """All mixtures of experts."""
    return tuple(Mixture.model_validate(row) for row in _table("mixtures")["mixture"])


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
    """The published shape nearest in size that may lend itself, scaled to that many parameters."""
    if not 0 < parameters < math.inf:
        raise UserError("A model needs a number of parameters above 0.", "Name its size, such as 7B.")
    nearest = min(
        (item for item in shapes() if item.lends), key=lambda item: abs(math.log(item.parameters / parameters))
    )
    return nearest.model_copy(update={"parameters": parameters})


def known_shape(text: str, parameters: float) -> Shape | None:
    """The shape of the very model that a text names, such as "Llama 3 8B"; None where it names none of that size."""
    for shape in shapes():
        near = abs(math.log(shape.parameters / parameters)) < SAME_SIZE if parameters > 0 else False
        if shape.lends and near and written(shape.name, *shape.also, *shape.aliases).search(text):
            return shape
    return None


@cache
def written(*names: str) -> re.Pattern[str]:
    """Where one of these names stands in a text, with blanks, hyphens and colons as people put them."""
    every = "|".join(sorted((_loose(name) for name in names), key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{every})(?!\w|\.\d)", re.I)


def _loose(name: str) -> str:
    # What parts two numbers must stand there, and no blank stands for a hyphen: "we used GPT 3 times" names no model.
    parts = re.split(r"(?<=\d)[ -](?=\d)", name)
    return "[ :-]".join(re.escape(part).replace(r"\ ", "[ :-]?").replace(r"\-", "-?") for part in parts)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("tunewise.estimation").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
