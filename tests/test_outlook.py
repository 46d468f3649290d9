"""What would change a verdict, and the question worth asking, from the shipped read-out of sheets."""

import time

import numpy as np
import pytest
from evals.counterfactuals.retelling import retold, sentences

from tests.conftest import ROOT
from tunewise import Verdict, decision, outlook
from tunewise.factors import correct
from tunewise.heads import Heads
from tunewise.outlook import Decider
from tunewise.prompts import PromptLibrary
from tunewise.schema import Factor

SPECS = PromptLibrary(ROOT / "prompts").factors
EFFECTS = Heads.load(ROOT / "src/tunewise").sheet
STATED = {"task": "clear", "input": "image", "base": "close", "labels": "thousands", "gap": "perception"}


def a_sheet(**levels):
    lines = []
    for spec in SPECS:
        level = spec.level(levels.get(spec.name, (spec.silent or spec.levels[0]).name))
        lines.append(
            Factor(name=spec.name, level=level.name, meaning=level.meaning, probability=1, pushes_toward=level.pushes)
        )
    return tuple(lines)


def decider(sheet, log_odds=(0.0, 1.2, 0.0, -1.0)):
    return Decider(np.array(log_odds), {line.name: line.level for line in sheet}, SPECS, EFFECTS)


def flat(sheet):
    return {spec.name: [1.0] * len(spec.levels) for spec in SPECS}


def test_no_change_leaves_the_probabilities():
    sheet = a_sheet(**STATED)
    made = decider(sheet)
    assert made.probabilities() == pytest.approx(made.probabilities({"labels": "thousands"}))
    assert sum(made.probabilities({"labels": "none", "base": "none"})) == pytest.approx(1)


def test_a_missing_base_speaks_for_scratch_and_missing_labels_for_using_as_is():
    made = decider(a_sheet(**STATED))
    order = list(Verdict)
    now = made.probabilities()
    assert made.probabilities({"base": "none"})[order.index(Verdict.TRAIN_FROM_SCRATCH)] > now[0]
    assert made.probabilities({"labels": "none"})[order.index(Verdict.USE_AS_IS)] > now[2]


def test_every_change_named_does_turn_the_verdict():
    sheet = a_sheet(**STATED)
    made = decider(sheet)
    now = decision.verdict_of(made.probabilities())
    changes = outlook.would_change(made, sheet)
    assert 1 <= len(changes) <= outlook.MOST_CHANGES
    for change in changes:
        shares = made.probabilities({change.factor: change.level})
        assert change.verdict is decision.verdict_of(shares) is not now
        assert change.probability == max(shares)


def test_one_fact_is_named_before_two_and_two_only_where_neither_alone_would_do():
    sheet = a_sheet(**STATED)
    pairs = 0
    for log_odds in ((-3, 4, -3, -4), (0, 3, 0, -3), (2, -1, 1, -2), (-1, 0, 4, -4), (1, 0, 2, -1)):
        made = decider(sheet, log_odds)
        now = decision.verdict_of(made.probabilities())
        changes = outlook.would_change(made, sheet)
        assert [len(change.changes) for change in changes] == sorted(len(change.changes) for change in changes)
        for change in changes:
            altered = {part.factor: part.level for part in change.changes}
            assert decision.verdict_of(made.probabilities(altered)) is change.verdict is not now
            if change.also:
                pairs += 1
                others = [part.factor for other in changes if other is not change for part in other.changes]
                assert not set(altered) & set(others), "a factor is named twice"
                assert change.words == f"{change.meaning} and {change.also.meaning}"
                for part in change.changes:
                    alone = made.probabilities({part.factor: part.level})
                    lead = max(alone) - alone[list(Verdict).index(now)]
                    undecided = decision.verdict_of(alone) is Verdict.NEEDS_MORE_INFORMATION
                    assert undecided or lead < decision.CLOSE_CALL
    assert pairs


def test_no_change_contradicts_what_stays():
    sheet = a_sheet(**STATED | {"base": "none"})
    made = decider(sheet, (2.0, 0.5, 0.5, -2.0))
    for change in outlook.would_change(made, sheet):
        after = made.levels | {part.factor: part.level for part in change.changes}
        assert not (after["base"] == "none" and after["baseline"] in ("passes", "short"))


def test_changes_and_question_take_less_than_two_seconds(advisor):
    texts = [
        "We have 4,000 labelled X-rays of hands and one GPU. Fine-tune or train?",
        "Our bot answers from the handbook and makes things up; the handbook changes weekly.",
        "12 million rows, 40 columns, churn yes or no, a laptop.",
    ]
    times = []
    for text in texts:
        advisor.judge(text)
        start = time.perf_counter()
        judged = advisor.judge(text)  # The reading is kept: sheet, verdict, changes and question alone.
        times.append(time.perf_counter() - start)
        assert judged.would_change or judged.question or judged.confidence > 0.5
    assert sorted(times)[len(times) // 2] < 2


def test_a_situation_is_told_with_another_fact():
    sheet = (
        Factor(
            name="labels",
            level="thousands",
            meaning="",
            probability=1,
            pushes_toward=None,
            quote="4,000 labelled X-rays",
        ),
    )
    told = retold("We have 4,000 labelled X-rays, one GPU. Fine-tune or train?", sheet, {"labels": "none"})
    assert "4,000" not in told and "no labelled" in told and told.endswith("Fine-tune or train?")


def test_every_level_that_can_change_can_be_told():
    for spec in SPECS:
        if spec.name not in outlook.GIVEN:
            assert set(sentences()[spec.name]) == {level.name for level in spec.levels if level != spec.silent}


def test_a_sure_verdict_asks_nothing():
    sheet = a_sheet(**STATED)
    assert outlook.best_question(decider(sheet, (-9.0, 9.0, -9.0, -9.0)), sheet, flat(sheet)) is None


def test_a_question_is_never_about_what_was_said():
    sheet = a_sheet(task="clear", input="image", labels="thousands")
    question = outlook.best_question(decider(sheet, (0.3, 0.4, 0.0, 0.2)), sheet, flat(sheet))
    assert question is not None and question.gain > 0
    assert question.factor not in ("task", "input", "labels")
    assert len(question.choices) >= 2


def test_an_answered_question_is_not_asked_again():
    sheet = a_sheet(task="clear", input="image")
    first = outlook.best_question(decider(sheet, (0.3, 0.4, 0.0, 0.2)), sheet, flat(sheet))
    assert first is not None
    answered = correct(sheet, SPECS, {first.factor: first.choices[0].level})
    second = outlook.best_question(decider(answered, (0.3, 0.4, 0.0, 0.2)), answered, flat(answered))
    assert second is None or second.factor != first.factor


def test_a_level_without_words_of_the_person_is_not_stated():
    inferred = a_sheet(**STATED)[5]
    assert inferred.name == "labels" and inferred.known
    assert not decision.stated(inferred)
    assert decision.stated(inferred.model_copy(update={"quote": "4,000 labelled X-rays"}))
    assert decision.stated(inferred.model_copy(update={"corrected": True}))
    assert not decision.stated(inferred.model_copy(update={"quote": "What is the best way to get a model"}))


def test_a_settled_question_is_not_asked_again():
    sheet = a_sheet(task="clear", input="image")
    made = decider(sheet, (0.3, 0.4, 0.0, 0.2))
    asked: set[str] = set()
    while (question := outlook.best_question(made, sheet, flat(sheet), asked)) is not None:
        assert question.factor not in asked
        asked.add(question.factor)
    assert 2 <= len(asked) <= len(SPECS) - 2


def test_the_best_question_tells_most():
    sheet = a_sheet(task="clear", input="image")
    made = decider(sheet, (0.3, 0.4, 0.0, 0.2))
    gains: list[float] = []
    asked: set[str] = set()
    while (question := outlook.best_question(made, sheet, flat(sheet), asked)) is not None:
        gains.append(question.gain)
        asked.add(question.factor)
    assert gains == sorted(gains, reverse=True)
