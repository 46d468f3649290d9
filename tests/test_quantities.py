"""Quantities as people write them, on the phrases kept for it."""

import time

import pytest
from evals.quantities.check import found_in, phrases, right
from hypothesis import given
from hypothesis import strategies as st

from tunewise.estimation.calculator import calculate
from tunewise.estimation.numbers import amounts
from tunewise.estimation.quantities import read


@pytest.mark.parametrize(("split", "count", "share"), [("dev", 6500, 0.975), ("test", 240, 0.97)])
def test_nearly_all_phrases_are_read_exactly(split, count, share):
    items = phrases(split)
    misses = [(phrase.phrase, phrase.expected, found_in(phrase)) for phrase in items if not right(phrase)]
    assert len(items) >= count
    assert 1 - len(misses) / len(items) >= share, misses[:20]


@pytest.mark.parametrize(
    ("text", "kind", "low", "high", "unit"),
    [
        ("buying a $32,000 H100", "money", 32_000, 32_000, "USD"),
        ("an hour and a half of audio", "audio", 1.5, 1.5, "hours"),
        ("it took two days and a half", "days", 2.5, 2.5, "days"),
        ("answers within a second and a half", "latency", None, 1500, "ms"),
        ("two million three hundred thousand tweets", "examples", 2.3e6, 2.3e6, "examples"),
        ("between six and seven hundred scans", "examples", 600, 700, "examples"),
        ("we send five hundred a day", "rate", 500, 500, "requests/day"),
        ("it adds up to 2 million rows", "examples", 2e6, 2e6, "examples"),
        ("two old GTX 1080 Ti", "gpus", 2, 2, "GPU"),
        ("eight V100s (16 GB)", "gpus", 8, 8, "V100 16GB"),
        ("3x10^8 tokens", "tokens", 3e8, 3e8, "tokens"),
        ("13.000 millones de parámetros", "parameters", 1.3e10, 1.3e10, "parameters"),
        ("a five week run", "days", 35, 35, "days"),
        ("four epochs over 2B tokens", "tokens", 2e9, 2e9, "tokens"),
        ("answers in three seconds or less", "latency", None, 3000, "ms"),
        ("1.006 $/hour", "money", 1.006, 1.006, "USD/hour"),
        ("12,000 tokens", "context", 12_000, 12_000, "tokens"),
        ("12M tokens", "tokens", 1.2e7, 1.2e7, "tokens"),
        ("between 4k and 32k context", "context", 4096, 32_768, "tokens"),
        ("300 512x512 images", "examples", 300, 300, "examples"),
        ("512x512 images", "examples", None, None, ""),
        ("640x480 pictures", "examples", None, None, ""),
        ("640 x 480 pictures", "examples", None, None, ""),
        ("1080p videos", "examples", None, None, ""),
        ("4k video", "examples", None, None, ""),
        ("4k photos", "examples", 4000, 4000, "examples"),
        ("mehrere hundert Bilder", "examples", 300, 900, "examples"),
        ("einige hundert Bilder", "examples", 300, 900, "examples"),
        ("varios miles de correos", "examples", 3000, 9000, "examples"),
        ("couple hundred tickets", "examples", 200, 200, "examples"),
        ("couple thousand rows", "examples", 2000, 2000, "examples"),
        ("1½ million rows", "examples", 1.5e6, 1.5e6, "examples"),
        ("½ million rows", "examples", 5e5, 5e5, "examples"),
        ("10⁶ rows", "examples", 1e6, 1e6, "examples"),
        ("3×10⁶ rows", "examples", 3e6, 3e6, "examples"),
        ("Since 2021 images are stored as PNG.", "examples", None, None, ""),
        ("12 May 2024 samples were taken.", "examples", None, None, ""),
        ("We have 2024 images.", "examples", 2024, 2024, "examples"),
        ("an RTX 3080 Ti", "gpus", 1, 1, "RTX 3080 Ti"),
        ("two 4070 Ti Super", "gpus", 2, 2, "RTX 4070 Ti Super"),
        ("two 3080Ti", "gpus", 2, 2, "RTX 3080 Ti"),
        ("an A100 40GB", "gpus", 1, 1, "A100 40GB"),
        ("an A10 24GB", "gpus", 1, 1, "A10"),
        ("a Quadro RTX 6000", "gpus", 1, 1, "GPU"),
        ("an L40", "gpus", 1, 1, "L40"),
        ("an A10", "gpus", 1, 1, "A10"),
        ("an RTX 6000 Ada", "gpus", 1, 1, "RTX 6000 Ada"),
        ("distilbert", "parameters", 66e6, 66e6, "parameters"),
        ("gpt2-medium", "parameters", 355e6, 355e6, "parameters"),
        ("GPT-2 XL", "parameters", 1.56e9, 1.56e9, "parameters"),
        ("whisper large-v3-turbo", "parameters", 809e6, 809e6, "parameters"),
    ],
)
def test_quantities_are_read_with_their_bounds_and_units(text, kind, low, high, unit):
    found = [item for item in read(text) if item.kind == kind]
    assert [(item.low, item.high, item.unit) for item in found] == ([(low, high, unit)] if unit else [])


def test_the_test_phrases_are_none_of_the_development_phrases():
    known = {(phrase.phrase, phrase.sentence) for phrase in phrases("dev")}
    assert not known & {(phrase.phrase, phrase.sentence) for phrase in phrases("test")}


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1,5 Mio", 1.5e6, 1.5e6),
        ("3 to 4 thousand", 3000, 4000),
        ("between 300 and 500", 300, 500),
        ("under 100", None, 100),
        ("10k+", 10_000, None),
        ("half a million", 5e5, 5e5),
        ("twenty-five thousand", 25_000, 25_000),
        ("100,000s of them", 200_000, 1e6),
        ("10^6", 1e6, 1e6),
        ("3.2e9", 3.2e9, 3.2e9),
    ],
)
def test_numbers_are_read(text, low, high):
    (found,) = amounts(text)
    assert (found.low, found.high) == (pytest.approx(low) if low else None, pytest.approx(high) if high else None)


def test_what_is_not_there_is_nothing_and_never_calculated_with():
    assert [item.number for item in read("no labels and no GPU")] == [0, 0]
    found = calculate("How long does it take to fine-tune a 7B with no GPU and no labels?")
    assert found is not None and found.estimates


def test_a_long_message_of_numbers_is_read_in_seconds():
    start = time.perf_counter()
    read("12 " * 6000)
    assert time.perf_counter() - start < 20


def test_a_text_read_before_is_not_read_again_and_the_first_time_takes_seconds():
    text = "4,000 images " * 1_400
    start = time.process_time()
    found = read(text)
    assert time.process_time() - start < 15
    assert read(text) is found


def test_the_makers_name_over_and_over_is_read_in_seconds():
    start = time.perf_counter()
    read("nvidia rtx " * 1900)
    assert time.perf_counter() - start < 5


@given(st.text(alphabet="0123456789.,-+ kMB×x$€%abc to and or few million GPU A100", max_size=80))
def test_every_quantity_is_a_place_in_its_text(text):
    for item in read(text):
        assert text[item.start : item.end] == item.text
        assert 0 <= item.number < 1e30
        assert item.low is None or item.high is None or item.low <= item.high


@pytest.mark.parametrize("word", ["mİllion", "mıllion", "MİO", "thouſand"])
def test_letters_that_only_look_latin_are_read_and_quoted_as_they_stand(word):
    (found,) = read(f"We have 3 {word} images.")
    assert found.text == f"3 {word} images" and found.number in (3000, 3_000_000)
