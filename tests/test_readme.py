"""The README says what is so."""

import json
import re

from tests.conftest import ROOT
from tunewise.cli import app
from tunewise.settings import Settings

README = (ROOT / "README.md").read_text()


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README


def test_every_command_it_names_exists():
    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    named = set(re.findall(r"^tunewise (\w+)", README, re.M)) | set(re.findall(r"`tunewise (\w+)", README))
    assert named and named <= known


def test_its_table_of_settings_is_complete():
    table = README.split("## Settings")[1].split("##")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    assert named == set(Settings.model_fields)


def test_its_figures_are_those_of_the_shipped_head_and_the_last_benchmark():
    card = json.loads((ROOT / "src/tunewise/head.json").read_text())
    assert f"{card['scenarios']:,} labelled situations" in README
    bench = json.loads((ROOT / "evals/bench/latest.json").read_text())
    for name, row in bench["ways"].items():
        assert f"{row['verdict']:.2f}" in README, name


def test_the_commands_of_its_test_section_are_those_that_ci_calls():
    ci = (ROOT / ".ci/run").read_text()
    line = next(line for line in README.splitlines() if line.startswith("pip install '.[dev]'"))
    for command in ("ruff check src tests evals", "ruff format --check src tests evals", "mypy", "pytest"):
        assert command in line and command in ci
