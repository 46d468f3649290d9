"""The labelled scenarios themselves: well-formed, split cleanly, varied."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from tests.conftest import ROOT
from tunewise.errors import UserError
from tunewise.evaluation import scenarios as labelled
from tunewise.prompts import PromptLibrary

FILES = sorted((ROOT / "evals/scenarios").glob("*.jsonl")) + sorted((ROOT / "evals/scenarios/held-out").glob("*.jsonl"))
WORDS_WITHOUT_SPACES = ("zh", "ja", "th")


@pytest.fixture(scope="module")
def scenarios():
    return labelled.read(FILES)


@pytest.fixture(scope="module")
def vectors(embedder, scenarios):
    return embedder.encode([scenario.situation for scenario in scenarios])


def test_ids_and_situations_are_unique(scenarios):
    for field in ("id", "situation"):
        assert [value for value, n in Counter(getattr(s, field) for s in scenarios).items() if n > 1] == []


def test_factors_and_topics_are_those_of_the_project(scenarios):
    levels = {spec.name: {level.name for level in spec.levels} for spec in PromptLibrary(ROOT / "prompts").factors}
    topics = {path.stem for path in (ROOT / "knowledge/topics").glob("*.md")}
    for scenario in scenarios:
        assert all(level in levels[name] for name, level in scenario.factors.items()), scenario.id
        assert set(scenario.topics) <= topics, scenario.id
        assert scenario.verdict not in scenario.fair, scenario.id


def test_families_stand_on_one_side_of_a_split(scenarios):
    sides = defaultdict(set)
    for scenario in scenarios:
        sides[scenario.family].add(scenario.split)
    assert [family for family, splits in sides.items() if len(splits) > 1] == []


def test_no_work_or_thread_is_told_on_both_sides_of_the_test_split(scenarios):
    sides = defaultdict(set)
    for scenario in scenarios:
        for work in labelled.works(scenario.source):
            sides[work].add(scenario.split == "test")
    assert [work for work, splits in sides.items() if len(splits) > 1] == []


def test_no_near_twin_straddles_a_split(scenarios, vectors):
    splits = np.array([scenario.split for scenario in scenarios])
    close = np.triu(vectors @ vectors.T, 1) > labelled.NEAR_TWIN
    straddling = [
        (scenarios[a].id, scenarios[b].id) for a, b in zip(*np.where(close), strict=True) if splits[a] != splits[b]
    ]
    assert straddling == []


def test_no_scenario_is_a_worked_example(scenarios, vectors, embedder):
    examples = embedder.encode([example.situation for example in PromptLibrary(ROOT / "prompts").examples])
    nearest = (vectors @ examples.T).max(axis=1)
    assert [scenarios[place].id for place in np.where(nearest > labelled.NEAR_TWIN)[0]] == []


def test_every_split_holds_every_verdict(scenarios):
    for split in ("fit", "dev", "test"):
        found = Counter(scenario.verdict for scenario in scenarios if scenario.split == split)
        assert len(found) == 4 and min(found.values()) >= 10


def test_lengths_are_those_of_real_messages(scenarios):
    for scenario in scenarios:
        if scenario.language not in WORDS_WITHOUT_SPACES:
            assert 4 <= len(scenario.situation.split()) <= 260, scenario.id


@pytest.mark.parametrize("line", ["not json", '{"id": "x"}', '{"id": "x", "situation": "y", "verdict": "maybe"}'])
def test_a_bad_line_is_named(tmp_path, line):
    file = tmp_path / "bad.jsonl"
    file.write_text(f"\n{line}\n")
    with pytest.raises(UserError, match=r"Line 2 of .*bad\.jsonl"):
        labelled.read([file])


def test_a_situation_may_hold_any_sign_that_json_allows(tmp_path):
    file = tmp_path / "pasted.jsonl"
    told = labelled.Scenario(id="x", situation="one\u2028two\u0085three", verdict="fine_tune", family="x")
    file.write_text(told.model_dump_json() + "\n", encoding="utf-8")
    assert labelled.read([file]) == [told]
