"""Conversations with the real model: corrections, what-ifs, contradictions, and the question worth asking."""

from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tunewise import Advice, Answer, Conversation, Verdict, dialogue, render
from tunewise.prompts import PromptLibrary
from tunewise.schema import Choice, Question

XRAYS = "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax."


@pytest.fixture(scope="module")
def talk(advisor):
    conversation = advisor.conversation()
    return conversation, [
        conversation.send(XRAYS),
        conversation.send("What does LoRA change in a model?"),
        conversation.send("actually it's 40, not 4,000"),
        conversation.send("and if we had 500,000 labelled X-rays?"),
        conversation.send("Thanks, that helps!"),
    ]


def level(result, name):
    return next(factor.level for factor in result.factors if factor.name == name)


def test_the_sheet_follows_the_newest_statement_and_says_what_changed(talk):
    first, corrected = talk[1][0], talk[1][2]
    assert isinstance(corrected, Advice)
    assert (level(first, "labels"), level(corrected, "labels")) == ("thousands", "dozens")
    change = next(change for change in corrected.changes if change.factor == "labels")
    assert (change.before, change.after) == ("thousands", "dozens")
    assert corrected.contradictions and "4,000" in corrected.contradictions[0].text
    assert corrected.contradictions[0].text in corrected.notes
    assert corrected.previous is first.verdict and corrected.previous_confidence == first.confidence
    assert "What changed" in render.markdown(corrected)


def test_a_what_if_does_not_overwrite_the_facts(talk):
    conversation, results = talk
    supposed = results[3]
    assert isinstance(supposed, Advice) and supposed.hypothetical and not supposed.contradictions
    assert level(supposed, "labels") == "huge"
    assert level(conversation.standing, "labels") == "dozens"
    assert "500,000" not in conversation.situation


def test_quotations_stay_verbatim(talk):
    for result in talk[1]:
        if isinstance(result, Advice):
            assert Advice.model_validate_json(result.model_dump_json()) == result
            assert all(factor.quote is None or factor.quote in result.situation for factor in result.factors)


def test_courtesy_is_answered_in_kind(talk):
    assert isinstance(talk[1][4], Answer) and talk[1][4].text.startswith("You are welcome")


def test_a_conversation_taken_up_again_stands_where_it_stood(talk, advisor):
    turns = [result.situation.split("\n")[-1] for result in (talk[1][0], talk[1][2], talk[1][3])]
    again = Conversation(advisor, turns, [talk[1][0], talk[1][2], talk[1][3]])
    ours, theirs = talk[0].standing, again.standing
    assert ours and theirs and theirs == ours.model_copy(update={"timings": theirs.timings})


def test_older_words_that_are_contradicted_are_left_out(advisor):
    talk = advisor.conversation()
    talk.judge(
        "Discharge letters are to be summarised for family doctors. No letter may leave our own machines. "
        "We have 2,000 pairs of letter and summary."
    )
    found = talk.judge("I asked legal: the letters may go to an outside vendor after all, there is a contract.")
    assert level(found, "privacy") == "open"
    assert [told.factor for told in found.contradictions] == ["privacy"]
    assert "No letter may leave our own machines" in found.contradictions[0].text


def test_a_corrected_figure_is_the_same_when_a_conversation_is_taken_up_again(advisor):
    talk = advisor.conversation()
    turns = ["We have 4 GPUs and 300 labelled scans of knees; find torn ligaments.", "Correction: we have 14 GPUs."]
    results = [talk.judge(turn) for turn in turns]
    again = Conversation(advisor, turns, results)
    for one in (talk, again):
        assert one._account.text.startswith("We have 14 GPUs and 300 labelled scans of knees")
        assert len(one._account.contradictions) == 1


def test_a_bare_figure_answers_and_a_what_if_leaves_the_question_open(advisor):
    talk = advisor.conversation()
    first = talk.judge("Sort photos of beetles by species for our museum; what should we do?")
    assert first.question is not None
    talk.asked = first.question.model_copy(update={"factor": "labels", "text": "How many labelled examples?"})
    open_question = talk.asked
    supposed = talk.judge("What if we had a cluster of 64 GPUs?")
    assert supposed.hypothetical and supposed.question == open_question and talk.asked == open_question
    found = talk.judge("400")
    assert level(found, "labels") == "hundreds" and "How many labelled examples? 400" in talk._account.text


def test_a_question_is_asked_once_and_never_about_what_was_said(advisor):
    talk = advisor.conversation()
    found = talk.judge("Our law firm wants clauses found in contracts; 3,000 contracts are annotated.")
    asked: list[str] = []
    while found.question is not None and len(asked) < 6:
        asked.append(found.question.factor)
        assert found.question.factor not in ("task", "input", "labels") and len(found.question.choices) >= 2
        found = talk.judge("I don't know.")
    assert asked and len(set(asked)) == len(asked)


def test_nothing_is_asked_where_nothing_would_change_the_verdict(advisor):
    found = advisor.judge(
        "We have 12 million card payments with 40 numeric columns and a fraud flag, in our own data centre, and want "
        "the chance of fraud for each new payment. No pre-trained model exists for our columns, the facts are stable, "
        "and we have one server without GPUs. It is for our product, and no data may leave the bank."
    )
    assert found.verdict is Verdict.TRAIN_FROM_SCRATCH and found.question is None


def without_a_model(*turns, asked=None):
    """A conversation whose advisor judges nothing."""
    stub = SimpleNamespace(specs=PromptLibrary(ROOT / "prompts").factors, load=lambda: None, on_topic=lambda text: 0.0)
    talk = Conversation(stub, turns)
    if asked is not None:
        choices = (Choice(level="open", meaning="They may."),)
        talk.asked = Question(factor=asked, text="May the data be sent to a vendor?", choices=choices, gain=0.1)
    return talk


def test_a_greeting_is_not_told_that_its_facts_are_kept():
    assert without_a_model().send("Hello").text == dialogue.GREETING
    assert without_a_model(XRAYS).send("Thanks!").text == dialogue.WELCOME
    assert without_a_model(XRAYS, asked="privacy").send("ok, thanks!").text == dialogue.WELCOME


@pytest.mark.parametrize("reply", ["ok", "Great.", "so so", "csv"])
def test_an_open_question_is_answered_in_a_word(reply):
    talk = without_a_model(XRAYS, asked="privacy")
    assert talk._tells(dialogue.check(reply, follow_up=True, asked=True))
    account, _ = talk._heard(reply, before=None)
    assert account.text.endswith(f"May the data be sent to a vendor? {reply}")


def test_what_is_unknown_stays_so_beside_a_fact():
    talk = without_a_model(XRAYS, asked="labels")
    account, corrections = talk._heard("Not sure, but nothing may leave the hospital.", before=None)
    silent = next(spec.silent for spec in talk._advisor.specs if spec.name == "labels")
    assert "nothing may leave the hospital" in account.text
    assert corrections == ({"labels": silent.name} if silent else {})
