"""Calculation questions in a conversation: which messages are calculated, and by which formula."""

import pytest
from evals.calculations.check import calculated, questions

from tunewise.estimation import formulas
from tunewise.estimation.catalogue import gpu


def test_development_questions_are_calculated_by_the_right_formula():
    asked = [item for item in questions("dev") if item.topic]
    wrong = [(item.question, item.topic, calculated(item.question)) for item in asked if not _right(item)]
    assert len(asked) >= 90
    assert len(wrong) <= 3, wrong


def test_questions_for_advice_or_an_explanation_are_not_calculated():
    others = [item for item in questions("dev") if not item.topic]
    wrong = [(item.question, calculated(item.question)) for item in others if not _right(item)]
    assert len(others) >= 50
    assert len(wrong) <= 1, wrong


def test_what_fits_a_time_is_the_time_the_other_way_round():
    card = gpu("H100")
    tokens = formulas.affordable_tokens(1e9, card, 8, 10)
    hours = formulas.gpu_hours(1e9, tokens.low, card)
    assert formulas.duration(hours, 8).high == pytest.approx(10)


def test_an_answer_that_names_a_size_is_no_question():
    assert calculated("A 7B, on one 4090.") is None


def _right(item):
    return calculated(item.question) == item.topic
