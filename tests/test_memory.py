"""What a conversation remembers: rules on texts."""

import time

import pytest

from tests.conftest import ROOT
from tunewise.memory import Account, Intent, answers
from tunewise.mentions import figures
from tunewise.prompts import PromptLibrary
from tunewise.schema import Choice, Question

XRAYS = "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax."
FUNDED = "4,000 labelled chest X-rays and two A100s. Budget 10,000 dollars."
LABELS_AND_MONEY = "We have 20k labelled chest X-rays. Budget 10,000 dollars."
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
    "correction",
    ["Actually we have 512x512 images, not full size.", "Actually we have 640 x 480 images.", "Sorry, 1080p images."],
)
def test_the_size_of_a_picture_takes_the_place_of_no_count(correction):
    account = heard("We have 4,000 images of floor tiles.", correction)
    assert "4,000 images" in account.text and not account.contradictions


def test_a_couple_hundred_is_two_hundred():
    assert [figure.value for figure in figures("We have a couple hundred tickets, or couple hundred mails.")] == [
        200,
        200,
    ]


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
        "Y sin etiquetas, por desgracia.",
        "Y siempre con ruido.",
        "Et simplement pour la nuit.",
        "Supposedly the labels are noisy.",
        "Assumptions: the films stay here.",
        "Say web pages and mails.",
        "If it matters, our data can't leave the EU. Does that change anything?",
        "If possible we want to stay on premise. Is that realistic?",
        "Si es posible, sin nube. ¿Es realista?",
    ],
)
def test_an_ordinary_if_is_no_what_if(statement):
    account = heard(XRAYS, statement)
    assert not account.hypothetical and account.text == f"{XRAYS}\n{statement}".strip(" ,;")


@pytest.mark.parametrize(
    "question",
    [
        "Y si no hay etiquetas?",
        "Et si rien ne sort ?",
        "Assuming nothing may leave the house, what then?",
        "If we used e.g. a cloud, would it matter?",
        "If it were 0.5 seconds, what then?",
        "Say we rent cards.",
    ],
)
def test_a_what_if_is_known_by_its_own_sentence(question):
    assert heard(XRAYS, question).hypothetical


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
    ("reply", "fact"),
    [
        ("Not sure, but the data may not leave the hospital.", "but the data may not leave the hospital"),
        ("No idea but nothing may leave the hospital", "but nothing may leave the hospital"),
        ("Hard to say, most of it is scanned paper in Arabic.", "most of it is scanned paper in Arabic"),
        ("I don't know, the doctors label them while they work.", "the doctors label them while they work"),
        ("Unknown to us so far, though the images are all chest X-rays", "though the images are all chest X-rays"),
        ("I don't know how many there are. " + "The films are old. " * 5, ("The films are old. " * 5).strip(" .")),
        ("I don't know how many there are.", ""),
        ("Not sure, to be honest, sorry", ""),
        ("No idea, we will have to check.", ""),
    ],
)
def test_a_fact_beside_not_knowing_is_kept(reply, fact):
    account = heard("We want to sort scans.").hear(reply, asking("labels"))
    assert account.unknown == "labels"
    assert account.passages[-1] == fact and fact in reply


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


@pytest.mark.parametrize(
    ("first", "correction", "stands"),
    [
        (XRAYS, "no wait, 400", "400 labelled chest X-rays and two A100s"),
        (XRAYS, "I was wrong, only 400 are labelled", "400 labelled chest X-rays and two A100s"),
        (XRAYS, "8 A100s, not 2 A100s", "4,000 labelled chest X-rays and 8 A100s"),
        (
            "300 labelled photos and 12,000 unlabelled photos",
            "Sorry, it's 900 labelled photos.",
            "900 labelled photos and 12,000 unlabelled",
        ),
        ("We have 12,000 unlabelled photos", "Actually it's 20,000 unlabelled photos.", "We have 20,000 unlabelled"),
        ("200 hours of audio", "Actually 30 minutes of audio.", "30 minutes of audio\n"),
        ("Our budget is $20,000 for it", "Actually the budget is 8,000 euros.", "budget is 8,000 euros for it"),
        (XRAYS, "All we can use is one A100.", "X-rays and one A100."),
        (XRAYS, "Our 900 annotated X-rays are from one clinic.", "We have 900 labelled chest X-rays"),
        (XRAYS, "For the record, we own a server with 8 A100s.", "X-rays and 8 A100s."),
        (XRAYS, "40,000 labelled X-rays in all.", "We have 40,000 labelled chest X-rays"),
        (XRAYS, "Sorry, I checked, it's 400 labelled X-rays.", "We have 400 labelled chest X-rays"),
        (XRAYS, "Actually it's 400 labelled X-rays, the others are blurred.", "We have 400 labelled chest X-rays"),
        (XRAYS, "What if we used 8 A100s?", "X-rays and 8 A100s."),
        (LABELS_AND_MONEY, "Our budget is actually 20k.", "We have 20k labelled chest X-rays. Budget 20k."),
        (LABELS_AND_MONEY, "Correction: budget 20 thousand", "20k labelled chest X-rays. Budget 20 thousand."),
        ("Fine-tune a 70B model on 8 A100s.", "Actually it's a 7B model, and 1 A100.", "a 7B model on 1 A100."),
    ],
)
def test_a_correction_finds_the_figure_it_is_about_and_brings_its_unit(first, correction, stands):
    assert stands in heard(first, correction).text


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (XRAYS, "We have 60,000 unlabelled X-rays."),
        (XRAYS, "60,000 X-rays without labels."),
        (XRAYS, "Turns out we need it by 2026."),
        (XRAYS, "Actually accuracy must be 0.95."),
        ("We have a budget of $20,000", "A GPU costs us $3 an hour."),
        ("we pay $500 a month", "$6,000 a year"),
        (XRAYS, "We tested a ready model on 300 labelled X-rays."),
        (XRAYS, "Our test set has 250 labelled X-rays."),
        (XRAYS, "For the test set we have 250 labelled X-rays."),
        (XRAYS, "Of these, 300 labelled X-rays show the disease."),
        (XRAYS, "There are 30 labelled X-rays of the rare class."),
        (XRAYS, "Two classes have under 50 labelled examples."),
        (XRAYS, "The other hospital has 900 labelled X-rays."),
        (XRAYS, "Each site has 500 labelled X-rays."),
        (XRAYS, "A paper used 64 A100s for this."),
        (XRAYS, "We have no A100s like the paper, which used 64 A100s. Do we need them?"),
        (XRAYS, "Training took 9 hours on one A100."),
        ("The model has a 12-class output.", "Another model has a 15-class output."),
        (FUNDED, "Sorry for the delay. We tested it on 200 labelled X-rays."),
        (FUNDED, "In fact, the test set has 500 labelled X-rays."),
        (FUNDED, "Actually a colleague in Munich has 900 labelled X-rays."),
        (FUNDED, "Actually, a paper used 8 A100s for this."),
        (FUNDED, "Each X-ray costs 5 dollars to label, after all."),
        (FUNDED, "Actually the budget for 2027 is open."),
    ],
)
def test_another_figure_leaves_the_older_one(first, message):
    account = heard(first, message)
    assert account.passages[0] == first and not account.contradictions


@pytest.mark.parametrize(
    ("first", "correction", "stands"),
    [
        (
            "We have 400 labelled images and two A100s.",
            "Actually it's 4,000 labelled images and one A100.",
            "We have 4,000 labelled images and one A100.\n",
        ),
        (
            "We have 400 labelled images and a budget of $500.",
            "Sorry, I mixed up: 4,000 labelled images and a budget of $5,000.",
            "We have 4,000 labelled images and a budget of $5,000.\n",
        ),
        (
            XRAYS,
            "8 A100s, not two A100s, and 400 labelled X-rays, not 4,000.",
            "We have 400 labelled chest X-rays and 8 A100s.",
        ),
        (XRAYS, "We have 8 A100s and 400 labelled X-rays.", "We have 400 labelled chest X-rays and 8 A100s."),
        (
            XRAYS,
            "I have 400 labelled X-rays, not 4,000, and one A100.",
            "We have 400 labelled chest X-rays and one A100.",
        ),
    ],
)
def test_every_figure_of_a_correction_takes_its_place(first, correction, stands):
    account = heard(first, correction)
    assert account.text.startswith(stands)
    assert len(account.contradictions) == len(account.swaps) == 2


def test_figures_that_are_taken_back_are_left_out_each_at_its_own_place():
    account = heard(XRAYS, "8 A100s, not two A100s, and 400 labelled X-rays, not 4,000.")
    assert account.passages[-1] == "8 A100s, and 400 labelled X-rays."


@pytest.mark.parametrize("message", ["not 4,000 " * 1_800, "4,000 labelled X-rays, " * 800])
def test_a_message_full_of_figures_is_heard_in_seconds(message):
    start = time.process_time()
    heard(XRAYS, message, "Actually it's 400.")
    assert time.process_time() - start < 12


def test_a_correction_leaves_the_figures_that_it_only_mentions():
    account = heard("A bot got 97 of 100 right.", "The 97 came from a wrong sheet. In truth it got 31 of 100 right.")
    assert account.passages[0] == "A bot got 31 of 100 right."
    account = heard(XRAYS, "Actually it's 400 labelled X-rays. A paper used 64 A100s.")
    assert "400 labelled chest X-rays and two A100s" in account.text


@pytest.mark.parametrize(
    ("first", "correction", "before", "after"),
    [
        ("The model has a 12-class output.", "Sorry, a 15-class output.", "12-class output", "15-class output"),
        ("我们有2块A100。", "更正：8块A100，不是2块。", "2块A100", "8块A100"),
    ],
)
def test_figures_are_quoted_verbatim_and_count_as_labels_only_where_they_are(first, correction, before, after):
    account = heard(first, correction)
    (told,) = account.contradictions
    assert (told.before, told.after, told.factor) == (before, after, "")
    assert [swap.factor for swap in account.swaps] == [""]


@pytest.mark.parametrize(
    "question",
    [
        "Could we do it with 400 labels?",
        "And with 100,000 labels?",
        "and with 8 A100s instead?",
        "Si nous avions 100 000 images étiquetées ?",
        "E se avessimo 8 A100s?",
    ],
)
def test_a_figure_in_a_question_is_a_what_if(question):
    assert heard(XRAYS, question).hypothetical
    assert Account().hear(XRAYS).hear(question, asking("base")).hypothetical


def test_a_what_if_is_no_answer_to_what_was_asked():
    for message in ("imagine we had 5000 labelled scans.", "如果我们有10万张标注图片呢？"):
        account = Account().hear(XRAYS).hear(message, asking("labels"))
        assert account.hypothetical and not account.replies


@pytest.mark.parametrize(
    ("message", "stands"),
    [
        ("We have 8 A100s.", "and 8 A100s"),
        ("no, we only have 400 labelled X-rays", "We have 400 labelled chest"),
        ("there are 400 labelled, not 4,000", "We have 400 labelled chest"),
    ],
)
def test_a_correction_is_heard_while_a_question_is_open(message, stands):
    account = Account().hear(XRAYS).hear(message, asking("base"))
    assert stands in account.text and account.contradictions and not account.replies


@pytest.mark.parametrize(
    "reply", ["not sure, about 400 I think", "I don't know exactly, but roughly 3,000", "keine Ahnung, etwa 400"]
)
def test_a_guess_is_kept_though_it_begins_with_not_knowing(reply):
    account = Account().hear("We want to sort photos of beetles.").hear(reply, asking("labels"))
    assert account.replies and not account.unknown and reply in account.text


def test_words_that_are_part_of_other_words_are_not_cut():
    account = heard("We have 4 GPUs and 300 labelled scans of knees.", "Correction: we have 14 GPUs.")
    assert account.without(account.contradictions).text.startswith("We have 14 GPUs and 300 labelled scans")


def test_a_long_message_without_spaces_is_no_bare_answer():
    message = "我们有一千张标注好的肺部图片，还有很多没有标注的"
    assert Account().hear(XRAYS).hear(message, asking("base")).passages[-1] == message


@pytest.mark.parametrize(
    "question",
    ["那如果我们有10万张标注图片呢？", "假设我们有100000张标注图片。", "要是没有标注呢？", "仮に10万枚あったら？"],
)
def test_a_what_if_is_known_in_scripts_without_spaces(question):
    assert heard(XRAYS, question).hypothetical


@pytest.mark.parametrize("reply", ["我不知道", "不知道呢", "还不清楚。", "わかりません", "分からないです"])
def test_not_knowing_is_known_in_scripts_without_spaces(reply):
    assert Account().hear("我们想给图片分类。").hear(reply, asking("labels")).unknown == "labels"
