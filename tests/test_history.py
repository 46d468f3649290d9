"""What the page keeps of a conversation, without a browser."""

import html
import json

import pytest

from tunewise.errors import InputError
from tunewise.ui import history, pasted
from tunewise.ui.cards import View

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


def test_an_unanswered_turn_says_so_after_a_reload():
    assert [turn["text"] for turn in history.resumed(TURNS)] == [TURNS[0]["text"], history.INTERRUPTED]


def test_markdown_quotes_the_user():
    assert r"> \<b\>what\</b\> does LoRA change?" in history.as_markdown(TURNS)
