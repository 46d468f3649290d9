"""kill -9 at any moment, a full disk, damaged files: the next run is right, or says what to do."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.test_artifacts import SMALL, in_parts, parts
from tests.test_artifacts import no_packages as no_packages
from tunewise import corpus
from tunewise.artifacts import ModelStore
from tunewise.errors import ArtifactError
from tunewise.evaluation import runs
from tunewise.evaluation.rewriting import Material
from tunewise.heads import Heads
from tunewise.retrieval import Index
from tunewise.session import open_session

ROOT = Path(__file__).parent.parent.parent
FACTS = """---
title: Notes
topic: own
kind: own
checked: 2026-11-27
---

"""


@pytest.fixture
def notes(tmp_path):
    """A small knowledge folder."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    facts = [f"- **N{n:03}** Fact number {n} is about models.\n  Source: Notes | recalled\n" for n in range(300)]
    (folder / "own.md").write_text(FACTS + "".join(facts), encoding="utf-8")
    return folder


def killed(code, *arguments, after):
    """Run code in a process of its own and kill it after some seconds, children and all."""
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], start_new_session=True)
    try:
        child.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


BUILD = """
import sys
from pathlib import Path
from tunewise import Advisor, corpus
from tunewise.retrieval import Index
advisor = Advisor(offline=True)
embedder, facts = advisor.embedder, corpus.load(Path(sys.argv[2]))
embedder.encode(["warm"])
Path(sys.argv[3]).touch()
while True:
    Index.open(Path(sys.argv[1]), facts, embedder, rebuild=True)
"""


def test_an_index_build_that_is_killed_leaves_a_whole_index_or_none(tmp_path, notes, embedder):
    facts = corpus.load(notes)
    for seed in range(2):
        ready = tmp_path / f"ready{seed}"
        child = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path / "index"), str(notes), str(ready)])
        until = time.monotonic() + 120
        while not ready.exists():
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        time.sleep(random.Random(seed).uniform(0.05, 1.5))
        child.kill()
        child.wait()
        index = Index.open(tmp_path / "index", facts, embedder)
        assert index.search("fact number 17", 1)[0].fact.id == "N017"
    assert len(index.vectors) == 300


@pytest.mark.parametrize("harm", ["manifest.json", "vectors.npy", "chroma", "bm25"])
def test_a_damaged_index_is_built_anew(tmp_path, notes, embedder, harm):
    facts = corpus.load(notes)
    folder = Index.open(tmp_path / "index", facts, embedder).folder
    name = json.loads((folder / "manifest.json").read_text())["store"] if harm == "chroma" else harm
    for file in [path for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]:
        file.write_bytes(b"\x00garbage" * 10)
    if harm == "chroma":
        shutil.rmtree(folder / name)
    index = Index.open(tmp_path / "index", facts, embedder)
    assert index.search("fact number 42", 1)[0].fact.id == "N042"


JOIN = """
import sys
from pathlib import Path
from tests.test_artifacts import in_parts
from tunewise.artifacts import ModelStore
contents = [bytes([number]) * 4_000_000 for number in range(12)]
ModelStore(Path(sys.argv[1]), catalogue=in_parts(*contents)).pull("minilm-l6-v2-int8")
"""


def test_a_pull_that_is_killed_while_it_joins_goes_on(tmp_path, no_packages):
    contents = [bytes([number]) * 4_000_000 for number in range(12)]
    parts(tmp_path, *contents)
    child = subprocess.Popen([sys.executable, "-c", JOIN, str(tmp_path)], cwd=ROOT)
    joined = tmp_path / "partial" / SMALL / "joined"
    until = time.monotonic() + 60
    while not joined.exists() and child.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    child.kill()
    child.wait()
    store = ModelStore(tmp_path, catalogue=in_parts(*contents))
    store.pull(SMALL)
    store.verify(SMALL)
    assert not (tmp_path / "partial" / SMALL).exists()


def test_a_batch_that_is_killed_at_random_moments_judges_every_row_once():
    command = [sys.executable, "-m", "evals.resumption", "--kills", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert done.returncode == 0 and "5 of 5 kills survived exactly" in done.stdout, done.stdout + done.stderr[-800:]


def test_an_evaluation_whose_record_was_cut_off_goes_on(tmp_path, advisor):
    card = runs.card_of(advisor, [])
    runs.Run(tmp_path, card)
    whole = runs.Record(kind="judged", scenario="a").model_dump_json()
    (tmp_path / runs.RECORDS).write_text(whole + "\n" + whole.replace('"a"', '"b"')[:-9], encoding="utf-8")
    run = runs.Run(tmp_path, card)
    assert [key[1] for key in run.records] == ["a"]
    assert list(run.go([], {}, Material.load(ROOT / "evals" / "robustness"))) == []
    with (tmp_path / runs.RECORDS).open("a", encoding="utf-8") as file:
        file.write(whole.replace('"a"', '"c"') + "\n")
    assert [key[1] for key in runs.Run(tmp_path, card).records] == ["a", "c"]


def test_a_damaged_or_half_written_prefix_is_read_again(advisor, tmp_path):
    model = advisor.model
    prefix = model.prefix([{"role": "user", "content": "Say what fits." + "\u241atunewise\u241a"}])
    kept, model._folder = model._folder, tmp_path

    def say():
        with open_session(model, prefix) as session:
            session.read("A cat says")
            return session.choose([" meow", " bark"]).probabilities

    try:
        first = say()
        (file,) = tmp_path.glob("*.prefix")
        for harm in (file.read_bytes()[:-20], b"", b"\xff" * 1000):
            file.write_bytes(harm)
            model._at.resident = None
            assert say() == pytest.approx(first, abs=1e-4)
        (tmp_path / file.with_suffix(".sha256").name).unlink()  # killed between the file and its seal
        model._at.resident = None
        assert say() == pytest.approx(first, abs=1e-4)
        assert not list(tmp_path.glob("*.partial"))
    finally:
        model._folder, model._at.resident = kept, None


@pytest.mark.parametrize("harm", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"PK\x03\x04 nothing"])
def test_a_damaged_head_says_so(tmp_path, harm):
    for name in ("head.npz", "head.json"):
        shutil.copy(ROOT / "src" / "tunewise" / name, tmp_path)
    (tmp_path / "head.npz").write_bytes(harm((tmp_path / "head.npz").read_bytes()))
    with pytest.raises(ArtifactError, match="decision head"):
        Heads.load(tmp_path)


def test_a_head_of_pickles_is_refused(tmp_path):
    shutil.copy(ROOT / "src" / "tunewise" / "head.json", tmp_path)
    np.savez(tmp_path / "head.npz", allow_pickle=True, mean=np.array([{}], dtype=object))
    with pytest.raises(ArtifactError, match="decision head"):
        Heads.load(tmp_path)


def test_a_full_disk_is_one_clear_sentence(tmp_path, notes):
    """No file may grow beyond 64 KiB in the child, which is what a full disk looks like from inside."""
    code = """
import resource, signal, sys
from pathlib import Path
from tunewise import Advisor, corpus
from tunewise.errors import StoreError
from tunewise.retrieval import Index
embedder, facts = Advisor(offline=True).embedder, corpus.load(Path(sys.argv[2]))
embedder.encode(["warm"])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    Index.open(Path(sys.argv[1]), facts, embedder)
except StoreError as error:
    print("refused:", error)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "index"), str(notes)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("refused:"), done.stderr[-800:]
    assert "TUNEWISE_CACHE" in done.stdout or "rebuild" in done.stdout
    assert not list((tmp_path / "index").glob("*-v*"))


def test_a_home_that_cannot_be_written_says_so_and_is_left_alone(tmp_path, tunewise, store):
    """A file where the cache's folder should be: not even root can write below it."""
    (tmp_path / "home").write_text("")
    done = tunewise("ask", "We have 4,000 labelled photos.", env={"TUNEWISE_CACHE": str(tmp_path / "home" / "cache")})
    said = done.stderr.decode()
    assert done.returncode == 1 and "Traceback" not in said
    assert "cannot be written" in said or "TUNEWISE_CACHE" in said


def test_two_processes_build_one_index_at_once(tmp_path, notes, embedder):
    code = BUILD.replace("while True:\n    ", "").replace(", rebuild=True", "")
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "index"), str(notes), str(tmp_path / f"r{n}")])
        for n in range(2)
    ]
    assert [child.wait(180) for child in children] == [0, 0]
    assert Index.open(tmp_path / "index", corpus.load(notes), embedder).search("fact number 9", 1)
    assert not [path for path in (tmp_path / "index").iterdir() if "-v" not in path.name]
