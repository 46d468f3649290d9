"""What is kept of an answer that the model wrote. Pure."""

import pytest

from tests.conftest import ROOT
from tunewise import corpus, generation


@pytest.fixture(scope="module")
def facts():
    return [fact for fact in corpus.load(ROOT / "knowledge").facts if "LoRA" in fact.text][:2]


def test_one_unsupported_sentence_does_not_cost_the_others(facts):
    before = "LoRA trains small matrices [1]. It leaves the base alone [2]. It was shown by Hinton in 1986 [2]."
    behind = "LoRA trains small matrices. [1] It leaves the base alone. [2] It was shown by Hinton in 1986. [2]"
    for written in (before, behind):
        text, evidence = generation.settle_answer(written, "What is LoRA?", facts)
        assert text == "LoRA trains small matrices. [1] It leaves the base alone. [2]"
        assert [item.fact for item in evidence] == [fact.id for fact in facts]


def test_several_facts_in_one_bracket_are_several_citations(facts):
    text, evidence = generation.settle_answer("LoRA trains small matrices [1, 2].", "What is LoRA?", facts)
    assert text == "LoRA trains small matrices. [1] [2]" and len(evidence) == 2
