import os
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tunewise import corpus
from tunewise.embedding import WIDTH, Embedder
from tunewise.errors import StoreError
from tunewise.retrieval import Filter, Index, forget_others


@pytest.fixture(scope="module")
def knowledge():
    return corpus.load(ROOT / "knowledge")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def index(root, knowledge, embedder):
    return Index.open(root, knowledge, embedder)


@pytest.mark.parametrize(
    ("query", "topic"),
    [
        ("What does LoRA change in the weights?", "peft"),
        ("boosted trees or deep learning for a business table", "tabular"),
        ("fine-tune Whisper for a dialect", "speech"),
        ("does a model forget when it is fine-tuned", "forgetting-overfitting"),
        ("should a model learn new facts by fine-tuning or by retrieval", "rag-vs-finetuning"),
    ],
)
def test_the_right_topic_is_found(index, query, topic):
    assert topic in {hit.fact.topic for hit in index.search(query, 5)}


def test_scores_fall_and_ranks_are_told(index):
    hits = index.search("How much data does fine-tuning need?", 8)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.dense_rank or hit.lexical_rank for hit in hits)


def test_a_filter_holds(index):
    hits = index.search("LoRA", 5, only=Filter(topics=frozenset({"tabular"})))
    assert hits and {hit.fact.topic for hit in hits} == {"tabular"}


def test_a_search_is_quick(index):
    times = []
    for number in range(30):
        began = time.perf_counter()
        index.search(f"We have {number} thousand labelled images and one GPU", 5)
        times.append(time.perf_counter() - began)
    assert statistics.median(times) <= 0.05


def test_words_that_stand_nowhere_still_find_something(index):
    assert index.search("qwertyuiopé zzzz", 3)


def test_the_langchain_retriever_gives_the_same_facts(index):
    documents = index.as_retriever(k=3).invoke("What does LoRA change?")
    assert [document.id for document in documents] == [hit.fact.id for hit in index.search("What does LoRA change?", 3)]
    assert all(document.metadata["source"] for document in documents)


def test_one_changed_file_embeds_one_file(tmp_path, knowledge, embedder):
    folder = tmp_path / "knowledge"
    shutil.copytree(ROOT / "knowledge", folder)
    Index.open(tmp_path / "index", knowledge, embedder)
    path = folder / knowledge.documents[0].path
    source = "  Source: Someone 2024 | recalled\n"
    path.write_text(path.read_text() + f"- **ZZ99** A brand-new fact about zebras and tuning.\n{source}")
    done = []
    changed = Index.open(tmp_path / "index", corpus.load(folder), embedder, progress=lambda a, b: done.append((a, b)))
    assert done == [(1, 1)]
    assert changed.search("zebras and tuning", 1)[0].fact.id == "ZZ99"


@pytest.mark.parametrize("name", ["manifest.json", "vectors.npy", "chroma-*/chroma.sqlite3"])
def test_a_damaged_index_is_built_anew(tmp_path, knowledge, embedder, name):
    built = Index.open(tmp_path, knowledge, embedder)
    wanted = [hit.fact.id for hit in built.search("What does LoRA change?", 3)]
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    shutil.copytree(built.folder, copy / built.folder.name)
    for file in (copy / built.folder.name).glob(name):
        file.write_bytes(b"damaged")
    again = Index.open(copy, knowledge, embedder)
    assert [hit.fact.id for hit in again.search("What does LoRA change?", 3)] == wanted


class Flat(Embedder):
    """To whom all texts are the same."""

    def __init__(self):
        pass

    def encode(self, texts):
        return np.full((len(texts), WIDTH), WIDTH**-0.5, dtype=np.float32)

    def words(self):
        return ["word"]


def written(folder, *texts):
    folder.mkdir(exist_ok=True)
    facts = "".join(f"- **F{place}** {text}\n  Source: X 2024 | recalled\n" for place, text in enumerate(texts))
    (folder / "t.md").write_text(f"---\ntitle: '—'\ntopic: t\nkind: topic\nchecked: 2026-11-23\n---\n\n{facts}")
    return corpus.load(folder)


def test_a_folder_in_any_script_is_searched(tmp_path):
    facts = written(tmp_path / "facts", "患者数据不得离开医院。", "数据保留九十天。", "Данные не покидают больницу.")
    index = Index.open(tmp_path / "index", facts, Flat())
    for query, wanted in (("保留多久", "F1"), ("医院", "F0"), ("больницу", "F2")):
        assert [hit.fact.id for hit in index.search(query, 3) if hit.lexical_rank == 1] == [wanted]
    assert Index.open(tmp_path / "index", written(tmp_path / "signs", "😀", "— !"), Flat()).search("😀", 1)


def test_what_a_killed_build_left_is_deleted(tmp_path):
    left = tmp_path / "index" / ".building-4242-1"
    left.mkdir(parents=True)
    index = Index.open(tmp_path / "index", written(tmp_path / "facts", "A fact."), Flat())
    assert not left.exists()
    left.mkdir()
    forget_others(index)
    assert not left.exists() and index.search("fact", 1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, knowledge, embedder):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Index.open(tmp_path / "file" / "index", knowledge, embedder)


WHERE = """
import sys
from pathlib import Path
from tunewise import retrieval
client = retrieval._client(None, Path(sys.argv[1]))
client.create_collection("vectors").add(ids=["one"], embeddings=[[1.0, 2.0]])
print(client.get_settings().chroma_api_impl, client.get_settings().chroma_server_host)
"""
ELSEWHERE = {
    "CHROMA_API_IMPL": "chromadb.api.fastapi.FastAPI",
    "CHROMA_SERVER_HOST": "127.0.0.1",
    "CHROMA_SERVER_HTTP_PORT": "9",
    "IS_PERSISTENT": "false",
}


@pytest.mark.parametrize(
    ("file", "variables"),
    [
        ("".join(f"{name}={value}\n" for name, value in ELSEWHERE.items()).encode(), {}),
        (b"CHROMA_SERVER_HTTP_PORT=abc\n", {}),
        (b"NAME=\xff\n", {}),
        (b"", ELSEWHERE),
    ],
)
def test_neither_the_working_folder_nor_the_environment_sends_the_index_elsewhere(tmp_path, file, variables):
    (tmp_path / ".env").write_bytes(file)
    ended = subprocess.run(
        [sys.executable, "-c", WHERE, str(tmp_path / "store")],
        cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout == "chromadb.api.rust.RustBindingsAPI None\n", ended.stderr
    assert (tmp_path / "store" / "chroma.sqlite3").is_file()


def test_a_variable_that_chroma_cannot_use_is_one_sentence(tmp_path):
    env = {**os.environ, "CHROMA_SERVER_HTTP_PORT": "abc"}
    command = [sys.executable, "-c", WHERE, str(tmp_path / "store")]
    ended = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1].endswith(
        "StoreError: Chroma cannot use CHROMA_SERVER_HTTP_PORT of the environment. Unset it."
    )
