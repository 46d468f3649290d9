"""Fit the decision heads: linear read-outs of the verdict, of each factor and of the topic.

Every scenario is read once with the local model. All fits work on the rows' Gram matrix: with an L2
penalty the solution lies in the span of the rows (Kimeldorf and Wahba 1971), so a fit has as many
coordinates as there are scenarios instead of 20,000, and a fold of cross-validation takes a second.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold

from tunewise import decision, dialogue
from tunewise.advisor import Advisor
from tunewise.errors import InputError, UserError
from tunewise.evaluation import metrics
from tunewise.evaluation.rewriting import Material
from tunewise.evaluation.scenarios import Scenario
from tunewise.heads import AVERAGED, DAMAGE, POOLED, HeadCard, ReadOut, softmax
from tunewise.llm import DEPTHS
from tunewise.prompts import FactorSpec
from tunewise.schema import Verdict
from tunewise.together import Lanes

ORDER = list(Verdict)
FOLDS = 5
SEEDS = (0,)
"""Cross-validation is repeated with these shuffles and its scores averaged."""
STRENGTHS = (1e-4, 3e-4, 1e-3)
"""Inverse regularisation strengths tried for the verdict; see `_chosen`."""
FACTOR_STRENGTH = 1e-3
TOPIC_STRENGTH = 0.02
SHEET_STRENGTH = 0.3
ITERATIONS, TOLERANCE = 500, 1e-3
VERDICT_STATE, MEANS, SPREADS, EMBEDDING = 5.0, 7.0, 5.0, 5.0
"""How much more the verdict's hidden state, the pooled ones and the embedding count than a factor's state."""
OWN_STATE = 5.0
"""How much more its own hidden state counts for a factor than the averaged ones."""
FACTOR_RANK = 600
"""Most coordinates of a factor's fit: the directions of least variance cost minutes and give a point at most."""
LEAST = 40
"""Labelled scenarios below which a factor keeps the model's own words."""
STEADY = 3.0
"""How much more a direction costs in which the disturbed copies differ from their scenarios."""
DISTURBED = 0.2
"""Share of the scenarios of which a disturbed copy is fitted on too, so that a verdict stands under small talk,
slips of the keyboard and orders to the model."""
KEEP_EVERY = 100
Rows = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Readings:
    """What the model computed of every scenario."""

    rows: Rows
    """Features of the verdict's read-out, shape (n, features)."""
    states: Rows
    """Hidden states at the factors and at the verdict, shape (n, factors + 1, width)."""
    pooled: Rows
    """Hidden states pooled over the situation, shape (n, POOLED, width)."""


@dataclass(frozen=True)
class Space:
    """Standardised rows, weighted by feature, in coordinates of their own span.

    The mean and scale are those of all rows, held-out ones too; labels play no part in them.
    """

    mean: Rows
    scale: Rows
    """Standard deviation divided by the feature's weight."""
    standard: Rows
    """Shape (n, features)."""
    basis: Floats
    lengths: Floats

    @classmethod
    def of(cls, rows: Rows, weights: Rows | None = None, rank: int | None = None) -> "Space":
        """Standardise rows of shape (n, features), each feature multiplied by its weight.

        Of the coordinates, those of most variance are kept, fewer than `rank`; all where None.
        """
        mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
        return cls.scaled(rows, mean, scale if weights is None else scale / weights, rank)

    @classmethod
    def scaled(cls, rows: Rows, mean: Rows, scale: Rows, rank: int | None = None) -> "Space":
        """`of`, with a mean and a scale that are given."""
        standard = (rows - mean) / scale
        # The smaller of the two Gram matrices has the same spectrum.
        tall = len(standard) > standard.shape[1]
        gram = standard.T @ standard if tall else standard @ standard.T
        squares, basis = np.linalg.eigh(gram.astype(np.float64))
        kept = squares > squares[-1] * 1e-6
        if rank and rank <= len(squares):
            kept &= squares > squares[-rank]
        basis, lengths = basis[:, kept], np.sqrt(squares[kept])
        return cls(mean, scale, standard, (standard @ basis) / lengths if tall else basis, lengths)

    @property
    def coordinates(self) -> Floats:
        """The rows in their span, shape (n, rank)."""
        return self.basis * self.lengths

    def read_out(self, model: LogisticRegression, classes: int, temperature: float = 1.0) -> ReadOut:
        """A fit on `coordinates` as a map from raw features."""
        spanned = self.spanned(model.coef_.T)
        weights = np.zeros((self.standard.shape[1], classes), dtype=np.float32)
        bias = np.full(classes, -12.0, dtype=np.float32)
        if len(model.classes_) == 2:
            weights[:, model.classes_[1]] = spanned[:, 0]
            bias[model.classes_] = (0.0, float(model.intercept_[0]))
        else:
            weights[:, model.classes_], bias[model.classes_] = spanned, model.intercept_
        return ReadOut(self.mean, self.scale, weights, bias, temperature)

    def spanned(self, coefficients: Floats) -> Floats:
        """Coefficients of `coordinates`, shape (rank, classes), as those of standardised rows, (features, classes)."""
        return np.asarray(self.standard.T @ ((self.basis / self.lengths) @ coefficients), dtype=np.float64)


@dataclass(frozen=True)
class Fitted:
    """Heads ready to be saved, and what cross-validation says of them."""

    card: HeadCard
    readouts: Mapping[str, ReadOut]
    curve: Mapping[int, tuple[float, float]]
    """Learning curve: scenarios fitted on, to strict and fair accuracy out of fold."""


def read(
    advisor: Advisor, scenarios: Sequence[Scenario], cache: Path, progress: Callable[[int, int], None]
) -> Readings:
    """Read every scenario with the model; what was read before under the same prompts is taken over.

    Args:
        advisor: Holds model and prompts.
        scenarios: n of them.
        cache: Where readings are kept; an interrupted reading goes on from there.
        progress: Called with scenarios read and to be read.

    Raises:
        UserError: A scenario does not fit the context window.
    """
    key = advisor.library.digest[:16] + advisor.model.fingerprint[:16] + repr(DEPTHS)
    known = _known(cache, key)
    for scenario in scenarios:
        _check_length(advisor, scenario)
    missing = [scenario.situation for scenario in scenarios if scenario.situation not in known]
    if missing:
        lanes = Lanes(advisor)
        try:
            for place, (text, reading) in enumerate(zip(missing, lanes.glances(missing), strict=True), start=1):
                vector = advisor.embedder.encode([text])[0]
                known[text] = decision.features(reading.states, reading.pooled, vector)
                if place % KEEP_EVERY == 0 or place == len(missing):
                    _keep(cache, key, known)
                progress(place, len(missing))
        finally:
            lanes.close()
    rows = np.array([known[scenario.situation] for scenario in scenarios], dtype=np.float32)
    width, count = advisor.model.width, len(advisor.library.factors) + 1
    states = rows[:, : (count + POOLED) * width].reshape(len(rows), -1, width)
    return Readings(rows, states[:, :count], states[:, count:])


def _check_length(advisor: Advisor, scenario: Scenario) -> None:
    try:
        advisor.check_length(scenario.situation)
    except InputError as error:
        raise UserError(f"Scenario {scenario.id} cannot be read: {error.message}", "Shorten it.") from error


def check_kinds(scenarios: Sequence[Scenario]) -> None:
    """Refuse scenarios that no head can be fitted on.

    Raises:
        UserError: A verdict is missing, or there are too few families to judge a fit by.
    """
    missing = [verdict.value for verdict in ORDER if verdict not in {scenario.verdict for scenario in scenarios}]
    if missing:
        raise UserError(f"No scenario has the verdict {' or '.join(missing)}.", "A head needs examples of all four.")
    if len({scenario.family for scenario in scenarios}) < FOLDS:
        raise UserError(f"There are fewer than {FOLDS} families of scenarios.", "A fit leaves families out in turn.")


def disturbed(scenarios: Sequence[Scenario], material: Material) -> list[Scenario]:
    """Copies of some of the scenarios, in another wording that changes nothing; ids and labels stay."""
    some = [item for item in scenarios if sha256(item.id.encode()).digest()[0] < DISTURBED * 256]
    return [item.model_copy(update={"situation": material.disturb(item.situation)}) for item in some]


def fit(
    advisor: Advisor, scenarios: Sequence[Scenario], copies: Sequence[Scenario], readings: Readings, routing: Path
) -> Fitted:
    """Fit every read-out and judge it by cross-validation grouped by family.

    Args:
        advisor: Holds model, prompts, index and embedder.
        scenarios: n, labelled; none of a test split.
        copies: Disturbed ones, fitted on as well; no figure but `flips` counts them.
        readings: Of the scenarios and, after them, of the copies.
        routing: Folder with `off-topic.txt` and `questions.txt`.
    """
    count, every = len(scenarios), [*scenarios, *copies]
    labels = np.array([ORDER.index(scenario.verdict) for scenario in every])
    groups = np.array([scenario.family for scenario in every])
    space = Space.of(readings.rows, _weights(readings))
    pairs = pairs_of(every, count)
    folds = {strength: _out_of_fold(space.coordinates, labels, groups, strength, pairs) for strength in STRENGTHS}
    strength = _chosen(folds, labels, every, count)
    _, temperature = _tempered_loss(folds[strength][:count], labels[:count])
    steady = steadied(space.coordinates, pairs)
    model = _classifier(strength).fit(steady(space.coordinates), labels)
    model.coef_ = steady(model.coef_)
    factors, accuracy = _fit_factors(advisor.library.factors, readings, every, count)
    topic, routing_errors = _fit_topic(advisor, scenarios, routing)
    card = HeadCard(
        model_sha256=advisor.model.fingerprint,
        prompts=advisor.library.digest,
        scenarios=len(scenarios),
        out_of_fold=figures(folds[strength][:count], scenarios, temperature)
        | {"flips": _flips(folds[strength], every, count), "copies": len(copies)}
        | {"strength": strength, "temperature": round(temperature, 3)}
        | {f"factor {name}": value for name, value in accuracy.items()}
        | routing_errors,
    )
    readouts = {
        "verdict": space.read_out(model, len(ORDER), temperature),
        "topic": topic,
        "sheet": _fit_sheet(advisor.library.factors, scenarios),
    } | factors
    return Fitted(card, readouts, dict(_learning_curve(space.coordinates, every, count, strength, pairs)))


def figures(scores: Floats, scenarios: Sequence[Scenario], temperature: float) -> dict[str, float]:
    """Accuracy strict and fair, the train-versus-fine-tune slice if any, and calibration, of log-odds (n, 4)."""
    labels = np.array([ORDER.index(scenario.verdict) for scenario in scenarios])
    chances = np.array([softmax(row / temperature) for row in scores])
    guess = chances.argmax(axis=1)
    fair = [scenario.accepts(ORDER[place]) for place, scenario in zip(guess, scenarios, strict=True)]
    core = labels < 2
    found = {"strict": float((guess == labels).mean()), "fair": float(np.mean(fair))}
    if core.any():
        found["train_versus_fine_tune"] = float((guess[core] == labels[core]).mean())
    found["ece"] = metrics.expected_calibration_error(chances, labels)
    found["log_loss"] = metrics.log_loss(chances, labels)
    return {name: round(value, 3) for name, value in found.items()}


def _flips(scores: Floats, every: Sequence[Scenario], count: int) -> float:
    """Share of the copies, which stand from `count` on, that are judged otherwise than their scenario; 0 of none."""
    if len(every) == count:
        return 0.0
    guess = dict(zip([scenario.id for scenario in every[:count]], scores[:count].argmax(axis=1), strict=True))
    copies = zip(every[count:], scores[count:].argmax(axis=1), strict=True)
    return round(float(np.mean([guess[scenario.id] != verdict for scenario, verdict in copies])), 3)


def _known(cache: Path, key: str) -> dict[str, Rows]:
    try:
        with np.load(cache, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return {}
            return dict(zip(stored["texts"].tolist(), stored["rows"], strict=True))
    except DAMAGE:
        return {}


def _keep(cache: Path, key: str, known: Mapping[str, Rows]) -> None:
    """Write readings; what was written before stands until the new file is whole."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_name(f"{cache.stem}.{os.getpid()}.partial.npz")
    try:
        np.savez(partial, key=np.array(key), texts=np.array(list(known)), rows=np.array(list(known.values())))
        partial.replace(cache)
    finally:
        partial.unlink(missing_ok=True)


def _weights(readings: Readings) -> Rows:
    weights = np.ones(readings.rows.shape[1], dtype=np.float32)
    width = readings.states.shape[2]
    end = readings.states.shape[1] * width
    weights[end - width : end] = np.sqrt(VERDICT_STATE)
    means = end + AVERAGED * width
    weights[end:means] = np.sqrt(MEANS)
    weights[means : end + POOLED * width] = np.sqrt(SPREADS)
    weights[-decision.EMBEDDING_WIDTH :] = np.sqrt(EMBEDDING)
    return weights


def _own_state(readings: Readings) -> Rows:
    width = readings.states.shape[2]
    weights = np.ones(width * (1 + AVERAGED), dtype=np.float32)
    weights[:width] = np.sqrt(OWN_STATE)
    return weights


def _classifier(strength: float, *, balanced: bool = False) -> LogisticRegression:
    return LogisticRegression(
        C=strength, max_iter=ITERATIONS, tol=TOLERANCE, class_weight="balanced" if balanced else None
    )


def _log_odds(model: LogisticRegression, rows: Floats, classes: int) -> Floats:
    scores = np.full((len(rows), classes), -12.0)
    found = model.decision_function(rows)
    if len(model.classes_) == 2:
        found = np.stack([np.zeros(len(rows)), found], axis=1)
    scores[:, model.classes_] = found
    return scores


def pairs_of(every: Sequence[Scenario], count: int) -> Ints:
    """For each copy its place and that of its scenario, shape (copies, 2)."""
    places = {scenario.id: place for place, scenario in enumerate(every[:count])}
    found = [(place, places[copy.id]) for place, copy in enumerate(every[count:], start=count)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def steadied(rows: Floats, pairs: Ints) -> Callable[[Floats], Floats]:
    """A symmetric map of coordinates that shortens the directions in which a copy differs from its scenario.

    A fit with an L2 penalty behind it leans on them less, so that its verdict stands under small talk and slips
    (Simard et al. 1992, "Tangent Prop"; Hatch et al. 2006, "Within-class covariance normalization").
    """
    if not len(pairs):
        return lambda found: found
    apart = rows[pairs[:, 0]] - rows[pairs[:, 1]]
    squares, basis = np.linalg.eigh(apart @ apart.T)
    kept = squares > squares[-1] * 1e-9
    directions = (basis[:, kept] / np.sqrt(squares[kept])).T @ apart
    shorter = 1 / np.sqrt(1 + STEADY * squares[kept] / len(pairs)) - 1
    return lambda found: found + ((found @ directions.T) * shorter) @ directions


def _out_of_fold(rows: Floats, labels: NDArray[Any], groups: NDArray[Any], strength: float, pairs: Ints) -> Floats:
    """Log-odds of each scenario by fits that had not seen its family."""
    scores = np.zeros((len(rows), len(ORDER)))
    for seed in SEEDS:
        for train, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(rows, labels, groups):
            scores[test] += _fitted_log_odds(rows, labels, train, test, strength, pairs) / len(SEEDS)
    return scores


def _fitted_log_odds(
    rows: Floats, labels: NDArray[Any], train: Ints, test: Ints, strength: float, pairs: Ints
) -> Floats:
    """Log-odds of some rows by a fit on others."""
    steady = steadied(rows, pairs[np.isin(pairs, train).all(axis=1)])
    model = _classifier(strength).fit(steady(rows[train]), labels[train])
    return _log_odds(model, steady(rows[test]), len(ORDER))


def _chosen(folds: Mapping[float, Floats], labels: Ints, every: Sequence[Scenario], count: int) -> float:
    """The strength under which the fewest copies flip, of those whose log loss is as good as the least.

    As good means within one standard error of the paired difference (after Breiman et al. 1984, "Classification and
    Regression Trees", the rule of one standard error).
    """
    losses = {}
    for strength, scores in folds.items():
        _, temperature = _tempered_loss(scores[:count], labels[:count])
        chances = np.array([softmax(row / temperature) for row in scores[:count]])
        losses[strength] = -np.log(chances[np.arange(count), labels[:count]])
    least = min(losses.values(), key=np.mean)
    beside = {strength: loss - least for strength, loss in losses.items()}
    near = [strength for strength, more in beside.items() if more.mean() <= more.std() / np.sqrt(count)]
    return min(near, key=lambda strength: _flips(folds[strength], every, count))


def _tempered_loss(scores: Floats, labels: NDArray[Any]) -> tuple[float, float]:
    """Least log loss over temperatures, and the temperature (Guo et al. 2017, arXiv:1706.04599)."""
    found = [
        (metrics.log_loss(np.array([softmax(row / t) for row in scores]), labels), float(t))
        for t in np.linspace(0.4, 4.0, 37)
    ]
    return min(found)


def _learning_curve(
    rows: Floats, every: Sequence[Scenario], count: int, strength: float, pairs: Ints
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Accuracy on the first `count`, without the copies, when each fold is fitted on a part of its families."""
    labels = np.array([ORDER.index(scenario.verdict) for scenario in every])
    groups = np.array([scenario.family for scenario in every])
    chance = np.random.default_rng(0)
    for share in (0.125, 0.25, 0.5, 1.0):
        scores, used = np.zeros((len(rows), len(ORDER))), []
        for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels, groups):
            families = chance.permutation(np.unique(groups[train]))
            some = train[np.isin(groups[train], families[: max(int(len(families) * share), 8)])]
            scores[test] = _fitted_log_odds(rows, labels, some, test, strength, pairs)
            used.append(int((some < count).sum()))
        found = figures(scores[:count], every[:count], 1.0)
        yield int(np.mean(used)), (found["strict"], found["fair"])


def _fit_factors(
    specs: Sequence[FactorSpec], readings: Readings, scenarios: Sequence[Scenario], count: int
) -> tuple[dict[str, ReadOut], dict[str, float]]:
    """A read-out for each factor with enough labels, and its accuracy on the first `count` scenarios.

    What a scenario leaves out counts as unstated.
    """
    readouts, accuracy = {}, {}
    for place, spec in enumerate(specs):
        names = [level.name for level in spec.levels]
        given = [scenario.factors.get(spec.name, spec.silent.name if spec.silent else None) for scenario in scenarios]
        kept = [row for row, level in enumerate(given) if level in names]
        labels = np.array([names.index(str(given[row])) for row in kept])
        if len(kept) < LEAST or len(set(labels)) < 2:
            continue
        groups = np.array([scenarios[row].family for row in kept])
        pairs = zip(readings.states[kept, place], readings.pooled[kept], strict=True)
        features = np.array([decision.factor_features(*pair) for pair in pairs])
        space = Space.of(features, _own_state(readings), FACTOR_RANK)
        rows = space.coordinates
        right: list[bool] = []
        for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels, groups):
            model = _classifier(FACTOR_STRENGTH).fit(rows[train], labels[train])
            own = [row for row in test if kept[row] < count]
            right += (model.predict(rows[own]) == labels[own]).tolist()
        readouts[spec.name] = space.read_out(_classifier(FACTOR_STRENGTH).fit(rows, labels), len(names))
        accuracy[spec.name] = round(float(np.mean(right)), 3)
    return readouts, accuracy


def _fit_sheet(specs: Sequence[FactorSpec], scenarios: Sequence[Scenario]) -> ReadOut:
    """From the levels that a writer gave to the verdict; what is left out counts as unstated."""
    first = {spec.name: (spec.silent or spec.levels[0]).name for spec in specs}
    rows = np.array([decision.one_hot(specs, first | dict(scenario.factors)) for scenario in scenarios])
    labels = np.array([ORDER.index(scenario.verdict) for scenario in scenarios])
    model = LogisticRegression(C=SHEET_STRENGTH, max_iter=1000).fit(rows, labels)
    plain = np.ones(rows.shape[1], dtype=np.float32)
    return ReadOut(0 * plain, plain, model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32))


def _fit_topic(advisor: Advisor, scenarios: Sequence[Scenario], routing: Path) -> tuple[ReadOut, dict[str, float]]:
    """Tells messages about models from all others, and how often it errs out of fold."""
    ours = [scenario.situation for scenario in scenarios] + _lines(routing / "questions.txt")
    others = _lines(routing / "off-topic.txt")
    vectors = advisor.embedder.encode(ours + others)
    nearest = (vectors @ advisor.index.vectors.T).max(axis=1)
    features = [
        dialogue.topic_features(text, vector, float(closeness))
        for text, vector, closeness in zip(ours + others, vectors, nearest, strict=True)
    ]
    labels = np.array([1] * len(ours) + [0] * len(others))
    space = Space.of(np.array(features))
    rows = space.coordinates
    chances = np.zeros(len(rows))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels):
        model = _classifier(TOPIC_STRENGTH, balanced=True).fit(rows[train], labels[train])
        chances[test] = model.predict_proba(rows[test])[:, 1]
    errors = {
        "ours_refused": float((chances[labels == 1] < dialogue.ON_TOPIC).mean()),
        "others_let_in": float((chances[labels == 0] >= dialogue.ON_TOPIC).mean()),
    }
    model = _classifier(TOPIC_STRENGTH, balanced=True).fit(rows, labels)
    return space.read_out(model, 2), {name: round(value, 4) for name, value in errors.items()}


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line]
