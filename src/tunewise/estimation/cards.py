"""Graphics cards by name, with their count: "4×A100 80GB", "a 40 GB A100", "two 3090s", "gtx 1080"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tunewise.estimation import nouns
from tunewise.estimation.catalogue import Gpu, gpus
from tunewise.estimation.numbers import MARKS, Amount, amounts

NAMES = "|".join(
    sorted(
        {re.escape(alias).replace(r"\ ", r"[ -]?").replace(r"\-", "[ -]?") for gpu in gpus() for alias in gpu.aliases},
        key=len,
        reverse=True,
    )
)
OTHERS = (
    r"rtx[ ]pro[ ]\d{4}"
    r"|gtx[ ]?\d{3,4}|rtx[ ]?(?:titan|a\d{4})|rx[ ]?\d{3,4}|quadro[ ](?:rtx[ ])?\w*\d+|titan[ ]\w+"
    r"|gb200|mi\d{2,3}x?|k80|p100|p40|m40|a[45]000|rtx[ ]?\d{4}"
    r"|(?:10[5-8]0|[2-5]0[5-9]0)(?=[ ]?(?:ti|super)\b|[ ](?:gpu|card))"
    r"|(?:(?<=\ba )|(?<=\bnew )|(?<=\bused )|(?<=\bown )|(?<=\bmy )|(?<=\bone )|(?<=\bhand ))"
    r"(?:10[5-8]0|16[56]0|20[6-8]0|30[5-9]0|40[5-9]0|50[5-9]0)(?![ ]?(?:x|×|by)\b)"
)
"""Cards that the catalogue does not hold; how much memory they have is not known."""
CARD = re.compile(
    rf"(?<![\w.,])(?:(?P<glued>\d{{1,4}})[x×*][ ]?|(?P<dual>dual[ ]))?(?:(?P<ahead>\d{{2}})[ ]?gb[ ](?=[av]100s?\b))?"
    rf"(?:(?:{nouns.MAKER})(?P<card>{NAMES})|(?P<other>{OTHERS}))s?(?![\w.,]*\d)(?!\w|[ -](?:hours?|days?))"
    rf"(?![ ](?:{nouns.COUNTED})\b)(?:[ -]?(?:ti|super|xtx?|sxm\d?|pcie))?"
    r"(?:[ (-]*(?:the |de )?(?P<size>\d{1,3})[ ]?g(?:i?b|o|igs)?\b\)?)?"
    r"(?:[ ]?[x×*][ ]?(?P<times>\d{1,4})(?!\d|[ ](?:days?|hours?|weeks?|h\b))"
    r"|[ ](?:cluster|node|machine|server|box) (?:of|with) (?P<of>\d{1,5}))?",
    re.I,
)
BEFORE_CARD = re.compile(
    r"[ ]?(?:[x×*])?[ ]?"
    r"(?:rented |used |old |spot |new |nvidia |spare |gpus? (?:of type )?\(?|gpus\(|cards? ?\(?"
    r"|cartes? |karten |tarjetas |schede |karty )*$",
    re.I,
)


@dataclass(frozen=True)
class Cards:
    """Cards of one name, as they stand in a text."""

    start: int
    """Where the words begin, with those of the count."""
    end: int
    count: tuple[float | None, float | None]
    """Low and high."""
    gpu: Gpu | None
    """None where the catalogue does not hold it."""


def cards(text: str) -> Iterator[Cards]:
    """Every card that a text names, in the order in which they stand there."""
    counts = list(amounts(text))
    for match in CARD.finditer(text):
        parts = {name: value for name, value in match.groupdict().items() if value}
        gpu = _known(parts["card"], parts.get("size") or parts.get("ahead")) if "card" in parts else None
        count = 2 if "dual" in parts else parts.get("glued") or parts.get("times") or parts.get("of")
        ahead = None if count else next((item for item in counts if _belongs(text, item, match.start())), None)
        start = ahead.start if ahead else match.start()
        yield Cards(start, match.end(), (ahead.low, ahead.high) if ahead else (float(count or 1),) * 2, gpu)


def _belongs(text: str, amount: Amount, card: int) -> bool:
    """Whether a number in front counts the cards; a price does not."""
    between = text[amount.end : card]
    return (
        0 <= card - amount.end <= 24
        and text[amount.first - 1 : amount.first] not in MARKS
        and (between.strip() != "" or between == " " or amount.bare)
        and bool(BEFORE_CARD.fullmatch(between) or between.strip().lower() == "of")
    )


def _known(name: str, size: str | None) -> Gpu:
    """The card of the catalogue, with the memory that is told of it ("4060 Ti 16GB") where it knows none with that."""
    fitting = [gpu for gpu in gpus() if any(_plain(alias) == _plain(name) for alias in gpu.aliases)]
    sized = (gpu for gpu in gpus() if size and f"{gpu.memory:g}" == size)
    family = [gpu for gpu in sized if _plain(gpu.name.removesuffix(f" {size}GB")) == _plain(name)]
    if family or not size:
        return (family or fitting)[0]
    return fitting[0].model_copy(update={"memory": float(size)})


def _plain(name: str) -> str:
    """A name however it is parted: "3080Ti" is "3080 ti"."""
    return re.sub(r"[ -]+", "", name.lower())
