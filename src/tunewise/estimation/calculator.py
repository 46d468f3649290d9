"""From words to figures: calculation questions, and the estimates that go with a verdict."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from tunewise.estimation import bills, formulas
from tunewise.estimation.catalogue import Gpu, gpu, shape_of
from tunewise.estimation.formulas import Tuning, short
from tunewise.estimation.quantities import Quantity, first, read
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate, Method, Value

LONGEST = 45
"""Words up to which a message can be a calculation question; a longer one is a situation."""
USUAL_MODEL = 8e9
"""Parameters assumed where a language model is meant and none is named."""
USUAL_CARD = "A100 80GB"
USUAL_EXAMPLE = 500
"""Tokens of an example, where nothing is said of it."""
USUAL_EPOCHS = 3
USUAL_CONTEXT = 2048
TUNINGS: tuple[Tuning, ...] = ("qlora", "lora", "full")
MEMORY = re.compile(
    r"\b(?:memory|vram|ram|gb|gpus?|cards?|fits?|fit on|onto|into|hold|oom|reicht"
    r"|hardware|speicher|passt|mémoire|cabe|tient|memoria)\b"
    r"|\b(?:on|with) (?:a|an|one|my|the|single)\b",
    re.I,
)
KV = re.compile(r"\bkv[ -]?cache|key[ -]value cache|keys and values", re.I)
TRAINING = re.compile(
    r"\b(?:(?:re)?train\w*|entra[iî]n\w*|entren\w*|addestr\w*|gradients?|\w*trainier\w*"
    r"|fine[ -]?tun\w*|finetun\w*|lora|qlora|sft|peft|pre-?train\w*|from scratch|epochs?)\b",
    re.I,
)
DURATION = re.compile(
    r"\b(?:how long|how many (?:gpu[ -])?(?:hours|days|weeks)|gpu[ -]?hours?|time|days|hours|duration|wie lange"
    r"|combien de (?:temps|jours)|cuánto tiempo|dauert)\b",
    re.I,
)
PRICE = re.compile(
    r"\b(?:costs?|price\w*|bill|kostet|kosten|coûte|cuesta|dollars?|budget|expensive|how much money|usd|rent)\b|[$€]",
    re.I,
)
COMPUTE = re.compile(r"\b(?:flops?|compute)\b", re.I)
HOW_MANY_TOKENS = re.compile(
    r"\bhow (?:many|much) (?:\w+ ){0,3}?(?:tokens|data|text|words)\b"
    r"|\btokens (?:do|does|would|should|are|needed)|\bchinchilla\b"
    r"|\bcompute[- ]optimal\b",
    re.I,
)
HOW_LARGE = re.compile(r"\bhow (?:large|big)\b|\b(?:largest|biggest|what size|which size)\b", re.I)
SERVING = re.compile(
    r"\b(?:serv\w+|tokens? (?:per|a|/) ?s\w*|tokens/s|throughput|inference|run|host\w*|infer\w*|generat\w+)\b",
    re.I,
)
SPEED = re.compile(r"\b(?:speed|fast|tokens? (?:per|a) s\w*|tokens/s|throughput|per million)\b", re.I)
ASKS = re.compile(
    r"\bhow (?:much|long|many|fast|large|big|expensive)\b|\b(?:wie (?:viele?|lange|groß|schnell|teuer)|passt|kostet"
    r"|combien|cuánt[oa]s?|cabe|quant[oi])\b|\bfits?\b|\bkv[ -]?cache\b|\bchinchilla\b"
    r"|\bcompute[- ]optimal\b|\b(?:costs?|price|vram|bill|flops?|throughput|gpu[ -]?hours)\b"
    r"|\btokens?(?: (?:per|a) second|/s)\b"
    r"|\b(?:days|hours|weeks|time|v?ram|compute|budget|hardware) (?:to|for|needed|required|it takes)\b"
    r"|\b(?:oom|out of memory)\b|\bestimate\b|\bsmallest (?:gpu|card)\b"
    r"|\b(?:get|put|squeeze|load) .*\b(?:onto|into|on)\b|\b(?:biggest|largest) (?:\w+ )?model\b"
    r"|\b(?:required|enough) (?:memory|vram)\b|\b(?:what|which) (?:gpus?|cards?|hardware|size)\b"
    r"|\bmemory (?:for|to|of|needed|required|footprint|do|does|would)\b"
    r"|^(?:so |and |hi,? )?(?:can|could|will|would|does|do|is|are) .*"
    r"\b(?:train|fine-?tune|q?lora|run|serve|host|load|hold)\b",
    re.I,
)
MEASURES = re.compile(r"\bhow (?:much|long|many|fast|large|big)\b|\b(?:what|which) size\b|\bvram\b", re.I)
"""Whoever asks so wants a number, even of what "should" be."""
SUFFICES = re.compile(
    r"^(?:so |and )?(?:is|are|would|will|does|do) .*\b(?:enough|sufficient|suffices?)\b|^reicht\b", re.I
)
GIVEN = frozenset({Kind.GPUS, Kind.MEMORY, Kind.TOKENS, Kind.CONTEXT, Kind.BITS, Kind.BATCH})
BRIEF = 12
"""Words up to which a size and another quantity are a calculation without any word that asks for a number."""
FEW = 30
"""Words up to which a size and a card with a question such as "realistic?" are a calculation."""
EXPLAINS = re.compile(
    r"\b(?:why|what (?:is|are|does)|explain|how (?:do|does|is|was)|who|quality"
    r"|accura\w+|know|good|we|our|better|legal)\b",
    re.I,
)
FEASIBLE = re.compile(
    r"\b(?:fits?|run|runs|running|loads?|serve|host|hold|train\w*|fine-?tun\w*|tune|q?lora|realistic|possible|feasible"
    r"|enough|chance|eta|cope|handle|go on)\b",
    re.I,
)
ADVICE = re.compile(
    r"\b(?:why|explain|quality|accura\w+|better|legal|worth|stop|replace|know|reliabl\w+|tone|customers?|strategy|slow"
    r"|overkill|overfit\w*|good)\b|(?:^|[.!?]\s+)(?:fine-?tune|train)\b",
    re.I,
)
"""Words of one who does not ask whether something fits."""
SHOULD = re.compile(r"\bshould\b|\bsollen? (?:wir|ich)\b", re.I)
CHOOSES = re.compile(
    r"\bdid\b|\bwhich way\b|\bbetter\b|\bworth\b|\bor (?:just )?(?:prompt|rag|use|train|fine|buy|an? api)", re.I
)
"""Words of one who asks for advice or for what has been, whatever quantities are named."""
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Topic(StrEnum):
    """What is to be calculated."""

    TRAINING_MEMORY = "training memory"
    INFERENCE_MEMORY = "inference memory"
    KV_CACHE = "key-value cache"
    TRAINING_COST = "training time and cost"
    TOKENS = "training tokens"
    AFFORDABLE = "tokens that fit a time"
    MODEL_SIZE = "model size"
    SERVING = "serving"
    RENT = "rent"
    TOKEN_BILL = "bill for tokens"
    ITEM_BILL = "bill for labels or items"


class Calculation(Value):
    """A calculation question and its result."""

    topic: Topic
    """What was calculated."""
    estimates: tuple[Estimate, ...]
    """The figures; the last ones are the totals."""
    read: tuple[Quantity, ...]
    """What was read from the question."""
    sentence: str
    """The result in a sentence."""
    facts: tuple[str, ...]
    """Identifiers of the facts that the formulas rest on, if the knowledge folder has them."""


FACTS: Mapping[Topic, tuple[str, ...]] = {
    Topic.TRAINING_MEMORY: ("F08.02", "F08.13", "F08.06"),
    Topic.INFERENCE_MEMORY: ("F08.01", "F08.16"),
    Topic.KV_CACHE: ("F08.16",),
    Topic.TRAINING_COST: ("F06.06", "F07.05"),
    Topic.TOKENS: ("F06.03", "F06.17"),
    Topic.AFFORDABLE: ("F06.06", "F07.05"),
    Topic.MODEL_SIZE: ("F06.13", "F06.03"),
    Topic.SERVING: ("F27.02", "F27.15"),
    Topic.RENT: ("F07.06",),
    Topic.TOKEN_BILL: (),
    Topic.ITEM_BILL: (),
}
BILLS = {"rent": Topic.RENT, "tokens": Topic.TOKEN_BILL, "items": Topic.ITEM_BILL}


def calculate(text: str) -> Calculation | None:
    """The figures that a question asks for; None where it is no calculation question.

    Args:
        text: A message, such as "how much memory to fine-tune 13B with QLoRA?".

    Raises:
        UserError: A quantity makes no sense, such as a model that does not fit the card named.
    """
    if len(text.split()) > LONGEST or CHOOSES.search(text) or (SHOULD.search(text) and not MEASURES.search(text)):
        return None
    sentences = SENTENCE.split(text.strip())
    asked = sentences if len(sentences) == 1 else [sentence for sentence in sentences if "?" in sentence]
    quantities = read(text)
    kinds = {quantity.kind for quantity in quantities}
    means = {Kind.GPUS, Kind.MEMORY} & kinds
    if not (TRAINING.search(text) and kinds >= {Kind.PARAMETERS, Kind.TOKENS}) and (
        bill := bills.bill(text, quantities)
    ):
        return _billed(bill, quantities)
    brief = (
        "?" in text
        and len(text.split()) <= BRIEF
        and Kind.PARAMETERS in kinds
        and GIVEN & kinds
        and not EXPLAINS.search(text)
    )
    feasible = (
        len(text.split()) <= FEW
        and Kind.PARAMETERS in kinds
        and bool(means)
        and any("?" in sentence and FEASIBLE.search(sentence) for sentence in asked)
        and not ADVICE.search(text)
    )
    if not (brief or feasible) and not any(
        ASKS.search(sentence) or (means and SUFFICES.search(sentence)) for sentence in asked
    ):
        return None
    topic = _topic(text, quantities)
    if topic is None:
        return None
    estimates, sentence = _RESULTS[topic](text, quantities)
    return Calculation(topic=topic, estimates=tuple(estimates), read=quantities, sentence=sentence, facts=FACTS[topic])


def _billed(bill: bills.Bill, quantities: tuple[Quantity, ...]) -> Calculation:
    topic = BILLS[bill.what]
    sentence = f"{bill.sentence} come to {span(bill.estimate)}."
    return Calculation(topic=topic, estimates=(bill.estimate,), read=quantities, sentence=sentence, facts=FACTS[topic])


def for_advice(method: Method | None, kind: str, situation: str) -> tuple[Estimate, ...]:
    """The figures that go with a verdict.

    Args:
        method: How the verdict is carried out.
        kind: Level of the factor `input`.
        situation: What the user wrote; a size of model, cards and examples are read from it.
    """
    if method is None:
        return ()
    found = read(situation)
    estimates = [formulas.labels_needed(method.value, kind)]
    if kind in ("text", "code"):
        estimates += _language_figures(method, found)
    return tuple(estimate for estimate in estimates if estimate is not None)


def _language_figures(method: Method, found: Sequence[Quantity]) -> list[Estimate | None]:
    named = first(found, Kind.PARAMETERS)
    size = named.number if named else USUAL_MODEL
    guess = () if named else (f"a model of {short(size)} parameters, as none is named",)
    card = _card(found)
    if method in (Method.LORA, Method.QLORA, Method.FULL, Method.PREFERENCE_TUNING):
        tuning: Tuning = "qlora" if method is Method.QLORA else "full" if method is Method.FULL else "lora"
        memory = formulas.training_memory(size, tuning)[-2:]
        hours = formulas.gpu_hours(size, _tuning_tokens(found), card, USUAL_CONTEXT)
        return [_assuming(item, guess) for item in (*memory, hours, formulas.rental(hours, card))]
    if method is Method.CONTINUED_PRETRAINING:
        tokens = first(found, Kind.TOKENS)
        hours = formulas.gpu_hours(size, tokens.number if tokens else 1e9, card)
        each = () if tokens else ("one billion tokens, as no amount is given",)
        return [_assuming(item, guess + each) for item in (hours, formulas.rental(hours, card))]
    if method is Method.SELF_SUPERVISED_PRETRAINING:
        return _pretraining_figures(named.number if named else 1e9, named is not None, found)
    if method in (Method.PROMPTING, Method.FEW_SHOT, Method.RAG, Method.LONG_CONTEXT):
        context = 32768 if method is Method.LONG_CONTEXT else 8192
        return [_assuming(item, guess) for item in formulas.inference_memory(size, bits=4, context=context)[-2:]]
    return []


def _pretraining_figures(size: float, named: bool, found: Sequence[Quantity]) -> list[Estimate | None]:
    tokens, card = first(found, Kind.TOKENS), _card(found)
    guess = () if named else (f"a model of {short(size)} parameters, as none is named",)
    optimal = formulas.optimal_tokens(size)
    hours = formulas.gpu_hours(size, tokens.number if tokens else optimal.high, card)
    figures = [optimal, hours, formulas.rental(hours, card)]
    if tokens:
        figures.append(formulas.largest_model(tokens.number))
    return [_assuming(item, guess) for item in figures]


def _topic(text: str, quantities: Sequence[Quantity]) -> Topic | None:
    kinds = {quantity.kind for quantity in quantities}
    if Kind.PARAMETERS not in kinds:
        return Topic.MODEL_SIZE if Kind.TOKENS in kinds and HOW_LARGE.search(text) else None
    trains = bool(TRAINING.search(text))
    if KV.search(text):
        return Topic.KV_CACHE
    speed = bool(SPEED.search(text))
    if HOW_MANY_TOKENS.search(text) and Kind.TOKENS not in kinds and not (speed and not trains):
        return Topic.AFFORDABLE if kinds >= {Kind.GPUS, Kind.DAYS} else Topic.TOKENS
    dear = bool(DURATION.search(text) or PRICE.search(text) or COMPUTE.search(text))
    if Kind.TOKENS in kinds and not speed and (COMPUTE.search(text) or DURATION.search(text)):
        return Topic.TRAINING_COST
    if trains and (dear or Kind.TOKENS in kinds):
        return Topic.TRAINING_COST
    # Of a machine named by its memory alone the bandwidth is not known.
    unknown = Kind.MEMORY in kinds and Kind.GPUS not in kinds
    if not trains and not unknown and (speed or (SERVING.search(text) and dear)):
        return Topic.SERVING
    if MEMORY.search(text) or Kind.GPUS in kinds or Kind.MEMORY in kinds:
        return Topic.TRAINING_MEMORY if trains else Topic.INFERENCE_MEMORY
    return None


def _training_memory(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, context, batch = _number(found, Kind.PARAMETERS, 0), _context(found), _batch(found)
    ways: list[Tuning] = [way for way in TUNINGS if re.search(rf"(?<!\w){way}\b", text, re.I)]
    rank = int(_number(found, Kind.RANK, formulas.RANK))
    bits = first(found, Kind.BITS)
    if not ways and bits and bits.number == 4:
        ways = ["qlora"]
    estimates: list[Estimate] = []
    lines = []
    for way in ways or ("full", "lora", "qlora"):
        parts = formulas.training_memory(size, way, context=context, batch=batch, rank=rank)
        estimates += parts if len(ways) == 1 else parts[-2:]
        lines.append(f"{parts[-2].quantity.removeprefix('memory of ')} needs {span(parts[-2])}")
    words = f"For {short(size)} parameters, {context:,} tokens a sequence and {_sequences(batch)}: {'; '.join(lines)}."
    return estimates, f"{words} {_fits(found, estimates)}".strip()


def _inference_memory(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, context, batch = _number(found, Kind.PARAMETERS, 0), _context(found), _batch(found)
    bits = first(found, Kind.BITS)
    choices = [bits.number] if bits else [16.0, 4.0]
    estimates: list[Estimate] = []
    lines = []
    for width in choices:
        parts = formulas.inference_memory(size, bits=width, context=context, batch=batch)
        estimates += parts if len(choices) == 1 else [parts[0], *parts[-2:]]
        lines.append(f"{span(parts[-2])} in {width:g} bits")
    words = f"Running {short(size)} parameters with {context:,} tokens of context and {_sequences(batch)}"
    return estimates, f"{words} takes {', '.join(lines)}. {_fits(found, estimates)}".strip()


def _kv_cache(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, context, batch = _number(found, Kind.PARAMETERS, 0), _context(found), _batch(found)
    cache = formulas.kv_cache(shape_of(size), context, batch, _number(found, Kind.BITS, 16))
    return [cache], f"Keys and values of {_sequences(batch)} with {context:,} tokens take {span(cache)}."


def _training_cost(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, card = _number(found, Kind.PARAMETERS, 0), _priced(_card(found), found)
    given = first(found, Kind.TOKENS)
    tokens = given.number if given and given.number > 1e5 else None
    scratch = re.search(r"scratch|pre-?train", text, re.I) and not re.search(r"continu", text, re.I)
    if tokens is None:
        tokens = formulas.optimal_tokens(size).high if scratch else _tuning_tokens(found)
    compute = formulas.training_compute(size, tokens)
    hours = formulas.gpu_hours(size, tokens, card)
    estimates = [compute, hours]
    count = first(found, Kind.GPUS)
    words = f"Training {short(size)} parameters on {short(tokens)} tokens takes {span(hours)} on {card.name}"
    if count:
        span_days = formulas.duration(hours, int(count.number))
        estimates.append(span_days)
        words += f", that is {span(span_days)} on {count.number:g}"
    rent = formulas.rental(hours, card)
    if rent:
        estimates.append(rent)
        words += f", or {span(rent)} of rent"
    return estimates, f"{words}. That is one clean run; plan with two to three times as much."


def _tokens(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size = _number(found, Kind.PARAMETERS, 0)
    tokens = formulas.optimal_tokens(size)
    hours = formulas.gpu_hours(size, tokens.high, _card(found))
    words = f"A model of {short(size)} parameters trained from nothing is fed best with about"
    return [tokens, hours], f"{words} {short(tokens.high)} tokens; adapting a pre-trained one needs far less."


def _affordable(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, card = _number(found, Kind.PARAMETERS, 0), _card(found)
    count, days = _number(found, Kind.GPUS, 1), _number(found, Kind.DAYS, 1)
    tokens = formulas.affordable_tokens(size, card, count, days)
    words = f"In {figure(days)} days {count:g} × {card.name} can train {short(size)} parameters on {span(tokens)}"
    return [tokens, formulas.optimal_tokens(size)], f"{words}, if nothing fails."


def _model_size(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    tokens = _number(found, Kind.TOKENS, 0)
    size = formulas.largest_model(tokens)
    return [size], (
        f"{short(tokens)} tokens of text feed a model of {short(size.low)} parameters in one pass, "
        f"and of at most about {short(size.high)} when it is repeated four times."
    )


def _serving(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size, card = _number(found, Kind.PARAMETERS, 0), _card(found)
    bits = first(found, Kind.BITS)
    width = bits.number if bits else 16.0 if formulas.weights(size).low < card.memory else 4.0
    estimates = formulas.serving(size, card, width)
    count = formulas.cards_for(size, card, width)
    on = f"{count} × {card.name}, which the weights need," if count > 1 else card.name
    words = f"One stream of {short(size)} parameters in {width:g} bits on {on} writes {span(estimates[0])}"
    if len(estimates) > 1:
        words += f", at {span(estimates[1])} a million tokens while it is always busy"
    return estimates, words + "; batching many requests raises the total several times."


_RESULTS: Mapping[Topic, Callable[[str, Sequence[Quantity]], tuple[list[Estimate], str]]] = {
    Topic.TRAINING_MEMORY: _training_memory,
    Topic.INFERENCE_MEMORY: _inference_memory,
    Topic.KV_CACHE: _kv_cache,
    Topic.TRAINING_COST: _training_cost,
    Topic.TOKENS: _tokens,
    Topic.AFFORDABLE: _affordable,
    Topic.MODEL_SIZE: _model_size,
    Topic.SERVING: _serving,
}


def span(estimate: Estimate) -> str:
    """A range as a person says it: "7.1 to 8.4 GB"."""
    low, high = figure(estimate.low), figure(estimate.high)
    unit = "$" if estimate.unit == "USD" else ""
    after = "" if unit else f" {estimate.unit}"
    return f"{unit}{low}{after}" if low == high else f"{unit}{low} to {unit}{high}{after}"


def figure(value: float) -> str:
    """A number with as many digits as it deserves."""
    if value >= 1e15:
        return f"{value:.2g}"
    if value >= 1e6:
        return short(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _fits(found: Sequence[Quantity], estimates: Sequence[Estimate]) -> str:
    named = first(found, Kind.GPUS)
    memory = first(found, Kind.MEMORY)
    if named and named.gpu:
        room, where = named.gpu.memory * named.number, f"On {named.number:g} × {named.gpu.name}"
    elif memory:
        room, where = memory.number, "In the memory named"
    else:
        return ""
    totals = [item for item in estimates if item.quantity.startswith("memory of")]
    verdicts = []
    for item in totals:
        word = "fits" if item.high <= room else "may just fit" if item.low <= room else "does not fit"
        verdicts.append(f"{item.quantity.removeprefix('memory of ')} {word}")
    return f"{where} ({room:g} GB): {', '.join(verdicts)}."


def _card(found: Sequence[Quantity]) -> Gpu:
    named = first(found, Kind.GPUS)
    return named.gpu if named and named.gpu else gpu(USUAL_CARD)


def _priced(card: Gpu, found: Sequence[Quantity]) -> Gpu:
    """The card at the hourly price that the text gives, if any."""
    price = next((item for item in found if item.kind is Kind.MONEY and item.unit == "USD/hour"), None)
    return card.model_copy(update={"price": (price.number, price.number)}) if price and price.number > 0 else card


def _tuning_tokens(found: Sequence[Quantity]) -> float:
    examples, epochs = first(found, Kind.EXAMPLES), first(found, Kind.EPOCHS)
    tokens = first(found, Kind.TOKENS)
    if tokens and tokens.number > 1e5:
        return tokens.number * (epochs.number if epochs else 1)
    each = tokens.number if tokens else USUAL_EXAMPLE
    return (examples.number if examples else 10_000) * each * (epochs.number if epochs else USUAL_EPOCHS)


def _number(found: Sequence[Quantity], kind: Kind, otherwise: float) -> float:
    quantity = first(found, kind)
    return quantity.number if quantity else otherwise


def _context(found: Sequence[Quantity]) -> int:
    return int(_number(found, Kind.CONTEXT, USUAL_CONTEXT))


def _batch(found: Sequence[Quantity]) -> int:
    return int(_number(found, Kind.BATCH, 1))


def _sequences(batch: int) -> str:
    return "one sequence at a time" if batch == 1 else f"{batch} sequences at a time"


def _assuming(estimate: Estimate | None, assumptions: tuple[str, ...]) -> Estimate | None:
    if estimate is None or not assumptions:
        return estimate
    return estimate.model_copy(update={"assumptions": estimate.assumptions + assumptions})
