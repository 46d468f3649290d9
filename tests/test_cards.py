"""What stands beside the chat, without a browser."""

import pytest
from pydantic import TypeAdapter

from tests.conftest import ROOT
from tunewise import decision
from tunewise.counsel import Counsel
from tunewise.evaluation import comparison, runs
from tunewise.evaluation import scenarios as labelled
from tunewise.schema import (
    Advice,
    Estimate,
    Evidence,
    Factor,
    Hit,
    Judgement,
    Method,
    Provenance,
    Reason,
    Timings,
    Verdict,
    VerdictEvent,
)
from tunewise.ui import cards
from tunewise.ui.endpoints import _open

REPORT = ROOT / "evals/reports/test"


def factor(name, quote):
    return Factor(name=name, level="x", meaning="a level", quote=quote, probability=0.9)


def test_the_words_that_a_factor_rests_on_are_marked_inside_escaped_text():
    shown = cards.message_with_marks("We have <b>900</b> photos & a GPU.", [factor("labels", "<b>900</b> photos")])
    assert shown == ('We have <mark title="labels: a level">&lt;b&gt;900&lt;/b&gt; photos</mark> &amp; a GPU.')


def test_overlapping_quotes_are_marked_once():
    text = "900 labelled photos of leaves"
    shown = cards.message_with_marks(text, [factor("labels", "900 labelled photos"), factor("input", "photos of")])
    assert shown.count("<mark") == 1


@pytest.mark.parametrize(
    ("shares", "word"),
    [((0.9, 0.05, 0.03, 0.02), "Confident"), ((0.6, 0.3, 0.05, 0.05), "Likely"), ((0.45, 0.25, 0.2, 0.1), "Leaning"),
     ((0.5, 0.46, 0.02, 0.02), "Too close to call")],
)  # fmt: skip
def test_confidence_is_told_in_a_word(shares, word):
    assert cards.certainty(dict(zip(Verdict, shares, strict=True)), max(shares)).value == word


def estimate(low, high, unit):
    return Estimate(quantity="q", low=low, high=high, unit=unit, formula="f", source="s")


def test_figures_of_one_unit_share_an_axis():
    narrow = cards.ranges([estimate(19, 22, "GB"), estimate(32, 32, "GB"), estimate(5, 13, "GPU-hours")])
    assert [(round(start, 2), round(end, 2), log) for _, start, end, log in narrow] == [
        (0.59, 0.69, False), (1.0, 1.0, False), (0.38, 1.0, False),
    ]  # fmt: skip
    [(_, start, end, log)] = cards.ranges([estimate(50, 10_000, "labelled examples")])
    assert log and 0 < start < end == 1


def test_two_runs_are_held_against_each_other(tmp_path):
    records = runs.load_records(REPORT)
    scenarios = labelled.read(sorted((ROOT / "evals/scenarios").glob("*.jsonl")))
    truth = {scenario.id: scenario.verdict for scenario in scenarios}
    spoilt: list[runs.Record] = []
    for record in records:
        if record.kind == "judged" and len(spoilt) < 20 and record.verdict is truth.get(record.scenario):
            wrong = next(verdict for verdict in Verdict if verdict is not record.verdict)
            spoilt.append(record.model_copy(update={"verdict": wrong}))
    changed = {record.scenario: record for record in spoilt}
    (tmp_path / runs.RECORDS).write_text(
        "\n".join((changed.get(r.scenario, r) if r.kind == "judged" else r).model_dump_json() for r in records)
    )
    found = comparison.compare(records, tmp_path, scenarios)
    assert "20 only now right, 0 only before" in found.sentence and not found.worse
    assert {change.id for change in found.changes} == set(changed)
    name, now, before = found.rows[0]
    assert name == "Right" and now.value > before.value
    assert "verdicts differ" in cards.comparison_card("reports/test", "runs/old", found)


def test_the_schema_of_a_result_is_complete_and_open():
    for kind in (Advice, list[Hit]):
        schema = _open(TypeAdapter(kind).json_schema(mode="serialization"))
        assert "additionalProperties': False" not in str(schema)
    properties = TypeAdapter(Advice).json_schema(mode="serialization")["properties"]
    assert set(properties) == set(_open(TypeAdapter(Advice).json_schema(mode="serialization"))["properties"])


@pytest.mark.parametrize(
    ("confidence", "words"), [(0.99, "more than 9 in 10"), (0.951, "more than 9 in 10"), (0.94, "9 in 10")]
)
def test_no_verdict_is_called_right_every_time(confidence, words):
    assert shown(confidence, calibrated=True) == f"Confident · {words} such verdicts are right"


def test_of_probabilities_that_are_not_calibrated_no_frequency_is_claimed():
    assert shown(0.9, calibrated=False) == "Confident · not calibrated"
    assert shown(0.3, calibrated=False) == "not calibrated"


def test_a_reason_goes_when_the_level_that_it_rests_on_is_corrected_and_comes_back_with_it():
    view = cards.View.of(advice("thousands", reasons=(reason("labels"), reason("input"))))
    again = view.corrected(judgement("dozens", corrected=True), Counsel(), ())
    assert [one.factors for one in again.reasons] == [("input",)] and len(again.evidence) == 1
    assert again.decided is not None and [one.factors for one in again.decided.reasons] == [("input",)]
    back = again.corrected(judgement("thousands", corrected=True), Counsel(), ())
    assert back.reasons == view.reasons


@pytest.mark.parametrize(
    ("confidence", "words"), [(0.701, "stays, at 70\u00a0%."), (0.61, "at 61\u00a0% instead of 70\u00a0%.")]
)
def test_a_probability_that_reads_the_same_is_told_once(confidence, words):
    view = cards.View.of(advice("thousands"))
    assert words in view.corrected(judgement("dozens", confidence, corrected=True), Counsel(), ()).changed


def fields(labels, confidence=0.7, *, corrected=False):
    rest = (1 - confidence) / 3
    levels = {"labels": labels, "input": "text"}
    return {
        "situation": "We sort mails.", "verdict": Verdict.FINE_TUNE, "confidence": confidence, "calibrated": True,
        "probabilities": {each: confidence if each is Verdict.FINE_TUNE else rest for each in Verdict},
        "method": Method.LORA, "timings": Timings(),
        "factors": tuple(
            Factor(name=name, level=level, meaning=level, probability=1.0, corrected=corrected and name == "labels")
            for name, level in levels.items()
        ),
    }  # fmt: skip


def judgement(labels, confidence=0.7, *, corrected=False):
    return Judgement(**fields(labels, confidence, corrected=corrected))


def advice(labels, reasons=()):
    made = Provenance(tunewise="1", model="m", model_sha256="m", prompts="p", knowledge="k")
    return Advice(**fields(labels), reasons=reasons, provenance=made)


def reason(factor):
    found = Evidence(fact=f"f.{factor}", quote="q", document="d", title="t", source="s", status="verified")
    return Reason(text="Because.", factors=(factor,), evidence=(found,), composed=False)


def shown(confidence, *, calibrated):
    rest = (1 - confidence) / 3
    shares = {verdict: confidence if verdict is Verdict.FINE_TUNE else rest for verdict in Verdict}
    notes = decision.notes(Verdict.FINE_TUNE, shares, (), calibrated=calibrated)
    event = VerdictEvent(
        verdict=Verdict.FINE_TUNE, confidence=confidence, probabilities=shares, method=None, notes=notes
    )
    return cards.View().after(event).certainty
