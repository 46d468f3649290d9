"""The index on a Chroma server that the test starts."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tunewise import Settings, corpus
from tunewise.errors import SettingsError, StoreError
from tunewise.retrieval import Index, index_folder

QUERIES = ("What does LoRA change?", "boosted trees for a business table", "does a model forget when it is tuned")


@pytest.fixture(scope="module")
def knowledge():
    """Three files of the folder: enough to search in, quick to embed."""
    return corpus.Corpus(corpus.load(ROOT / "knowledge").documents[:3])


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A Chroma server in a folder, on a port of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        program = Path(sys.executable).with_name("chroma")
        command = [program, "run", "--path", self.folder, "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def collections(self):
        import chromadb

        settings = chromadb.config.Settings(anonymized_telemetry=False)
        client = chromadb.HttpClient("127.0.0.1", self.port, settings=settings)
        return {item.name: item.count() for item in client.list_collections()}


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path / "served")
    yield made
    made.stop()


def test_a_server_finds_what_the_embedded_store_finds(server, tmp_path, knowledge, embedder):
    remote = Index.open(tmp_path / "index", knowledge, embedder, server=server.address)
    local = Index.open(tmp_path / "index", knowledge, embedder)
    for query in QUERIES:
        hits, wanted = remote.search(query, 5), local.search(query, 5)
        assert [hit.fact.id for hit in hits] == [hit.fact.id for hit in wanted]
        assert [hit.dense_rank for hit in hits] == [hit.dense_rank for hit in wanted]
    assert list(server.collections().values()) == [len(knowledge.facts)]
    assert not list(remote.folder.glob("chroma-*")) and list(local.folder.glob("chroma-*"))


def test_an_index_on_a_server_is_taken_up_again_and_mended(server, tmp_path, knowledge, embedder):
    first = Index.open(tmp_path, knowledge, embedder, server=server.address)
    (name,) = server.collections()
    server.stop()
    server.start()
    steps: list[tuple[int, int]] = []

    def again():
        opened = Index.open(
            tmp_path, knowledge, embedder, server=server.address, progress=lambda *step: steps.append(step)
        )
        return [hit.fact.id for hit in opened.search(QUERIES[0], 3)]

    wanted = [hit.fact.id for hit in first.search(QUERIES[0], 3)]
    assert again() == wanted and list(server.collections()) == [name]
    import chromadb

    settings = chromadb.config.Settings(anonymized_telemetry=False)
    chromadb.HttpClient("127.0.0.1", server.port, settings=settings).delete_collection(name)
    assert again() == wanted
    assert name not in server.collections() and len(server.collections()) == 1 and not steps


def test_what_an_old_index_holds_on_the_server_is_deleted_with_it(server, tmp_path, knowledge, embedder):
    for count in range(1, 4):
        part = corpus.Corpus(knowledge.documents[:count])
        Index.open(tmp_path, part, embedder, server=server.address)
    assert len(server.collections()) == 3
    Index.open(tmp_path, corpus.Corpus(knowledge.documents[1:]), embedder, server=server.address)
    left = server.collections()
    assert len(left) == 3 and len(knowledge.documents[0].facts) not in left.values()


def test_a_server_that_does_not_answer_is_told_in_one_sentence(tmp_path, knowledge, embedder, server):
    opened = Index.open(tmp_path, knowledge, embedder, server=server.address)
    server.stop()
    for attempt in (
        lambda: opened.search(QUERIES[0]),
        lambda: Index.open(tmp_path, knowledge, embedder, server=server.address),
        lambda: Index.open(tmp_path / "new", knowledge, embedder, server=server.address, rebuild=True),
    ):
        with pytest.raises(StoreError, match=r"^The Chroma server at http://127.0.0.1:\d+ does not answer\.") as caught:
            attempt()
        assert "TUNEWISE_CHROMA" in caught.value.remedy
    assert (index_folder(tmp_path, knowledge, server.address) / "manifest.json").is_file()


def test_something_else_on_the_port_is_told_as_well(tmp_path, knowledge, embedder):
    import http.server
    import threading

    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(StoreError, match="does not answer"):
            Index.open(tmp_path, knowledge, embedder, server=f"http://127.0.0.1:{other.server_port}")
        other.shutdown()


def test_the_setting_reaches_the_command_line(server, tunewise, store, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to((Settings.load().cache / "models").resolve())
    (tmp_path / "knowledge").mkdir()
    text = (ROOT / "knowledge" / "rules.md").read_text(encoding="utf-8")
    (tmp_path / "knowledge" / "rules.md").write_text(text, encoding="utf-8")
    environment = {
        "TUNEWISE_CACHE": str(cache),
        "TUNEWISE_KNOWLEDGE": str(tmp_path / "knowledge"),
        "TUNEWISE_CHROMA": server.address,
    }
    assert tunewise("index", env=environment, cwd=tmp_path).returncode == 0
    assert len(server.collections()) == 1
    found = tunewise("search", "LoRA", "--json", env=environment, cwd=tmp_path)
    assert found.returncode == 0 and b'"fact"' in found.stdout
    server.stop()
    ended = tunewise("search", "LoRA", env=environment, cwd=tmp_path)
    assert ended.returncode == 1 and ended.stderr.count(b"\n") == 1 and b"does not answer" in ended.stderr


@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(SettingsError, match="chroma"):
        Settings.load(chroma=address)
