"""What a conversation remembers: pure rules on texts, then the real model."""

import pytest

from tests.conftest import ROOT
from tunewise import Advice, Answer, Verdict, render
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


@pytest.mark.parametrize("reply", ["about 400", "no", "Yes, to any vendor", "none so far", "some hundred of them"])
def test_a_bare_answer_is_read_with_its_question(reply):
    question = asking("labels")
    account = heard("We want to sort scans.").hear(reply, question)
    assert account.replies and account.text.endswith(f"{question.text} {reply}")


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
    from tunewise import Conversation

    turns = [result.situation.split("\n")[-1] for result in (talk[1][0], talk[1][2], talk[1][3])]
    again = Conversation(advisor, turns, [talk[1][0], talk[1][2], talk[1][3]])
    ours, theirs = talk[0].standing, again.standing
    assert ours and theirs and theirs == ours.model_copy(update={"timings": theirs.timings})


def test_older_words_that_are_contradicted_are_left_out(advisor):
    talk = advisor.conversation()
    talk.judge("Calls are to be transcribed, the recordings may be sent to any vendor. 200 hours are transcribed.")
    found = talk.judge("Legal says the recordings must never leave our own machines.")
    assert level(found, "privacy") == "private"
    assert found.contradictions and found.contradictions[0].factor == "privacy"


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
