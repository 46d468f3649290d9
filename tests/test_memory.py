"""What a conversation remembers: rules on texts."""

import pytest

from tests.conftest import ROOT
from tunewise.memory import Account, Intent, answers, figures
from tunewise.prompts import PromptLibrary
from tunewise.schema import Choice, Question

XRAYS = "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax."
SPECS = {spec.name: spec for spec in PromptLibrary(ROOT / "prompts").factors}


def asking(name):
    spec = SPECS[name]
    choices = tuple(Choice(level=level.name, meaning=level.meaning) for level in spec.levels if level != spec.silent)
    return Question(factor=name, text=spec.ask, choices=choices, gain=0.1)


def heard(*turns):
    account = Account()
    for turn in turns:
        account = account.hear(turn)
    return account


@pytest.mark.parametrize(
    ("correction", "stands", "gone"),
    [
        ("actually it's 400, not 4,000", "400 labelled chest X-rays", "4,000"),
        ("Sorry, make that 400 X-rays that are labelled.", "400 labelled chest X-rays", "4,000"),
        ("We have 40k labelled X-rays.", "40k labelled chest X-rays", "4,000"),
        ("not 4,000 but 900 of them", "900 labelled chest X-rays", "4,000"),
        ("We have 8 A100s.", "8 A100s", "two A100s"),
    ],
)
def test_a_corrected_figure_takes_the_place_of_the_older_one(correction, stands, gone):
    account = heard(XRAYS, correction)
    assert account.intent is Intent.CORRECTION
    assert stands in account.text and gone not in account.text
    assert account.situation == f"{XRAYS}\n{correction}"
    assert len(account.contradictions) == 1
    told = account.contradictions[0]
    assert told.before in XRAYS and told.after in correction and told.before in told.text


@pytest.mark.parametrize(
    "addition",
    [
        "A partner gives us another 3,000 labelled X-rays.",
        "There are also 60,000 films without any label.",
        "The films come from 3 hospitals.",
        "we also may not use the cloud",
        "About 12 % show a pneumothorax.",
    ],
)
def test_an_addition_leaves_what_was_said(addition):
    account = heard(XRAYS, addition)
    assert account.passages == (XRAYS, addition)
    assert account.intent is Intent.ADDITION and not account.contradictions


@pytest.mark.parametrize(
    "question",
    [
        "and if we had 100,000 labels?",
        "What if there were 100,000 labelled X-rays?",
        "Suppose we could get 100,000 labelled X-rays, would that matter?",
        "would it change anything if we had 100,000 labelled X-rays?",
    ],
)
def test_a_what_if_is_no_correction(question):
    account = heard(XRAYS)
    supposed = account.hear(question)
    assert supposed.hypothetical and not supposed.contradictions
    assert "100,000 labelled chest X-rays" in supposed.text and "4,000" not in supposed.text
    assert account.text == XRAYS


@pytest.mark.parametrize(
    "statement",
    [
        "If a call comes in at night, nobody answers.",
        "We want to know if the film shows air.",
        "It depends what you do.",
    ],
)
def test_an_ordinary_if_is_no_what_if(statement):
    assert not heard(XRAYS, statement).hypothetical


def test_a_quotation_of_a_changed_sentence_is_given_in_the_persons_own_words():
    account = heard(XRAYS, "actually it's 400, not 4,000")
    assert account.verbatim("We have 400 labelled chest X-rays") == "actually it's 400"
    assert account.verbatim("two A100s") == "two A100s"
    assert account.verbatim("nobody said this") is None


@pytest.mark.parametrize("reply", ["about 400", "no", "Yes, to any vendor", "none so far", "some hundred"])
def test_a_bare_answer_is_read_with_its_question(reply):
    question = asking("labels")
    account = heard("We want to sort scans.").hear(reply, question)
    assert account.replies and account.text.endswith(f"{question.text} {reply}")


def test_an_answer_that_speaks_for_itself_is_read_alone():
    reply = "A colleague has labelled 3,000 scans."
    account = heard("We want to sort scans.").hear(reply, asking("labels"))
    assert account.replies and account.passages[-1] == reply


@pytest.mark.parametrize("reply", ["I don't know.", "no idea", "hm, not sure yet", "we can't say", "weiß ich nicht"])
def test_not_knowing_is_no_fact(reply):
    account = heard("We want to sort scans.").hear(reply, asking("labels"))
    assert account.unknown == "labels" and account.text == "We want to sort scans."


@pytest.mark.parametrize(
    "other", ["how was your weekend?", "a lovely sunny day in Lisbon today", "actually it was 300 photos"]
)
def test_not_everything_is_an_answer(other):
    assert not answers(other, asking("labels"))


def test_a_fact_about_something_else_is_no_answer():
    assert not answers("we have 2,000 labelled photos", asking("base"))
    assert answers("we have 2,000 labelled photos", asking("labels"))


@pytest.mark.parametrize(
    ("text", "value", "labelled"),
    [("4,000 labelled X-rays", 4000, True), ("80 tickets are labelled", 80, True), ("60k slides", 60_000, False)],
)
def test_figures_know_what_they_count(text, value, labelled):
    (figure,) = figures(text)
    assert (figure.value, figure.labelled) == (value, labelled)
