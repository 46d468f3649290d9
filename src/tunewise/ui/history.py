"""The turns of a conversation as the page keeps them: shown, stored in the browser, saved and opened."""

import html
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NotRequired, TypedDict

from tunewise.advisor import Advisor
from tunewise.conversation import Conversation
from tunewise.counsel import counsel
from tunewise.errors import Cancelled, InputError, TunewiseError
from tunewise.estimation import calculator
from tunewise.render import escape, markdown, percent, source_line
from tunewise.schema import (
    Advice,
    Answer,
    DoneEvent,
    Event,
    Factor,
    FactorEvent,
    Judgement,
    Reason,
    TextEvent,
    VerdictEvent,
)
from tunewise.turns import CancelToken
from tunewise.ui.cards import View, message_with_marks
from tunewise.ui.pasted import excerpt, notice

FORMAT = 1
REDRAW = 0.1
"""Seconds between two drawings of a text that grows."""
STOPPED = "Stopped."
INTERRUPTED = "This answer was interrupted. Ask again with the Retry button."
NOT_OURS = "That file is not a conversation saved by Tunewise."


class Turn(TypedDict):
    """One exchange."""

    user: str
    """The message."""
    result: dict[str, Any] | None
    """The advice or answer as JSON; None where it failed or is not there yet."""
    text: str
    """The reply as the chat shows it."""
    read: NotRequired[str]
    """What the model read of a message that is too long to be read whole."""
    corrected: NotRequired[dict[str, str]]
    """Levels, by factor, that the user had set in the sheet since the turn before."""


def asked(text: str, corrected: Mapping[str, str] | None = None) -> Turn:
    """A turn without its answer yet."""
    turn = Turn(user=text.strip(), result=None, text="")
    return Turn(**turn, corrected=dict(corrected)) if corrected else turn


def answer(
    advisor: Advisor, question: Turn, history: Sequence[Turn], cancel: CancelToken
) -> Iterator[tuple[Turn, View]]:
    """The turn and the view whenever there is something new to see; the model stops when nobody reads on.

    Args:
        advisor: Answers.
        question: What the user says, from `asked`.
        history: What was said before.
        cancel: Stops the answer; what stands by then is kept.
    """
    before = last_view(history)
    turn, current = question, before
    drawn = 0.0
    yield turn, current
    try:
        talk, levels = _talk(advisor, history), {**_open_levels(history), **turn.get("corrected", {})}
        first = not talk.situation
        before = _with_levels(advisor, talk, before, levels)
        read = excerpt(turn["user"])
        turn = Turn(**{**turn, "read": read})
        current = View(situation="\n".join(filter(None, [talk.situation, read])))
        for event in talk.stream(read, cancel=cancel):
            current = current.after(event)
            turn = _told(turn, event, current)
            if isinstance(event, DoneEvent) and not isinstance(event.result, Advice):
                current = _with_figures(before, event.result)
            piece = isinstance(event, FactorEvent | TextEvent)
            if not piece or (isinstance(event, TextEvent) and time.monotonic() - drawn > REDRAW):
                yield turn, current
                drawn = time.monotonic()
        if first and levels:
            # There was nothing yet that they could have been set in.
            yield turn, _with_levels(advisor, talk, current, levels)
    except Cancelled:
        stopped = _unfinished(turn, "\n".join(filter(None, [turn["text"], STOPPED])))
        yield stopped, current.rested() if current.verdict else before
    except TunewiseError as error:
        yield _unfinished(turn, str(error)), before
    finally:
        cancel.set()


def _told(turn: Turn, event: Event, view: View) -> Turn:
    """The turn once an event has arrived."""
    if isinstance(event, DoneEvent):
        told = _unfinished(turn, _with_notice(turn, spoken(event.result)))
        told["result"] = event.result.model_dump(mode="json")
        return told
    if isinstance(event, TextEvent) and view.verdict is None:
        return _unfinished(turn, turn["text"] + event.text)
    if view.verdict is not None:
        return _unfinished(turn, _with_notice(turn, _lines(view.verdict, view.reasons)))
    return turn


def _with_notice(turn: Turn, text: str) -> str:
    return "\n\n".join(filter(None, [notice(turn["user"], _heard(turn)), text]))


def _unfinished(turn: Turn, text: str) -> Turn:
    return Turn(**{**turn, "result": None, "text": text, "read": _heard(turn)})


def conversation(advisor: Advisor, history: Sequence[Turn]) -> Conversation:
    """A conversation that has heard the situations of these turns, and holds the levels that the user set."""
    talk = _talk(advisor, history)
    _correct(talk, _open_levels(history))
    return talk


def _talk(advisor: Advisor, history: Sequence[Turn]) -> Conversation:
    turns = [turn for turn in history if _kind(turn) == "advice"]
    return Conversation(
        advisor, [_heard(turn) for turn in turns], [Advice.model_validate(turn["result"]) for turn in turns]
    )


def _open_levels(history: Sequence[Turn]) -> dict[str, str]:
    """Levels that the user set and that no verdict took up yet: it was stopped, failed, or was a mere what-if."""
    levels: dict[str, str] = {}
    for turn in history:
        levels |= turn.get("corrected", {})
        result = turn["result"] or {}
        if _kind(turn) == "advice" and not result.get("hypothetical"):
            levels = {}
    return levels


def levels_at(place: int, history: Sequence[Turn], view: View) -> dict[str, str]:
    """Levels that hold for a turn that is put anew: those it was put with; for the last one, those set since, too."""
    since = view.chosen if place == len(history) - 1 else {}
    return {**history[place].get("corrected", {}), **since}


def _correct(talk: Conversation, levels: Mapping[str, str]) -> Judgement | None:
    """Set levels in a conversation; the decision with them, None where there is nothing to decide anew."""
    judged = None
    for factor, level in levels.items() if talk.situation else ():
        judged = talk.correct(factor, level)
    return judged


def _with_levels(advisor: Advisor, talk: Conversation, view: View, levels: Mapping[str, str]) -> View:
    judged = _correct(talk, levels)
    return replace(decided_again(advisor, view, judged), chosen=levels) if judged else view


def decided_again(advisor: Advisor, view: View, judged: Judgement) -> View:
    """A view once the user set levels in its sheet."""
    levels = {factor.name: factor.level for factor in judged.factors}
    advised = counsel(judged.verdict, levels, judged.situation, advisor.index.corpus.by_id)
    estimates = calculator.for_advice(judged.method, levels.get("input", ""), judged.situation)
    return view.corrected(judged, advised, estimates)


def _heard(turn: Turn) -> str:
    return turn.get("read", turn["user"])


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


def messages(history: Sequence[Turn], current: View) -> list[dict[str, str]]:
    """The turns as the chat shows them: it reads HTML, so every sign of it is escaped.

    Args:
        history: The turns.
        current: What is known of the last one; the words it rests on are marked as soon as it has a verdict.
    """
    found = []
    for place, turn in enumerate(history):
        last = place == len(history) - 1
        factors = current.factors if last and current.situation else _factors(turn)
        found.append({"role": "user", "content": message_with_marks(turn["user"], factors)})
        if turn["text"]:
            found.append({"role": "assistant", "content": html.escape(turn["text"], quote=False)})
    return found


def _factors(turn: Turn) -> Sequence[Factor]:
    result = _result(turn) if _kind(turn) == "advice" else None
    return result.factors if isinstance(result, Advice) else ()


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
            levels = turn.get("corrected", {})
            texts = (turn["user"], turn["text"], _heard(turn), *levels.keys(), *levels.values())
            if not all(isinstance(each, str) for each in texts):
                return []
            if turn["result"] is not None:
                _result(turn)
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return list(stored)


def resumed(history: Sequence[Turn]) -> list[Turn]:
    """Turns as a reload finds them: one that was never answered says so."""
    return [turn if turn["text"] else _unfinished(turn, INTERRUPTED) for turn in history]


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
        parts.append("\n".join(f"> {escape(line)}" for line in turn["user"].splitlines()))
        parts.append(markdown(_result(turn)) if turn["result"] else escape(turn["text"]))
    return "\n\n".join(parts) + "\n"


def _result(turn: Turn) -> Advice | Answer:
    return (Advice if _kind(turn) == "advice" else Answer).model_validate(turn["result"])


def _kind(turn: Turn) -> str:
    return str((turn["result"] or {}).get("kind", ""))


def _lines(decided: Advice | VerdictEvent, reasons: Sequence[Reason]) -> str:
    opening = f"{decided.verdict.label} ({percent(decided.confidence)})."
    return "\n".join([opening, *(f"{n}. {reason.text} [{n}]" for n, reason in enumerate(reasons, start=1))])
