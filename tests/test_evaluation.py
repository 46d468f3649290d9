"""The evaluation suite: figures against worked cases, runs that resume, the command with the real model."""

import random
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tests.conftest import ROOT
from tunewise import Advisor, Verdict
from tunewise.errors import UserError
from tunewise.evaluation import commands, metrics, report, runs, summary
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.rewriting import Material, casual, rewrite, typos
from tunewise.schema import Timings

FILES = sorted((ROOT / "evals/scenarios").glob("*.jsonl"))
MATERIAL = Material.load(ROOT / "evals/robustness")
TWO = {name: MATERIAL.rewritings()[name] for name in ("typos", "injected")}
CARD = runs.Card(model="m", model_sha256="", prompts="", knowledge="", head=None, scenarios={}, started="")
TEXT = "We have 4,000 labelled X-rays. Nothing may leave the hospital. Should we train our own network?"


# --- figures -----------------------------------------------------------------------------------


def test_calibration_error_of_a_worked_case():
    chances = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    labels = np.array([0, 0, 0, 1])
    assert metrics.expected_calibration_error(chances, labels) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)
    assert metrics.brier(chances, labels) == pytest.approx((2 * 2 * 0.05**2 + 2 * 0.35**2 + 2 * 0.65**2) / 4)


def test_an_interval_holds_its_mean_and_narrows_with_more_questions():
    few, many = metrics.interval([1, 0, 1, 1] * 5), metrics.interval([1, 0, 1, 1] * 100)
    assert few[0] < 0.75 < few[1]
    assert many[1] - many[0] < few[1] - few[0]


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 20, 0, 0.1611), (5, 5, 0.5655, 1), (8, 10, 0.4902, 0.9433)]
)
def test_the_interval_of_a_share_has_a_width_at_its_ends_too(hits, count, low, high):
    share = summary.Share.of([True] * hits + [False] * (count - hits))
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-4)
    assert summary.Share.of([]) == summary.Share(value=0, low=0, high=0, count=0)


def test_paired_test_of_a_worked_case():
    wins, losses, p = metrics.paired_test([True] * 9 + [False], [False] * 9 + [True])
    assert (wins, losses) == (9, 1)
    assert p == pytest.approx(2 * (1 + 10) / 2**10)


def test_risk_coverage_falls_where_the_unsure_ones_are_wrong():
    curve = metrics.risk_coverage(np.linspace(1, 0, 40), np.arange(40) < 20)
    assert curve[0][1] == 1.0 and curve[-1] == (1.0, 0.5)


def test_a_significant_loss_is_told_from_chance():
    assert report.compare([False] * 12 + [True] * 30, [True] * 42)[1]
    assert not report.compare([False, True] * 6, [True, False] * 6)[1]


# --- baselines ---------------------------------------------------------------------------------


def test_simple_classifiers_learn_something_but_not_all(advisor, tmp_path):
    judged = runs.spread(labelled.read(FILES, "dev"), 120)
    (tmp_path / "scenarios").mkdir()
    # What is judged lies in the folder too and must not be fitted on: the classifiers would know it by heart.
    lines = [item.model_dump_json() for item in [*runs.spread(labelled.read(FILES, "fit"), 300), *judged]]
    (tmp_path / "scenarios/some.jsonl").write_text("\n".join(lines) + "\n")
    guesses = commands._baselines(advisor, judged, tmp_path)
    floor, *learned = [
        np.mean([item.verdict is guess for item, guess in zip(judged, found, strict=True)])
        for found in guesses.values()
    ]
    assert len(learned) == 2
    assert all(floor + 0.05 < share < 0.85 for share in learned)


# --- rewritings --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MATERIAL.rewritings()))
def test_a_rewriting_is_repeatable_and_keeps_the_figures(name):
    rewriting = MATERIAL.rewritings()[name]
    first = rewrite(TEXT, rewriting)
    assert first == rewrite(TEXT, rewriting)
    assert "4,000" in first


def test_typos_and_casing_change_what_they_should():
    assert casual(TEXT, random.Random(0)).islower()
    long = " ".join(["retrieval"] * 200)
    assert 5 <= sum(word != "retrieval" for word in typos(long, random.Random(0)).split()) <= 40


def test_a_rewriting_that_changes_nothing_is_not_tried():
    plain = labelled.read(FILES, "dev")[0].model_copy(update={"id": "plain", "situation": "we have no labels at all"})
    steps = runs.Plan(rewritten=1, answered=0, plain=0).steps([plain], {"casual": casual, **MATERIAL.rewritings()})
    names = {step.rewriting for step in steps if step.kind == "rewritten"}
    assert "casual" not in names and "shuffled" not in names
    assert {"padded", "injected"} <= names


def test_a_copy_that_is_not_changed_counts_for_no_flip(tmp_path):
    first, second = (
        labelled.read(FILES, "dev")[0].model_copy(update={"id": name, "situation": text})
        for name, text in (("plain", "we have no labels at all"), ("told", TEXT))
    )
    chances = {verdict: float(verdict is Verdict.FINE_TUNE) for verdict in Verdict}
    fields = {"verdict": Verdict.FINE_TUNE, "probabilities": chances}
    records = [runs.Record(kind="judged", scenario=name, **fields) for name in ("plain", "told")]
    records += [
        runs.Record(kind="rewritten", scenario=name, rewriting="casual", verdict=verdict)
        for name, verdict in (("plain", Verdict.FINE_TUNE), ("told", Verdict.USE_AS_IS))
    ]
    found = summary.summarise(CARD, records, [first, second], {}, MATERIAL.rewritings())
    assert (found.robustness["all"].value, found.robustness["all"].count) == (1.0, 1)
    assert summary.summarise(CARD, records, [first, second], {}, {}).robustness["all"].count == 2


# --- runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some():
    return runs.spread(labelled.read(FILES, "dev"), 4)


@pytest.fixture(scope="module")
def run(advisor, some, tmp_path_factory):
    made = runs.Run(tmp_path_factory.mktemp("run"), runs.card_of(advisor, some))
    steps = runs.Plan(rewritten=1, answered=1).steps(some, TWO)
    list(made.go(steps, {"default": advisor}, MATERIAL))
    return made


def test_scenarios_are_spread_over_the_verdicts(some):
    assert len({scenario.verdict for scenario in some}) >= 3


def test_a_run_does_every_step_once(run):
    kinds = [record.kind for record in runs.load_records(run.folder)]
    assert kinds == ["judged"] * 4 + ["rewritten"] * 2 + ["answered"] + ["plain"] * 4
    assert all(record.error is None for record in run.records.values())


def test_an_interrupted_run_goes_on(run, advisor, some, tmp_path):
    lines = (run.folder / runs.RECORDS).read_text().splitlines(keepends=True)
    (tmp_path / runs.CARD).write_text((run.folder / runs.CARD).read_text())
    (tmp_path / runs.RECORDS).write_text("".join(lines[:6]) + lines[6][:25])
    again = runs.Run(tmp_path, runs.card_of(advisor, some))
    assert len(again.records) == 6
    steps = runs.Plan(rewritten=1, answered=1, plain=0).steps(some, TWO)
    assert [record.kind for record in again.go(steps, {"default": advisor}, MATERIAL)] == ["answered"]
    assert len(runs.load_records(tmp_path)) == 7


class Engine:
    """In place of an advisor: cannot be reached for the scenarios that `down` names."""

    def __init__(self, *down):
        self.down, self.asked = set(down), []

    def judge(self, situation):
        self.asked.append(situation)
        if situation in self.down:
            raise UserError("The engine cannot be reached.")
        chances = dict.fromkeys(Verdict, 0.25)
        timings = Timings()
        return SimpleNamespace(
            verdict=Verdict.FINE_TUNE, probabilities=chances, factors=(), timings=timings, questions=()
        )


def test_a_step_that_failed_is_tried_again_and_the_others_are_kept(tmp_path):
    some = runs.spread(labelled.read(FILES, "dev"), 3)
    texts = [scenario.situation for scenario in some]
    steps = runs.Plan(rewritten=0, answered=0, plain=0).steps(some, {})
    down, away = Engine(*texts[1:]), Engine(texts[2])
    first = list(runs.Run(tmp_path, CARD).go(steps, {"default": cast(Advisor, down)}, MATERIAL))
    assert [bool(record.error) for record in first] == [False, True, True]
    assert len(list(runs.Run(tmp_path, CARD).go(steps, {"default": cast(Advisor, away)}, MATERIAL))) == 2
    assert away.asked == texts[1:]
    last = runs.Run(tmp_path, CARD)
    assert [last.done(step) for step in steps] == [True, True, False]
    assert len(last.records) == 3


def test_a_run_of_something_else_is_refused(run, advisor, some):
    other = runs.card_of(advisor, some).model_copy(update={"prompts": "another"})
    with pytest.raises(UserError, match="--fresh"):
        runs.Run(run.folder, other)


def test_the_report_says_what_the_records_say(run, some, tmp_path):
    found = summary.summarise(
        runs.load_card(run.folder), list(run.records.values()), some, {"majority": [Verdict.FINE_TUNE] * 4}, TWO
    )
    right = [run.records["judged", scenario.id, ""].verdict is scenario.verdict for scenario in some]
    assert found.rows[0].strict.value == sum(right) / 4
    assert sum(map(sum, found.confusion)) == 4
    assert found.breaches == []
    pages = [path.read_text() for path in report.write(found, tmp_path)]
    assert report.load(tmp_path) == found
    assert all("majority" in page for page in pages)
    assert pages[2].count("<svg") == 2 and "http" not in pages[2].replace("http://www.w3.org", "")


def test_a_report_counts_no_record_of_another_set(run, some):
    records = list(run.records.values())
    strange = [record.model_copy(update={"scenario": "strange", "breaches": ["x"]}) for record in records]
    card = runs.load_card(run.folder)
    found = summary.summarise(card, records, some, {}, TWO)
    assert summary.summarise(card, records + strange, some, {}, TWO) == found


def test_where_nothing_could_be_judged_the_first_error_is_told(run, some):
    failed = [runs.Record(kind="judged", scenario=scenario.id, error="the server is down") for scenario in some]
    with pytest.raises(UserError, match="server is down"):
        summary.summarise(runs.load_card(run.folder), failed, some, {}, {})


def test_a_situation_cannot_write_html_into_the_report(run, some, tmp_path):
    found = summary.summarise(runs.load_card(run.folder), list(run.records.values()), some, {}, TWO)
    case = summary.ErrorCase(
        id="x", situation="<script>alert(1)</script>", label=Verdict.FINE_TUNE, verdict=Verdict.USE_AS_IS,
        confidence=0.5, fair=False, rationale="<b>bold</b>",
    )  # fmt: skip
    page = report.write(found.model_copy(update={"worst": [case]}), tmp_path)[2].read_text()
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_the_shipped_head_is_no_worse_than_the_stored_baseline(tunewise, tmp_path):
    """The gate: a stratified sample with the real model, question by question against `evals/gate`."""
    run = tmp_path / "run"
    done = tunewise(
        "eval", "--split", "dev", "--sample", "48", "--answers", "2", "--rewritten", "0", "--plain", "1",
        "--no-classifiers", "--run", str(run), "--against", "evals/gate", cwd=ROOT, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert b"48 questions" in b" ".join(done.stdout.split())
    assert {"summary.json", "report.md", "report.html"} <= {path.name for path in run.iterdir()}
    assert report.load(run).breaches == [] and report.load(run).failed == 0


def test_a_significant_loss_exits_with_1(tunewise, tmp_path):
    """Against a made-up run that was always right, a run of nothing but errors must fail the gate."""
    some = runs.spread(labelled.read(FILES, "dev"), 12)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for folder, offset in ((right, 0), (wrong, 1)):
        folder.mkdir()
        guesses = [list(Verdict)[(list(Verdict).index(s.verdict) + offset) % 4] for s in some]
        records = [
            runs.Record(
                kind="judged", scenario=s.id, verdict=v, probabilities={x: float(x is v) for x in Verdict}
            ).model_dump_json()
            for s, v in zip(some, guesses, strict=True)
        ]
        (folder / runs.RECORDS).write_text("\n".join(records) + "\n")
    done = tunewise(
        "eval", "--split", "dev", "--sample", "12", "--answers", "0", "--rewritten", "0", "--plain", "0",
        "--no-classifiers", "--run", str(wrong), "--against", str(right), cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr.decode()
    assert b"12 questions" in b" ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "exam"], b"There is no split 'exam'"),
        (["nowhere.jsonl"], b"nowhere.jsonl cannot be read"),
    ],
)
def test_bad_input_gets_a_sentence(tunewise, arguments, words):
    done = tunewise("eval", *arguments, cwd=ROOT)
    assert done.returncode == 2
    assert words in done.stderr and b"Traceback" not in done.stderr
