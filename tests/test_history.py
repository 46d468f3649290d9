"""What the page keeps of a conversation, without a browser."""

import json

import pytest

from tunewise.errors import InputError
from tunewise.ui import history

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
    shown = history.messages(TURNS)
    assert [message["role"] for message in shown] == ["user", "assistant", "user"]
    assert "<b>" not in json.dumps(shown)
    assert history.unescaped(shown[0]["content"]) == TURNS[0]["user"]


def test_a_message_of_the_chat_is_found_among_the_turns():
    assert [history.place_of(index) for index in (0, 1, 2, [3, 0])] == [0, 0, 1, 1]


def test_markdown_quotes_the_user():
    assert "> <b>what</b> does LoRA change?" in history.as_markdown(TURNS)
