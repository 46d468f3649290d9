"""Which model a text means: its size, how much of it a token passes through, and its shape where it is named."""

import math
import re
from collections.abc import Sequence

from tunewise.estimation.catalogue import SAME_SIZE, Mixture, Shape, known_shape, mixtures, shapes, written
from tunewise.estimation.formulas import short
from tunewise.estimation.quantities import Quantity
from tunewise.estimation.rules import Kind
from tunewise.schema import Value

ACTIVE = re.compile(
    r"(?<![\w.])(?P<before>\d+(?:\.\d+)?)[ ]?b(?:illion)?(?:[ ]param\w+)?[ -]\(?(?:are |of them |being )?activ"
    r"|-a(?P<name>\d+(?:\.\d+)?)b\b"
    r"|\bactiv\w*(?:[ ]param\w+)?(?:[ ](?:of|are|is)|:)?[ ](?P<behind>\d+(?:\.\d+)?)[ ]?b",
    re.I,
)
"""What says how many parameters are active: "37B active", "Qwen3-30B-A3B"."""
EXPERTS = re.compile(r"\bmixtures?[ -]of[ -]experts\b|\bmoes?\b|\d[x×]\d+b\b", re.I)


class Model(Value):
    """A model as a text tells of it."""

    parameters: float
    """All of them, which memory must hold."""
    active: float
    """Those with which a token is computed: all but in a mixture of experts."""
    shape: Shape | None
    """Of the very model; None where the text gives no more than a size."""
    notes: tuple[str, ...]
    """What was taken for granted."""

    @property
    def name(self) -> str:
        """Its size in words."""
        part = "" if self.active == self.parameters else f", {short(self.active)} of them active,"
        return f"{short(self.parameters)} parameters{part}"


def model(text: str, found: Sequence[Quantity], otherwise: float = 0.0) -> Model:
    """The model that a text means.

    Args:
        text: What was written.
        found: Quantities that were read from it, and may be of this model.
        otherwise: The size where none of them is one.
    """
    sizes = [item.number for item in found if item.kind is Kind.PARAMETERS and item.number > 0]
    told = ACTIVE.search(text)
    active = float(next(filter(None, told.groups()))) * 1e9 if told else 0.0
    size = max(sizes) if active and sizes else sizes[0] if sizes else otherwise
    known = _mixture(text, size)
    if not 0 < active < size:
        active = known.active if known else size
    return Model(
        parameters=size, active=active, shape=known_shape(text, size), notes=_notes(text, size, active, told, known)
    )


def closed(text: str, size: Quantity) -> bool:
    """Whether a size is that of a vendor's model, whose weights cannot be had: "GPT-3", "GPT-3 (175B)"."""
    names = [alias for shape in shapes() if not shape.open for alias in shape.aliases]
    if size.kind is not Kind.PARAMETERS:
        return False
    if written(*names).fullmatch(size.text):
        return True
    ahead = text[: size.start].rstrip(" (-")
    return any(match.end() == len(ahead) for match in written(*names).finditer(ahead))


def _mixture(text: str, size: float) -> Mixture | None:
    near = (item for item in mixtures() if size > 0 and abs(math.log(item.parameters / size)) < SAME_SIZE)
    return next((item for item in near if written(*item.aliases).search(text)), None)


def _notes(text: str, size: float, active: float, told: re.Match[str] | None, known: Mixture | None) -> tuple[str, ...]:
    if active < size:
        source = f" ({known.source})" if known and not told else ""
        part = f"a token passes {short(active)} of {short(size)} parameters"
        return (f"a mixture of experts: {part}, memory holds all{source}",)
    if EXPERTS.search(text):
        return ("all parameters of the mixture of experts are taken as active, for it is not said how many are",)
    return ()
