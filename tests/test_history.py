"""What the page keeps of a conversation, without a browser."""

import html
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.conftest import ROOT
from tunewise.errors import Cancelled, InputError
from tunewise.prompts import PromptLibrary
from tunewise.schema import Advice, DoneEvent, Factor, Judgement, Method, Provenance, Question, Timings, Verdict
from tunewise.turns import CancelToken
from tunewise.ui import history, pasted
from tunewise.ui.cards import View
from tunewise.ui.line import Line
from tunewise.ui.page import Page

SPECS = PromptLibrary(ROOT / "prompts").factors
TURNS: list[history.Turn] = [
    {"user": "<b>what</b> does LoRA change?", "result": None, "text": "It changes 1 < 2 & more."},
    {"user": "And QLoRA?", "result": None, "text": ""},
]


def test_a_saved_conversation_is_opened_again():
    assert history.from_json(history.as_json(TURNS)) == TURNS


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"turns": 3}', '{"turns": [{"user": 1, "text": "", "result": null}]}',
     '{"turns": [{"user": "a", "text": "b", "result": {"kind": "advice"}}]}', '{"turns": [null]}'],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_refused(text):
    with pytest.raises(InputError, match="not a conversation"):
        history.from_json(text)


@pytest.mark.parametrize("stored", [None, 3, "x", {"turns": []}, [[]], [{"user": "a"}]])
def test_what_a_browser_kept_of_another_version_is_passed_over(stored):
    assert history.checked(stored) == []


def test_the_chat_gets_no_markup_and_an_edit_gets_the_message_back():
    shown = history.messages(TURNS, View())
    assert [message["role"] for message in shown] == ["user", "assistant", "user"]
    assert "<b>" not in json.dumps(shown)
    assert html.unescape(shown[0]["content"]) == TURNS[0]["user"]


def test_a_message_of_the_chat_is_found_among_the_turns():
    assert [history.place_of(index) for index in (0, 1, 2, [3, 0])] == [0, 0, 1, 1]


def test_of_a_long_message_the_passages_about_the_project_are_read():
    filler = "The committee met on a rainy day and spoke about the menu of the canteen at great length. "
    text = f"Minutes of May. {filler * 150}We have 4,000 labelled X-rays. {filler * 150}Which way should we go?"
    read = pasted.excerpt(text)
    assert (
        len(read) <= pasted.READ + 500 and "4,000 labelled X-rays" in read and read.endswith("Which way should we go?")
    )
    assert all(line in text for line in read.splitlines())
    assert "Your message is long (5," in pasted.notice(text, read)
    assert pasted.excerpt("short") == "short" and pasted.notice("short", "short") == ""
    with pytest.raises(InputError, match="at most 200,000"):
        pasted.excerpt("x" * 200_001)


def test_of_a_long_message_without_spaces_whole_sentences_are_read_and_letters_counted():
    filler = "委员会在一个下雨的日子开会，讨论了食堂的菜单和停车场的问题。"
    text = f"{filler * 150}我们有4000张标注的胸部X光片。{filler * 150}应该怎么做？"
    read = pasted.excerpt(text)
    assert "我们有4000张标注的胸部X光片。" in read
    assert all(line in text and line.endswith(("。", "？")) for line in read.splitlines())
    assert f"({len(text):,} characters)" in pasted.notice(text, read)


def test_an_unanswered_turn_says_so_after_a_reload():
    assert [turn["text"] for turn in history.resumed(TURNS)] == [TURNS[0]["text"], history.INTERRUPTED]


def test_markdown_quotes_the_user():
    assert r"> \<b\>what\</b\> does LoRA change?" in history.as_markdown(cast(Any, Adviser()), TURNS)


class Adviser:
    """Gives every situation the same verdict, and keeps the levels that it was told to take for granted.

    It reads labels from the figures, and asks about the first of two factors that nobody set.
    """

    specs = SPECS
    index = SimpleNamespace(corpus=SimpleNamespace(by_id={}))
    library = SimpleNamespace(factors=SPECS)

    def __init__(self):
        self.taken: list[dict[str, str]] = []
        self.read: list[str] = []
        self.stops = False

    def orders(self, text):
        return SimpleNamespace(text=text)

    def load(self):
        pass

    def on_topic(self, text):
        return 1.0

    def judge(self, situation, *, corrections=None, settled=()):
        given = dict(corrections or {})
        sheet = {spec.name: given.get(spec.name, (spec.silent or spec.levels[0]).name) for spec in SPECS}
        if "labels" not in given and "labelled" in situation:
            sheet["labels"] = "huge" if "500,000" in situation else "thousands"
        asked = next((spec for spec in SPECS if spec.name in ("base", "labels") and spec.name not in given), None)
        return Judgement(
            situation=situation, verdict=Verdict.FINE_TUNE, confidence=0.7, calibrated=True, method=Method.LORA,
            probabilities={verdict: 0.7 if verdict is Verdict.FINE_TUNE else 0.1 for verdict in Verdict},
            factors=tuple(
                Factor(name=name, level=level, meaning=level, probability=1.0, corrected=name in given)
                for name, level in sheet.items()
            ),
            question=asked and Question(factor=asked.name, text=asked.ask, choices=(), gain=0.1),
            timings=Timings(),
        )  # fmt: skip

    def advise(self, situation, *, corrections=None, settled=(), cancel=None):
        self.taken.append(dict(corrections or {}))
        self.read.append(situation)
        if self.stops:
            raise Cancelled("Stopped.")
        made = Provenance(tunewise="1", model="m", model_sha256="m", prompts="p", knowledge="k")
        judged = dict(self.judge(situation, corrections=corrections))
        yield DoneEvent(result=Advice(**judged, reasons=(), provenance=made))


def told(adviser, turns, text, levels=None):
    """The turns and the view after one more message."""
    *_, (turn, view) = history.answer(adviser, history.asked(text, levels), turns, CancelToken())
    return [*turns, turn], view


def test_a_level_set_in_the_sheet_survives_stop_retry_and_a_saved_file():
    adviser = Adviser()
    turns, _ = told(adviser, [], "We want to sort photos.")
    adviser.stops = True
    turns, view = told(adviser, turns, "They show leaves.", {"labels": "huge"})
    assert turns[-1]["text"] == history.STOPPED and view.verdict is not None
    assert view.chosen == {"labels": "huge"} and [one.level for one in view.factors if one.corrected] == ["huge"]
    adviser.stops = False
    turns = history.checked(history.from_json(history.as_json(turns)))
    told(adviser, turns, "They show leaves.")
    assert history.levels_at(1, turns, View(chosen={"privacy": "private"})) == {"labels": "huge", "privacy": "private"}
    told(adviser, turns[:1], turns[1]["user"], history.levels_at(1, turns, View()))
    assert adviser.taken == [{}, {"labels": "huge"}, {"labels": "huge"}, {"labels": "huge"}]


def test_a_level_set_before_the_first_answer_is_put_anew_stands_on_its_card():
    _, view = told(Adviser(), [], "We want to sort photos.", {"labels": "huge"})
    assert view.chosen == {"labels": "huge"} and "With your correction" in view.changed


def test_levels_that_are_no_words_are_refused():
    assert history.checked([{**TURNS[0], "corrected": {"labels": 3}}]) == []
    assert history.checked([{**TURNS[0], "corrected": ["labels"]}]) == []


def clicked(adviser, turns, view, factor, level):
    """The turns and the view after a level was set in the sheet, as the browser keeps them."""
    view = history.set_level(adviser, turns, view, factor, level)
    return history.checked(json.loads(json.dumps(history.keeping(turns, view)))), view


def levels(view):
    return {factor.name: factor.level for factor in view.factors}


def test_an_answer_is_read_with_the_question_that_a_level_set_in_the_sheet_led_to():
    adviser = Adviser()
    turns, view = told(adviser, [], "We want to sort photos.")
    assert view.question.factor == "base"
    turns, view = clicked(adviser, turns, view, "base", "close")
    assert view.question.factor == "labels"
    for message in ("no", "They show leaves.", "They are small."):
        turns, view = told(adviser, turns, message, view.chosen)
    asked = next(spec.ask for spec in SPECS if spec.name == "labels")
    assert all(f"{asked} no" in read for read in adviser.read[1:])
    wrong = next(spec.ask for spec in SPECS if spec.name == "base")
    assert not any(wrong in read for read in adviser.read)


def test_a_level_set_after_a_what_if_leaves_what_was_supposed_a_supposition():
    adviser = Adviser()
    turns, view = told(adviser, [], "We have 4,000 labelled photos.")
    turns, view = told(adviser, turns, "What if we had 500,000 labelled photos?")
    assert view.advice.hypothetical and levels(view)["labels"] == "huge"
    turns, view = clicked(adviser, turns, view, "privacy", "private")
    assert levels(view)["labels"] == "thousands" and levels(view)["privacy"] == "private"
    assert not view.decided.hypothetical and "500,000" not in view.decided.situation
    assert view.chosen == {"privacy": "private"}
    assert levels(history.last_view(cast(Any, adviser), turns)) == levels(view)


def test_a_question_after_a_what_if_and_a_level_shows_what_was_said():
    adviser = Adviser()
    turns, view = told(adviser, [], "We have 4,000 labelled photos.")
    turns, view = told(adviser, turns, "What if we had 500,000 labelled photos?", {"privacy": "private"})
    adviser.stops = True
    _, view = told(adviser, turns, "They show leaves.")
    assert levels(view)["labels"] == "thousands" and levels(view)["privacy"] == "private"


def test_a_level_set_in_the_sheet_survives_a_reload():
    adviser = Adviser()
    turns, view = told(adviser, [], "We want to sort photos.")
    turns, view = clicked(adviser, turns, view, "labels", "huge")
    turns, view = clicked(adviser, turns, view, "privacy", "private")
    again = history.last_view(cast(Any, adviser), history.from_json(history.as_json(turns)))
    assert again == view and again.chosen == {"labels": "huge", "privacy": "private"}


def test_a_level_set_in_the_sheet_survives_undo_also_where_only_the_turn_undone_knows_it():
    adviser = Adviser()
    turns, view = told(adviser, [], "We want to sort photos.")
    kept, corrected = clicked(adviser, turns, view, "labels", "huge")
    for begun in (kept, turns):
        after, _ = told(adviser, begun, "They show leaves.", corrected.chosen)
        left, view = history.undone(cast(Any, adviser), after, 1)
        assert view.chosen == {"labels": "huge"} and levels(view)["labels"] == "huge"
        assert history.last_view(cast(Any, adviser), left) == view
    assert history.undone(cast(Any, adviser), after, 0) == ([], View())


def test_the_saved_conversation_has_the_decision_with_the_levels_that_were_set():
    adviser = Adviser()
    turns, view = told(adviser, [], "We want to sort photos.")
    turns, _ = clicked(adviser, turns, view, "labels", "huge")
    text = history.as_markdown(cast(Any, adviser), turns)
    assert "| labels | huge |" in text and "With your correction" in text and text.count("## Fine") == 1
    turns, view = told(adviser, turns, "What if they were small?")
    assert view.advice.hypothetical
    turns, _ = clicked(adviser, turns, view, "privacy", "private")
    text = history.as_markdown(cast(Any, adviser), turns)
    assert text.count("## Fine") == 3 and text.count("| privacy | private |") == 1


@pytest.mark.parametrize(
    "stored",
    [{"asked": {"text": 3}}, {"chosen": {"labels": 3}}, {"chosen": None}, {"judged": {"verdict": "x"}}, {"judged": 3}],
)
def test_what_is_kept_of_a_turn_is_checked(stored):
    assert history.checked([{**TURNS[0], **stored}]) == []


def test_a_level_set_in_the_sheet_calculates_with_the_words_that_hold():
    adviser = Adviser()
    turns, view = told(adviser, [], "We want a fine-tuned 7B on one A100 for our tickets.")
    turns, view = told(adviser, turns, "Sorry, I meant a 13B.")
    _, view = clicked(adviser, turns, view, "privacy", "private")
    memory = next(figure for figure in view.figures if figure.quantity.startswith("memory"))
    assert memory.low > 24


def test_the_page_keeps_a_level_and_refuses_one_while_an_answer_is_written(monkeypatch):
    desk: Any = object.__new__(Page)
    desk._advisor, desk._line = Adviser(), Line()
    turns, view = told(desk._advisor, [], "We want to sort photos.")
    event, request = SimpleNamespace(_data={"factor": "labels", "level": "huge"}), SimpleNamespace(session_hash="a")
    kept, corrected, *_, stored = desk._correct(turns, view, event, request)
    assert stored == kept and kept[-1]["chosen"] == corrected.chosen == {"labels": "huge"}
    assert desk._restore(stored)[2] == corrected
    monkeypatch.setattr("tunewise.ui.page.LAST_WORDS", 0)
    with desk._line.place("a"), pytest.raises(Exception, match="still being written"):
        desk._correct(turns, view, event, request)
    with pytest.raises(Exception, match="still being written"):
        desk._correct([*turns, history.asked("They show leaves.")], view, event, request)
