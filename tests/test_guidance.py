"""Methods and plans by rule: the table itself, and what it advises."""

import pytest

from tests.conftest import ROOT
from tunewise import Verdict, corpus, guidance
from tunewise.counsel import counsel
from tunewise.prompts import PromptLibrary
from tunewise.schema import Method, StepKind

DECIDED = [verdict for verdict in Verdict if verdict is not Verdict.NEEDS_MORE_INFORMATION]
CASES = [
    (Verdict.TRAIN_FROM_SCRATCH, {"device": "tiny", "input": "audio"}, "", Method.SMALL_NETWORK),
    (Verdict.TRAIN_FROM_SCRATCH, {"input": "rows", "labels": "huge"}, "", Method.BOOSTED_TREES),
    (Verdict.TRAIN_FROM_SCRATCH, {"input": "rows", "labels": "dozens"}, "", Method.CLASSICAL),
    *(
        (Verdict.TRAIN_FROM_SCRATCH, {"input": "events", "labels": labels}, "", Method.BOOSTED_TREES)
        for labels in ("dozens", "thousands", "huge", "unknown")
    ),
    (Verdict.TRAIN_FROM_SCRATCH, {"input": "fields", "labels": "thousands"}, "", Method.SUPERVISED_NETWORK),
    (
        Verdict.TRAIN_FROM_SCRATCH,
        {"input": "text", "raw": "vast", "labels": "none", "compute": "cluster"},
        "",
        Method.SELF_SUPERVISED_PRETRAINING,
    ),
    (Verdict.FINE_TUNE, {"input": "text", "labels": "thousands", "compute": "moderate"}, "", Method.LORA),
    (Verdict.FINE_TUNE, {"input": "text", "labels": "thousands", "compute": "little"}, "", Method.QLORA),
    (Verdict.FINE_TUNE, {"input": "image", "labels": "thousands"}, "", Method.FULL),
    (Verdict.FINE_TUNE, {"input": "image", "labels": "hundreds"}, "", Method.LINEAR_PROBE),
    (Verdict.FINE_TUNE, {"input": "molecules", "labels": "thousands"}, "", Method.LINEAR_PROBE),
    (Verdict.FINE_TUNE, {"input": "text", "raw": "plenty", "labels": "none"}, "", Method.CONTINUED_PRETRAINING),
    *(
        (Verdict.FINE_TUNE, {"input": kind, "raw": "plenty", "labels": labels}, "", Method.LINEAR_PROBE)
        for kind, labels in (("image", "none"), ("audio", "dozens"), ("video", "none"))
    ),
    (Verdict.FINE_TUNE, {"input": "audio", "raw": "vast", "labels": "unknown"}, "", Method.FULL),
    (Verdict.FINE_TUNE, {"input": "text", "gap": "cost", "baseline": "passes"}, "", Method.DISTILLATION),
    (
        Verdict.FINE_TUNE,
        {"input": "text", "labels": "thousands", "compute": "little"},
        "20k thumbs up and down on answers",
        Method.PREFERENCE_TUNING,
    ),
    *(
        (Verdict.FINE_TUNE, {"input": "text", "labels": "thousands"}, text, Method.LORA)
        for text in (
            "Our DPO says the contracts must not leave our servers.",
            "We have no preference data, only 5,000 pairs of input and output.",
            "sorting letters to a club of green thumbs",
            "We match customer records pairwise; 8,000 pairs are labelled.",
            "The pairwise features of 9,000 labelled alignments go in.",
            "We asked our DPO on Monday.",
            "We have 3,000 demonstrations. We don't have preference pairs.",
            "Nobody gave thumbs up so far.",
            "It works without any of the usual chosen and rejected answers.",
        )
    ),
    *(
        (Verdict.FINE_TUNE, {"input": "text", "labels": "thousands"}, text, Method.PREFERENCE_TUNING)
        for text in (
            "We have no labels but 9,000 preference pairs.",
            "No demonstrations. There are 9,000 preference pairs.",
            "We may not share the preference pairs.",
            "No preference pairs at first, then 9,000 preference pairs.",
            "28k pairwise choices",
            "editors gave 9,000 pairwise preference judgements",
            "80k pairwise votes",
        )
    ),
    *(
        (Verdict.USE_AS_IS, {"input": "text", "gap": "facts"}, text, Method.RAG)
        for text in (
            "questions about 40,000 pages of policy",
            "1.200 pages",
            "4 000 pages",
            "9,000 manuals of 20 pages each",
            "policies of 20 pages",
            "policies of 10 to 30 pages",
            "one report a week",
            "There is no single manual, only 40,000 tickets.",
        )
    ),
    *(
        (Verdict.USE_AS_IS, {"input": "text", "gap": "none"}, text, Method.PROMPTING)
        for text in ("We receive invoices of 2 pages and want the totals.", "We summarise one report every week.")
    ),
    (Verdict.USE_AS_IS, {"input": "audio", "gap": "none"}, "a single file with birds in it", Method.OFF_THE_SHELF),
    (Verdict.USE_AS_IS, {"input": "text", "gap": "facts"}, "a handbook of 300 pages", Method.LONG_CONTEXT),
    (Verdict.USE_AS_IS, {"input": "text", "gap": "facts", "change": "moving"}, "", Method.RAG),
    (Verdict.USE_AS_IS, {"input": "text", "gap": "facts"}, "questions on one book of 300 pages", Method.LONG_CONTEXT),
    (Verdict.USE_AS_IS, {"input": "text", "labels": "dozens"}, "", Method.FEW_SHOT),
    (Verdict.USE_AS_IS, {"input": "text", "labels": "none"}, "", Method.PROMPTING),
    (Verdict.USE_AS_IS, {"input": "image", "baseline": "passes"}, "", Method.OFF_THE_SHELF),
]


@pytest.fixture(scope="module")
def facts():
    return corpus.load(ROOT / "knowledge").by_id


@pytest.mark.parametrize(("verdict", "levels", "text", "method"), CASES)
def test_the_sheet_chooses_the_method(verdict, levels, text, method):
    assert guidance.rank(verdict, levels, text)[0].method is method


def test_every_method_can_be_reached():
    assert {method for *_, method in CASES} == set(Method)


def test_the_table_names_what_exists(facts):
    levels = {spec.name: {level.name for level in spec.levels} for spec in PromptLibrary(ROOT / "prompts").factors}
    for rule in guidance.guidance().method:
        assert set(rule.rules) <= set(facts), rule.name
        for sign in rule.signs:
            assert bool(sign.words) != bool(sign.factor), sign
            assert sign.factor is None or set(sign.levels) <= levels[sign.factor], sign
    for step in guidance.guidance().step:
        assert set(step.rules) <= set(facts), step.text
        for name, taken in step.unless.items():
            assert set(taken) <= levels[name], step.text


@pytest.mark.parametrize("verdict", DECIDED)
def test_the_runner_up_says_why_it_comes_second(verdict, facts):
    found = counsel(verdict, {"input": "text", "labels": "thousands"}, "", facts)
    assert found.alternatives and all(other.why_not and other.evidence for other in found.alternatives)
    assert found.method_evidence


@pytest.mark.parametrize("rule", guidance.guidance().method, ids=lambda rule: rule.name.value)
def test_a_plan_has_an_end_and_a_way_back(rule, facts):
    steps = guidance.plan(rule.verdict, rule.name, {"baseline": "untried"})
    kinds = [step.kind for step in steps]
    assert 3 <= len(steps) <= guidance.MOST_STEPS
    assert kinds[0] is StepKind.CHECK and kinds[-1] is StepKind.FALLBACK
    assert StepKind.EXPERIMENT in kinds and StepKind.STOP in kinds
    assert kinds.index(StepKind.EXPERIMENT) < kinds.index(StepKind.BUILD)


def test_what_was_tried_already_is_not_advised_again():
    first = guidance.plan(Verdict.FINE_TUNE, Method.LORA, {"baseline": "untried"})
    again = guidance.plan(Verdict.FINE_TUNE, Method.LORA, {"baseline": "fails"})
    assert len(again) == len(first) - 1


@pytest.mark.parametrize("sheet", [{"base": "none"}, {"device": "tiny"}])
def test_a_pretrained_model_that_cannot_be_is_not_planned_with(sheet):
    method = Method.SMALL_NETWORK
    texts = [step.text for step in guidance.plan(Verdict.TRAIN_FROM_SCRATCH, method, sheet)]
    assert not any("pre-trained" in text for text in texts)
    assert any(text.startswith("Cheapest experiment") for text in texts)
    assert any(text.startswith("Fallback") for text in texts)
    possible = guidance.plan(Verdict.TRAIN_FROM_SCRATCH, method, {"base": "partial"})
    assert any("pre-trained" in step.text for step in possible)


def test_without_a_verdict_the_plan_is_to_find_out(facts):
    found = counsel(Verdict.NEEDS_MORE_INFORMATION, {"task": "vague"}, "", facts)
    assert not found.alternatives and not found.method_reason
    assert [step.kind for step in found.plan][-1] is StepKind.STOP
