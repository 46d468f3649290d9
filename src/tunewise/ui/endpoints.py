"""The same functions for programs: over HTTP, and as MCP tools."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from pydantic import TypeAdapter

from tunewise.advisor import Advisor
from tunewise.errors import InputError, TunewiseError
from tunewise.estimation import calculator
from tunewise.estimation.calculator import Calculation
from tunewise.schema import Advice, Answer, Hit

Turn = Callable[[], AbstractContextManager[None]]


class Endpoints:
    """What programs may call; what it returns travels as the JSON of its type.

    Args:
        advisor: Answers.
        turn: Waits for a turn at the model.
    """

    def __init__(self, advisor: Advisor, turn: Turn) -> None:
        self._advisor = advisor
        self._turn = turn

    def draw(self, blocks: gr.Blocks) -> None:
        """Add the endpoints to a page that is being built."""
        situation = _text("situation")
        question = _text("question")
        _serve(blocks, self.advise, [situation], Advice)
        _serve(blocks, self.answer, [question], Answer)
        _serve(blocks, self.estimate, [question], Calculation)
        _serve(blocks, self.search, [_text("query"), Api(5, {"type": "integer"}, "count")], list[Hit])

    def advise(self, situation: str) -> Advice:
        """Judge whether to train a model from scratch, fine-tune one or use one as it is, with reasons and sources.

        Args:
            situation: What goes in, what should come out, what data and means there are.
        """
        with self._turn():
            return self._advisor.ask(situation)

    def answer(self, question: str) -> Answer:
        """Answer a question about training, fine-tuning and using models, with citations.

        Args:
            question: The question.
        """
        with self._turn():
            return self._advisor.answer(question)

    def estimate(self, question: str) -> Calculation:
        """Calculate memory, compute, tokens or cost from a question with quantities, by formulas with sources.

        Args:
            question: Such as "how much memory to fine-tune 13B with QLoRA?".
        """
        found = calculator.calculate(question)
        if found is None:
            raise InputError("No quantity to calculate with was found.", "Name the size of a model.")
        return found

    def search(self, query: str, count: int = 5) -> list[Hit]:
        """Find facts of the knowledge folder, with their sources.

        Args:
            query: A question, a topic or a situation.
            count: Most facts to return.
        """
        return self._advisor.search(query, int(count))


def _text(name: str) -> Api:
    return Api("", {"type": "string"}, name)


def _serve(blocks: gr.Blocks, function: Callable[..., Any], inputs: Sequence[Api], kind: Any) -> None:
    """Offer a function under its own name.

    Gradio's own `gr.api` reads the type of a result from the annotation and gives up on keys that are no
    plain strings, as in `Advice.probabilities`; the schema of pydantic says all.
    """
    adapter = TypeAdapter(kind)

    @wraps(function)
    def called(*values: Any) -> Any:
        try:
            return adapter.dump_python(function(*values), mode="json")
        except TunewiseError as error:
            raise gr.Error(str(error), print_exception=False) from None

    blocks.default_config.set_event_trigger(
        [],
        called,
        list(inputs),
        [Api(None, _open(adapter.json_schema(mode="serialization")), function.__name__)],
        preprocess=False,
        postprocess=False,
        show_progress="hidden",
        api_name=function.__name__,
        api_description=(function.__doc__ or "").split("\n", 1)[0],
        concurrency_limit=None,
    )


def _open(schema: Any) -> Any:
    """A schema without `additionalProperties: false`, which Gradio's clients cannot read."""
    if isinstance(schema, dict):
        return {key: _open(value) for key, value in schema.items() if (key, value) != ("additionalProperties", False)}
    return [_open(value) for value in schema] if isinstance(schema, list) else schema


def speak_json(blocks: gr.Blocks) -> None:
    """Let the MCP server of a page tell results as JSON; Gradio's own tells them as Python writes them."""
    server = blocks.mcp_server_obj
    if server is None:
        return

    def told(data: Sequence[Any], root_url: str) -> list[Any]:
        texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in data]
        return [server.types.TextContent(type="text", text=text) for text in texts]

    server.postprocess_output_data = told  # type: ignore[method-assign]  # Gradio has no other way to say it.
