"""Where settings come from, and what is said of those that a working folder brings along."""

import http.server
import json
import os
import pwd
import threading
from typing import Any

import pytest

from tunewise import Settings
from tunewise.chatting import ChatEngine
from tunewise.errors import EngineError, SettingsError
from tunewise.parts import Parts
from tunewise.remote import RemoteAdvisor, make_advisor
from tunewise.retrieval import Index

KEY = "sk-of-the-reader"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, and an environment that sets nothing but a key."""
    for name in [name for name in os.environ if name.startswith("TUNEWISE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def listener():
    """A server that answers nothing, and what it heard."""
    heard: list[str] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.append(f"{self.headers}{body}")
            self.send_error(404)

        def log_message(self, *_):
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", heard
        server.shutdown()


def asked(advisor):
    assert isinstance(advisor, RemoteAdvisor)
    with pytest.raises(EngineError):
        advisor.engine.write([("human", "our secret question")])


def test_a_setting_knows_whether_a_file_brought_it(folder, monkeypatch):
    (folder / "tunewise.toml").write_text('engine = "openai:a"\nreasons = 2\ncontext = 4096\n')
    monkeypatch.setenv("TUNEWISE_REASONS", "1")
    found = Settings.load(context=8192)
    assert found.filed("engine") == folder / "tunewise.toml"
    assert not any(found.filed(name) for name in ("reasons", "context", "cache", "model"))
    assert found.model_copy(update={"threads": 1}).filed("engine")
    assert (found.engine, found.reasons, found.context) == ("openai:a", 1, 8192)


def test_an_engine_of_a_file_is_named_and_gets_no_key(folder, listener, capsys):
    url, heard = listener
    (folder / "tunewise.toml").write_text(f'engine = "openai:a"\nengine_url = "{url}"\n')
    advisor = make_advisor(Settings.load())
    asked(advisor)
    asked(advisor)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in ("openai:a", url, str(folder / "tunewise.toml")))
    assert len(heard) == 2 and all("our secret question" in text and KEY not in text for text in heard)


def test_an_address_of_the_environment_gets_the_key_and_nothing_is_said(folder, listener, capsys, monkeypatch):
    url, heard = listener
    monkeypatch.setenv("TUNEWISE_ENGINE", "openai:a")
    monkeypatch.setenv("TUNEWISE_ENGINE_URL", url)
    asked(make_advisor(Settings.load()))
    assert capsys.readouterr().err == "" and KEY in heard[0]
    monkeypatch.delenv("TUNEWISE_ENGINE")
    (folder / "tunewise.toml").write_text('engine = "openai:b"\n')
    asked(make_advisor(Settings.load()))
    assert "openai:b" in capsys.readouterr().err and KEY in heard[1]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "mistralai", "groq"])
def test_no_provider_gets_a_key_at_an_address_of_a_file(provider, monkeypatch):
    from langchain import chat_models

    given: dict[str, Any] = {}

    def make(_, **options):
        given.update(options)
        return object()

    monkeypatch.setattr(chat_models, "init_chat_model", make)
    ChatEngine(f"{provider}:a", "http://127.0.0.1:9", keyless=True)
    assert given["api_key"] == "none"


def test_a_chroma_server_of_a_file_is_named_before_anything_is_sent(folder, capsys, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(Index, "open", lambda *_, **__: said.append(capsys.readouterr().err))
    (folder / "tunewise.toml").write_text('chroma = "http://127.0.0.1:9"\n')
    made = Parts()
    made._parts["embedder"] = None
    made.build_index()
    made.build_index()
    assert "http://127.0.0.1:9" in said[0] and str(folder / "tunewise.toml") in said[0] and said[1] == ""
    monkeypatch.setenv("TUNEWISE_CHROMA", "http://127.0.0.1:8")
    quiet = Parts()
    quiet._parts["embedder"] = None
    quiet.build_index()
    assert said[2] == ""


def test_without_a_home_a_cache_must_be_named(folder, monkeypatch):
    def nobody(_):
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "TUNEWISE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(SettingsError, match="No home folder") as caught:
        Settings.load()
    assert caught.value.remedy == "Set TUNEWISE_CACHE."
    assert Settings.load(cache=folder).cache == folder


def test_settings_travel_as_json(folder):
    found = Settings.load(engine="openai:a")
    assert Settings.model_validate_json(found.model_dump_json()) == found and "_filed" not in json.loads(
        found.model_dump_json()
    )
