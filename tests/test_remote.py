"""Another engine: a real OpenAI-compatible server with the real model, started here on loopback."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from langchain_core.language_models import FakeListChatModel
from pydantic import BaseModel, ConfigDict

from tests.conftest import ROOT
from tunewise import Settings, Verdict
from tunewise.batching import Job
from tunewise.chatting import ChatEngine
from tunewise.errors import EngineError, SettingsError, UserError
from tunewise.remote import RemoteAdvisor, make_advisor
from tunewise.tables import read_table

SITUATION = "We have 4,000 labelled chest X-rays and two A100s and want to sort them by finding."


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word: str
    number: int


def _engine(*replies):
    return ChatEngine("fake:list", chat=FakeListChatModel(responses=list(replies)))


@pytest.fixture(scope="module")
def server(store):
    """Address of llama-cpp-python's server with the default model."""
    pytest.importorskip("starlette_context")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = store.path(Settings.load().model)
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--n_ctx", "4096"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--n_threads", str(os.cpu_count()), "--verbose", "false"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            assert process.poll() is None, "the server ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_server_judges_through_the_same_form(server, tmp_path):
    settings = Settings.load(engine="openai:local", engine_url=server, offline=True)
    advisor = make_advisor(settings)
    assert isinstance(advisor, RemoteAdvisor)
    found = advisor.judge(SITUATION)
    assert found.verdict in Verdict and not found.calibrated
    assert any("not calibrated" in note for note in found.notes)
    assert [factor.name for factor in found.factors] == [spec.name for spec in advisor.library.factors]
    assert all(factor.quote is None or factor.quote in SITUATION for factor in found.factors)
    made = advisor.provenance()
    assert made.model == f"openai:local at {server}" and made.head is None
    # What was read is kept, so a table with the same row costs no request; a bad row keeps its place.
    table = tmp_path / "in.jsonl"
    table.write_text("".join(json.dumps({"text": text}) + "\n" for text in (SITUATION, "")), encoding="utf-8")
    good, bad = Job(advisor, read_table(table), tmp_path / "out.jsonl").run()
    assert good.result and good.result["verdict"] == found.verdict
    assert bad.error and "empty" in bad.error


def test_reasons_of_an_engine_pass_the_same_checks(advisor):
    levels = {"task": "clear", "input": "images", "labels": "thousands", "privacy": "internal"}
    sheet = {spec.name: levels.get(spec.name, (spec.silent or spec.levels[0]).name) for spec in advisor.library.factors}
    known = {spec.name: {level.name for level in spec.levels} for spec in advisor.library.factors}
    sheet = {name: level if level in known[name] else sorted(known[name])[0] for name, level in sheet.items()}
    invented = "Our 900,000 scans from Zurich make it certain that fine-tuning beats everything else."
    replies = [json.dumps(sheet | {"verdict": "fine_tune"}), json.dumps({"reasons": [invented] * 3})]
    remote = RemoteAdvisor(engine="fake:list", chat=FakeListChatModel(responses=replies), offline=True)
    remote._parts |= {name: part for name, part in advisor._parts.items() if name in ("embedder", "index", "meanings")}
    advice = remote.ask(SITUATION)
    assert advice.verdict is Verdict.FINE_TUNE and not advice.calibrated
    assert advice.reasons and all(reason.composed and "Zurich" not in reason.text for reason in advice.reasons)
    facts = {fact.text for fact in remote.index.corpus.facts}
    assert all(item.quote in facts for reason in advice.reasons for item in reason.evidence)


def test_an_answer_that_does_not_fit_is_asked_for_once_more():
    engine = _engine('{"word": "a"}', 'Here: {"word": "a", "number": 2}.')
    assert engine.fill([("human", "go")], Small) == Small(word="a", number=2)


@pytest.mark.parametrize("reply", ["no", "{}", '{"word": 1, "number": "x"}', '{"word": "a", "number": 1, "more": 0}'])
def test_an_engine_that_never_fits_is_an_error(reply):
    with pytest.raises(EngineError, match="gave no answer that fits"):
        _engine(reply).fill([("human", "go")], Small)


def test_a_sheet_takes_only_its_words(advisor):
    form = RemoteAdvisor(engine="fake:list", chat=FakeListChatModel(responses=[""]), offline=True)._form
    sheet = {spec.name: spec.levels[0].name for spec in advisor.library.factors} | {"verdict": "fine_tune"}
    assert form.model_validate(sheet).model_dump() == sheet
    for broken in ({**sheet, "verdict": "maybe"}, {**sheet, "labels": "three"}, {"verdict": "fine_tune"}):
        with pytest.raises(ValueError):
            form.model_validate(broken)


def test_an_engine_that_is_not_there_says_so(tunewise):
    with pytest.raises(SettingsError, match="cannot be used"):
        ChatEngine("nobody:nothing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(EngineError, match="cannot be reached"):
        ChatEngine("openai:local", url).fill([("human", "go")], Small)
    ended = tunewise("ask", SITUATION, env={"TUNEWISE_ENGINE": "openai:local", "TUNEWISE_ENGINE_URL": url}, cwd=ROOT)
    assert ended.returncode == 1 and b"cannot be reached" in ended.stderr and b"Traceback" not in ended.stderr


def test_without_an_engine_there_is_no_remote_advisor():
    with pytest.raises(UserError, match="No engine"):
        RemoteAdvisor(offline=True)
