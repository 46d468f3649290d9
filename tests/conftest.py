"""Fixtures: the real model, loaded once; no connection leaves this machine but where a test says so."""

import os
import socket
import sys
from pathlib import Path

import hypothesis
import pytest

from tunewise import Advisor, Settings
from tunewise.artifacts import ModelStore
from tunewise.embedding import Embedder

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"
# Two busy cores make any deadline a matter of luck.
hypothesis.settings.register_profile("tunewise", deadline=None)
hypothesis.settings.load_profile("tunewise")
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")


def missing(reason: str) -> None:
    """Skip on a user's machine; fail in CI, where everything must be there."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_network(request, monkeypatch):
    """Refuse every connection that leaves this machine, unless the test is marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    real = socket.socket.connect

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
            raise AssertionError(f"a connection to {address} was tried")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def store():
    """The user's model store, which must hold the default models."""
    settings = Settings.load()
    models = ModelStore(settings.cache / "models", offline=True)
    for name in (settings.model, "minilm-l6-v2-int8", "minilm-l6-v2-tokenizer"):
        if not models.installed(name):
            missing(f"{name} is not here: run 'tunewise models pull'")
    return models


@pytest.fixture(scope="session")
def embedder(store):
    return Embedder(store.path("minilm-l6-v2-int8"), store.path("minilm-l6-v2-tokenizer"))


@pytest.fixture(scope="session")
def advisor(store):
    """The real advisor on the default model."""
    made = Advisor(offline=True)
    made.load()
    yield made
    made.close()


@pytest.fixture
def tunewise():
    """Run the command line in a process of its own."""
    import subprocess

    def run(*arguments, env=None, stdin="", cwd=None, timeout=300):
        return subprocess.run(
            [sys.executable, "-m", "tunewise", *arguments],
            input=stdin if isinstance(stdin, bytes) else stdin.encode(),
            capture_output=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def server(store, tmp_path_factory):
    """`tunewise ui` in a process of its own."""
    from tests.browsing import Server

    made = Server(tmp_path_factory.mktemp("cache"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    from tests.browsing import CALM, CHROMIUM

    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        missing("Chromium is not installed: apt install chromium")
    with sync_api.sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=CALM)
        yield made
        made.close()


@pytest.fixture
def page(browser, server):
    """A page of a session of its own; fails if it asks for anything that is not on this machine."""
    from tests.browsing import SECOND, is_foreign

    context = browser.new_context(viewport={"width": 1366, "height": 860}, accept_downloads=True)
    made = context.new_page()
    foreign, errors = [], []
    made.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url) else None)
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.goto(server.url)
    made.locator("#message textarea").wait_for(timeout=20 * SECOND)
    yield made
    context.close()
    assert foreign == []
    assert errors == []
