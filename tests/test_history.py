"""What the page keeps of a conversation, without a browser."""

import html
import json
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tunewise.errors import Cancelled, InputError
from tunewise.prompts import PromptLibrary
from tunewise.schema import Advice, DoneEvent, Factor, Method, Provenance, Timings, Verdict
from tunewise.turns import CancelToken
from tunewise.ui import history, pasted
from tunewise.ui.cards import View

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
    assert r"> \<b\>what\</b\> does LoRA change?" in history.as_markdown(TURNS)


class Adviser:
    """Gives every situation the same verdict, and keeps the levels that it was told to take for granted."""

    specs = SPECS
    index = SimpleNamespace(corpus=SimpleNamespace(by_id={}))

    def __init__(self):
        self.taken: list[dict[str, str]] = []
        self.stops = False

    def load(self):
        pass

    def on_topic(self, text):
        return 1.0

    def judge(self, situation, *, corrections=None, settled=()):
        given = dict(corrections or {})
        sheet = {spec.name: given.get(spec.name, (spec.silent or spec.levels[0]).name) for spec in SPECS}
        return Advice(
            situation=situation, verdict=Verdict.FINE_TUNE, confidence=0.7, calibrated=True, method=Method.LORA,
            probabilities={verdict: 0.7 if verdict is Verdict.FINE_TUNE else 0.1 for verdict in Verdict},
            factors=tuple(
                Factor(name=name, level=level, meaning=level, probability=1.0, corrected=name in given)
                for name, level in sheet.items()
            ),
            reasons=(), timings=Timings(),
            provenance=Provenance(tunewise="1", model="m", model_sha256="m", prompts="p", knowledge="k"),
        )  # fmt: skip

    def advise(self, situation, *, corrections=None, settled=(), cancel=None):
        self.taken.append(dict(corrections or {}))
        if self.stops:
            raise Cancelled("Stopped.")
        yield DoneEvent(result=self.judge(situation, corrections=corrections))


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
