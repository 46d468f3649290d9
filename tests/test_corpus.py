import pytest

from tests.conftest import ROOT
from tunewise import corpus
from tunewise.errors import CorpusError

HEADER = "---\ntitle: T\ntopic: t\nkind: topic\nchecked: 2026-11-23\n---\n\n"
SOURCE = "  Source: Someone 2024 <https://example.org/x> | verified | as of 2026-06\n"
LONGEST = 60


@pytest.fixture(scope="module")
def knowledge():
    return corpus.load(ROOT / "knowledge")


def test_the_article_and_at_least_ten_topics_are_there(knowledge):
    kinds = {document.path: document.header["kind"] for document in knowledge.documents}
    assert kinds["article.md"] == "article"
    assert sum(kind == "topic" for kind in kinds.values()) >= 10
    assert len(knowledge.facts) >= 300


def test_every_fact_is_short_and_sourced(knowledge):
    for fact in knowledge.facts:
        assert len(fact.text.split()) <= LONGEST, fact.id
        assert fact.sources and all(source.citation for source in fact.sources), fact.id
        assert fact.sources[0].url or fact.sources[0].status != "verified" or fact.kind == "article", fact.id


def test_no_fact_stands_twice(knowledge, embedder):
    vectors = embedder.encode([fact.text for fact in knowledge.facts])
    likeness = vectors @ vectors.T
    pairs = [
        (knowledge.facts[a].id, knowledge.facts[b].id)
        for a in range(len(vectors))
        for b in range(a)
        if likeness[a, b] > 0.97
    ]
    assert not pairs


def test_a_fact_is_read_with_its_source(tmp_path):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    (fact,) = corpus.load(tmp_path).facts
    assert (fact.id, fact.text, fact.document, fact.topic) == ("F1", "A fact.", "t.md", "t")
    assert fact.sources[0].url == "https://example.org/x"
    assert fact.sources[0].as_of == "2026-06"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("- **F1** A fact.\n", "has no source"),
        (f"- **F1** A fact.\n{SOURCE}- **F1** Another.\n{SOURCE}", "stands in"),
        ("- **F1** A fact.\n  Source: someone\n", "cannot be read"),
        (f"- **no id** A fact.\n{SOURCE}", "proper id"),
        ("text only\n", "no facts"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, body, complaint):
    (tmp_path / "t.md").write_text(HEADER + body)
    with pytest.raises(CorpusError, match=complaint):
        corpus.load(tmp_path)


@pytest.mark.parametrize("data", [b"no header", b"---\n- list\n---\nx", b"\xff\xfe\x00", b"---\ntitle: [\n---\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, data):
    (tmp_path / "t.md").write_bytes(data)
    with pytest.raises(CorpusError, match=r"t\.md"):
        corpus.load(tmp_path)


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(CorpusError) as caught:
        corpus.load(tmp_path / "absent")
    assert "TUNEWISE_KNOWLEDGE" in caught.value.remedy
