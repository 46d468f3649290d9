"""The formulas: training compute, memory, data, serving. Every figure is a range with its source.

N parameters, D tokens, s tokens of context, b sequences at once, L layers, d width, V vocabulary.
"""

import math
import re
from collections.abc import Sequence
from typing import Literal

from tunewise.errors import UserError
from tunewise.estimation.catalogue import Gpu, Need, Shape, gpus, needs, shape_of
from tunewise.schema import Estimate

Tuning = Literal["full", "lora", "qlora"]
TOKENS_PER_PARAMETER = 20
USEFUL_EPOCHS = 4
MIXED_ADAM = 16
"""Bytes a parameter: 2 weights, 2 gradients, 12 for Adam's states and the 32-bit copy."""
MIXED_ADAM_MOST = 18
"""The same with gradients in 32 bits."""
NF4_BYTES = 0.516
"""4.127 bits: 4-bit NormalFloat with double quantisation."""
RANK = 16
OVERHEAD = (0.5, 2.0)
"""GB that the framework, its kernels and fragmentation take."""
SPARE = 1.10
"""How much of a card must stay free."""
SECONDS = 3600
LONG_RUN = 48
"""Hours from which a run is counted in days."""
GB = 1e9

CHINCHILLA = "Hoffmann et al. 2022, arXiv:2203.15556 (F06.03)"
KAPLAN = "Kaplan et al. 2020, arXiv:2001.08361 (F06.06)"
REPEATED = "Muennighoff et al. 2023, arXiv:2305.16264 (F06.13)"
UTILISATION = "published training runs (F07.03 to F07.05, F07.14)"
ZERO = "Rajbhandari et al. 2019, arXiv:1910.02054 (F08.02)"
QUANTISED = "arithmetic of F08.01 and F08.25"
LORA = "Hu et al. 2021, arXiv:2106.09685 (F08.10, F08.11)"
ACTIVATIONS = "Korthikanti et al. 2022, arXiv:2205.05198"
CACHE = "arithmetic of F08.16"
BANDWIDTH = "arithmetic of F27.02"


# --- training -------------------------------------------------------------------------------


def training_compute(parameters: float, tokens: float, context: int = 4096) -> Estimate:
    """Floating-point operations of a training run: 6ND, at most plus causal attention 6LdsD."""
    _positive(parameters=parameters, tokens=tokens)
    shape = shape_of(parameters)
    plain = 6 * parameters * tokens
    attention = 6 * shape.layers * shape.width * context * tokens
    return Estimate(
        quantity="training compute",
        low=plain,
        high=plain + attention,
        unit="FLOP",
        formula=f"6 × {short(parameters)} parameters × {short(tokens)} tokens",
        source=KAPLAN,
        assumptions=(f"dense transformer; the upper end counts attention over {context:,} tokens",),
    )


def gpu_hours(parameters: float, tokens: float, card: Gpu, context: int = 4096) -> Estimate:
    """GPU-hours of one clean run: compute over peak times utilisation."""
    compute = training_compute(parameters, tokens, context)
    peak = card.tflops * 1e12 * SECONDS
    low, high = card.mfu
    return Estimate(
        quantity=f"training time on {card.name}",
        low=compute.low / (peak * high),
        high=compute.high / (peak * low),
        unit="GPU-hours",
        formula=f"compute / ({card.tflops:g} TFLOP/s × {low:.0%} to {high:.0%} of the peak)",
        source=UTILISATION,
        assumptions=("the final run only; failed and exploratory runs often cost as much again (F07.06)",),
    )


def duration(hours: Estimate, count: int) -> Estimate:
    """Calendar time of a run on several cards, in hours where it is short and else in days."""
    _positive(cards=count)
    short_run = hours.high / count < LONG_RUN
    each = count if short_run else 24 * count
    return Estimate(
        quantity=f"calendar time on {count} card{'s' if count > 1 else ''}",
        low=hours.low / each,
        high=hours.high / each,
        unit="hours" if short_run else "days",
        formula=f"GPU-hours / {count}" + ("" if short_run else " / 24"),
        source=hours.source,
        assumptions=hours.assumptions,
    )


def cards_in_time(hours: Estimate, card: Gpu, days: float) -> Estimate:
    """How many cards do the GPU-hours in so many days: `duration` the other way round."""
    _positive(days=days)
    return Estimate(
        quantity=f"{card.name} cards for {days:g} day{'s' * (days != 1)}",
        low=math.ceil(hours.low / (24 * days)),
        high=math.ceil(hours.high / (24 * days)),
        unit="cards" if hours.high > 24 * days else "card",
        formula=f"GPU-hours / ({days:g} days × 24 h), rounded up",
        source=hours.source,
        assumptions=hours.assumptions,
    )


def rental(hours: Estimate, card: Gpu, currency: str = "USD") -> Estimate | None:
    """What the GPU-hours cost to rent; None where no price of the card is known."""
    if card.price is None:
        return None
    low, high = card.price
    return Estimate(
        quantity="rent of the GPUs",
        low=hours.low * low,
        high=hours.high * high,
        unit=currency,
        formula=f"GPU-hours × {low:g} to {high:g} {currency}",
        source=card.price_source,
        assumptions=("people, data and failed runs not counted",),
    )


def optimal_tokens(parameters: float) -> Estimate:
    """Tokens at which a training budget is best spent on this size."""
    _positive(parameters=parameters)
    tokens = TOKENS_PER_PARAMETER * parameters
    return Estimate(
        quantity="compute-optimal training tokens",
        low=tokens,
        high=tokens,
        unit="tokens",
        formula=f"{TOKENS_PER_PARAMETER} × {short(parameters)} parameters",
        source=CHINCHILLA,
        assumptions=("models that will serve many requests are trained far longer (F06.17, F06.18)",),
    )


def affordable_tokens(parameters: float, card: Gpu, count: float, days: float) -> Estimate:
    """Tokens that so many cards can train a model on in so many days: `gpu_hours` the other way round."""
    _positive(parameters=parameters, cards=count, days=days)
    each = gpu_hours(parameters, 1e9, card)
    hours = count * days * 24
    return Estimate(
        quantity=f"tokens that {count:g} × {card.name} can train on",
        low=1e9 * hours / each.high,
        high=1e9 * hours / each.low,
        unit="tokens",
        formula=f"{count:g} cards × {days:g} days × 24 h × utilised TFLOP/s / (6 × {short(parameters)} parameters)",
        source=each.source,
        assumptions=each.assumptions,
    )


def largest_model(unique_tokens: float) -> Estimate:
    """The compute-optimal model that so much text can feed, repeated up to four times."""
    _positive(tokens=unique_tokens)
    return Estimate(
        quantity="largest model that the text can feed",
        low=unique_tokens / TOKENS_PER_PARAMETER,
        high=USEFUL_EPOCHS * unique_tokens / TOKENS_PER_PARAMETER,
        unit="parameters",
        formula=f"1 to {USEFUL_EPOCHS} epochs × {short(unique_tokens)} tokens / {TOKENS_PER_PARAMETER}",
        source=f"{REPEATED}; {CHINCHILLA}",
        assumptions=("trained from nothing; adapting a pre-trained model needs far less",),
    )


# --- memory ---------------------------------------------------------------------------------


def weights(parameters: float, bits: float = 16) -> Estimate:
    """Memory of the weights alone."""
    _positive(parameters=parameters, bits=bits)
    size = parameters * (NF4_BYTES if bits == 4 else bits / 8) / GB
    return Estimate(
        quantity=f"weights in {bits:g} bits",
        low=size,
        high=size * (1.2 if bits < 8 else 1.0),
        unit="GB",
        formula=f"{short(parameters)} parameters × {bits / 8:g} bytes",
        source=QUANTISED if bits == 4 else "arithmetic of F08.01",
        assumptions=("formats below 8 bits keep some tensors and their scales finer",) if bits < 8 else (),
    )


def kv_cache(shape: Shape, context: int, batch: int = 1, bits: float = 16, *, known: bool = False) -> Estimate:
    """Memory of keys and values.

    Args:
        shape: Of the model.
        context: Tokens a sequence.
        batch: Sequences at once.
        bits: Of one value.
        known: The shape is that of the very model; otherwise both grouped and full heads are allowed for.
    """
    _positive(context=context, batch=batch, bits=bits)
    each = 2 * shape.layers * context * batch * bits / 8 / GB
    full, grouped = each * shape.width, each * shape.width / shape.heads * min(shape.heads, 8)
    exact = each * shape.kv_width
    return Estimate(
        quantity="key-value cache",
        low=exact if known else min(grouped, exact),
        high=exact if known else full,
        unit="GB",
        formula=f"2 × {shape.layers} layers × key-value width × {context:,} tokens × {batch} × {bits / 8:g} bytes",
        source=CACHE,
        assumptions=() if known else (f"shape of {shape.name}; low with 8 key-value heads, high with all of them",),
    )


def activations(shape: Shape, context: int, batch: int, *, checkpointing: bool = True) -> Estimate:
    """Memory of activations and logits while training with fused attention."""
    _positive(context=context, batch=batch)
    tokens = context * batch
    layer = 34 * tokens * shape.width
    kept = 2 * tokens * shape.width * shape.layers + layer if checkpointing else layer * shape.layers
    logits = tokens * shape.vocabulary
    return Estimate(
        quantity="activations and logits",
        low=(kept + 2 * logits) / GB,
        high=(kept + 10 * logits) / GB,
        unit="GB",
        formula=f"{'2sbdL + 34sbd' if checkpointing else '34sbdL'} + 2 to 10 sbV bytes, s = {context:,}, b = {batch}",
        source=ACTIVATIONS,
        assumptions=(
            f"fused attention, {'with' if checkpointing else 'without'} activation checkpointing",
            f"shape of {shape.name}",
        ),
    )


def adapter_parameters(shape: Shape, rank: int = RANK) -> float:
    """Trainable parameters of a LoRA adapter on all linear layers."""
    embeddings = shape.vocabulary * shape.width
    block = max((shape.parameters - embeddings) / shape.layers, 4 * shape.width**2)
    attention = 2 * shape.width**2 + 2 * shape.width * shape.kv_width
    inner = max((block - attention) / (3 * shape.width), shape.width)
    sides = 4 * shape.width + 2 * (shape.width + shape.kv_width) + 3 * (shape.width + inner)
    return float(shape.layers * rank * sides)


def training_memory(
    parameters: float,
    method: Tuning = "full",
    *,
    context: int = 2048,
    batch: int = 1,
    checkpointing: bool = True,
    rank: int = RANK,
) -> list[Estimate]:
    """Memory of training, part by part; the total and the card that fits come last.

    Args:
        parameters: Of the model.
        method: `full`, `lora` or `qlora`.
        context: Tokens a sequence.
        batch: Sequences in memory at once (the micro-batch).
        checkpointing: Compute activations anew in the backward pass.
        rank: Of the adapter.
    """
    _positive(parameters=parameters, rank=rank)
    shape = shape_of(parameters)
    parts = [_state(parameters, method, shape, rank), activations(shape, context, batch, checkpointing=checkpointing)]
    if method != "full":
        parts.insert(0, weights(parameters, 4 if method == "qlora" else 16))
    return [*parts, *_total(f"memory of {_name(method)}", parts)]


def inference_memory(
    parameters: float, *, bits: float = 16, context: int = 4096, batch: int = 1, shape: Shape | None = None
) -> list[Estimate]:
    """Memory of running a model, part by part; the total and the card that fits come last.

    Args:
        parameters: Of the model.
        bits: Of a weight; keys and values stay in 16.
        context: Tokens a sequence.
        batch: Sequences at once.
        shape: Of the very model, if it is known.
    """
    cache = kv_cache(shape or shape_of(parameters), context, batch, known=shape is not None)
    parts = [weights(parameters, bits), cache]
    return [*parts, *_total(f"memory of inference in {bits:g} bits", parts)]


def card_for(memory: float, what: str = "") -> Estimate:
    """The smallest card that so many GB fit, or how many of 80 GB."""
    _positive(memory=memory)
    fitting = [card for card in gpus() if card.memory >= memory * SPARE]
    if fitting:
        card = min(fitting, key=lambda item: item.memory)
        same = ", ".join(item.name for item in gpus() if item.memory == card.memory)
        return Estimate(
            quantity=f"smallest single card{what}",
            low=card.memory,
            high=card.memory,
            unit="GB",
            formula=f"{same}; 10 % kept free",
            source="data sheets",
        )
    count = math.ceil(memory * SPARE / 80)
    return Estimate(
        quantity=f"cards of 80 GB{what}",
        low=count,
        high=count,
        unit="cards",
        formula=f"{memory:,.0f} GB × {SPARE:g} / 80 GB, the state shared out among them",
        source=ZERO,
        assumptions=("fully sharded, or with offload to the host's memory on fewer",),
    )


# --- data and serving -----------------------------------------------------------------------


def labels_needed(method: str, kind: str, situation: str | None = None) -> Estimate | None:
    """Labelled examples that a method usually needs; None where the folder has no range.

    Args:
        method: A `Method`.
        kind: Level of the factor `input`.
        situation: What the user wrote, if anything: some ranges hold only for what it is about.
    """
    found = [need for need in needs() if method in need.methods and kind in need.inputs]
    if situation is None:
        # The widest range first.
        found.sort(key=lambda need: bool(need.about))
    else:
        found = [need for need in found if _about(need, situation)]
    if not found:
        return None
    need = found[0]
    return Estimate(
        quantity=f"data for {method.replace('_', ' ')}",
        low=need.low,
        high=need.high,
        unit=need.unit,
        formula=need.note,
        source=need.source,
    )


def cards_for(parameters: float, card: Gpu, bits: float = 16) -> int:
    """How many cards the weights alone need."""
    return max(math.ceil(weights(parameters, bits).low / card.memory), 1)


def serving(
    parameters: float,
    card: Gpu,
    bits: float = 16,
    count: int = 1,
    currency: str = "USD",
    active: float | None = None,
) -> list[Estimate]:
    """Speed of one stream and, where the card has a price, dollars a million tokens.

    Every token reads all weights once, so bandwidth sets the ceiling; real servers reach half of it
    or more, and many streams at once share the reading.

    Args:
        parameters: Of the model; the cards must hold them.
        card: Which card.
        bits: Of a weight.
        count: Cards; as many as the weights need, if that is more.
        currency: Of the card's price.
        active: Parameters that a token reads, where these are not all: those of a mixture of experts.
    """
    size = weights(active or parameters, bits).low
    count = max(cards_for(parameters, card, bits), count)
    ceiling = count * card.bandwidth / size
    many = f"{count} × " if count > 1 else ""
    speed = Estimate(
        quantity=f"speed of one stream on {many}{card.name}",
        low=ceiling / (2 if count == 1 else 4),
        high=ceiling,
        unit="tokens/s",
        formula=f"{many}{card.bandwidth:g} GB/s / {size:.3g} GB; "
        + (
            "half of it as the lower end"
            if count == 1
            else "a quarter of it as the lower end, for cards wait for each other"
        ),
        source=BANDWIDTH,
    )
    if card.price is None:
        return [speed]
    low, high = card.price
    million = count * 1e6 / SECONDS
    return [
        speed,
        Estimate(
            quantity="cost of a million tokens, one stream",
            low=low * million / speed.high,
            high=high * million / speed.low,
            unit=currency,
            formula=f"{low:g} to {high:g} {currency} an hour / speed",
            source=f"{BANDWIDTH}; {card.price_source}",
            assumptions=("one request at a time and always busy; batching divides it, idle hours multiply it",),
        ),
    ]


def middle(estimate: Estimate) -> float:
    """Geometric middle of a range: what one would say if asked for one number."""
    return math.sqrt(estimate.low * estimate.high)


def short(number: float) -> str:
    """A large number as people write it: 7B, 1.4T, 350M, 4,000."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        # What rounds to 1,000M is 1B.
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{letter}"
    return f"{number:,.0f}"


def _state(parameters: float, method: Tuning, shape: Shape, rank: int) -> Estimate:
    trained = parameters if method == "full" else adapter_parameters(shape, rank)
    return Estimate(
        quantity="weights, gradients and Adam's states" if method == "full" else "adapter with gradients and states",
        low=trained * MIXED_ADAM / GB,
        high=trained * MIXED_ADAM_MOST / GB,
        unit="GB",
        formula=f"{short(trained)} trained parameters × {MIXED_ADAM} to {MIXED_ADAM_MOST} bytes",
        source=ZERO if method == "full" else LORA,
        assumptions=() if method == "full" else (f"rank {rank} on all linear layers",),
    )


def _total(quantity: str, parts: Sequence[Estimate]) -> list[Estimate]:
    low, high = (sum(getattr(part, end) for part in parts) for end in ("low", "high"))
    total = Estimate(
        quantity=quantity,
        low=low + OVERHEAD[0],
        high=high + OVERHEAD[1],
        unit="GB",
        formula=" + ".join(part.quantity for part in parts) + f" + {OVERHEAD[0]:g} to {OVERHEAD[1]:g} GB overhead",
        source="; ".join(dict.fromkeys(part.source for part in parts)),
    )
    return [total, card_for(total.high, quantity.replace("memory of", " for").replace("  ", " "))]


def _about(need: Need, situation: str) -> bool:
    stems = "|".join(map(re.escape, need.about))
    return not stems or re.search(rf"\b(?:{stems})", situation, re.I) is not None


def _name(method: Tuning) -> str:
    return {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}[method]


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"The number of {name} must be above 0, and {value:g} was given.")
