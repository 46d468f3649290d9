import contextlib
import io
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import pytest
from rich.console import Console
from rich.prompt import Prompt

from tests.conftest import missing
from tunewise import cli, terminal
from tunewise.errors import UnfitError, UserError, WorkError
from tunewise.schema import Advice, Method, Provenance, Timings, Verdict
from tunewise.ui import page

SITUATION = "We have 4,000 labelled chest X-rays and two A100s and want triage. No image may leave the hospital."


def one_line(outcome, code):
    text = outcome.stderr.decode()
    assert outcome.returncode == code, text
    assert "Traceback" not in text
    assert text.startswith("tunewise: ") and text.count("\n") == 1
    return text


@pytest.mark.parametrize("text", ["", "   ", "$$$ 123", "qwrtpsdfg hjklzxcvb", "x" * 30_000])
def test_unusable_input_is_one_sentence_and_code_2(tunewise, text):
    one_line(tunewise("ask", text), 2)


def test_binary_on_stdin(tunewise):
    assert "not text" in one_line(tunewise("ask", "-", stdin=bytes(range(256))), 2)


def test_unknown_words_on_the_command_line(tunewise):
    outcome = tunewise("frobnicate")
    assert outcome.returncode == 2 and b"Traceback" not in outcome.stderr


def test_an_unknown_model(tunewise, store):
    assert "Did you mean" in one_line(tunewise("ask", SITUATION, env={"TUNEWISE_MODEL": "qwen2.5-coder-1.5"}), 2)


def test_a_truncated_model(tunewise, store, tmp_path):
    path = tmp_path / "cut.gguf"
    with store.path("qwen2.5-coder-1.5b").open("rb") as stream:
        path.write_bytes(stream.read(8_000_000))
    assert "cut short" in one_line(tunewise("ask", SITUATION, env={"TUNEWISE_MODEL": str(path)}), 1)


def test_a_model_that_is_none(tunewise, store, tmp_path):
    (tmp_path / "no.gguf").write_text("hello")
    assert "not a GGUF" in one_line(tunewise("ask", SITUATION, env={"TUNEWISE_MODEL": str(tmp_path / "no.gguf")}), 2)


def test_an_unwritable_cache(tunewise, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in one_line(
        tunewise("ask", SITUATION, env={"TUNEWISE_CACHE": str(tmp_path / "file")}), 1
    )


def test_offline_without_a_model(tunewise, tmp_path):
    env = {"TUNEWISE_CACHE": str(tmp_path), "TUNEWISE_OFFLINE": "1"}
    assert "models pull" in one_line(tunewise("ask", SITUATION, env=env), 1)


def test_a_setting_that_cannot_be_used(tunewise):
    assert "TUNEWISE_CONTEXT" in one_line(tunewise("ask", SITUATION, env={"TUNEWISE_CONTEXT": "many"}), 2)


def test_a_settings_file_that_is_no_toml(tunewise, tmp_path):
    (tmp_path / "tunewise.toml").write_text("model = [")
    assert "TOML" in one_line(tunewise("ask", SITUATION, cwd=tmp_path), 2)


def test_json_is_all_that_is_printed(tunewise, store):
    outcome = tunewise("ask", SITUATION, "--json", env={"TUNEWISE_OFFLINE": "1"})
    assert outcome.returncode == 0 and outcome.stderr == b""
    data = json.loads(outcome.stdout)
    assert data["verdict"] == "fine_tune" and len(data["reasons"]) == 3


def test_an_answer_for_people(tunewise, store, tmp_path):
    outcome = tunewise("ask", "-", stdin=SITUATION, cwd=tmp_path, env={"COLUMNS": "100"})
    text = outcome.stdout.decode()
    assert outcome.returncode == 0
    assert "Fine-tune a pre-trained model" in text and "Traceback" not in outcome.stderr.decode()


def test_off_topic_is_polite_and_has_no_verdict(tunewise, store):
    outcome = tunewise("ask", "What is the weather in Paris today?")
    assert outcome.returncode == 2
    assert b"model strategy" in outcome.stdout and b"%" not in outcome.stdout


def test_search_shows_facts_with_sources(tunewise, store):
    hits = json.loads(tunewise("search", "What does LoRA change?", "--json", "-n", "2").stdout)
    assert len(hits) == 2 and all(hit["fact"]["sources"] for hit in hits)
    assert b"arXiv" in tunewise("search", "What does LoRA change?").stdout


def test_estimates_need_no_model(tunewise, tmp_path):
    outcome = tunewise(
        "estimate", "ask", "how much memory to fine-tune 13B with QLoRA?", env={"TUNEWISE_CACHE": str(tmp_path)}
    )
    assert outcome.returncode == 0 and "GB" in outcome.stdout.decode() and "13" in outcome.stdout.decode()
    found = json.loads(tunewise("estimate", "memory", "7B", "--json").stdout)
    assert all(item["low"] <= item["high"] and item["source"] for item in found)


@pytest.mark.parametrize(
    "command",
    [("memory", "much"), ("ask", "what a lovely day"), ("run", "7B", "many"), ("memory", "-7B")],
)
def test_an_estimate_of_nothing_is_one_sentence(tunewise, command):
    outcome = tunewise("estimate", *command)
    assert outcome.returncode == 2 and b"Traceback" not in outcome.stderr


def test_a_batch_keeps_order_and_a_bad_row_becomes_an_error(tunewise, store, tmp_path):
    table, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    table.write_text(f'id,situation\n1,"{SITUATION}"\n2,\n3,"We sell tea. Classify 90 letters a month by topic."\n')
    outcome = tunewise("batch", str(table), str(out))
    assert outcome.returncode == 0, outcome.stderr.decode()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [str(row["id"]) for row in rows] == ["1", "2", "3"]
    assert rows[0]["advice"]["verdict"] == "fine_tune" and rows[1]["error"] and rows[2]["advice"]["verdict"]
    again = one_line(tunewise("batch", str(table), str(out)), 2)
    assert "overwrite" in again


def test_a_batch_without_one_verdict_has_failed(tunewise, store, tmp_path):
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text(f'id,situation\n1,\n2,"{"words " * 40_000}"\n')
    outcome = tunewise("batch", str(table), str(out))
    assert outcome.returncode == 1 and outcome.stderr.endswith(b"out.csv says why.\n"), outcome.stderr.decode()
    assert len(out.read_text().splitlines()) == 3


def test_a_batch_of_nothing(tunewise, tmp_path):
    assert "missing.csv" in one_line(tunewise("batch", str(tmp_path / "missing.csv"), str(tmp_path / "out.csv")), 2)


def test_index_and_doctor_and_models(tunewise, store):
    assert b"facts of" in tunewise("index").stdout
    assert json.loads(tunewise("index", "--json").stdout)["facts"] > 600
    report = tunewise("doctor")
    assert report.returncode == 0 and b"SHA-256" in report.stdout and b"BAD" not in report.stdout
    rows = json.loads(tunewise("models", "list", "--json").stdout)
    assert any(row["in_use"] and row["installed"] for row in rows)
    assert b"right" in tunewise("models", "verify", "minilm-l6-v2-int8").stdout
    assert tunewise("models", "path", "minilm-l6-v2-int8").stdout.strip().endswith(b".onnx")


def test_doctor_finds_what_is_wrong(tunewise, tmp_path):
    (tmp_path / "file").write_text("")
    report = tunewise("doctor", env={"TUNEWISE_CACHE": str(tmp_path / "file")})
    assert report.returncode == 1 and b"TUNEWISE_CACHE" in report.stdout


def test_a_conversation_in_the_terminal(tunewise, store):
    outcome = tunewise("chat", stdin="is fine tuning worth it for us?\n%%%\n/quit\n")
    text = outcome.stdout.decode()
    assert outcome.returncode == 0 and "More information needed" in text and "no words" in text


@pytest.mark.parametrize("delay", [0.2, 1.5, 3.0, 4.0, 5.0])
def test_ctrl_c_leaves_quietly(store, delay):
    child = subprocess.Popen(
        [sys.executable, "-m", "tunewise", "ask", SITUATION], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=20)
    assert b"Traceback" not in error


def test_a_command_that_is_stopped_says_so(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    assert run(monkeypatch, stopped) == 130
    assert capsys.readouterr().err == "tunewise: stopped.\n"


@pytest.mark.parametrize("options", [("--json",), ()])
def test_a_reader_that_has_enough_is_no_failure(options):
    with subprocess.Popen(
        [sys.executable, "-m", "tunewise", "estimate", "memory", "7B", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert child.wait(60) == 0 and child.stderr.read() == b""


LONG = "x" * 300


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (("ask", SITUATION, "--export", f"/tmp/{LONG}"), {}),
        (("ask", SITUATION), {"TUNEWISE_MODEL": f"/tmp/{LONG}.gguf"}),
        (("models", "list"), {"TUNEWISE_CACHE": f"/tmp/{LONG}"}),
        (("index", f"/tmp/{LONG}"), {}),
    ],
)
def test_a_path_that_cannot_be_looked_at_is_one_sentence(tunewise, store, command, setting):
    said = one_line(tunewise(*command, env={"TUNEWISE_OFFLINE": "true", **setting}), 2)
    assert LONG in said


def test_doctor_reports_a_path_that_cannot_be_looked_at(tunewise):
    report = tunewise("doctor", "--json", env={"TUNEWISE_CACHE": f"/tmp/{LONG}"})
    found = [item["text"] for item in json.loads(report.stdout) if item["state"] == "bad"]
    assert report.returncode == 1 and any("File name too long" in text for text in found)


def advice():
    return Advice(
        situation=SITUATION, verdict=Verdict.FINE_TUNE, confidence=0.7, calibrated=True, method=Method.LORA,
        probabilities={verdict: 0.7 if verdict is Verdict.FINE_TUNE else 0.1 for verdict in Verdict},
        factors=(), reasons=(), timings=Timings(),
        provenance=Provenance(tunewise="1", model="m", model_sha256="m", prompts="p", knowledge="k"),
    )  # fmt: skip


def test_a_decision_record_is_never_written_over_another_file(tmp_path):
    target, link = tmp_path / "target.md", tmp_path / "link.md"
    link.symlink_to(target)
    for place in (link, tmp_path):
        with pytest.raises(UserError, match="exists already"):
            cli._export(advice(), place)
    assert not target.exists()
    cli._export(advice(), tmp_path / "new.md")
    assert "Fine-tune" in (tmp_path / "new.md").read_text(encoding="utf-8")


def shell(line, env=None):
    """Run a line of the shell in which `tunewise` is the command line."""
    full = f'tunewise() {{ "{sys.executable}" -m tunewise "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", full], capture_output=True, env={**os.environ, **(env or {})}, timeout=120)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tunewise models list >&-", "Standard output is closed"),
        ("tunewise models list >/dev/full", "No space left on device."),
        ("tunewise estimate memory 7B >/dev/full", "No space left on device."),
        ("tunewise --help >/dev/full", "No space left on device."),
        (r"tunewise ask $'We have \xff 4000 photos'", "The argument is not text in UTF-8"),
        (r"tunewise search $'photos \xff'", "The argument is not text in UTF-8"),
        (r"tunewise estimate ask $'7B \xff memory'", "The argument is not text in UTF-8"),
        ("tunewise ask - <&-", "The message is empty"),
    ],
)
def test_what_cannot_be_written_or_read_is_one_sentence(line, said):
    assert said in one_line(shell(line), 2)


def test_a_closed_standard_error_is_no_trouble():
    assert shell("tunewise estimate tokens 7B 2>&-").returncode == 0
    assert shell("tunewise ask '' 2>&-").returncode == 2


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_keeps_every_letter_whatever_the_terminal(encoding):
    ended = shell("tunewise estimate memory 7B --json", {"PYTHONIOENCODING": encoding})
    told = json.loads(ended.stdout.decode(encoding))
    assert told == json.loads(shell("tunewise estimate memory 7B --json").stdout)
    assert any(not json.dumps(item, ensure_ascii=False).isascii() for item in told)


HUGE = "9" * 400


@pytest.mark.parametrize(
    "command",
    [
        ("verdicts", "100", "--a-minute", "inf", "--start", "0"),
        ("verdicts", "100", "--start", "nan"),
        ("verdicts", HUGE),
        ("verdicts", "100", "--machines", HUGE),
        ("memory", "7B", "--context", HUGE),
        ("memory", "7B", "--batch", HUGE),
        ("memory", "7B", "--rank", HUGE),
        ("memory", HUGE),
        ("memory", "--", "-7B"),
        ("memory", "--", "−7B"),
        ("training", "7B", "--tokens", "-2T"),
        ("serving", "7B", "--gpu", f"{HUGE}xH100"),
    ],
)
def test_a_figure_beyond_all_bounds_is_refused(tunewise, command):
    outcome = tunewise("estimate", *command)
    assert outcome.returncode == 2 and b"Traceback" not in outcome.stderr


def test_a_head_is_written_where_this_installation_reads_it(monkeypatch, tmp_path, capsys):
    from tunewise import heads
    from tunewise.evaluation import commands

    given: list[object] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_advisor", lambda: contextlib.nullcontext())
    monkeypatch.setattr(commands, "teach", lambda *arguments, **_: given.append(arguments[3]))
    monkeypatch.setattr(sys, "argv", ["tunewise", "fit", "--onto", "ours.jsonl"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2 and "in a checkout" in capsys.readouterr().err
    (tmp_path / "evals" / "scenarios").mkdir(parents=True)
    for options in ((), ("--out", str(tmp_path))):
        monkeypatch.setattr(sys, "argv", ["tunewise", "fit", "--onto", "ours.jsonl", *options])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
    assert given == [heads.SHIPPED, tmp_path]
    (said,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in said and str(heads.SHIPPED) in said


def run(monkeypatch, act):
    """Exit code of `tunewise doctor` where it does this."""
    monkeypatch.setattr(cli, "_settings", act)
    monkeypatch.setattr(sys, "argv", ["tunewise", "doctor"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def test_neither_an_error_nor_ctrl_c_during_an_answer_ends_a_conversation(monkeypatch):
    said, events = iter(["one", "two", " /new ", "three"]), []

    class Talk:
        def __init__(self):
            events.append("new")

        def stream(self, message):
            events.append(message)
            raise KeyboardInterrupt if message == "one" else UnfitError("It gave no answer that fits.")

    def prompt(*_, **__):
        if (message := next(said, None)) is None:
            raise EOFError
        return message

    monkeypatch.setattr(Prompt, "ask", prompt)
    file, begin = io.StringIO(), cast(Any, Talk)
    terminal.converse(Console(file=file), begin)
    assert events == ["new", "one", "two", "new", "three"]
    assert "Stopped." in file.getvalue() and file.getvalue().count("no answer that fits") == 2


TALK = """
from rich.console import Console
from tunewise import terminal
class Talk:
    def stream(self, message):
        print("heard", len(message), ascii(message[:9]), flush=True)
        raise KeyboardInterrupt
terminal.converse(Console(), Talk)
"""


def test_in_a_terminal_a_paste_is_one_message_long_lines_are_whole_and_arrow_keys_move():
    if find_spec("readline") is None or "libedit" in (import_module("readline").__doc__ or ""):
        missing("needs GNU readline: libedit knows no bracketed paste")
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen([sys.executable, "-c", TALK], stdin=there, stdout=there, env=environment) as process:
        os.close(there)
        seen = until(here, b"you")
        for keys, heard in (
            (b"\x1b[200~one\r\rtwo\x1b[201~\r", rb"heard 8 'one\n\ntwo'"),
            (b"x" * 5000 + b"\r", b"heard 5000 "),
            (b"ab\x1b[D\x1b[DX\r", b"heard 3 'Xab'"),
        ):
            os.write(here, keys)
            seen = until(here, b"Stopped.")
            assert heard in seen
            until(here, b"you")
        os.write(here, b"/quit\r")
        until(here, b"quit\r\n")
        assert process.wait(30) == 0
    os.close(here)


def until(stream, words):
    """What a terminal shows until it shows certain words."""
    seen = b""
    while words not in seen and select.select([stream], [], [], 60)[0]:
        seen += os.read(stream, 65_536)
    return seen


class Unloaded:
    def load(self):
        raise AssertionError("the model is not to be loaded for an address that cannot be had")


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "x" * 70])
def test_an_address_that_cannot_be_had_is_one_sentence(host):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot be served at"):
        page.serve(cast(Any, Unloaded()), host=host, port=taken.getsockname()[1], open_browser=False, mcp=False)


def test_a_missing_library_for_mcp_is_named_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(WorkError, match=r"tunewise\[mcp\]"):
        page.serve(cast(Any, Unloaded()), host="127.0.0.1", port=None, open_browser=False, mcp=True)
