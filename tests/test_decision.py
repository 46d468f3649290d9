import math

import numpy as np
import pytest

from tunewise import decision
from tunewise.heads import HeadCard, Heads, ReadOut, mark, save, softmax
from tunewise.schema import Factor, Method, Verdict


def factor(name, level, toward=None, quote=None):
    return Factor(name=name, level=level, meaning=level, quote=quote, probability=0.9, pushes_toward=toward)


SHEET = (
    factor("task", "clear"),
    factor("input", "image", Verdict.FINE_TUNE),
    factor("labels", "thousands", Verdict.FINE_TUNE, "4,000 labelled"),
    factor("device", "tiny", Verdict.TRAIN_FROM_SCRATCH),
    factor("raw", "unknown"),
)


def test_reasons_rest_on_factors_that_speak_for_the_verdict():
    names = [item.name for item in decision.carrying(Verdict.FINE_TUNE, SHEET, 3, {})]
    assert names[:2] == ["labels", "input"]
    assert "device" not in names


def test_no_two_reasons_rest_on_the_same_words_while_others_are_left():
    sheet = (
        factor("labels", "thousands", Verdict.FINE_TUNE, "4,000 labelled"),
        factor("raw", "plenty", Verdict.FINE_TUNE, "4,000 labelled"),
        factor("gap", "behaviour", Verdict.FINE_TUNE, "in our tone"),
        factor("device", "tiny", Verdict.TRAIN_FROM_SCRATCH, "on a watch"),
    )
    names = [item.name for item in decision.carrying(Verdict.FINE_TUNE, sheet, 3, {})]
    assert names == ["labels", "gap", "raw"]


def test_the_first_unstated_factor_is_asked_for():
    assert decision.open_factor(Verdict.FINE_TUNE, SHEET) == "raw"
    vague = (factor("task", "vague", Verdict.NEEDS_MORE_INFORMATION), *SHEET[1:])
    assert decision.open_factor(Verdict.NEEDS_MORE_INFORMATION, vague) == "task"


def test_more_information_always_has_a_question():
    assert decision.open_factor(Verdict.NEEDS_MORE_INFORMATION, (factor("task", "clear"),)) == "task"


def test_what_was_asked_once_is_not_asked_again_while_something_else_is_open():
    sheet = (factor("task", "vague"), factor("labels", "unknown"), factor("privacy", "unknown"))
    asked = ("task", "labels")
    assert decision.open_factor(Verdict.NEEDS_MORE_INFORMATION, sheet, asked) == "privacy"


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("must not leave our servers", True),
        ("are 3,000 annotated by botanists", True),
        ("can only use one GPU with 12 GB", True),
        ("What we have is 4,000 labelled photos", True),
        ("How it works today: a clerk labels 500 scans a week", True),
        ("what do we need", False),
        ("how many labels should we get", False),
        ("must it run on a phone", False),
        ("what about our privacy", False),
        ("which model should we take", False),
        ("is there a checkpoint for it", False),
    ],
)
def test_a_clause_without_its_subject_states_a_fact_and_a_question_none(words, known):
    assert decision.stated(factor("privacy", "private", quote=words)) is known


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_but_one_has_a_method(verdict):
    found = decision.method(verdict, SHEET)
    assert (found is None) == (verdict is Verdict.NEEDS_MORE_INFORMATION)


def test_methods_follow_the_sheet():
    assert decision.method(Verdict.TRAIN_FROM_SCRATCH, SHEET) is Method.SMALL_NETWORK
    table = (factor("input", "rows"),)
    assert decision.method(Verdict.TRAIN_FROM_SCRATCH, table) is Method.BOOSTED_TREES
    facts = (factor("input", "text"), factor("gap", "facts"))
    assert decision.method(Verdict.USE_AS_IS, facts) is Method.RAG


def test_a_close_call_is_called_one():
    close = dict(zip(Verdict, (0.4, 0.38, 0.2, 0.02), strict=True))
    clear = dict(zip(Verdict, (0.9, 0.05, 0.04, 0.01), strict=True))
    sheet = (factor("input", "rows", Verdict.TRAIN_FROM_SCRATCH),)
    assert any("close" in note for note in decision.notes(Verdict.TRAIN_FROM_SCRATCH, close, sheet, calibrated=True))
    assert not decision.notes(Verdict.TRAIN_FROM_SCRATCH, clear, sheet, calibrated=True)


def test_a_sheet_that_disagrees_is_told():
    against = [factor(name, "x", Verdict.USE_AS_IS) for name in ("gap", "change", "baseline")]
    chances = dict(zip(Verdict, (0.05, 0.9, 0.04, 0.01), strict=True))
    assert any("another way" in note for note in decision.notes(Verdict.FINE_TUNE, chances, against, calibrated=True))


def test_mixing_keeps_a_distribution():
    mixed = decision.tempered((0.1, 0.2, 0.3, 0.4), SHEET)
    assert math.isclose(sum(mixed), 1.0)


def test_softmax_survives_large_scores():
    assert softmax(np.array([1e4, 0.0, -1e4]))[0] == pytest.approx(1.0)


def test_a_head_survives_its_files(tmp_path):
    random = np.random.default_rng(0)
    readout = ReadOut(
        mean=random.normal(size=8).astype(np.float32),
        scale=np.ones(8, dtype=np.float32),
        weights=random.normal(size=(8, 4)).astype(np.float32),
        bias=np.zeros(4, dtype=np.float32),
        temperature=1.5,
    )
    card = HeadCard(model_sha256="m", prompts="p", scenarios=10, out_of_fold={"strict": 0.5})
    readouts = {"verdict": readout, "topic": readout, "sheet": readout, "labels": readout}
    save(tmp_path, card, readouts, [mark("a-1"), mark("a-2"), mark("a-1")])
    loaded = Heads.load(tmp_path)
    assert loaded.knows("a-1") and loaded.knows("a-2") and not loaded.knows("a-3")
    before = (tmp_path / "head.npz").read_bytes()
    with pytest.raises(ValueError, match="out_of_fold"):
        save(tmp_path, card.model_copy(update={"out_of_fold": {"strict": float("nan")}}), readouts, [])
    assert (tmp_path / "head.npz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "head.npz"]
    assert loaded.fits("m", "p") and not loaded.fits("m", "other")
    row = random.normal(size=8).astype(np.float32)
    assert loaded.verdict.probabilities(row) == pytest.approx(readout.probabilities(row), abs=0.01)


def test_a_damaged_head_is_named(tmp_path):
    from tunewise.errors import ArtifactError

    with pytest.raises(ArtifactError, match="damaged"):
        Heads.load(tmp_path)
    (tmp_path / "head.npz").write_bytes(b"no archive")
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(ArtifactError, match="damaged"):
        Heads.load(tmp_path)
