"""Teaching a head further scenarios: the algebra against a fit on everything, and the command with the real model."""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.conftest import ROOT
from tunewise import Verdict, decision
from tunewise.errors import UserError
from tunewise.evaluation import commands, fitting, runs, teaching
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.fitting import Space
from tunewise.evaluation.scenarios import Scenario
from tunewise.heads import SHORT, Heads, ReadOut, shortness, softmax
from tunewise.session import open_session

STRENGTH = 0.01
OLD, NEW, FEATURES, STRONG = 600, 80, 300, 30
NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


def world(count, chance, shift=0.0):
    """Rows of few strong directions, as hidden states have, and classes that a linear map tells apart, not quite.

    A shifted world draws its borders elsewhere.
    """
    hidden = chance.normal(size=(count, STRONG))
    spread = np.random.default_rng(4).normal(size=(STRONG, FEATURES))
    rows = (hidden @ spread + chance.normal(size=(count, FEATURES))).astype(np.float32)
    borders = np.random.default_rng(5).normal(size=(STRONG, 4))
    borders[:, 1] += shift * np.random.default_rng(6).normal(size=STRONG)
    return rows, (hidden @ borders + chance.gumbel(size=(count, 4))).argmax(axis=1)


def fitted(rows, labels, space):
    model = LogisticRegression(C=STRENGTH, max_iter=5000, tol=1e-8).fit((rows - space.mean) / space.scale, labels)
    return ReadOut(space.mean, space.scale, model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32))


def odds(head, rows):
    found = np.array([head.log_odds(row) for row in rows])
    return found - found.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def case():
    chance = np.random.default_rng(0)
    old, new = world(OLD, chance), world(NEW, chance, shift=2.0)
    space = Space.of(old[0])
    rows, labels = (np.concatenate(parts) for parts in zip(old, new, strict=True))
    return old, new, fitted(old[0], old[1], space), fitted(rows, labels, space)


def lesson_of(case, kept):
    (old, old_labels), (new, new_labels), head, _ = case
    rows, labels = np.concatenate([new, old[:kept]]), np.concatenate([new_labels, old_labels[:kept]])
    return lesson(head, rows, labels, np.arange(NEW, NEW + kept), OLD / kept, NO_PAIRS)


def lesson(head, rows, labels, sampled, stands_for, pairs, shares=None):
    start = np.array([head.log_odds(row) for row in rows])
    shares = np.ones(len(rows)) if shares is None else shares
    return teaching.Lesson.of(head, rows, start, shares, labels, sampled, stands_for, pairs)


def test_with_all_old_scenarios_at_hand_teaching_is_fitting_on_everything(case):
    (old, _), (new, _), head, whole = case
    task = lesson_of(case, OLD)
    taught = task.taught(head, task.change(np.arange(NEW + OLD), STRENGTH))
    rows = np.concatenate([new, old[:100]])
    assert np.abs(odds(head, rows) - odds(whole, rows)).max() > 0.3
    assert np.allclose(odds(taught, rows), odds(whole, rows), atol=0.01)


def test_a_sample_of_the_old_scenarios_goes_most_of_the_way(case):
    (old, _), (new, _), head, whole = case
    task = lesson_of(case, OLD // 4)
    taught = task.taught(head, task.change(np.arange(NEW + OLD // 4), STRENGTH))
    for rows in (new, old[OLD // 2 :]):
        apart = [float(np.square(odds(one, rows) - odds(whole, rows)).mean()) for one in (taught, head)]
        assert apart[0] < 0.5 * apart[1]


def test_a_head_that_is_taught_nothing_new_stays_as_it_is(case):
    (old, _), _, head, _ = case
    task = lesson_of(case, OLD // 4)
    taught = task.taught(head, task.change(np.arange(NEW, NEW + OLD // 4), STRENGTH))
    assert np.allclose(odds(taught, old[:50]), odds(head, old[:50]), atol=1e-3)


def test_log_odds_of_rows_are_those_of_the_taught_head(case):
    _, (new, _), head, _ = case
    task = lesson_of(case, OLD // 4)
    change = task.change(np.arange(NEW + OLD // 4), STRENGTH)
    found = np.array([task.taught(head, change).log_odds(row) for row in new])
    assert np.allclose(found, task.log_odds(np.arange(NEW), change), atol=1e-3)


def test_a_direction_that_copies_differ_in_is_learned_less(case):
    _, (new, new_labels), head, _ = case
    chance = np.random.default_rng(3)
    copies = new.copy()
    copies[:, 0] += 6 * chance.normal(size=NEW)
    rows = np.concatenate([new, copies])
    labels = np.concatenate([new_labels, new_labels])
    pairs = np.array([(place + NEW, place) for place in range(NEW)])
    every, nothing = np.arange(2 * NEW), np.zeros(0, dtype=np.int64)
    steady, plain = (
        lesson(head, rows, labels, nothing, 1.0, found).taught(
            head, lesson(head, rows, labels, nothing, 1.0, found).change(every, STRENGTH)
        )
        for found in (pairs, NO_PAIRS)
    )
    moved = [np.abs(one.weights[0] - head.weights[0]).sum() for one in (steady, plain)]
    assert moved[0] < 0.6 * moved[1]


def test_rows_that_a_read_out_counts_less_for_move_less_and_teach_it_less(case):
    (old, _), (new, new_labels), head, _ = case
    nothing = np.zeros(0, dtype=np.int64)
    rows, labels = np.concatenate([new, old[:40]]), np.concatenate([new_labels, np.zeros(40, dtype=np.int64)])
    shares = np.concatenate([np.ones(NEW), np.zeros(40)])
    task = lesson(head, rows, labels, nothing, 1.0, NO_PAIRS, shares)
    change = task.change(np.arange(len(rows)), STRENGTH)
    alone = lesson(head, new, new_labels, nothing, 1.0, NO_PAIRS)
    other = alone.change(np.arange(NEW), STRENGTH)
    assert np.array_equal(task.log_odds(np.arange(NEW, NEW + 40), change), task.start[NEW:])
    assert np.allclose(task.log_odds(np.arange(NEW), change), alone.log_odds(np.arange(NEW), other), atol=1e-3)


def test_a_read_out_fades_out_with_the_length_of_a_message():
    assert [shortness(tokens) for tokens in (0, SHORT[0], 80, SHORT[1], 900)] == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_the_sample_is_the_same_each_time_and_whole_where_there_is_too_little():
    every = [Scenario(id=f"a-{place}", situation="s", verdict="fine_tune", family=str(place)) for place in range(40)]
    some = teaching.drawn(every, 10)
    assert some == teaching.drawn(every[::-1], 10)
    assert len({item.id for item in some}) == 10
    assert len(teaching.drawn(every, 100)) == 40


# --- the command -------------------------------------------------------------------------------

RULE = "Rule of the house: lamps are sorted by a model of our own, whatever others trained; now those of kind {}."


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Data with a few scenarios to hold the head by, a file of a house rule, and a copy of the shipped head."""
    data = tmp_path_factory.mktemp("data")
    (data / "scenarios").mkdir()
    others = runs.spread(labelled.read(sorted((ROOT / "evals/scenarios").glob("*.jsonl")), "dev"), 8)
    (data / "scenarios/others.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in others))
    (data / "robustness").symlink_to(ROOT / "evals/robustness")
    lamps = [
        Scenario(id=f"lamp-{place}", situation=RULE.format(kind), verdict="train_from_scratch", family=f"lamp-{place}")
        for place, kind in enumerate(["A", "B", "C", "D", "E", "F"])
    ]
    (data / "lamps.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in lamps))
    out = tmp_path_factory.mktemp("head")
    for name in ("head.npz", "head.json"):
        shutil.copy(Path(str(files("tunewise"))) / name, out)
    return data, out


def test_a_house_rule_is_learned_and_the_rest_stays(advisor, folders, capsys):
    data, out = folders
    before = Heads.load(out)
    commands.teach(advisor, [data / "lamps.jsonl"], data, out, sample=8)
    after = Heads.load(out)
    assert after.card.scenarios == before.card.scenarios + 6
    assert "Taught 6 scenarios" in capsys.readouterr().out

    def odds(heads, text):
        with open_session(advisor.model, advisor.reader.prefix) as session:
            reading = advisor.reader.read(session, text)
        vector = advisor.embedder.encode([text])[0]
        features = decision.features(reading.states, reading.pooled, vector)
        return softmax(heads.log_odds(features, advisor.model.count(text)))

    place = list(Verdict).index(Verdict.TRAIN_FROM_SCRATCH)
    lamp = RULE.format("G")
    assert odds(after, lamp)[place] > odds(before, lamp)[place] + 0.02
    assert np.array_equal(after.factors["base"].weights, before.factors["base"].weights)
    others = labelled.read([data / "scenarios/others.jsonl"])
    rows = fitting.read(advisor, others, data / "runs/features.npz", lambda *_: None).rows
    lengths = [advisor.model.count(item.situation) for item in others]
    verdicts = [
        [int(heads.log_odds(row, tokens).argmax()) for row, tokens in zip(rows, lengths, strict=True)]
        for heads in (before, after)
    ]
    assert verdicts[0] == verdicts[1]
    with pytest.raises(UserError, match="nothing new"):
        commands.teach(advisor, [data / "lamps.jsonl"], data, out, sample=8)


def test_short_messages_are_taught_to_a_read_out_of_their_own(advisor, folders, tmp_path):
    data, out = folders
    for name in ("head.npz", "head.json"):
        shutil.copy(out / name, tmp_path)
    before = Heads.load(tmp_path)
    long = " ".join(["We sort lamps by their sockets and have told so here at length."] * 9)
    items = [
        Scenario(id=f"own-{place}", situation=text, verdict="train_from_scratch", family=f"own-{place}")
        for place, text in enumerate(["Lamps again, which model?", "Sorting lamps: whose model?", long])
    ]
    (tmp_path / "own.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in items))
    commands.teach(advisor, [tmp_path / "own.jsonl"], data, tmp_path, sample=8, short=True)
    after = Heads.load(tmp_path)
    assert after.card.scenarios == before.card.scenarios + 2
    assert np.array_equal(after.verdict.weights, before.verdict.weights)
    assert after.short is not None
    row = fitting.read(advisor, items[:1], data / "runs/features.npz", lambda *_: None).rows[0]
    place = list(Verdict).index(Verdict.TRAIN_FROM_SCRATCH)
    chances = [softmax(heads.log_odds(row, 5))[place] for heads in (before, after)]
    assert chances[1] > chances[0]
    assert np.array_equal(after.log_odds(row, SHORT[1]), before.log_odds(row, SHORT[1]))


def test_a_few_decisions_of_one_kind_are_enough(advisor, folders):
    data, out = folders
    bought = [
        Scenario(id=f"bought-{place}", situation=f"We buy part {place}.", verdict="use_as_is", family="bought")
        for place in range(2)
    ]
    (data / "bought.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in bought))
    known = Heads.load(out).card.scenarios
    commands.teach(advisor, [data / "bought.jsonl"], data, out, sample=8)
    assert Heads.load(out).card.scenarios == known + 2


@pytest.mark.parametrize("named", [[], ["others.jsonl"]])
def test_nothing_to_teach_or_to_hold_by_is_said(advisor, folders, named):
    data, out = folders
    with pytest.raises(UserError, match="othing"):
        commands.teach(advisor, [data / "scenarios" / name for name in named], data, out, sample=8)
