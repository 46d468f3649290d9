from collections import Counter

import numpy as np
import pytest

from tests.conftest import ROOT
from tunewise import corpus
from tunewise.ranking import Found, Layout, Weights, evidence, query_terms, scores, terms, woven
from tunewise.retrieval import LETTERS, lexical_text
from tunewise.schema import Fact, Source
from tunewise.spelling import Speller

SOURCE = (Source(citation="Someone 2024", status="recalled"),)


def fact(identifier, section, document="a.md", kind="topic", text="four words stand here"):
    return Fact(
        id=identifier, text=text, document=document, title="T", section=section, topic="t", kind=kind, sources=SOURCE
    )


def test_hyphenated_words_are_found_however_they_are_written():
    known = set(terms("Pre-training and fine-tuning"))
    for written in ("pretraining", "pre training", "pre-training", "finetuning", "fine tuning", "fine-tune"):
        assert query_terms(written, known), written


def test_stop_words_are_left_out():
    assert terms("What is the LoRA of it") == ["lora"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Würzburg: naïve_Bayes, 4.5-fold", ["würzburg", "naïv", "bay", "4.5fold", "4.5", "fold"]),
        ("Данные больницы", ["данные", "больницы"]),
        ("数据保留90天", ["数据", "据保", "保留", "90", "天"]),
        ("— ! 😀", []),
    ],
)
def test_words_of_every_script_count(text, words):
    assert terms(text) == words


def test_a_fact_is_lifted_by_the_best_of_its_section():
    layout = Layout.of([fact("A1", "one"), fact("A2", "one"), fact("A3", "two")])
    places = np.arange(3)
    found = evidence(places, np.array([0.8, 0.4, 0.4]), np.zeros(3), layout)
    assert found[:, 2] == pytest.approx([1, 1, 0.5])
    ranked = scores(found, Weights())
    assert ranked[0] > ranked[1] > ranked[2]


def test_the_words_of_a_document_count_over_its_best_five_candidates():
    layout = Layout.of([fact("A1", ""), fact("A2", ""), fact("A3", "", document="b.md")])
    found = evidence(np.arange(3), np.ones(3), np.array([2.0, 1.0, 1.0]), layout)
    assert found[:, 1] == pytest.approx([1, 0.5, 0.5])
    assert found[:, 3] == pytest.approx([0.3, 0.3, 0.1])


def test_without_any_known_word_nothing_is_divided_by_nothing():
    layout = Layout.of([fact("A1", "")])
    assert np.isfinite(evidence(np.arange(1), np.array([0.5]), np.zeros(1), layout)).all()


def test_facts_without_questions_keep_the_place_they_have_among_equals():
    asked = [Found(place, score, 1, None) for place, score in ((1, 0.9), (2, 0.8), (3, 0.7), (8, 0.2), (9, 0.1))]
    plain = [Found(place, score, None, 1) for place, score in ((2, 0.6), (8, 0.5), (1, 0.4), (9, 0.3))]
    found = woven(asked, plain, {8, 9})
    assert [one.place for one in found] == [1, 8, 2, 9, 3]
    assert [one.score for one in found] == [0.9, 0.5, 0.5, 0.3, 0.3]
    assert woven([], plain, {8, 9}) == [plain[1], plain[3]]


@pytest.fixture(scope="module")
def speller(embedder):
    return Speller(
        {"pre": 9, "chat": 9, "training": 40, "adapter": 12, "adapters": 9, "whisper": 5, "model": 90}, embedder.words()
    )


@pytest.fixture(scope="module")
def shipped(embedder):
    folder = corpus.load(ROOT / "knowledge")
    read = " ".join(lexical_text(fact, folder.questions.get(fact.id, ())) for fact in folder.facts)
    return Speller(Counter(LETTERS.findall(read.lower())), embedder.words())


@pytest.mark.parametrize(
    "word",
    "pytorch postgres tensorrt wandb coreference deduplication negation nodules phonemes tactile spearman jsonl parity "
    "plasmid coronary phishing parsers sampler interjection".split(),
)
def test_words_of_a_field_are_no_errors(shipped, word):
    assert shipped.correct(f"use {word} for it") == f"use {word} for it"


def test_errors_are_mended_from_the_shipped_words(shipped):
    written = "is a cheeper clasifier good for our custmers and with lablled exampels or a modell of clasificaton"
    meant = "is a cheaper classifier good for our customers and with labelled examples or a model of classification"
    assert shipped.correct(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("can i put adaptrs on one modle", "can i put adapters on one model"),
        ("trainng on my pictres of custmers", "training on my pictures of customers"),
        ("is the langauge covered enogh", "is the language covered enough"),
    ],
)
def test_typing_errors_are_mended(speller, written, meant):
    assert speller.correct(written) == meant


@pytest.mark.parametrize(
    "text",
    [
        "We adapted Whisper and Prithvi to nine welding robots",
        "pretraining a chatbot on tumours",
        "Wie viele Beispiele brauche ich zum Trainieren eines eigenen Sprachmodells",
        "wie viele beispiele brauche ich zum trainieren eines eigenen sprachmodells mit kleinem budget",
        "",
    ],
)
def test_what_is_no_error_stays(speller, text):
    assert speller.correct(text) == text
