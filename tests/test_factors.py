"""What of a sheet needs no model."""

import time

import pytest

from tunewise.factors import split_clauses, told_by_figures


@pytest.mark.parametrize(
    ("words", "level"),
    [("two A100s", "moderate"), ("8 H100", "moderate"), ("2x T4", "moderate")],
)
def test_a_stated_number_of_cards_has_its_level_by_definition(words, level):
    assert told_by_figures(f"We have {words} and 4,000 labels.") == {"compute": level}


@pytest.mark.parametrize(
    "words",
    ["one GPU", "an RTX 3090", "no GPU", "a laptop", "4,000 labels", "64 H100s", "1 GPU, a 3090. Is 1 GPU enough"],
)
def test_one_card_none_or_a_cluster_leaves_it_to_the_model(words):
    assert told_by_figures(f"We have {words}.") == {}


def test_cards_that_are_told_twice_are_not_added_up():
    assert told_by_figures("We have one A100. Is one A100 enough for 4,000 labels?") == {}
    assert told_by_figures("We have one GPU. A paper used 8 A100s for this.") == {}
    assert told_by_figures("20 GPUs here. Those 20 GPUs are all we get.") == {"compute": "moderate"}


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        (
            "我们有4000张标注的胸部X光片和两块A100，图片不能离开医院。我们应该自己训练网络吗？",
            ["我们有4000张标注的胸部X光片和两块A100", "图片不能离开医院", "我们应该自己训练网络吗"],
        ),
        ("画像が4000枚あります。外に出せません。", ["画像が4000枚あります", "外に出せません"]),
        ("เรามีภาพ 4000 ภาพ ไม่มีการ์ดจอ", ["เรามีภาพ 4000 ภาพ", "ไม่มีการ์ดจอ"]),
        ("We have 4,000 X-rays and two A100s (no more).", ["We have 4,000 X-rays", "two A100s", "no more"]),
    ],
)
def test_clauses_end_where_their_script_ends_them(text, clauses):
    assert split_clauses(text) == clauses


def test_a_long_run_of_blanks_takes_no_time():
    start = time.perf_counter()
    assert split_clauses("We have labels" + " " * 20_000 + "and  one card") == ["We have labels", "one card"]
    split_clauses("a" + " " * 20_000 + "b")
    assert time.perf_counter() - start < 4
