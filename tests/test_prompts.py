import json

import pytest

from tests.conftest import ROOT
from tunewise.errors import CorpusError
from tunewise.prompts import PHRASES, Prompt, PromptLibrary
from tunewise.schema import Verdict


@pytest.fixture(scope="module")
def library():
    return PromptLibrary(ROOT / "prompts")


def test_at_least_sixteen_worked_examples_cover_every_level(library):
    assert len(library.examples) >= 16
    shown = {(name, level) for example in library.examples for name, level in example.sheet.items()}
    wanted = {(factor.name, level.name) for factor in library.factors for level in factor.levels}
    assert shown == wanted
    assert {example.verdict for example in library.examples} == set(Verdict)


def test_levels_of_a_factor_differ(library):
    for factor in library.factors:
        names = [level.name for level in factor.levels]
        assert len(set(names)) == len(names)


def test_no_worked_example_stands_among_the_scenarios(library):
    for path in (ROOT / "evals" / "scenarios").glob("*.jsonl"):
        text = path.read_text()
        for example in library.examples:
            assert example.situation.strip()[:60] not in text


def test_every_prompt_renders(library):
    assert "labels" in library.prompt("sheet").render(factors=library.factors, verdicts=list(PHRASES.values()))
    assert library.prompt("answer").render()


def test_a_missing_variable_is_an_error(library):
    with pytest.raises(CorpusError, match="verdicts"):
        library.prompt("sheet").render(factors=library.factors)


def test_an_unknown_variable_is_an_error(library):
    with pytest.raises(CorpusError, match="tone"):
        library.prompt("answer").render(tone="kind")


@pytest.mark.parametrize(
    "text",
    [
        "no header at all",
        "---\nname: odd\nversion: 1\nvariables: []\n---\n{{ surprise }}",
        "---\nname: other\nversion: 1\nvariables: []\n---\ntext",
        "---\nname: odd\nversion: 1\nvariables: [x]\n---\n{{ x",
        "---\n- a list\n---\ntext",
        "---\nname: !!float ''\n---\ntext",
        "---\nname: odd\nversion: " + "59:" * 200 + "59.5\n---\ntext",
    ],
)
def test_a_malformed_prompt_is_named(tmp_path, text):
    (tmp_path / "odd.md").write_text(text)
    with pytest.raises(CorpusError, match="'odd'"):
        PromptLibrary(tmp_path).prompt("odd")


def test_the_hash_follows_every_file(tmp_path):
    (tmp_path / "a.md").write_text("one")
    first = PromptLibrary(tmp_path).digest
    (tmp_path / "a.md").write_text("two")
    assert PromptLibrary(tmp_path).digest != first


def test_every_level_that_pushes_toward_a_verdict_says_why(library):
    for spec in library.factors:
        for level in spec.levels:
            if level.pushes:
                assert f"{spec.name}.{level.name}" in library.because[level.pushes]


def test_a_reason_cites_no_other_kind_of_input(library):
    assert "tabular" in library.foreign_topics("image")
    assert "medical-imaging" not in library.foreign_topics("image")
    assert library.foreign_topics("other") == frozenset()
    topics = {path.stem for path in (ROOT / "knowledge/topics").glob("*.md")}
    assert {topic for level in library.factors[1].levels for topic in library.foreign_topics(level.name)} <= topics


def test_a_number_too_large_for_a_template_is_a_sentence():
    prompt = Prompt(
        name="x", version=1, variables=("situation",), template="Read {{ situation }}{{ 1e999if situation }}"
    )
    with pytest.raises(CorpusError, match="cannot be rendered"):
        prompt.render(situation="s")


def test_the_head_fits_the_shipped_prompts(library):
    assert library.digest == json.loads((ROOT / "src/tunewise/head.json").read_text())["prompts"]


@pytest.mark.parametrize("name", [".DS_Store", "._sheet.md", "sheet.md~", ".sheet.md.swp", "notes.txt"])
def test_a_stray_file_leaves_the_hash_as_it_is(tmp_path, name):
    (tmp_path / "sheet.md").write_text("one")
    first = PromptLibrary(tmp_path).digest
    (tmp_path / name).write_text("two")
    assert PromptLibrary(tmp_path).digest == first


@pytest.mark.parametrize("text", ['fine_tune = "x"', "topics = 3"])
def test_reasons_that_are_no_table_are_named(tmp_path, text):
    (tmp_path / "reasons").mkdir()
    (tmp_path / "reasons/because.toml").write_text(text)
    (tmp_path / "factors.toml").write_text("factor = []")
    library = PromptLibrary(tmp_path)
    with pytest.raises(CorpusError, match=f"'{text.split()[0]}' is not a table"):
        assert library.because and library.foreign_topics("image")
