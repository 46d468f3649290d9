"""The tab with the calculators: one form, and every figure that follows from it."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from tunewise.errors import TunewiseError, UserError
from tunewise.estimation import calculator, formulas
from tunewise.estimation.catalogue import Gpu, gpu, gpus
from tunewise.estimation.quantities import stated
from tunewise.estimation.rules import Kind
from tunewise.schema import Estimate
from tunewise.ui import cards

SIZES = ("0.5B", "1.5B", "3B", "7B", "8B", "13B", "32B", "70B")
TUNINGS: tuple[tuple[str, formulas.Tuning], ...] = (
    ("Train, all weights", "full"),
    ("Train, LoRA", "lora"),
    ("Train, QLoRA", "qlora"),
)
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}


def tab() -> None:
    """Draw the tab into the blocks that are being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            words = gr.Textbox(
                label="Ask in words",
                placeholder="Memory to fine-tune 13B with QLoRA?",
                elem_id="estimate-words",
            )
            size = gr.Dropdown(list(SIZES), value="8B", allow_custom_value=True, label="Parameters", elem_id="size")
            context = gr.Slider(256, 131072, 2048, step=256, label="Tokens a sequence", elem_id="context")
            batch = gr.Slider(1, 64, 1, step=1, label="Sequences at once")
            tokens = gr.Textbox("15M", label="Training tokens, all epochs together", elem_id="tokens")
            with gr.Row():
                card = gr.Dropdown([item.name for item in gpus()], value="A100 80GB", label="Card", elem_id="card")
                count = gr.Slider(1, 64, 1, step=1, label="Cards")
        with gr.Column(scale=6, min_width=320):
            inputs: list[Any] = [size, context, batch, tokens, card, count]
            shown = gr.HTML(_page("8B", 2048, 1, "15M", "A100 80GB", 1), elem_id="estimates")
    for field in inputs:
        field.change(_page, inputs, shown, **QUIET)
    words.submit(_answer, words, shown, **QUIET)


def _page(size: str, context: float, batch: float, tokens: str, card: str, count: float) -> str:
    try:
        parameters, amount = _amount(size, Kind.PARAMETERS), _amount(tokens, Kind.TOKENS)
        return _figures(parameters, int(context), int(batch), amount, gpu(card), int(count))
    except TunewiseError as error:
        return cards.note(str(error))


def _answer(words: str) -> str:
    try:
        found = calculator.calculate(words)
    except TunewiseError as error:
        return cards.note(str(error))
    if found is None:
        return cards.note("Name a size and what you want to know: “how much memory to fine-tune 13B with QLoRA?”")
    return cards.calculation_card(found.sentence, found.estimates)


def _figures(parameters: float, context: int, batch: int, tokens: float, card: Gpu, count: int) -> str:
    ways = [
        (name, formulas.training_memory(parameters, way, context=context, batch=batch)[-2]) for name, way in TUNINGS
    ]
    ways += [
        (f"Run, {bits} bits", formulas.inference_memory(parameters, bits=bits, context=context, batch=batch)[-2])
        for bits in (16, 4)
    ]
    hours = formulas.gpu_hours(parameters, tokens, card, context)
    run = [formulas.training_compute(parameters, tokens, context), hours, formulas.duration(hours, count)]
    rent = formulas.rental(hours, card)
    groups = [(f"Training run on {card.name}", [*run, *([rent] if rent else [])])]
    groups.append(("Trained from nothing", [formulas.optimal_tokens(parameters)]))
    bits = 16.0 if formulas.weights(parameters).high < card.memory * count else 4.0
    groups.append((f"Serving in {bits:g} bits", formulas.serving(parameters, card, bits, count)))
    return cards.calculator_card(formulas.short(parameters), ways, _room(ways, card, count), groups)


def _room(ways: Sequence[tuple[str, Estimate]], card: Gpu, count: int) -> str:
    room = card.memory * count
    fitting = [name for name, estimate in ways if estimate.high <= room]
    what = "; ".join(fitting).lower().replace("lora", "LoRA").replace("qLoRA", "QLoRA") or "nothing of this"
    return f"What fits {count} × {card.name} ({room:g} GB): {what}."


def _amount(text: str, kind: Kind) -> float:
    number = stated(str(text), kind)
    if number is not None:
        return number
    raise UserError(f"“{text}” is no number of {kind.value}.", "Write it like 7B, 350M or 1.5 billion.")
