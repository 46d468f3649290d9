"""The algebra behind the decision heads, without the model."""

import numpy as np
import pytest

from tunewise.errors import UserError
from tunewise.evaluation import fitting
from tunewise.evaluation.scenarios import Scenario


@pytest.fixture(scope="module", params=[(200, 900), (900, 200)])
def rows(request):
    chance = np.random.default_rng(0)
    count, features = request.param
    # A few strong directions and many weak ones, as hidden states have.
    return (chance.normal(size=(count, features)) * np.geomspace(10, 0.1, features)).astype(np.float32)


def scenario(name, verdict):
    return Scenario(id=name, situation=name, verdict=verdict, family=name)


def test_few_coordinates_are_the_leading_ones_of_all(rows):
    whole, few = fitting.Space.of(rows), fitting.Space.of(rows, rank=40)
    assert few.coordinates.shape == (len(rows), 39)
    # Signs are free, so distances are compared: those of the 39 directions of most variance.
    leading = whole.coordinates[:, -39:]
    assert np.allclose(few.coordinates @ few.coordinates.T, leading @ leading.T, rtol=1e-6, atol=1e-6)


def test_all_coordinates_keep_every_distance(rows):
    space = fitting.Space.of(rows)
    standard = space.standard.astype(np.float64)
    assert np.allclose(space.coordinates @ space.coordinates.T, standard @ standard.T, atol=0.5)


def test_a_read_out_says_of_raw_features_what_the_fit_says_of_coordinates(rows):
    labels = (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0)
    space = fitting.Space.of(rows, rank=60)
    model = fitting._classifier(1e-2).fit(space.coordinates, labels)
    read_out = space.read_out(model, 3)
    found = [read_out.log_odds(row) for row in rows[:20]]
    assert np.allclose(found, model.decision_function(space.coordinates[:20]), atol=1e-3)


def test_steadying_shortens_what_a_copy_changes_and_nothing_else():
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(60, 12))
    rows[30:] = rows[:30]
    rows[30:, 0] += 5 * chance.normal(size=30)
    pairs = np.array([(place + 30, place) for place in range(30)])
    steady = fitting.steadied(rows, pairs)
    moved = steady(rows)
    assert np.abs(moved[:, 0]).max() < 0.5 * np.abs(rows[:, 0]).max()
    assert np.allclose(moved[:, 1:], rows[:, 1:], atol=1e-9)
    assert np.array_equal(fitting.steadied(rows, pairs[:0])(rows), rows)


def test_of_equally_good_strengths_the_one_with_the_fewest_flips_is_taken():
    every = [scenario(str(place), verdict) for place, verdict in enumerate(fitting.ORDER * 5)]
    copies = [item.model_copy() for item in every]
    labels = np.array([fitting.ORDER.index(item.verdict) for item in every + copies])
    chance = np.random.default_rng(2)
    sure = 4 * np.eye(4)[labels] + 0.1 * chance.normal(size=(40, 4))
    shaky = sure.copy()
    shaky[20:26] = -shaky[20:26]
    wrong = -sure
    assert fitting._chosen({1e-4: shaky, 3e-4: sure + 1e-3, 1e-3: wrong}, labels, every + copies, 20) == 3e-4


def test_figures_without_a_case_are_left_out_and_no_copy_flips():
    every = [scenario(str(place), "use_as_is") for place in range(6)]
    scores = np.tile([0.0, 0.0, 3.0, 0.0], (6, 1))
    assert "train_versus_fine_tune" not in fitting.figures(scores, every, 1.0)
    assert all(np.isfinite(value) for value in fitting.figures(scores, every, 1.0).values())
    assert fitting._flips(scores, every, 6) == 0.0


def test_scenarios_that_no_head_can_be_fitted_on_are_refused_before_they_are_read():
    every = [scenario(str(place), verdict) for place, verdict in enumerate(fitting.ORDER)]
    with pytest.raises(UserError, match="fewer than 5 families"):
        fitting.check_kinds(every)
    with pytest.raises(UserError, match="needs_more_information"):
        fitting.check_kinds(every[:3])
    fitting.check_kinds([*every, scenario("more", "use_as_is")])


def test_readings_are_kept_whole_or_not_at_all(tmp_path, monkeypatch):
    cache, known = tmp_path / "runs" / "features.npz", {"a": np.ones(4, dtype=np.float32)}
    fitting._keep(cache, "key", known)
    assert fitting._known(cache, "other") == {}

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        fitting._keep(cache, "key", known | {"b": np.ones(4, dtype=np.float32)})
    assert list(fitting._known(cache, "key")) == ["a"]
    cache.write_bytes(cache.read_bytes()[:200])
    assert fitting._known(cache, "key") == {}
