"""The maps that bring a query near the facts that answer it."""

import numpy as np
import pytest
from evals.retrieval import adapting

from tunewise import adapter
from tunewise.adapter import Adapter
from tunewise.errors import ArtifactError


@pytest.fixture
def forgotten():
    Adapter.shipped.cache_clear()
    yield
    Adapter.shipped.cache_clear()


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_shipped_maps_keep_a_vector_of_length_one():
    shipped = Adapter.shipped()
    rows = unit(np.random.default_rng(0).normal(size=(5, 384)))
    for turned in (shipped.queries(rows), shipped.facts(rows)):
        assert turned.shape == rows.shape and np.allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-5)
    assert np.allclose(shipped.queries(rows[0]), shipped.queries(rows)[0], atol=1e-6)


def test_a_damaged_file_is_named(tmp_path, monkeypatch, forgotten):
    broken = tmp_path / "adapter.npz"
    broken.write_bytes(adapter.FILE.read_bytes()[:1000])
    monkeypatch.setattr(adapter, "FILE", broken)
    with pytest.raises(ArtifactError, match="adapter is damaged"):
        Adapter.shipped()


def test_questions_move_to_their_facts_and_unseen_ones_with_them():
    chance = np.random.default_rng(1)
    facts = unit(chance.normal(size=(60, 384)))
    # What is asked leans on directions that say nothing of the fact, as the wording of a question does.
    manner = chance.normal(size=(8, 384))
    answers = np.repeat(np.arange(60), 20)
    asked = unit(facts[answers] + 0.12 * chance.normal(size=(1200, 8)) @ manner)
    seen = np.arange(1200) % 20 < 15
    query, fact = adapting.fit(asked[seen], answers[seen], facts, steps=60)
    fitted = Adapter(query, fact, digest="")

    def right(questions, told):
        return float(np.mean((questions @ told.T).argmax(axis=1) == answers[~seen]))

    before = right(asked[~seen], facts)
    after = right(fitted.queries(asked[~seen]), fitted.facts(facts))
    assert before < 0.8 and after > before + 0.15
