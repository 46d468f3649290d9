"""`tunewise estimate`: figures from formulas, on the command line."""

from collections.abc import Sequence
from typing import Annotated

import typer

from tunewise import scaling
from tunewise.errors import InputError
from tunewise.estimation import calculator, formulas
from tunewise.estimation.catalogue import Gpu, gpu
from tunewise.estimation.formulas import Tuning
from tunewise.estimation.quantities import read, stated
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate, Method
from tunewise.streams import argument, print_json

app = typer.Typer()
MOST = 10**12
"""Of anything that is counted; beyond it a formula says nothing."""
SIGNS = ("-", "−", "–", "+")
"""Before a number that stands alone."""
Size = Annotated[str, typer.Argument(help="Parameters of the model: 7B, 350M, 1.5 billion.")]
Cards = Annotated[str, typer.Option("--gpu", help="Which cards: A100, 8xH100, 'two 3090s'.")]
Bits = Annotated[float, typer.Option(min=1, max=64, help="Bits of a weight.")]
Context = Annotated[int, typer.Option(min=1, max=MOST, help="Tokens a sequence.")]
Batch = Annotated[int, typer.Option(min=1, max=MOST, help="Sequences at once.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


@app.command("ask")
def from_words(
    question: Annotated[str, typer.Argument(help="A question with its quantities.")], as_json: JsonFlag = False
) -> None:
    """Read the quantities from a question and calculate.

    tunewise estimate ask "Can I fine-tune a 7B model on one 4090?"
    """
    found = calculator.calculate(argument(question))
    if found is None:
        raise InputError(
            "No quantity to calculate with was found in the question.",
            'Name a size and what you want to know: "how much memory to fine-tune 13B with QLoRA?"',
        )
    if not as_json:
        typer.echo(f"{found.sentence}\n")
    show(found.estimates, as_json)


@app.command()
def memory(
    size: Size,
    method: Annotated[str, typer.Option(help="full, lora or qlora.")] = "full",
    context: Context = calculator.USUAL_CONTEXT,
    batch: Batch = 1,
    rank: Annotated[int, typer.Option(min=1, max=MOST, help="Rank of the adapter.")] = formulas.RANK,
    checkpointing: Annotated[bool, typer.Option(help="Compute activations anew in the backward pass.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Memory of training a model, and the card that fits."""
    ways: dict[str, Tuning] = {"full": "full", "lora": "lora", "qlora": "qlora"}
    if method not in ways:
        raise InputError(f"There is no way of tuning '{method}'.", f"Choose one of {', '.join(ways)}.")
    show(
        formulas.training_memory(
            _amount(size, Kind.PARAMETERS),
            ways[method],
            context=context,
            batch=batch,
            checkpointing=checkpointing,
            rank=rank,
        ),
        as_json,
    )


@app.command()
def run(size: Size, bits: Bits = 16, context: Context = 4096, batch: Batch = 1, as_json: JsonFlag = False) -> None:
    """Memory of running a model, and the card that fits."""
    show(
        formulas.inference_memory(_amount(size, Kind.PARAMETERS), bits=bits, context=context, batch=batch),
        as_json,
    )


@app.command()
def training(
    size: Size,
    tokens: Annotated[str | None, typer.Option(help="Training tokens; 20 a parameter if left out.")] = None,
    cards: Cards = calculator.USUAL_CARD,
    as_json: JsonFlag = False,
) -> None:
    """Compute, GPU-hours, calendar time and rent of a training run."""
    parameters = _amount(size, Kind.PARAMETERS)
    amount = _amount(tokens, Kind.TOKENS) if tokens else formulas.optimal_tokens(parameters).high
    card, count = _cards(cards)
    hours = formulas.gpu_hours(parameters, amount, card)
    rent = formulas.rental(hours, card)
    found = [formulas.training_compute(parameters, amount), hours, formulas.duration(hours, count)]
    show([*found, *([rent] if rent else [])], as_json)


@app.command("tokens")
def optimal_tokens(size: Size, as_json: JsonFlag = False) -> None:
    """Tokens that suit a model of that size, trained from nothing."""
    show([formulas.optimal_tokens(_amount(size, Kind.PARAMETERS))], as_json)


@app.command("size")
def largest_model(
    tokens: Annotated[str, typer.Argument(help="Tokens of text at hand: 500M, 2 billion.")], as_json: JsonFlag = False
) -> None:
    """The largest model that so much text can feed from nothing."""
    show([formulas.largest_model(_amount(tokens, Kind.TOKENS))], as_json)


@app.command()
def serving(size: Size, cards: Cards = "H100", bits: Bits = 16, as_json: JsonFlag = False) -> None:
    """Speed of one stream on as many cards as are named or needed, and dollars a million tokens."""
    card, count = _cards(cards)
    show(formulas.serving(_amount(size, Kind.PARAMETERS), card, bits, count), as_json)


@app.command()
def labels(
    method: Annotated[str, typer.Argument(help=f"A method: {', '.join(method.value for method in Method)}.")],
    kind: Annotated[str, typer.Argument(help="Kind of input: text, code, image, video, audio, fields.")] = "text",
    as_json: JsonFlag = False,
) -> None:
    """Labelled examples that a method usually needs."""
    found = formulas.labels_needed(method, kind)
    if found is None:
        raise InputError(f"The knowledge folder has no range for {method} on {kind}.", "Try lora on text.")
    show([found], as_json)


@app.command()
def verdicts(
    rows: Annotated[int, typer.Argument(min=1, max=MOST, help="Rows of the table.")],
    machines: Annotated[int, typer.Option(min=1, max=MOST, help="Machines alike.")] = 1,
    a_minute: Annotated[
        float, typer.Option(min=0.1, max=MOST, help="Verdicts a minute of one machine.")
    ] = scaling.A_MINUTE,
    start: Annotated[float, typer.Option(min=0, max=MOST, help="Seconds until a machine judges.")] = scaling.START,
) -> None:
    """How long 'tunewise batch' takes on so many machines.

    tunewise estimate verdicts 100000 --machines 8
    """
    for count in sorted({1, machines, 2 * machines}):
        found = scaling.schedule(rows, count, a_minute=a_minute, start=start)
        typer.echo(
            f"{count:4} machines: {found.seconds / 3600:8.2f} h, {found.a_minute:8,.0f} verdicts a minute, "
            f"{found.efficiency:4.0%} of their time judging"
        )


def show(estimates: Sequence[Estimate], as_json: bool) -> None:
    """Print estimates as a table with formula and source, or as JSON."""
    from rich.console import Console

    from tunewise.terminal import estimates_table

    if as_json:
        print_json([item.model_dump(mode="json") for item in estimates])
    else:
        Console().print(estimates_table(estimates))


def _amount(text: str, kind: Kind) -> float:
    """A number of parameters or tokens, with or without its noun."""
    # Within a sentence a sign is a hyphen, and passed over; here it would turn into its opposite.
    number = None if text.lstrip()[:1] in SIGNS else stated(text, kind)
    if number is not None:
        return number
    raise InputError(f"'{text}' is no number of {kind.value}.", "Write it like 7B, 350M or 1.5 billion.")


def _cards(text: str) -> tuple[Gpu, int]:
    for quantity in read(text):
        if quantity.gpu is not None:
            return quantity.gpu, int(quantity.number)
    return gpu(text), 1
