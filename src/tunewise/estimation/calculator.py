"""From words to figures: calculation questions, and the estimates that go with a verdict."""

import re
from collections.abc import Callable, Mapping, Sequence

from tunewise.estimation import bills, formulas, questions
from tunewise.estimation.catalogue import Gpu, gpu, shape_of
from tunewise.estimation.formulas import Tuning, short
from tunewise.estimation.quantities import Quantity, first, read
from tunewise.estimation.questions import Topic
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate, Method, Value

USUAL_MODEL = 8e9
"""Parameters assumed where a language model is meant and none is named."""
USUAL_CARD = "A100 80GB"
USUAL_EXAMPLE = 500
"""Tokens of an example, where nothing is said of it."""
USUAL_EPOCHS = 3
TOKENS_A_WORD = 4 / 3
LEAST_TOKENS = 20_000
"""Fewer tokens without a count of examples are the length of a sequence."""
COUNTS_TOKENS = re.compile(r"[\d.,k ]+(?:input |output )?tok(?:ens?)?(?: each| apiece)?", re.I)
USUAL_CONTEXT = 2048
HOST = re.compile(r"(?<!v)ram$", re.I)
"""Memory that is not a card's."""
TUNINGS: tuple[Tuning, ...] = ("qlora", "lora", "full")


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


def calculate(text: str) -> Calculation | None:
    """The figures that a question asks for; None where it is no calculation question.

    Args:
        text: A message, such as "how much memory to fine-tune 13B with QLoRA?".

    Raises:
        UserError: A quantity makes no sense, such as a context of no tokens.
    """
    if questions.advises(text):
        return None
    quantities = read(text)
    whole_run = questions.trains(text) and {item.kind for item in quantities} >= {Kind.PARAMETERS, Kind.TOKENS}
    if not whole_run and (bill := bills.bill(text, quantities)):
        return _billed(bill, quantities)
    topic = questions.topic(text, quantities)
    if topic is None:
        return None
    estimates, sentence = _RESULTS[topic](text, quantities)
    return Calculation(topic=topic, estimates=tuple(estimates), read=quantities, sentence=sentence, facts=FACTS[topic])


def _billed(bill: bills.Bill, quantities: tuple[Quantity, ...]) -> Calculation:
    return Calculation(
        topic=bill.topic,
        estimates=(bill.estimate,),
        read=quantities,
        sentence=f"{bill.sentence} come to {span(bill.estimate)}.",
        facts=FACTS[bill.topic],
    )


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
    size = _number(found, Kind.PARAMETERS, 0)
    card, currency = _priced(_card(found), found)
    scratch = re.search(r"scratch|pre-?train", text, re.I) and not re.search(r"continu", text, re.I)
    tokens = _given_tokens(found) or (formulas.optimal_tokens(size).high if scratch else _tuning_tokens(found))
    compute = formulas.training_compute(size, tokens)
    hours = formulas.gpu_hours(size, tokens, card)
    estimates = [compute, hours]
    count = first(found, Kind.GPUS)
    words = f"Training {short(size)} parameters on {short(tokens)} tokens takes {span(hours)} on {card.name}"
    if count:
        many = max(round(count.number), 1)
        span_days = formulas.duration(hours, many)
        estimates.append(span_days)
        words += f", that is {span(span_days)} on {many}"
    rent = formulas.rental(hours, card, currency)
    if rent:
        estimates.append(rent)
        words += f", or {span(rent)} of rent"
    return estimates, f"{words}. That is one clean run; plan with two to three times as much.{_taken(found)}"


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
    span_of_days = f"{figure(days)} day{'s' * (days != 1)}"
    words = f"In {span_of_days} {count:g} × {card.name} can train {short(size)} parameters on {span(tokens)}"
    return [tokens, formulas.optimal_tokens(size)], f"{words}, if nothing fails."


def _model_size(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    tokens = _number(found, Kind.TOKENS, 0)
    size = formulas.largest_model(tokens)
    return [size], (
        f"{short(tokens)} tokens of text feed a model of {short(size.low)} parameters in one pass, "
        f"and of at most about {short(size.high)} when it is repeated four times."
    )


def _serving(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size = _number(found, Kind.PARAMETERS, 0)
    card, currency = _priced(_card(found), found)
    bits, named = first(found, Kind.BITS), first(found, Kind.GPUS)
    width = bits.number if bits else 16.0 if formulas.weights(size).low < card.memory else 4.0
    least = formulas.cards_for(size, card, width)
    count = max(least, round(named.number) if named else 1)
    estimates = formulas.serving(size, card, width, count, currency)
    on = f"{count} × {card.name}" if count > 1 else card.name
    on += ", which the weights need," if count == least > 1 and not (named and named.number >= least) else ""
    words = f"One stream of {short(size)} parameters in {width:g} bits on {on} writes {span(estimates[0])}"
    if len(estimates) > 1:
        words += f", at {span(estimates[1])} a million tokens while it is always busy"
    return estimates, words + f"; batching many requests raises the total several times.{_taken(found)}"


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
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def _fits(found: Sequence[Quantity], estimates: Sequence[Estimate]) -> str:
    room, where = _room(found)
    if not room:
        return ""
    totals = [item for item in estimates if item.quantity.startswith("memory of")]
    verdicts = []
    for item in totals:
        word = "fits" if item.high <= room else "may just fit" if item.low <= room else "does not fit"
        verdicts.append(f"{item.quantity.removeprefix('memory of ')} {word}")
    return f"{where} ({room:g} GB): {', '.join(verdicts)}."


def _room(found: Sequence[Quantity]) -> tuple[float, str]:
    """Memory of the cards named, in GB, and how to call them; 0 where none is known."""
    named, memories = first(found, Kind.GPUS), [item for item in found if item.kind is Kind.MEMORY]
    # Of "64 GB RAM and a 12 GB card" the card's counts.
    memory = next((item for item in memories if not HOST.search(item.text) or len(memories) == 1), None)
    if named and named.gpu:
        own = memory is not None and 0 <= memory.start - named.end <= len(" each with ") and memory.number < 200
        each = memory.number if own and memory else named.gpu.memory
        name = named.gpu.name if each == named.gpu.memory else "cards of that memory"
        return each * named.number, f"On {named.number:g} × {name}"
    if memory is None:
        return 0.0, ""
    if named and named.number > 1:
        return memory.number * named.number, f"On {named.number:g} cards"
    return memory.number, "In the memory named"


def _taken(found: Sequence[Quantity]) -> str:
    """What card was taken where the one meant is not known."""
    named = first(found, Kind.GPUS)
    if named and named.gpu:
        return ""
    known = "that card is not in the table" if named else "no card is named"
    return f" As {known}, these are the figures of an {USUAL_CARD}."


def _card(found: Sequence[Quantity]) -> Gpu:
    named = first(found, Kind.GPUS)
    return named.gpu if named and named.gpu else gpu(USUAL_CARD)


def _priced(card: Gpu, found: Sequence[Quantity]) -> tuple[Gpu, str]:
    """The card at the hourly price that the text gives, if any, and the currency."""
    hourly = (item for item in found if item.kind is Kind.MONEY and item.unit.endswith("/hour") and item.number > 0)
    price = next(hourly, None)
    if price is None:
        return card, "USD"
    return card.model_copy(update={"price": (price.number, price.number)}), price.unit.partition("/")[0]


def _given_tokens(found: Sequence[Quantity]) -> float | None:
    """Tokens of a run by what is said of them: in all, in words, or of each example; None where nothing is."""
    epochs = _number(found, Kind.EPOCHS, 1)
    if tokens := first(found, Kind.TOKENS):
        return tokens.number * epochs
    if words := first(found, Kind.WORDS):
        return words.number * TOKENS_A_WORD * epochs
    few = next((item for item in found if item.kind is Kind.CONTEXT and COUNTS_TOKENS.fullmatch(item.text)), None)
    if few is None:
        return None
    examples = first(found, Kind.EXAMPLES)
    if examples is None:
        return few.number * epochs if few.number >= LEAST_TOKENS else None
    return examples.number * few.number * _number(found, Kind.EPOCHS, USUAL_EPOCHS)


def _tuning_tokens(found: Sequence[Quantity]) -> float:
    """Tokens of a tuning run, assumed where nothing is said of them."""
    given = _given_tokens(found)
    examples = _number(found, Kind.EXAMPLES, 10_000)
    return given or examples * USUAL_EXAMPLE * _number(found, Kind.EPOCHS, USUAL_EPOCHS)


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
