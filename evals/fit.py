"""Fit the decision head on labelled scenarios.

    python -m evals.fit SCENARIOS.jsonl … [--features FILE]

Reads every scenario once with the local model (about two seconds each on two cores; what was read is
kept and an interrupted run goes on), then fits one linear read-out for the verdict and one for each
factor, and judges them by cross-validation grouped by family. Needs the extra `dev`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold

from tunewise import Advisor, Verdict, decision, dialogue
from tunewise.heads import HeadCard, ReadOut, save, softmax
from tunewise.prompts import FactorSpec
from tunewise.session import open_session

ORDER = list(Verdict)
FOLDS = 5
STRENGTHS = (3e-5, 1e-4, 3e-4, 1e-3)
"""Inverse regularisation strengths tried for the verdict."""
FACTOR_STRENGTH = 1e-3
TOPIC_STRENGTH = 0.02
ROUTING = Path(__file__).parent / "routing"
OFF_TOPIC, QUESTIONS = ROUTING / "off-topic.txt", ROUTING / "questions.txt"
LEAST = 40
"""Labelled scenarios below which a factor keeps the model's own words."""
KEEP_EVERY = 20
Array = NDArray[np.float32]


def read_scenarios(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Scenarios of several files, in order."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]


def compute(advisor: Advisor, scenarios: Sequence[dict[str, Any]], cache: Path) -> tuple[Array, Array]:
    """Features of every scenario: shape (n, features), and hidden states (n, factors + 1, width)."""
    key = advisor.library.digest[:16] + advisor.model.fingerprint[:16]
    known: dict[str, Array] = {}
    if cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                known = dict(zip(stored["texts"].tolist(), stored["rows"], strict=True))
    missing = [scenario["situation"] for scenario in scenarios if scenario["situation"] not in known]
    width = (len(advisor.library.factors) + 1) * advisor.model.width
    for place, text in enumerate(track(missing, "Reading scenarios", console=Console(stderr=True)), start=1):
        with open_session(advisor.model, advisor.reader.prefix) as session:
            reading = advisor.reader.read(session, text)
        vector = advisor.embedder.encode([text])[0]
        known[text] = decision.features(reading.states, reading.probabilities, reading.verdicts, vector)
        if place % KEEP_EVERY == 0 or place == len(missing):
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(cache, key=np.array(key), texts=np.array(list(known)), rows=np.array(list(known.values())))
    rows = np.array([known[scenario["situation"]] for scenario in scenarios], dtype=np.float32)
    states = rows[:, :width].reshape(len(rows), -1, advisor.model.width)
    return rows, states


def fit_read_out(
    rows: Array, labels: NDArray[Any], classes: int, strength: float, *, balanced: bool = False
) -> ReadOut:
    """A logistic regression on standardised features.

    With an L2 penalty the solution lies in the span of the rows, so it is sought there: n coordinates
    instead of 20,000, and the same weights.
    """
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
    standard = (rows - mean) / scale
    squares, basis = np.linalg.eigh(standard @ standard.T)
    kept = squares > squares[-1] * 1e-6
    lengths, basis = np.sqrt(squares[kept]), basis[:, kept]
    weighting = "balanced" if balanced else None
    model = LogisticRegression(C=strength, max_iter=400, class_weight=weighting).fit(basis * lengths, labels)
    spanned = standard.T @ (basis / lengths) @ model.coef_.T
    weights = np.zeros((rows.shape[1], classes), dtype=np.float32)
    bias = np.full(classes, -12.0, dtype=np.float32)
    if len(model.classes_) == 2:
        weights[:, model.classes_[1]], bias[model.classes_] = spanned[:, 0], (0.0, float(model.intercept_[0]))
    else:
        weights[:, model.classes_], bias[model.classes_] = spanned, model.intercept_
    return ReadOut(mean, scale, weights, bias)


def scores_of(readout: ReadOut, rows: Array) -> Array:
    """Log-odds, shape (n, classes)."""
    return np.asarray((rows - readout.mean) / readout.scale @ readout.weights + readout.bias, dtype=np.float32)


def out_of_fold(rows: Array, labels: NDArray[Any], groups: NDArray[Any], strength: float) -> Array:
    """Log-odds of each scenario by a fit that had not seen its family."""
    scores = np.zeros((len(rows), len(ORDER)), dtype=np.float32)
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels, groups):
        scores[test] = scores_of(fit_read_out(rows[train], labels[train], len(ORDER), strength), rows[test])
    return scores


def loss(scores: Array, labels: NDArray[Any], temperature: float) -> float:
    """Mean negative log-likelihood."""
    chances = [softmax(row / temperature)[label] for row, label in zip(scores, labels, strict=True)]
    return -float(np.mean(np.log(np.maximum(chances, 1e-9))))


def calibration_error(scores: Array, labels: NDArray[Any], temperature: float, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    chances = np.array([softmax(row / temperature) for row in scores])
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == labels
    places = np.minimum((sure * bins).astype(int), bins - 1)
    return float(
        sum(abs(sure[places == b].mean() - right[places == b].mean()) * (places == b).mean() for b in set(places))
    )


def figures(scores: Array, scenarios: Sequence[dict[str, Any]], temperature: float) -> dict[str, float]:
    """Accuracy strict and fair, the train-versus-fine-tune slice, and calibration."""
    labels = np.array([ORDER.index(Verdict(scenario["verdict"])) for scenario in scenarios])
    guess = scores.argmax(axis=1)
    fair = [
        ORDER[place] in {scenario["verdict"], *scenario["fair"]}
        for place, scenario in zip(guess, scenarios, strict=True)
    ]
    core = labels < 2
    return {
        "strict": round(float((guess == labels).mean()), 3),
        "fair": round(float(np.mean(fair)), 3),
        "train_versus_fine_tune": round(float((guess[core] == labels[core]).mean()), 3),
        "ece": round(calibration_error(scores, labels, temperature), 3),
        "nll": round(loss(scores, labels, temperature), 3),
    }


def fit_factors(
    specs: Sequence[FactorSpec], states: Array, scenarios: Sequence[dict[str, Any]]
) -> tuple[dict[str, ReadOut], dict[str, float]]:
    """A read-out for each factor with enough labels; a vague scenario's unlabelled factors are unstated."""
    readouts, accuracy = {}, {}
    for place, spec in enumerate(specs):
        names = [level.name for level in spec.levels]
        given = [
            scenario["factors"].get(spec.name, spec.silent.name if spec.silent else None) for scenario in scenarios
        ]
        kept = [row for row, level in enumerate(given) if level in names]
        labels = np.array([names.index(given[row]) for row in kept])
        groups = np.array([scenarios[row]["family"] for row in kept])
        if len(kept) < LEAST or len(set(labels)) < 2:
            continue
        rows = states[kept, place]
        right = []
        for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels, groups):
            fold = fit_read_out(rows[train], labels[train], len(names), FACTOR_STRENGTH)
            right += (scores_of(fold, rows[test]).argmax(axis=1) == labels[test]).tolist()
        readouts[spec.name] = fit_read_out(rows, labels, len(names), FACTOR_STRENGTH)
        accuracy[spec.name] = round(float(np.mean(right)), 3)
    return readouts, accuracy


def fit_topic(advisor: Advisor, scenarios: Sequence[dict[str, Any]]) -> ReadOut:
    """Tells situations from messages about anything else; says how often it errs out of fold."""
    ours = [scenario["situation"] for scenario in scenarios] + questions()
    others = OFF_TOPIC.read_text().splitlines()
    vectors = advisor.embedder.encode(ours + others)
    nearest = (vectors @ advisor.index.vectors.T).max(axis=1)
    rows = np.array(
        [
            dialogue.topic_features(text, vector, float(closeness))
            for text, vector, closeness in zip(ours + others, vectors, nearest, strict=True)
        ]
    )
    labels = np.array([1] * len(ours) + [0] * len(others))
    chances = np.zeros(len(rows))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels):
        fold = fit_read_out(rows[train], labels[train], 2, TOPIC_STRENGTH, balanced=True)
        chances[test] = [fold.probabilities(row)[1] for row in rows[test]]
    refused = int((chances[labels == 1] < dialogue.ON_TOPIC).sum())
    missed = int((chances[labels == 0] >= dialogue.ON_TOPIC).sum())
    Console().print(f"topic: {refused} of {len(ours)} of ours refused, {missed} of {len(others)} others let in")
    return fit_read_out(rows, labels, 2, TOPIC_STRENGTH, balanced=True)


def questions() -> list[str]:
    """Questions about the subject, which are ours too."""
    return [line for line in QUESTIONS.read_text().splitlines() if line]


def main() -> None:
    """Read the arguments and fit."""
    parser = argparse.ArgumentParser(prog="python -m evals.fit", description="Fit the decision head.")
    parser.add_argument("scenarios", nargs="+", type=Path)
    parser.add_argument("--features", type=Path, default=Path("evals/runs/features.npz"), help="what was read before")
    parser.add_argument("--out", type=Path, default=Path("src/tunewise"), help="where head.npz and head.json go")
    arguments = parser.parse_args()
    console = Console()
    scenarios = read_scenarios(arguments.scenarios)
    advisor = Advisor()
    rows, states = compute(advisor, scenarios, arguments.features)
    labels = np.array([ORDER.index(Verdict(scenario["verdict"])) for scenario in scenarios])
    groups = np.array([scenario["family"] for scenario in scenarios])
    folds = {strength: out_of_fold(rows, labels, groups, strength) for strength in STRENGTHS}
    for strength, scores in folds.items():
        console.print(f"C = {strength:g}: {figures(scores, scenarios, 1.0)}")
    strength = min(folds, key=lambda item: min(loss(folds[item], labels, t) for t in (0.7, 1.0, 1.5, 2.0, 3.0)))
    temperature = float(min(np.linspace(0.4, 4.0, 73), key=lambda t: loss(folds[strength], labels, float(t))))
    best = figures(folds[strength], scenarios, temperature)
    fitted = fit_read_out(rows, labels, len(ORDER), strength)
    verdict = ReadOut(fitted.mean, fitted.scale, fitted.weights, fitted.bias, temperature)
    factors, accuracy = fit_factors(advisor.library.factors, states, scenarios)
    console.print(f"chosen: C = {strength:g}, temperature {temperature:.2f}, {best}\nfactors: {accuracy}")
    card = HeadCard(
        model_sha256=advisor.model.fingerprint,
        prompts=advisor.library.digest,
        scenarios=len(scenarios),
        out_of_fold=best | {f"factor {name}": value for name, value in accuracy.items()},
    )
    save(arguments.out, card, {"verdict": verdict, "topic": fit_topic(advisor, scenarios)} | factors)


if __name__ == "__main__":
    main()
