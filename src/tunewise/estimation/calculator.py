"""From words to figures: calculation questions, and the estimates that go with a verdict."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tunewise.estimation import bills, formulas, nouns, questions
from tunewise.estimation.catalogue import Gpu, gpu, shape_of
from tunewise.estimation.formulas import Tuning, short
from tunewise.estimation.models import Model, closed, model
from tunewise.estimation.numbers import amounts
from tunewise.estimation.quantities import Quantity, binary, first, read
from tunewise.estimation.questions import Topic
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate, Method, Value

USUAL_MODEL = 8e9
"""Parameters assumed where a language model is meant and none is named."""
USUAL_PRETRAINED = 1e9
"""The same where it is trained from nothing."""
USUAL_CARD = "A100 80GB"
USUAL_EXAMPLE = 500
"""Tokens of an example, where nothing is said of it."""
USUAL_EPOCHS = 3
TOKENS_A_WORD = 4 / 3
LEAST_TOKENS = 20_000
"""Fewer tokens without a count of examples are the length of a sequence."""
COUNTS_TOKENS = re.compile(r"[\d.,k ]+(?:input |output )?tok(?:ens?)?(?: each| apiece)?", re.I)
USUAL_CONTEXT = 2048
LONGEST_CONTEXT = 20_000_000
"""More tokens are those of a training."""
LENGTH_BEFORE = re.compile(r"(?:\bat|\bwith|,|@)[ ]$", re.I)
LENGTH_BEHIND = re.compile(r"[ ]?(?:[,.;:?!)]|$)|[ ](?:for|with|and)\b", re.I)
"""What stands around "4k" where memory is asked for and no word says what has that length."""
CACHE_BEFORE = re.compile(r"\bcache(?:[ ](?:is|are|in|at|to|with|quanti[sz]ed|stored|kept|held|as))*[ ]$", re.I)
CACHE_BEHIND = re.compile(r"[ -](?:(?:kv|k/v|key[ -]value|quanti[sz]ed)[ -])?cache\b", re.I)
"""Words beside the bits of a key-value cache; others are those of the weights."""
LABELLED = re.compile(rf"(?<!un-)(?<!non-)(?<!not )\b{nouns.LABELLED}\b", re.I)
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
    found = [item for item in read(situation) if not closed(situation, item)]
    estimates = [formulas.labels_needed(method.value, kind, situation)]
    if kind in ("text", "code"):
        estimates += _language_figures(method, situation, found)
    return tuple(estimate for estimate in estimates if estimate is not None)


def _language_figures(method: Method, text: str, found: Sequence[Quantity]) -> list[Estimate | None]:
    if method is Method.SELF_SUPERVISED_PRETRAINING:
        return _pretraining_figures(text, found)
    meant, guess = _meant(text, found, USUAL_MODEL)
    size, card = meant.parameters, _card(found)
    if method in (Method.LORA, Method.QLORA, Method.FULL, Method.PREFERENCE_TUNING):
        tuning: Tuning = "qlora" if method is Method.QLORA else "full" if method is Method.FULL else "lora"
        memory = formulas.training_memory(size, tuning)[-2:]
        hours = formulas.gpu_hours(meant.active, _tuning_tokens(text, found), card, USUAL_CONTEXT)
        return [_assuming(item, guess) for item in (*memory, hours, formulas.rental(hours, card))]
    if method is Method.CONTINUED_PRETRAINING:
        tokens = _given_tokens(text, found, epochs=1)
        hours = formulas.gpu_hours(meant.active, tokens or 1e9, card)
        each = () if tokens else ("one billion tokens, as no amount is given",)
        return [_assuming(item, guess + each) for item in (hours, formulas.rental(hours, card))]
    if method in (Method.PROMPTING, Method.FEW_SHOT, Method.RAG, Method.LONG_CONTEXT):
        context = 32768 if method is Method.LONG_CONTEXT else 8192
        memory = formulas.inference_memory(size, bits=4, context=context, shape=meant.shape)[-2:]
        return [_assuming(item, guess) for item in memory]
    return []


def _pretraining_figures(text: str, found: Sequence[Quantity]) -> list[Estimate | None]:
    meant, guess = _meant(text, found, USUAL_PRETRAINED)
    tokens, card = _given_tokens(text, found, epochs=1), _card(found)
    optimal = formulas.optimal_tokens(meant.parameters)
    hours = formulas.gpu_hours(meant.active, tokens or optimal.high, card)
    figures = [optimal, hours, formulas.rental(hours, card)]
    if unique := _corpus(text, found):
        figures.append(formulas.largest_model(unique))
    return [_assuming(item, guess) for item in figures]


def _meant(text: str, found: Sequence[Quantity], otherwise: float) -> tuple[Model, tuple[str, ...]]:
    """The model to be trained or run, and what was taken for granted of it."""
    meant = model(text, found, otherwise)
    if first(found, Kind.PARAMETERS):
        return meant, meant.notes
    return meant, (f"a model of {short(otherwise)} parameters, as none is named",)


def _training_memory(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant, context, batch = model(text, found), _context(text, found), _batch(found)
    size = meant.parameters
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
    return _noting(estimates, meant), f"{words} {_fits(found, estimates)}".strip()


def _inference_memory(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant, context, batch = model(text, found), _held(text, found), _batch(found)
    size = meant.parameters
    bits = first(found, Kind.BITS)
    choices = [bits.number] if bits else [16.0, 4.0]
    estimates: list[Estimate] = []
    lines = []
    for width in choices:
        parts = formulas.inference_memory(size, bits=width, context=context, batch=batch, shape=meant.shape)
        estimates += parts if len(choices) == 1 else [parts[0], *parts[-2:]]
        lines.append(f"{span(parts[-2])} in {width:g} bits")
    words = f"Running {short(size)} parameters with {context:,} tokens of context and {_sequences(batch)}"
    return _noting(estimates, meant), f"{words} takes {', '.join(lines)}. {_fits(found, estimates)}".strip()


def _kv_cache(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant, context, batch = model(text, found), _held(text, found), _batch(found)
    shape = meant.shape or shape_of(meant.parameters)
    bits = next((item.number for item in found if item.kind is Kind.BITS and _of_cache(text, item)), 16)
    cache = formulas.kv_cache(shape, context, batch, bits, known=meant.shape is not None)
    return _noting(
        [cache], meant
    ), f"Keys and values of {_sequences(batch)} with {context:,} tokens take {span(cache)}."


def _of_cache(text: str, bits: Quantity) -> bool:
    """Whether bits are those of the cache: "8-bit KV cache", "KV cache in fp8"."""
    return bool(CACHE_BEHIND.match(text, bits.end) or CACHE_BEFORE.search(text[: bits.start]))


def _training_cost(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant = model(text, found)
    card, currency = _priced(_card(found), found)
    given = _given_tokens(text, found)
    nothing = questions.from_nothing(text)
    tokens = given or (formulas.optimal_tokens(meant.active).high if nothing else _tuning_tokens(text, found))
    hours = formulas.gpu_hours(meant.active, tokens, card)
    estimates = [formulas.training_compute(meant.active, tokens), hours]
    words = f"Training {meant.name} on {short(tokens)} tokens takes {span(hours)} on {card.name}"
    for estimate, sentence in _time(text, found, hours, card):
        estimates.append(estimate)
        words += sentence
    rent = formulas.rental(hours, card, currency)
    if rent:
        estimates.append(rent)
        words += f", or {span(rent)} of rent"
    words += f". That is one clean run; plan with two to three times as much.{_taken(found)}"
    return _noting(estimates, meant), words


def _time(text: str, found: Sequence[Quantity], hours: Estimate, card: Gpu) -> Iterator[tuple[Estimate, str]]:
    """How many cards a time needs, where that is asked, and how long the cards take whose number is told."""
    count, days = first(found, Kind.GPUS), first(found, Kind.DAYS)
    if days and questions.asks_cards(text, count):
        needed = formulas.cards_in_time(hours, card, days.number)
        yield needed, f", that is {span(needed)} for {figure(days.number)} day{'s' * (days.number != 1)}"
    if count and _told(count):
        many = max(round(count.number), 1)
        calendar = formulas.duration(hours, many)
        yield calendar, f", that is {span(calendar)} on {many}"


def _told(cards: Quantity) -> bool:
    """Whether the number of cards stands in the text: "an A100" is one, "on A100" any."""
    return cards.number != 1 or any(amount.middle == 1 for amount in amounts(cards.text))


def _tokens(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    size = _number(found, Kind.PARAMETERS, 0)
    tokens = formulas.optimal_tokens(size)
    hours = formulas.gpu_hours(size, tokens.high, _card(found))
    words = f"A model of {short(size)} parameters trained from nothing is fed best with about"
    return [tokens, hours], f"{words} {short(tokens.high)} tokens; adapting a pre-trained one needs far less."


def _affordable(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant, card = model(text, found), _card(found)
    count, days = _number(found, Kind.GPUS, 1), _number(found, Kind.DAYS, 1)
    tokens = formulas.affordable_tokens(meant.active, card, count, days)
    span_of_days = f"{figure(days)} day{'s' * (days != 1)}"
    words = f"In {span_of_days} {count:g} × {card.name} can train {meant.name} on {span(tokens)}"
    return _noting([tokens, formulas.optimal_tokens(meant.parameters)], meant), f"{words}, if nothing fails."


def _model_size(_: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    tokens = _number(found, Kind.TOKENS, 0)
    size = formulas.largest_model(tokens)
    return [size], (
        f"{short(tokens)} tokens of text feed a model of {short(size.low)} parameters in one pass, "
        f"and of at most about {short(size.high)} when it is repeated four times."
    )


def _serving(text: str, found: Sequence[Quantity]) -> tuple[list[Estimate], str]:
    meant = model(text, found)
    size = meant.parameters
    card, currency = _priced(_card(found), found)
    bits, named = first(found, Kind.BITS), first(found, Kind.GPUS)
    many = max(round(named.number), 1) if named else 1
    width = bits.number if bits else 16.0 if formulas.weights(size).low < card.memory * many else 4.0
    least = formulas.cards_for(size, card, width)
    count = max(least, many)
    estimates = formulas.serving(size, card, width, count, currency, meant.active)
    on = f"{count} × {card.name}" if count > 1 else card.name
    on += ", which the weights need," if count == least > 1 and not (named and named.number >= least) else ""
    words = f"One stream of {meant.name} in {width:g} bits on {on} writes {span(estimates[0])}"
    if len(estimates) > 1:
        words += f", at {span(estimates[1])} a million tokens while it is always busy"
    words += f"; batching many requests raises the total several times.{_taken(found)}"
    return _noting(estimates, meant), words


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
    return card.model_copy(
        update={"price": (price.number, price.number), "price_source": "the price given"}
    ), price.unit.partition("/")[0]


def _given_tokens(text: str, found: Sequence[Quantity], epochs: float = USUAL_EPOCHS) -> float | None:
    """Tokens of a run, all epochs together, by what is said of them; None where nothing is.

    Args:
        text: What was written.
        found: What was read from it.
        epochs: How often examples that are counted are passed, where it is not said; a text is passed once.
    """
    tokens = _corpus(text, found)
    counted = not first(found, Kind.TOKENS) and not first(found, Kind.WORDS) and first(found, Kind.EXAMPLES)
    return tokens and tokens * _number(found, Kind.EPOCHS, epochs if counted else 1)


def _corpus(text: str, found: Sequence[Quantity]) -> float | None:
    """Tokens of one epoch: in all, in words, or of each example."""
    if tokens := first(found, Kind.TOKENS):
        return tokens.number
    if words := first(found, Kind.WORDS):
        return words.number * TOKENS_A_WORD
    few = next((item for item in found if item.kind is Kind.CONTEXT and COUNTS_TOKENS.fullmatch(item.text)), None)
    if few is None:
        return None
    examples = _examples(text, found)
    if examples is None:
        return few.number if few.number >= LEAST_TOKENS else None
    return examples * few.number


def _tuning_tokens(text: str, found: Sequence[Quantity]) -> float:
    """Tokens of a tuning run, assumed where nothing is said of them."""
    given = _given_tokens(text, found)
    examples = _examples(text, found) or 10_000
    return given or examples * USUAL_EXAMPLE * _number(found, Kind.EPOCHS, USUAL_EPOCHS)


def _examples(text: str, found: Sequence[Quantity]) -> float | None:
    """The examples that are labelled, or those named first where none are said to be."""
    counted = [item for item in found if item.kind is Kind.EXAMPLES and item.number > 0]
    labelled = (item for item in counted if LABELLED.search(_with_clause(text, item)))
    chosen = next(labelled, None) or (counted[0] if counted else None)
    return chosen.number if chosen else None


def _with_clause(text: str, item: Quantity) -> str:
    """The words of a count and the next ones of its clause."""
    return item.text + re.split(r"[,.;:!?\n]", text[item.end : item.end + len(" of them are already labelled")])[0]


def _number(found: Sequence[Quantity], kind: Kind, otherwise: float) -> float:
    quantity = first(found, kind)
    return quantity.number if quantity else otherwise


def _context(text: str, found: Sequence[Quantity]) -> int:
    """Tokens of a sequence, also where they are told as no more than "at 4k"."""
    told = first(found, Kind.CONTEXT)
    return int(told.number if told else _bare_length(text, found) or USUAL_CONTEXT)


def _held(text: str, found: Sequence[Quantity]) -> int:
    """Tokens that a cache holds: any number of them, for nothing is trained."""
    tokens = first(found, Kind.TOKENS)
    if first(found, Kind.CONTEXT) or tokens is None or tokens.number > LONGEST_CONTEXT:
        return _context(text, found)
    return int(binary(tokens.number) if re.search(r"\dk\b", tokens.text, re.I) else tokens.number)


def _bare_length(text: str, found: Sequence[Quantity]) -> float | None:
    for amount in amounts(text):
        read_already = any(item.start < amount.end and amount.first < item.end for item in found)
        thousands = text[amount.end - 1 : amount.end] in ("k", "K") and amount.middle <= LONGEST_CONTEXT
        alone = LENGTH_BEFORE.search(text[: amount.first]) and LENGTH_BEHIND.match(text, amount.end)
        if thousands and alone and not read_already:
            return binary(amount.middle)
    return None


def _batch(found: Sequence[Quantity]) -> int:
    return int(_number(found, Kind.BATCH, 1))


def _sequences(batch: int) -> str:
    return "one sequence at a time" if batch == 1 else f"{batch} sequences at a time"


def _noting(estimates: list[Estimate], meant: Model) -> list[Estimate]:
    """Estimates with what was taken for granted of the model."""
    return [item.model_copy(update={"assumptions": item.assumptions + meant.notes}) for item in estimates]


def _assuming(estimate: Estimate | None, assumptions: tuple[str, ...]) -> Estimate | None:
    if estimate is None or not assumptions:
        return estimate
    return estimate.model_copy(update={"assumptions": estimate.assumptions + assumptions})
