import re

import pytest

from tests.conftest import ROOT
from tunewise import corpus
from tunewise.vocabulary import Verdict

HEADING = re.compile(r"^## (?P<team>[^()]+) \((?P<modality>[^()]+)\): (?P<verdict>.+)$")
WORDS = {verdict.value.replace("_", " "): verdict for verdict in Verdict}
WORDS["fine-tune"] = Verdict.FINE_TUNE


@pytest.fixture(scope="module")
def precedents():
    """Every section of the folder of precedents: its heading and what stands under it."""
    sections = []
    for path in sorted((ROOT / "knowledge" / "cases").glob("*.md")):
        if path.name == "README.md":
            continue
        for section in re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            heading, _, body = section.partition("\n")
            sections.append((heading, body))
    return sections


def test_every_precedent_names_team_modality_and_verdict_and_holds_a_fact(precedents):
    for heading, body in precedents:
        match = HEADING.match(heading)
        assert match and match["verdict"] in WORDS, heading
        assert re.search(r"^- \*\*C\d\d\.\d\d\*\* ", body, re.M), heading
        assert re.search(r"\b(19|20)\d\d\b", heading + body), heading


def test_there_are_precedents_for_every_verdict_in_many_fields(precedents):
    matches = [HEADING.match(heading) for heading, _ in precedents]
    found = [(match["modality"].split(", "), WORDS[match["verdict"]]) for match in matches if match]
    assert len(found) >= 60
    assert {verdict for _, verdict in found} == set(Verdict)
    assert len({modality for modalities, _ in found for modality in modalities}) >= 12


def test_no_team_stands_twice(precedents):
    assert len({heading for heading, _ in precedents}) == len(precedents)


def test_precedents_are_filed_under_topics_that_exist():
    knowledge = corpus.load(ROOT / "knowledge")
    topics = {document.header["topic"] for document in knowledge.documents if document.header["kind"] == "topic"}
    cases = [document for document in knowledge.documents if document.path.startswith("cases/")]
    assert cases
    for document in cases:
        assert document.header["kind"] == "case", document.path
        assert document.header["topic"] in topics, document.path
