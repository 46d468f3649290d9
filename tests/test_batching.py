"""Batch runs with the real model: order, resumption, bad rows, formats."""

import csv
import json
import tempfile
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest

from tunewise import batching, cli_batch
from tunewise.batching import Job, Outcome
from tunewise.errors import Cancelled, EngineError, InputError, UnfitError, UserError
from tunewise.schema import Judgement, Verdict
from tunewise.session import open_session
from tunewise.tables import read_table
from tunewise.together import ROWS, Lanes
from tunewise.turns import CancelToken
from tunewise.ui import batches
from tunewise.ui.line import Line

TEXTS = [
    "We have 4,000 labelled chest X-rays and two A100s and want to sort them by finding.",
    "Our support bot must quote prices that change every week from the wiki.",
    "",
    "Predict churn from 300,000 customer rows with 40 columns.",
]


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "in.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        writer.writerows([str(place), text] for place, text in enumerate(TEXTS))
    return file


def test_rows_keep_their_order_and_a_bad_one_its_error(advisor, table, tmp_path):
    out = tmp_path / "out.csv"
    outcomes = list(Job(advisor, read_table(table), out).run())
    assert [outcome.row for outcome in outcomes] == [0, 1, 2, 3]
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[2]["error"].startswith("The message is empty") and not rows[2]["verdict"]
    for place in (0, 1, 3):
        assert rows[place]["verdict"] == advisor.judge(TEXTS[place]).verdict
        shares = [float(rows[place][f"p_{verdict.value}"]) for verdict in Verdict]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob(".out*"))
    summary = batching.summarise(outcomes)
    assert summary.failed == 1 and sum(summary.verdicts.values()) == 3


def test_an_interrupted_run_goes_on_and_loses_nothing(advisor, table, tmp_path):
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    list(Job(advisor, read_table(table), whole).run())
    for stop_after in range(4):
        run = Job(advisor, read_table(table), broken).run()
        for _ in range(stop_after):
            next(run)
        run.close()
    journal = tmp_path / "broken.csv.partial"
    text = journal.read_text(encoding="utf-8")
    journal.write_text(text[: len(text) - 9], encoding="utf-8")  # a crash in the middle of a line
    list(Job(advisor, read_table(table), broken).run())
    assert broken.read_text(encoding="utf-8") == whole.read_text(encoding="utf-8")


def test_a_glance_is_the_same_reading_bit_by_bit(advisor):
    lane = advisor.model.lane(ROWS)
    try:
        for text in (TEXTS[0], " ".join([TEXTS[3]] * 30)):
            with open_session(advisor.model, advisor.reader.prefix) as session:
                whole = advisor.reader.read(session, text)
            with open_session(lane, advisor.reader.prefix) as session:
                glance = advisor.reader.glance(session, text)
                again = advisor.reader.read(session, text)
            for found in (glance, again):
                assert np.array_equal(found.states, whole.states) and np.array_equal(found.pooled, whole.pooled)
            assert again.verdicts == whole.verdicts and again.probabilities == whole.probabilities
    finally:
        lane.close()


def test_a_batch_judges_as_one_question_at_a_time_does(advisor):
    alone = [advisor.judge(text) for text in (TEXTS[0], TEXTS[1])]
    lanes = Lanes(advisor)
    try:
        first, second, again = lanes.judge([TEXTS[0], TEXTS[1], TEXTS[0]])
    finally:
        lanes.close()
    assert first is again
    for one, found in zip(alone, (first, second), strict=True):
        assert isinstance(found, Judgement)
        assert (found.verdict, found.probabilities, found.factors) == (one.verdict, one.probabilities, one.factors)


def test_a_stop_ends_a_batch(advisor):
    token = CancelToken()
    token.set()
    lanes = Lanes(advisor, 1)
    try:
        with pytest.raises(Cancelled):
            list(lanes.judge(TEXTS[:2], token))
    finally:
        lanes.close()


def test_a_token_of_the_callers_serves_again():
    given = []

    class Quick(Lanes):
        def __init__(self):
            self._lanes = [None]  # type: ignore[list-item]

        def _judge(self, text, cancel):
            given.append(cancel)
            return text

    lanes, token = Quick(), CancelToken()
    assert len(list(lanes.judge(["a"], token))) == 1 and not token.is_set
    assert len(list(lanes.judge(["b"]))) == 1
    assert [one is token for one in given] == [True, False] and given[1].is_set


def test_only_the_columns_asked_for_are_kept(advisor, table, tmp_path):
    rows = read_table(table, limit=1)
    keep = batching.chosen_columns("id", rows)
    list(Job(advisor, rows, tmp_path / "out.csv", keep=keep).run())
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["id"] == "0" and "text" not in row and row["verdict"]
    with pytest.raises(UserError, match="no column 'team'"):
        batching.chosen_columns("id,team", rows)


def test_results_of_another_text_are_not_taken_over(advisor, table, tmp_path):
    out = tmp_path / "out.jsonl"
    run = Job(advisor, read_table(table), out).run()
    next(run)
    run.close()
    table.write_text("id,text\n0,Forecast the demand of 900 shops from ten years of daily sales.\n", encoding="utf-8")
    (outcome,) = Job(advisor, read_table(table), out).run()
    assert outcome.result is not None
    line = json.loads(out.read_text(encoding="utf-8"))
    assert line["text"].startswith("Forecast") and line["advice"]["verdict"] == outcome.result["verdict"]


def test_whole_answers_carry_reasons(advisor, table, tmp_path):
    out = tmp_path / "out.parquet"
    list(Job(advisor, read_table(table, limit=1), out, reasons=True).run())
    from pyarrow import parquet

    found = parquet.read_table(out).to_pydict()
    assert found["reasons"][0] and found["sources"][0]


def test_two_runs_do_not_write_one_output(advisor, table, tmp_path):
    out = tmp_path / "out.csv"
    first = Job(advisor, read_table(table), out).run()
    next(first)
    with pytest.raises(UserError, match="Another process"):
        next(Job(advisor, read_table(table), out).run())
    first.close()


def test_columns_of_the_input_survive_those_of_ours(tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("question,error\nWe sort mails,E9\n", encoding="utf-8")
    outcome = Outcome(row=0, digest="x", error="It failed.")
    for name, clashing in (("out.csv", "input_question"), ("out.jsonl", "question")):
        line = Job(None, read_table(file), tmp_path / name)._line(outcome)  # type: ignore[arg-type]
        assert line[clashing] == "We sort mails" and line["input_error"] == "E9" and line["error"] == "It failed."


def test_an_engine_that_is_gone_stops_a_run_and_loses_nothing(tmp_path):
    class Gone:
        def provenance(self):
            return SimpleNamespace(model_sha256="m", prompts="p", knowledge="k", head=None)

        def ask(self, text):
            raise UnfitError("It gave no answer that fits.") if text == "odd" else EngineError("It cannot be reached.")

    file, out = tmp_path / "in.txt", tmp_path / "out.csv"
    file.write_text("odd\nWe sort mails\n", encoding="utf-8")
    run = Job(Gone(), read_table(file), out, reasons=True).run()  # type: ignore[arg-type]
    assert next(run).error == "It gave no answer that fits."
    with pytest.raises(EngineError, match="reached"):
        next(run)
    journal = out.with_name("out.csv.partial")
    assert not out.exists() and len(journal.read_text().splitlines()) == 2
    # A full disk may tear the last line within a letter.
    journal.write_bytes(journal.read_bytes() + '{"row": 1, "error": "é'.encode()[:-1])
    assert next(Job(Gone(), read_table(file), out, reasons=True).run()).row == 0  # type: ignore[arg-type]


class Reader:
    """Answers every text with an error, at once."""

    def provenance(self):
        return SimpleNamespace(model_sha256="m", prompts="p", knowledge="k", head=None)


@pytest.fixture
def quick(monkeypatch):
    """Rows are judged without a model."""
    asked = []

    @contextmanager
    def none(self, left):
        yield None

    def result(self, text):
        asked.append(text)
        return UnfitError("It gave no answer that fits.")

    monkeypatch.setattr(Job, "_lanes", none)
    monkeypatch.setattr(Job, "_result", result)
    return asked


def test_the_page_gives_back_what_was_judged_when_it_was_stopped_and_goes_on_from_there(quick, tmp_path):
    file, line = tmp_path / "in.csv", Line()
    file.write_text("id,question\n" + "".join(f"{place},We sort mails of kind {place}\n" for place in range(5)))
    given = batches.read(str(file))
    out = given.out(tmp_path / "session")
    for words, count in (("Stopped: 1 of 5 rows", 1), ("All rows are judged", 5)):
        with line.place("a") as place:
            if count == 1:
                line.stop("a")
            *_, (status, _, download) = batches.judged(cast(Any, Reader()), given, out, place)
        assert words in status and download.value
        with out.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["id"] for row in rows] == [str(place) for place in range(count)]
        assert rows[0]["input_question"] and rows[0]["error"]
    assert len(quick) == 5


@pytest.mark.parametrize("session", ["{tmp}/elsewhere", "../../elsewhere", "a/b", "\ud800"])
def test_a_session_chooses_no_folder_of_the_server(quick, tmp_path, monkeypatch, session):
    file, home = tmp_path / "in.txt", tmp_path / "its" / "own"
    file.write_text("We sort mails\n")
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(home))
    with gr.Blocks() as blocks:
        batches.tab(cast(Any, Reader()))
    judge = next(one.fn for one in blocks.fns.values() if one.name == "judge")
    assert judge is not None
    list(judge(str(file), None, SimpleNamespace(session_hash=session.format(tmp=tmp_path))))
    assert len(list(home.glob("*/*/in-verdicts.csv"))) == 1
    assert not (tmp_path / "elsewhere").exists()


def test_the_time_left_is_told_from_the_rows_of_this_run(quick, tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("".join(f"We sort mails of kind {place}\n" for place in range(10)))
    given, out = batches.read(str(file)), tmp_path / "out.csv"
    begun = Job(cast(Any, Reader()), given.table, out).run()
    assert not any(next(begun).earlier for _ in range(5))
    begun.close()
    going = Job(cast(Any, Reader()), given.table, out).run()
    outcomes = [next(going) for _ in range(6)]
    going.close()
    assert [outcome.earlier for outcome in outcomes] == [True] * 5 + [False]
    assert "5 of 10." in batches._status(given, outcomes[:5], 0.1)
    assert "6 of 10, about 2 min left." in batches._status(given, outcomes, 30.0)


def test_the_page_says_how_many_rows_of_a_large_table_it_judges(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "MOST_ROWS", 2)
    file, line = tmp_path / "in.txt", Line()
    file.write_text("We sort mails\nWe sort letters\nWe sort photos\n")
    assert "The first 2 of 3 rows are judged here" in batches._columns(str(file))[1]
    with line.place("a") as place:
        *_, (status, _, _) = batches.judged(cast(Any, Reader()), batches.read(str(file)), tmp_path / "out.csv", place)
    assert "The first 2 of 3 rows are judged." in status


@pytest.mark.parametrize(
    ("text", "words"),
    [("id,words\n1,We sort mails\n", "Choose the column that holds the situations: id, words."),
     ("", "two.csv holds no rows."), (None, "two.csv cannot be read")],
)  # fmt: skip
def test_the_page_tells_no_folder_of_the_server_and_no_option_of_the_command_line(tmp_path, text, words):
    file = tmp_path / "two.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as refused:
        batches.read(str(file))
    assert str(refused.value).startswith(words)
    assert str(tmp_path) not in str(refused.value) and "--" not in str(refused.value)


def test_a_third_table_waits_until_one_of_two_is_done():
    line = Line()
    with line.place("a"), line.place("b") as second:
        assert list(batches._waited(line, second)) == []
        with line.place("c") as third:
            waiting = batches._waited(line, third)
            assert "2 tables are before yours" in next(waiting)[0]
            line.stop("c")
            assert "Stopped." in next(waiting)[0] and not list(waiting)


# --- journals, without a model -------------------------------------------------------------------


class Made(Reader):
    """As `Reader`, of another model or knowledge."""

    def __init__(self, **made):
        self.made = {"model_sha256": "m", "prompts": "p", "knowledge": "k", "head": None} | made

    def provenance(self):
        return SimpleNamespace(**self.made)


@pytest.fixture
def mails(tmp_path):
    """A table of texts, and a job over the first so many rows of it."""
    file = tmp_path / "in.txt"

    def job(texts, limit=None, advisor=None, **fields):
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        table = read_table(file, limit=limit)
        return Job(cast(Any, advisor or Made()), table, tmp_path / "out.jsonl", **fields)

    return job


MAILS = [f"We sort mails of kind {place}" for place in range(8)]


def started(job, rows):
    """Judge so many rows and stop."""
    run = job.run()
    for _ in range(rows):
        next(run)
    run.close()


def written(tmp_path):
    return [json.loads(line)["situation"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_a_run_over_the_first_rows_keeps_what_was_judged_of_the_others(quick, mails, tmp_path):
    started(mails(MAILS), 6)
    assert len(list(mails(MAILS, limit=2).run())) == 2 and written(tmp_path) == MAILS[:2]
    assert len(list(mails(MAILS).run())) == 8 and written(tmp_path) == MAILS
    assert quick == MAILS and not list(tmp_path.glob("*.partial*"))


def test_what_the_first_rows_came_to_serves_the_whole_table(quick, mails, tmp_path):
    list(mails(MAILS, limit=3).run())
    list(mails(MAILS).run())
    assert quick == MAILS and written(tmp_path) == MAILS


def test_rows_that_moved_keep_their_results(quick, mails, tmp_path):
    started(mails(MAILS), 5)
    changed = ["We sort letters", *reversed(MAILS), MAILS[0]]
    outcomes = list(mails(changed).run())
    assert sorted(outcome.row for outcome in outcomes) == list(range(len(changed))) and written(tmp_path) == changed
    assert sorted(quick) == sorted({*changed})


def test_verdicts_outlive_a_change_of_the_knowledge_and_reasons_do_not(quick, mails, tmp_path):
    for reasons, judged in ((False, 8), (True, 8 + 3)):
        quick.clear()
        said: list[str] = []
        started(mails(MAILS, reasons=reasons), 3)
        list(mails(MAILS, reasons=reasons, advisor=Made(knowledge="other"), tell=said.append).run())
        assert len(quick) == judged and len(said) == reasons


def test_a_journal_of_another_model_is_set_aside_and_the_person_is_told(quick, mails, tmp_path):
    said: list[str] = []
    started(mails(MAILS), 3)
    before = (tmp_path / "out.jsonl.partial").read_text()
    for model in ("second", "third"):
        started(mails(MAILS, advisor=Made(model_sha256=model), tell=said.append), 1)
    assert (tmp_path / "out.jsonl.partial.1").read_text() == before and (tmp_path / "out.jsonl.partial.2").exists()
    assert ["out.jsonl.partial.1" in said[0], "out.jsonl.partial.2" in said[1]] == [True, True] and len(said) == 2
    # Put back, it serves again.
    (tmp_path / "out.jsonl.partial.1").replace(tmp_path / "out.jsonl.partial")
    quick.clear()
    list(mails(MAILS).run())
    assert quick == MAILS[3:]


def test_a_journal_without_results_is_not_worth_keeping(quick, mails, tmp_path):
    started(mails(MAILS), 0)
    (tmp_path / "out.jsonl.partial").write_text("{}\n")
    said: list[str] = []
    list(mails(MAILS, tell=said.append).run())
    assert not said and not list(tmp_path.glob("*.partial*"))


def test_the_command_says_that_a_journal_was_set_aside(quick, mails, tmp_path, capsys):
    started(mails(MAILS), 3)
    outcomes = cli_batch.judge_rows(mails(MAILS, advisor=Made(head="h")))
    assert len(outcomes) == 8 and "it is now out.jsonl.partial.1" in capsys.readouterr().err


def test_the_page_shows_and_gives_back_rows_in_the_order_of_the_table(tmp_path):
    file, out = tmp_path / "in.txt", tmp_path / "out.csv"
    file.write_text("".join(f"{text}\n" for text in MAILS[:3]))
    # Those of an earlier run come first.
    outcomes = [Outcome(row=place, digest="x", error="It failed.") for place in (1, 2, 0)]
    table = read_table(file)
    batches._write(table, outcomes, out)
    with out.open(encoding="utf-8", newline="") as stream:
        assert [row["situation"] for row in csv.DictReader(stream)] == MAILS[:3]
    assert [cells[0] for cells in batches._cells(table, outcomes)] == MAILS[:3]
