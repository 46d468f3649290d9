"""What of a sheet needs no model."""

import pytest

from tunewise.factors import told_by_figures


@pytest.mark.parametrize(
    ("words", "level"),
    [("two A100s", "moderate"), ("8 H100", "moderate"), ("2x T4", "moderate")],
)
def test_a_stated_number_of_cards_has_its_level_by_definition(words, level):
    assert told_by_figures(f"We have {words} and 4,000 labels.") == {"compute": level}


@pytest.mark.parametrize("words", ["one GPU", "an RTX 3090", "no GPU", "a laptop", "4,000 labels", "64 H100s"])
def test_one_card_none_or_a_cluster_leaves_it_to_the_model(words):
    assert told_by_figures(f"We have {words}.") == {}
