"""The shipped knowledge folder keeps the promises of its pages, and the checks on it can fail."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from evals import knowledge as linter

from tests.conftest import ROOT
from tunewise import corpus

FOLDER = ROOT / "knowledge"
SOURCE = "Someone 2024, arXiv:2401.00001 <https://arxiv.org/abs/2401.00001> | verified"
FACT = "A first fact about nothing in particular."


@pytest.fixture(scope="module")
def knowledge():
    return corpus.load(FOLDER)


@pytest.fixture(scope="module")
def findings(knowledge, embedder):
    return linter.check(FOLDER, knowledge, embedder.encode([fact.text for fact in knowledge.facts]))


def test_nothing_in_the_folder_is_left_to_mend(findings):
    assert not findings, "\n".join(map(str, findings))


def test_nearly_every_fact_is_asked_for(knowledge):
    asked = [fact for fact in knowledge.facts if len(knowledge.questions.get(fact.id, ())) >= 12]
    assert len(asked) >= 0.95 * len(knowledge.facts)
    every = [question for questions in knowledge.questions.values() for question in questions]
    assert len(set(every)) > 0.99 * len(every)
    assert max(len(question.split()) for question in every) <= 60


def test_the_folder_is_as_large_as_promised(knowledge):
    kinds = [document.header["kind"] for document in knowledge.documents]
    assert kinds.count("topic") >= 30
    assert len(knowledge.facts) >= 600
    for name, count in (("rules.md", 25), ("glossary.md", 60)):
        assert sum(fact.document == name for fact in knowledge.facts) >= count, name


def test_the_article_is_told_with_its_title_and_author(knowledge):
    article = next(document for document in knowledge.documents if document.header["kind"] == "article")
    assert (article.header["title"], article.header["author"]) == (
        "How Training and Fine-Tuning AI Models Differ",
        "Priti Solanki",
    )
    told = " ".join(fact.text for fact in article.facts)
    for claim in (
        "distinct stages",
        "entirely from scratch",
        "large, generic dataset",
        "self-supervised",
        "foundational model",
        "GPT-3 and BERT",
        "already pre-trained",
        "small and focused",
        "core functions stay intact",
        "requirements of the project",
        "no available pre-trained model",
        "substantial set of labelled data",
        "domain-specific task",
        "massive dataset",
        "considerably smaller dataset",
        "informed decisions",
    ):
        assert claim in told, claim


def test_every_fact_named_elsewhere_in_the_repository_exists(knowledge):
    named: dict[str, str] = {}
    for path in (*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.toml"), *(ROOT / "prompts").rglob("*.*")):
        named |= dict.fromkeys(re.findall(r"\bF\d\d\.\d\d\b", path.read_text(encoding="utf-8")), path.name)
    for path in (ROOT / "evals/retrieval").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            named |= dict.fromkeys([row["fact"]] if "fact" in row else row.get("facts", ()), path.name)
    assert len(named) > 100
    dead = {name: place for name, place in named.items() if name not in knowledge.by_id}
    assert not dead


def page(fact=FACT, source=SOURCE, *, name="F01.01", more="", **header):
    """A page with one fact; what is given differs from a page without fault."""
    fields = {"title": "T", "topic": "peft", "kind": "topic", "checked": "2026-11-23"} | header
    front = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"---\n{front}---\n\n# A heading\n\n- **{name}** {fact}\n  Source: {source}\n\n{more}\n"


def complaints(folder, vectors=None, **pages):
    """What the linter says of a folder with these pages; the facts are unlike each other unless vectors say else."""
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    loaded = corpus.load(folder)
    if vectors is None:
        vectors = np.eye(len(loaded.facts), dtype=np.float32)
    return [str(finding) for finding in linter.check(folder, loaded, vectors)]


def test_a_page_without_fault_passes(tmp_path):
    assert complaints(tmp_path, peft=page()) == []


@pytest.mark.parametrize(
    ("faulty", "complaint"),
    [
        (page("word " * 61 + "end."), "62 words"),
        (page("One. Word " + "word " * 40 + "end."), "a sentence of 42 words"),
        (page("A fact without an end"), "does not end"),
        (page(name="X1"), "id does not fit"),
        (page(source="common practice | recalled"), "no source names"),
        (page(source="someone in 2024 | recalled"), "no source names"),
        (page(source="Someone 2024 | verified"), "without an address"),
        (page(source="Someone 2024, arXiv:2413.00001 | recalled"), "is no arXiv id"),
        (page(source="S 2024, arXiv:2401.00002 <https://arxiv.org/abs/2401.00001> | verified"), "links to arXiv"),
        (page(source="Own arithmetic from F09.99 | derived"), "refers to F09.99"),
        (page(source="See topics/nowhere.md | derived"), "refers to topics/nowhere.md"),
        (page("A run costs 12 dollars."), "tells a price"),
        (page("A card costs $2."), "tells a price"),
        (page("A card rents at two per GPU-hour."), "tells a price"),
        (page("The GDPR asks for erasure."), "tells a law"),
        (page("Its licence forbids it."), "tells a licence"),
        (page("The model is behind an API."), "tells a product"),
        (page(more="See [there](nowhere.md)."), "link to nowhere.md is dead"),
        (page(more="See [there](#nothing)."), "no heading #nothing"),
        (page(kind="poem"), "kind poem is unknown"),
        (page(topic="elsewhere"), "has no page"),
        (page(checked="last week"), "date of checking"),
        (page(kind="article", topic="article", name="A01"), "no author"),
    ],
)
def test_a_fault_is_found(tmp_path, faulty, complaint):
    assert any(complaint in found for found in complaints(tmp_path, peft=faulty))


def test_a_fact_of_an_ageing_topic_needs_its_date(tmp_path):
    name = "vendor-frameworks"
    assert complaints(tmp_path, **{name: page(topic=name)})
    assert not complaints(tmp_path, **{name: page(topic=name, source=f"{SOURCE} | as of 2026-11")})


@pytest.mark.parametrize("fact", ["Tuning all layers costs more than an adapter.", "The ACT policy was compared."])
def test_a_fact_that_does_not_age_needs_no_date(tmp_path, fact):
    assert complaints(tmp_path, peft=page(fact)) == []


def test_a_version_of_a_preprint_may_be_cited(tmp_path):
    source = "Someone 2024, arXiv:2401.00001v2 <https://arxiv.org/abs/2401.00001> | verified"
    assert complaints(tmp_path, peft=page(source=source)) == []


def test_links_and_anchors_that_lead_somewhere_pass(tmp_path):
    more = "See [above](#a-heading), [there](other.md#a-heading) and [outside](https://example.org/x#y)."
    assert complaints(tmp_path, peft=page(more=more), other=page(topic="other", name="F02.01")) == []


def test_two_pages_may_not_share_a_number(tmp_path):
    found = complaints(tmp_path, peft=page(), other=page(topic="other", name="F01.02"))
    assert found == ["other.md, peft.md: share the number F01"]


@pytest.mark.parametrize(
    ("cosine", "source", "repeated"),
    [
        (0.93, "Another 2020, arXiv:2001.00001 | recalled", True),
        (0.91, "Another 2020, arXiv:2001.00001 | recalled", False),
        (0.81, SOURCE, True),
        (0.79, SOURCE, False),
    ],
)
def test_a_repetition_is_found_sooner_where_the_work_is_the_same(tmp_path, cosine, source, repeated):
    vectors = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]], dtype=np.float32)
    found = complaints(tmp_path, vectors, peft=page(), other=page(topic="other", name="F02.01", source=source))
    assert bool(found) == repeated
    assert not found or "says the same" in found[0]


def test_the_embedder_sees_through_a_change_of_words(tmp_path, embedder):
    one = "LoRA trains small low-rank matrices beside frozen weights."
    other = "LoRA trains small low-rank matrices next to weights that are frozen."
    pages = {"peft": page(one), "other": page(other, "Another 2020 | recalled", topic="other", name="F02.01")}
    assert complaints(tmp_path, embedder.encode([one, other]), **pages)


def test_the_command_tells_what_is_to_mend(tmp_path, store):
    (tmp_path / "peft.md").write_text(page("A run costs 12 dollars."))
    run = subprocess.run(
        [sys.executable, "-m", "evals.knowledge", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 1
    assert run.stdout.splitlines() == [
        "peft.md F01.01: tells a price and has no 'as of' date",
        "1 facts in 1 files, 1 findings",
    ]


def test_the_command_says_in_one_line_that_a_folder_is_missing(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "evals.knowledge", str(tmp_path / "absent")], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr and "no knowledge folder" in run.stderr
