"""A chat model elsewhere, through LangChain: what it says is taken only where it fits a form.

The form is enforced by the server where it can be (a JSON schema in the request) and checked here in any case.
"""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tunewise.errors import EngineError, SettingsError, UnfitError

TIMEOUT = 120
"""Seconds that one request may take."""
ATTEMPTS = 2
"""How often an answer is asked for that does not fit."""
LONGEST = 1200
"""Tokens that an answer may have."""
Message = tuple[str, str]
Form = TypeVar("Form", bound=BaseModel)


class Unfit(ValueError):
    """An answer that does not fit its form."""


class ChatEngine:
    """A chat model of any provider that LangChain knows.

    Args:
        name: `provider:model`, as LangChain's `init_chat_model` takes it.
        url: Address of an OpenAI-compatible server, such as vLLM or llama-server; the provider's own where None.
        keyless: Send no key of the environment there.
        chat: A LangChain chat model that exists already; made from the name where None.

    Raises:
        SettingsError: The provider is not known.
        EngineError: Its library is not installed.
    """

    def __init__(self, name: str, url: str | None = None, chat: object = None, *, keyless: bool = False) -> None:
        self.name = name
        self.url = url
        self._chat: Any = chat or _open(name, url, keyless=keyless)
        self._ways: list[Callable[[Sequence[Message], type[BaseModel]], BaseModel]] = [
            self._by_schema,
            self._by_object,
            self._by_word,
        ]

    def fill(self, messages: Sequence[Message], form: type[Form]) -> Form:
        """An answer that fits a form.

        A server that does not know one way of asking for JSON is asked in the next way, and that one is kept.

        Args:
            messages: Role (`system`, `human`) and content.
            form: What the answer must validate against.

        Raises:
            EngineError: The model cannot be reached, or its answers do not fit.
        """
        last: Exception | None = None
        for way in list(self._ways):
            try:
                found = self._insist(way, messages, form)
            except Unfit as error:
                last = error
            except Exception as error:  # Refused: every provider's client has errors of its own.
                last = last if isinstance(last, Unfit) else error
            else:
                self._ways = [way]
                return found
        if isinstance(last, Unfit):
            raise UnfitError(
                f"The engine {self.name} gave no answer that fits: {last}.", "Choose a more capable model."
            ) from last
        raise EngineError(
            f"The engine {self.name} cannot be reached: {_first_line(last)}.",
            f"See whether it runs{f' at {self.url}' if self.url else ''}, and look at TUNEWISE_ENGINE and its key.",
        ) from last

    def write(self, messages: Sequence[Message]) -> str:
        """Free text; to be checked by the caller.

        Raises:
            EngineError: The model cannot be reached.
        """
        try:
            return str(self._chat.invoke(list(messages)).text)
        except Exception as error:  # Every provider's client has errors of its own.
            raise EngineError(
                f"The engine {self.name} cannot be reached: {_first_line(error)}.",
                "Look at TUNEWISE_ENGINE and TUNEWISE_ENGINE_URL.",
            ) from error

    def _insist(
        self,
        way: Callable[[Sequence[Message], type[BaseModel]], BaseModel],
        messages: Sequence[Message],
        form: type[Form],
    ) -> Form:
        """Ask, and once more with what was wrong."""
        asked = list(messages)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return form.model_validate(way(asked, form).model_dump())
            except (ValidationError, Unfit) as error:
                if attempt == ATTEMPTS:
                    raise Unfit(_first_line(error)) from error
                asked = [*messages, ("human", f"Your answer did not fit: {_first_line(error)}. Answer with JSON only.")]
        raise AssertionError("the last attempt returns or raises")

    def _by_schema(self, messages: Sequence[Message], form: type[BaseModel]) -> BaseModel:
        found = self._chat.with_structured_output(form, include_raw=True).invoke(list(messages))
        if found["parsed"] is None:
            raise Unfit(_first_line(found["parsing_error"] or "no JSON"))
        parsed: BaseModel = found["parsed"]
        return parsed

    def _by_object(self, messages: Sequence[Message], form: type[BaseModel]) -> BaseModel:
        kind = {"type": "json_object", "schema": form.model_json_schema()}
        return _parse(str(self._chat.bind(response_format=kind).invoke(list(messages)).text), form)

    def _by_word(self, messages: Sequence[Message], form: type[BaseModel]) -> BaseModel:
        schema = json.dumps(form.model_json_schema())
        asked = [*messages, ("human", f"Answer with one JSON object of this schema and nothing else: {schema}")]
        return _parse(str(self._chat.invoke(asked).text), form)


def _open(name: str, url: str | None, *, keyless: bool) -> Any:
    from langchain.chat_models import init_chat_model

    options: dict[str, Any] = {"temperature": 0, "max_retries": 1, "timeout": TIMEOUT, "max_tokens": LONGEST}
    if url is not None:
        options["base_url"] = url
        if keyless or (name.startswith("openai:") and not os.environ.get("OPENAI_API_KEY")):
            # The client insists on a key, and would take that of the environment; a server of one's own looks at none.
            options["api_key"] = "none"
    try:
        return init_chat_model(name, **options)
    except ImportError as error:
        remedy = "Run: pip install 'tunewise[remote]'"
        raise EngineError(f"The engine {name} cannot be used: {_first_line(error)}.", remedy) from None
    except Exception as error:  # Every provider's client has errors of its own.
        raise SettingsError(
            f"The engine '{name}' cannot be used: {_first_line(error)}.",
            "Set TUNEWISE_ENGINE to provider:model, such as openai:qwen2.5, and the provider's key.",
        ) from None


def _parse(text: str, form: type[BaseModel]) -> BaseModel:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise Unfit("there is no JSON object in it")
    return form.model_validate_json(text[start : end + 1])


def _first_line(error: object) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
