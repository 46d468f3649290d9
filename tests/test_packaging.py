"""What is built is whole, and what is installed from it runs without the checkout."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

from tests.conftest import ROOT

WHOLE = (
    "tunewise/__init__.py",
    "tunewise/py.typed",
    "tunewise/head.npz",
    "tunewise/head.json",
    "tunewise/_data/prompts/sheet.md",
    "tunewise/_data/prompts/factors.toml",
    "tunewise/_data/prompts/reasons/because.toml",
    "tunewise/_data/prompts/remote/sheet.md",
    "tunewise/_data/knowledge/rules.md",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with a wheel that was built from the sdist that was built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return folder


def test_the_wheel_holds_everything_that_runs(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert not [name for name in WHOLE if name not in names]
    tracked = {
        str(file.relative_to(ROOT / "src"))
        for file in (ROOT / "src" / "tunewise").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert tracked <= names
    data = {f"tunewise/_data/knowledge/{file.name}" for file in (ROOT / "knowledge").glob("*.md")}
    assert data and data <= names
    assert not [name for name in names if name.startswith(("tests", "evals", "tunewise/_data/evals"))]
    for line in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {line}" in metadata
    assert "License-Expression: Apache-2.0" in metadata


def test_the_sdist_holds_the_sources_and_no_runs(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "Dockerfile", "src/tunewise/py.typed", "tests/conftest.py"}
    assert wanted <= names and "prompts/sheet.md" in names
    assert not [name for name in names if name.startswith("evals/runs") or name.endswith((".gguf", ".pyc"))]


def test_what_is_installed_runs_without_the_checkout(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120, capture_output=True)
    code = (
        "import tunewise, tunewise.settings as s; from tunewise.prompts import PromptLibrary;"
        "print(tunewise.__file__, s.resource('knowledge'), len(PromptLibrary(s.resource('prompts')).factors))"
    )
    env = {**os.environ, "PYTHONPATH": str(target)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    package, knowledge, factors = ended.stdout.split()
    assert package.startswith(str(target)) and knowledge.startswith(str(target)) and int(factors) > 5
    command = [sys.executable, "-m", "tunewise", "estimate", "verdicts", "100"]
    assert subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60).returncode == 0


def test_every_extra_is_bounded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    loose = [item for item in listed if ">=" not in item and not item.startswith(("tunewise[", "types-"))]
    assert not loose


def test_the_image_reads_documents_as_its_page_offers():
    steps = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert '/pip install --no-cache-dir ".[documents]"' in steps


def test_a_container_is_stopped_by_what_the_program_hears():
    assert "STOPSIGNAL SIGINT" in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
