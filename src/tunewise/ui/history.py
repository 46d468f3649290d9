"""The turns of a conversation as the page keeps them: shown, stored in the browser, saved and opened."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from tunewise.advisor import Advisor
from tunewise.conversation import Conversation
from tunewise.errors import InputError, TunewiseError
from tunewise.render import markdown, percent, source_line
from tunewise.schema import Advice, Answer, DoneEvent, Reason, TextEvent, VerdictEvent
from tunewise.turns import CancelToken
from tunewise.ui.cards import View

FORMAT = 1
NOT_OURS = "That file is not a conversation saved by Tunewise."


class Turn(TypedDict):
    """One exchange."""

    user: str
    """The message."""
    result: dict[str, Any] | None
    """The advice or answer as JSON; None where it failed or is not there yet."""
    text: str
    """The reply as the chat shows it."""


def answer(advisor: Advisor, text: str, history: Sequence[Turn]) -> Iterator[tuple[Turn, View]]:
    """The turn and the view after every event; the model stops when nobody reads on.

    Args:
        advisor: Answers.
        text: What the user says.
        history: What was said before.
    """
    cancel = CancelToken()
    before = last_view(history)
    turn, current = Turn(user=text.strip(), result=None, text=""), before
    yield turn, current
    try:
        talk = conversation(advisor, history)
        current = View(situation="\n".join(filter(None, [talk.situation, text.strip()])))
        for event in talk.stream(text, cancel=cancel):
            current = current.after(event)
            if isinstance(event, DoneEvent):
                done = isinstance(event.result, Advice)
                turn = Turn(user=turn["user"], result=event.result.model_dump(mode="json"), text=spoken(event.result))
                current = current if done else _with_figures(before, event.result)
            elif isinstance(event, TextEvent) and current.verdict is None:
                turn = Turn(user=turn["user"], result=None, text=turn["text"] + event.text)
            elif current.verdict is not None:
                turn = Turn(user=turn["user"], result=None, text=_lines(current.verdict, current.reasons))
            yield turn, current
    except TunewiseError as error:
        yield Turn(user=turn["user"], result=None, text=str(error)), before
    finally:
        cancel.set()


def conversation(advisor: Advisor, history: Sequence[Turn]) -> Conversation:
    """A conversation that has heard the situations of these turns."""
    turns = [turn for turn in history if _kind(turn) == "advice"]
    return Conversation(
        advisor, [turn["user"] for turn in turns], [Advice.model_validate(turn["result"]) for turn in turns]
    )


def last_view(history: Sequence[Turn]) -> View:
    """The view of the last advice; an empty one where there is none."""
    view = View()
    for turn in history:
        if _kind(turn) == "advice":
            view = View.of(Advice.model_validate(turn["result"]))
        elif _kind(turn) == "answer":
            view = _with_figures(view, _result(turn))
    return view


def _with_figures(view: View, result: Advice | Answer) -> View:
    """The figures of a calculation stand beside the verdict that was there before."""
    return replace(view, figures=result.estimates) if result.estimates else view


def messages(history: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns as the chat shows them: it reads HTML, so every sign of it is escaped."""
    found = []
    for turn in history:
        found.append({"role": "user", "content": html.escape(turn["user"], quote=False)})
        if turn["text"]:
            found.append({"role": "assistant", "content": html.escape(turn["text"], quote=False)})
    return found


def unescaped(text: str) -> str:
    """A message as the user meant it, from the chat's copy of it."""
    return html.unescape(text)


def place_of(index: int | Sequence[int]) -> int:
    """Which turn a message of the chat belongs to: every turn that ended has two."""
    return (index if isinstance(index, int) else index[0]) // 2


def spoken(result: Advice | Answer) -> str:
    """A result as the chat says it; the card beside it holds the sources of an advice."""
    if isinstance(result, Answer):
        quoted = [f"[{n}] “{item.quote}” {source_line(item)}" for n, item in enumerate(result.evidence, start=1)]
        return "\n\n".join([result.text, *quoted])
    asked = [f"Worth finding out: {question}" for question in result.questions]
    return "\n".join([_lines(result, result.reasons), *asked])


def checked(stored: object) -> list[Turn]:
    """Turns that came from a browser or a file, if they are turns of this version; none otherwise."""
    if not isinstance(stored, list):
        return []
    try:
        for turn in stored:
            if not isinstance(turn["user"], str) or not isinstance(turn["text"], str):
                return []
            if turn["result"] is not None:
                _result(turn)
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return list(stored)


def as_json(history: Sequence[Turn]) -> str:
    """The conversation, to be opened again with `from_json`."""
    return json.dumps({"tunewise": FORMAT, "turns": list(history)}, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str) -> list[Turn]:
    """A conversation that was saved.

    Raises:
        InputError: It is none.
    """
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(NOT_OURS) from None
    history = checked(stored.get("turns") if isinstance(stored, Mapping) else None)
    if not history:
        raise InputError(NOT_OURS)
    return history


def as_markdown(history: Sequence[Turn]) -> str:
    """The conversation, to be read."""
    parts = ["# A conversation with Tunewise"]
    for turn in history:
        parts.append("\n".join(f"> {line}" for line in turn["user"].splitlines()))
        parts.append(markdown(_result(turn)) if turn["result"] else turn["text"])
    return "\n\n".join(parts) + "\n"


def _result(turn: Turn) -> Advice | Answer:
    return (Advice if _kind(turn) == "advice" else Answer).model_validate(turn["result"])


def _kind(turn: Turn) -> str:
    return str((turn["result"] or {}).get("kind", ""))


def _lines(decided: Advice | VerdictEvent, reasons: Sequence[Reason]) -> str:
    opening = f"{decided.verdict.label} ({percent(decided.confidence)})."
    return "\n".join([opening, *(f"{n}. {reason.text} [{n}]" for n, reason in enumerate(reasons, start=1))])
