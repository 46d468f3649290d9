"""From what the model computed to a verdict: features, mixture, method, question. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tunewise import guidance
from tunewise.heads import AVERAGED
from tunewise.prompts import FactorSpec
from tunewise.schema import Factor, Method, Verdict

CLOSE_CALL = 0.15
"""Lead over the runner-up below which a verdict is called too close to call."""
REASONS_FOR: dict[Verdict, tuple[str, ...]] = {
    Verdict.TRAIN_FROM_SCRATCH: ("input", "base", "labels", "raw", "device", "aim", "gap", "compute"),
    Verdict.FINE_TUNE: ("labels", "base", "gap", "baseline", "raw", "device", "input", "compute", "privacy"),
    Verdict.USE_AS_IS: ("baseline", "gap", "change", "labels", "base", "input", "compute", "privacy"),
    Verdict.NEEDS_MORE_INFORMATION: ("task", "input", "labels", "base", "gap", "baseline", "compute"),
}
"""Which factors carry a verdict, the weightiest first; order of knowledge/rules.md."""
REPEATED = 2
"""Rank of a factor whose words carry another reason already: behind all that speak for the verdict."""
EMBEDDING_WIDTH = 384
"""Length of a sentence embedding, the last of the features."""
ASKING = re.compile(
    r"^\W*(?:(?:what|how|why)\b(?!\s+(?:we|i|it|they)\s+(?:have|has|had|want|need|do|does|is|works?)\b|[^?]*:)"
    r"|which \w+ should\b"
    r"|(?:which|where|who|should|shall|must|can|could|may|do|does|did|is|are|would|will)\s+(?:i|we|you|it|they|one|there|this|that|these|those|the|our|my|your|any|an?)\b)",
    re.I,
)
"""Words that ask for advice state no fact, whatever factor they seem to speak of; a clause cut off its subject
("must not leave our servers") does."""
WORTH_ASKING = ("task", "input", "gap", "labels", "base", "baseline", "change", "raw", "compute", "device")
"""Factors in the order in which an unstated one is asked for."""


def features(
    states: NDArray[np.float32], pooled: NDArray[np.float32], embedding: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Features of the verdict's read-out: hidden states and embedding, in one vector.

    Args:
        states: Hidden states at the factors and at the verdict, shape (factors + 1, width).
        pooled: Hidden states pooled over the situation, shape (heads.POOLED, width).
        embedding: Sentence embedding of the situation, shape (384,).
    """
    return np.concatenate([states.ravel(), pooled.ravel(), embedding]).astype(np.float32)


def factor_features(state: NDArray[np.float32], pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of a factor's read-out: its own hidden state, and the situation's averaged ones.

    Args:
        state: Hidden state at the factor, shape (width,).
        pooled: Hidden states pooled over the situation, shape (heads.POOLED, width).
    """
    return np.concatenate([state, pooled[:AVERAGED].ravel()]).astype(np.float32)


def one_hot(specs: Sequence[FactorSpec], levels: Mapping[str, str]) -> NDArray[np.float32]:
    """A sheet as a vector: for every level of every factor 1 where it was chosen, 0 elsewhere."""
    return np.array([levels[spec.name] == level.name for spec in specs for level in spec.levels], dtype=np.float32)


def verdict_of(probabilities: Sequence[float]) -> Verdict:
    """The most probable verdict."""
    return list(Verdict)[int(np.argmax(np.asarray(probabilities)))]


def notes(
    verdict: Verdict, probabilities: Mapping[Verdict, float], factors: Sequence[Factor], *, calibrated: bool
) -> tuple[str, ...]:
    """What a reader must know of a decision: a close call, a sheet that disagrees, no calibration."""
    said = []
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    (_, first), (rival, second) = ranked[0], ranked[1]
    if first - second < CLOSE_CALL:
        said.append(f"Too close to call: '{rival.label}' is nearly as probable.")
    against = [factor for factor in factors if factor.known and factor.pushes_toward not in (None, verdict)]
    support = [factor for factor in factors if factor.known and factor.pushes_toward is verdict]
    if len(against) > len(support) + 2 and verdict is not Verdict.NEEDS_MORE_INFORMATION:
        named = ", ".join(f"{factor.name}: {factor.level}" for factor in against[:3])
        said.append(f"Some factors speak for another way ({named}); check them before you rely on this.")
    if not calibrated:
        said.append("The probabilities are the model's own and are not calibrated.")
    return tuple(said)


def tempered(probabilities: Sequence[float], factors: Sequence[Factor]) -> tuple[float, ...]:
    """Probabilities drawn toward the verdicts that the levels of the sheet push to.

    Used where no read-out was fitted: the verdict's own words are mixed with the pushes of the sheet.
    """
    votes = np.full(len(Verdict), 0.5)
    order = list(Verdict)
    for factor in factors:
        if factor.pushes_toward is not None:
            votes[order.index(factor.pushes_toward)] += factor.probability
    mixed = np.asarray(probabilities) * votes
    return tuple(float(value) for value in mixed / mixed.sum())


def carrying(verdict: Verdict, factors: Sequence[Factor], count: int, because: Mapping[str, str]) -> tuple[Factor, ...]:
    """The factors that a verdict's reasons should rest on, the weightiest first.

    Factors that push toward the verdict come first, then those for which a clause says why they speak
    for it, then other stated ones; one that pushes another way is never among them while others remain.

    Args:
        verdict: What the reasons are for.
        factors: The sheet.
        count: How many to return.
        because: Clauses by `factor.level`.
    """
    order = REASONS_FOR[verdict]
    undecided = verdict is Verdict.NEEDS_MORE_INFORMATION

    def weight(factor: Factor) -> tuple[int, int, int]:
        place = order.index(factor.name) if factor.name in order else len(order)
        unquoted = int(factor.quote is None)
        explained = f"{factor.name}.{factor.level}" in because
        if undecided:
            return (0 if not factor.known or factor.level in ("vague", "other") else 1, 0, place)
        if factor.pushes_toward is verdict:
            return (0, unquoted, place)
        if factor.pushes_toward is None and factor.known:
            return (1 if explained else 2, unquoted, place)
        return (3 if not factor.known else 4, unquoted, place)

    ranked = sorted(factors, key=weight)
    first = {factor.quote: factor for factor in reversed(ranked) if factor.quote}
    # Two reasons on the same words read like one said twice; better than one against the verdict, though.
    repeated = [factor for factor in ranked if factor.quote and first[factor.quote] is not factor]
    ranked.sort(key=lambda factor: max(weight(factor)[0], REPEATED) if factor in repeated else weight(factor)[0])
    return tuple(ranked[:count])


def open_factor(verdict: Verdict, factors: Sequence[Factor], settled: Collection[str] = ()) -> str | None:
    """Name of the first unstated factor that is worth asking for, or None where all are stated.

    Args:
        verdict: What was decided.
        factors: The sheet.
        settled: Factors that were asked about before.
    """
    known = {factor.name: factor for factor in factors}
    for name in WORTH_ASKING:
        factor = known.get(name)
        if factor is None or factor.corrected or name in settled:
            continue
        if not factor.known or factor.level == "vague" or (factor.name == "input" and factor.level == "other"):
            return name
    if verdict is not Verdict.NEEDS_MORE_INFORMATION:
        return None
    return next((factor.name for factor in factors if not factor.known and factor.name not in settled), "task")


def stated(factor: Factor) -> bool:
    """Whether the person's words settle a factor; a level that the model only infers does not count."""
    if factor.corrected or factor.name == "task":
        return True
    if factor.name == "input":
        return factor.level != "other"
    return factor.known and factor.quote is not None and not ASKING.match(factor.quote)


def method(verdict: Verdict, factors: Sequence[Factor], text: str = "") -> Method | None:
    """How to carry a verdict out, by the rules of `guidance.toml`; None when more information is needed."""
    options = guidance.rank(verdict, {factor.name: factor.level for factor in factors}, text)
    return options[0].method if options else None
