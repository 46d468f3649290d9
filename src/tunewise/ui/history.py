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
    Question,
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
    asked: NotRequired[dict[str, Any] | None]
    """The question that stood when it was said, as JSON; None where none did."""
    chosen: NotRequired[dict[str, str]]
    """Levels, by factor, that the user set in the sheet after it."""
    judged: NotRequired[dict[str, Any]]
    """The decision with them, as JSON."""


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
    before = last_view(advisor, history)
    turn, current = question, before
    drawn = 0.0
    yield turn, current
    try:
        talk, levels = _talk(advisor, history), {**_open_levels(history), **turn.get("corrected", {})}
        first = not talk.situation
        before = _with_levels(advisor, talk, factual(advisor, history, before) if levels else before, levels)
        read = excerpt(turn["user"])
        question_open = talk.asked.model_dump(mode="json") if talk.asked else None
        turn = Turn(**{**turn, "read": read, "asked": question_open})
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
        advisor,
        [_heard(turn) for turn in turns],
        [Advice.model_validate(turn["result"]) for turn in turns],
        {place: _question(turn) for place, turn in enumerate(turns) if "asked" in turn},
    )


def _question(turn: Turn) -> Question | None:
    stored = turn.get("asked")
    return None if stored is None else Question.model_validate(stored)


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
    return _decided_again(advisor, talk, view, judged, levels) if judged else view


def set_level(advisor: Advisor, history: Sequence[Turn], view: View, factor: str, level: str) -> View:
    """The view once the user set a level in its sheet.

    Raises:
        UserError: There is no such factor or level.
        InputError: Nothing was said of a situation yet.
    """
    talk, before = conversation(advisor, history), factual(advisor, history, view)
    for earlier in before.factors:
        if earlier.corrected:
            talk.correct(earlier.name, earlier.level)
    judged = talk.correct(factor, level)
    return _decided_again(advisor, talk, before, judged, {**before.chosen, factor: level})


def _decided_again(
    advisor: Advisor, talk: Conversation, view: View, judged: Judgement, chosen: Mapping[str, str]
) -> View:
    """A view with the decision from levels that the user set, and what follows from it by rule."""
    levels = {factor.name: factor.level for factor in judged.factors}
    # Figures and method come from the words that hold, as those of an answer do.
    read = advisor.orders(talk.text).text
    advised = counsel(judged.verdict, levels, read, advisor.index.corpus.by_id)
    estimates = calculator.for_advice(judged.method, levels.get("input", ""), read)
    return replace(view.corrected(judged, advised, estimates), chosen=chosen)


def keeping(history: Sequence[Turn], view: View) -> list[Turn]:
    """The turns, the last one with the levels that the user set since and the decision with them."""
    if not history or view.judged is None:
        return list(history)
    judged = view.judged.model_dump(mode="json")
    return [*history[:-1], Turn(**{**history[-1], "chosen": dict(view.chosen), "judged": judged})]


def undone(advisor: Advisor, history: Sequence[Turn], place: int) -> tuple[list[Turn], View]:
    """The turns before a place and their view, with the levels that the turn at that place was put with."""
    left, levels = list(history[:place]), history[place].get("corrected", {})
    view = last_view(advisor, left)
    if not levels or levels == view.chosen:
        return left, view
    talk = _talk(advisor, left)
    view = _with_levels(advisor, talk, factual(advisor, left, view), {**_open_levels(left), **levels})
    return keeping(left, view), view


def _heard(turn: Turn) -> str:
    return turn.get("read", turn["user"])


def last_view(advisor: Advisor, history: Sequence[Turn]) -> View:
    """The view of the last advice with the levels set since; an empty one where there is none. No pass of the model."""
    return [View(), *(view for view, _ in _views(advisor, history))][-1]


def factual(advisor: Advisor, history: Sequence[Turn], view: View) -> View:
    """A view to set levels in: that of a what-if would turn what was supposed into what was said."""
    if view.advice is None or not view.advice.hypothetical:
        return view
    return [View(), *(fact for _, fact in _views(advisor, history))][-1]


def _views(advisor: Advisor, history: Sequence[Turn]) -> Iterator[tuple[View, View]]:
    """After each turn its view, and the one of what was said, without what-ifs."""
    view = fact = View()
    for place, turn in enumerate(history):
        result = _result(turn) if turn["result"] else None
        if isinstance(result, Advice):
            view = View.of(result)
            fact = fact if result.hypothetical else view
        elif result is not None:
            view = _with_figures(view, result)
        judged = turn.get("judged")
        if judged and fact.advice:
            talk = _talk(advisor, history[: place + 1])
            decided = Judgement.model_validate(judged)
            view = fact = _decided_again(advisor, talk, fact, decided, turn.get("chosen", {}))
        yield view, fact


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
            _check(turn)
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return list(stored)


def _check(turn: Turn) -> None:
    """Pass over a turn that is well-formed.

    Raises:
        ValueError: It is not; so do TypeError, KeyError and AttributeError.
    """
    sets = (turn.get("corrected", {}), turn.get("chosen", {}))
    levels = [item for each in sets for pair in each.items() for item in pair]
    if not all(isinstance(each, str) for each in (turn["user"], turn["text"], _heard(turn), *levels)):
        raise TypeError("texts and levels are words")
    if turn["result"] is not None:
        _result(turn)
    if turn.get("judged") is not None:
        Judgement.model_validate(turn["judged"])
    _question(turn)


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


def as_markdown(advisor: Advisor, history: Sequence[Turn]) -> str:
    """The conversation, to be read; a decision that the user corrected in the sheet stands as it was left."""
    parts = ["# A conversation with Tunewise"]
    for turn, (view, _) in zip(history, _views(advisor, history), strict=True):
        parts.append("\n".join(f"> {escape(line)}" for line in turn["user"].splitlines()))
        corrected = view.decided if turn.get("judged") else None
        # After an answer, a what-if or a stop, the sheet is that of an earlier turn.
        if corrected is None or _kind(turn) != "advice" or _result(turn) != view.advice:
            parts.append(markdown(_result(turn)) if turn["result"] else escape(turn["text"]))
        if corrected is not None:
            parts += [escape(view.changed), markdown(corrected)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _result(turn: Turn) -> Advice | Answer:
    return (Advice if _kind(turn) == "advice" else Answer).model_validate(turn["result"])


def _kind(turn: Turn) -> str:
    return str((turn["result"] or {}).get("kind", ""))


def _lines(decided: Advice | VerdictEvent, reasons: Sequence[Reason]) -> str:
    opening = f"{decided.verdict.label} ({percent(decided.confidence)})."
    return "\n".join([opening, *(f"{n}. {reason.text} [{n}]" for n, reason in enumerate(reasons, start=1))])
