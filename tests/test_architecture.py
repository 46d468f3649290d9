import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CAP = 500


def test_imports_run_one_way():
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.fail("import-linter is not installed: pip install '.[dev]'")
    outcome = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout


def test_no_module_is_too_long():
    long = {path.name: count for path in (ROOT / "src/tunewise").glob("*.py")
            if (count := len(path.read_text().splitlines())) > CAP}  # fmt: skip
    assert not long


def test_nothing_reads_the_developers_shared_folder():
    for folder in ("src", "evals", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                assert "../shared" not in path.read_text(), path
