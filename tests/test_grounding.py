import time
import tomllib

import pytest

from tests.conftest import ROOT
from tunewise import corpus, grounding


@pytest.mark.parametrize(
    "text", ["4,000 images", "4000 images", "4k images", "4 thousand images", "4K images", "four thousand images"]
)
def test_numbers_are_the_same_however_written(text):
    assert 4000.0 in grounding.numbers(text)


def test_a_number_that_nothing_supports_is_a_breach():
    assert grounding.violations("With 9,000 images this works.", ["We have 4,000 images."])
    assert not grounding.violations("With 4k images this works.", ["We have 4,000 images."])


def test_a_number_is_not_excused_by_the_one_behind_it():
    assert grounding.violations("Only 25 of 400 labels are enough.", ["we have 400 labels"]) == ["number 25"]
    assert grounding.violations("Some 4 thousand, or 4-thousand, labels.", ["we have 4,000 labels"]) == []


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("With 4 million labels this works.", "We have 4 classes."),
        ("With 4 labels this works.", "We have 4 thousand labels."),
        ("Nine thousand labels are enough.", "we have 400 labels"),
        ("A dozen labels are enough.", "we have 400 labels"),
        ("Fifty labels are few.", "we have 4,000 labels"),
        ("Some fifteen of them will do.", "we have 4,000 labels"),
        ("Fifty thousand labels are enough.", "a thousand labels"),
        ("Fifty thousand labels are enough.", "fifty labels"),
        ("It takes 2T tokens.", "we have two GPUs"),
        ("It takes five trillion tokens.", "we have 5 GPUs"),
        ("It takes 2 trillion tokens.", "we have 2 GPUs"),
        ("With 300 twenty-minute clips this works.", "we have 300 clips"),
    ],
)
def test_a_scale_belongs_to_its_number_and_words_count_as_figures(sentence, support):
    assert len(grounding.violations(sentence, [support])) == 1


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("Your 3 GPUs are enough.", "two, maybe three GPUs"),
        ("Two hundred thousand labels are plenty.", "we have 200k labels"),
        ("Two dozen labels are few.", "we have 24 labels"),
        ("One or two of them may do.", "we have 400 labels"),
        ("Thousands of labels are plenty.", "we have 4,000 labels"),
        ("Fifty of them are few.", "we have 50 labels"),
        ("Twenty-five thousand labels are plenty.", "we have 25k labels"),
        ("Your 2,500 rows are few.", "two thousand five hundred rows"),
        ("Your 150 rows are few.", "one hundred and fifty rows"),
        ("Between 2,000 and 5,000 rows are few.", "between two thousand and five thousand rows"),
        ("It read 15 trillion tokens.", "pre-trained on 15T tokens"),
        ("It read 2,300,000 pages.", "2.3M pages"),
        ("Your 400,000 pages are plenty.", "4 hundred thousand pages"),
        ("Two T4 are enough for 4 shirts.", "we have 2 T4 GPUs and 4 T-shirts"),
        ("A 7B-parameter model fits.", "a model of 7 billion parameters"),
        ("A fifty-fifty split is fair.", "a 50/50 split"),
        ("The bank OpenAI spoke of is one.", "OpenAI's bank"),
    ],
)
def test_numbers_in_words_are_supported_by_what_means_the_same(sentence, support):
    assert grounding.violations(sentence, [support]) == []


@pytest.mark.parametrize("words", ["ſix labels", "sİx labels", "4 mıllion"])
def test_letters_that_only_look_latin_are_no_crash(words):
    grounding.numbers(words)


def test_facts_and_reasons_support_themselves():
    because = tomllib.loads((ROOT / "prompts/reasons/because.toml").read_text(encoding="utf-8"))
    clauses = [clause for table in because.values() if isinstance(table, dict) for clause in table.values()]
    texts = [fact.readable for fact in corpus.load(ROOT / "knowledge").facts]
    texts += [clause for clause in clauses if isinstance(clause, str)]
    assert not [text for text in texts if grounding.violations(text, [text])]


def test_a_long_chain_of_figures_takes_no_time():
    start = time.perf_counter()
    grounding.numbers("5-" * 10_000)
    assert time.perf_counter() - start < 4


def test_a_name_that_nothing_supports_is_a_breach():
    support = ["We record Swiss German with cheap microphones."]
    assert grounding.violations("The model XLS-R already knows Swiss German.", support)
    assert not grounding.violations("Swiss German needs more than cheap microphones.", support)


def test_ordinary_capitals_are_no_names():
    assert not grounding.violations("Training on GPUs is possible. This works.", ["anything"])


def test_copying_is_measured_as_one_run_of_words():
    fact = "LoRA freezes the pre-trained weights and learns a low-rank update."
    assert grounding.copied(fact, fact) == 1.0
    assert grounding.copied("Your 400 notices suit a low-rank update.", fact) < 0.5
    assert grounding.copied("", fact) == 0.0


def test_overlap_counts_content_words():
    assert grounding.overlap("labelled photos of steel", "We labelled photos of steel sheets") == 1.0
    assert grounding.overlap("something entirely different", "We labelled photos") == 0.0
