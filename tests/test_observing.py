"""What an operator sees: lines without what users wrote, and spans where someone collects them."""

import hashlib
import json

import pytest

from tunewise import Advisor
from tunewise.observing import Observer, entry

SITUATION = "We have 4,000 labelled chest X-rays of Zanzibar and want to sort them by finding."


@pytest.fixture(scope="module")
def judged(advisor):
    return advisor.judge(SITUATION), advisor.provenance()


def test_a_line_holds_timings_tokens_hashes_and_no_text(judged, tmp_path):
    file = tmp_path / "log.jsonl"
    Observer(file).see(*judged)
    (line,) = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    assert line["verdict"] == judged[0].verdict and line["kind"] == "judgement"
    assert line["timings"]["total"] > 0 and line["timings"]["tokens_read"] > 0
    assert line["text_sha256"] == hashlib.sha256(SITUATION.encode()).hexdigest()
    assert line["model_sha256"] == judged[1].model_sha256 and line["knowledge"] == judged[1].knowledge
    assert "Zanzibar" not in file.read_text(encoding="utf-8")


def test_the_text_is_there_where_it_is_asked_for(judged, tmp_path, capsys):
    Observer(tmp_path / "log.jsonl", aloud=True, text=True).see(*judged)
    assert json.loads(capsys.readouterr().err)["text"] == SITUATION


def test_a_log_that_cannot_be_written_spoils_no_answer(judged, tmp_path, capsys):
    Observer(tmp_path / "missing" / "log.jsonl").see(*judged)
    assert "cannot be written" in capsys.readouterr().err


def test_every_answer_is_one_line(advisor, tmp_path):
    file = tmp_path / "log.jsonl"
    quick = Advisor(advisor.settings.model_copy(update={"log": file}))
    quick._parts |= {name: part for name, part in advisor._parts.items() if name != "observer"}
    quick.judge(SITUATION)
    quick.answer("How much memory to fine-tune 13B with QLoRA?")
    quick.answer("What is the capital of Peru?")
    kinds = [json.loads(text)["kind"] for text in file.read_text(encoding="utf-8").splitlines()]
    assert kinds == ["judgement", "answer", "answer"]


def test_a_collector_gets_a_span(judged):
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = api._TRACER_PROVIDER
    api._TRACER_PROVIDER = provider
    try:
        Observer().see(*judged)
    finally:
        api._TRACER_PROVIDER = before
    (span,) = exporter.get_finished_spans()
    line = entry(*judged)
    assert span.attributes and span.start_time and span.end_time
    assert span.name == "tunewise.judgement" and span.attributes["tunewise.verdict"] == line["verdict"]
    assert span.end_time - span.start_time == pytest.approx(line["timings"]["total"] * 1e9, rel=0.01)
    assert "tunewise.text" not in span.attributes
