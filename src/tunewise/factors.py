"""The factor sheet: levels chosen under constraint, and the user's words that each rests on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewise.embedding import Embedder
from tunewise.estimation import quantities
from tunewise.estimation.rules import Kind
from tunewise.heads import AVERAGED, SPREAD
from tunewise.layers import States
from tunewise.llm import HOLE, LocalModel, Prefix
from tunewise.prompts import PHRASES, STRATEGY, Example, FactorSpec, PromptLibrary, reason_lead, verdict_line
from tunewise.schema import Factor
from tunewise.session import Session

REASONED = 3
"""Every so many worked examples, one also shows a reason; all of them would cost 900 tokens."""
ENDS = r".!?;,\n()。！？；，、：（）"
CLAUSE = re.compile(rf"[^{ENDS}]+(?:[.,](?=\d)[^{ENDS}]+)*")
# Thai writes a space between clauses, not between words. A run of blanks is entered at its beginning alone: tried at
# each of them, it takes the square of its length.
JOIN = re.compile(
    r"(?<!\s)\s+(?:and|but|so|because|while|und|aber|et|mais|y|pero)\s+|(?<=[\u0e01-\u0e4e])\s+(?=[\u0e01-\u0e4e])"
)
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that put no spaces between words; two of them count as a word."""
SHORTEST, LONGEST = 2, 24
"""Words of a clause that may be quoted."""
UNQUOTED = 0.5
"""Probability below which a level that no clause supports is shown as not stated."""
FEW_CARDS, MANY_CARDS = 2, 32
"""Cards from which the means are those of several GPUs, and below which they stay so."""
BELOW = frozenset({"little", "unknown"})
"""Levels that several stated cards contradict."""
CUE_WEIGHT = 0.22
FLOOR = 0.34
"""Least score of a clause that is quoted; below it the factor is shown without a quotation."""


@dataclass(frozen=True)
class Reading:
    """What the model computed about a situation."""

    probabilities: Mapping[str, tuple[float, ...]]
    """For each factor, the probability of each level, in the order of its definition."""
    verdicts: tuple[float, ...]
    """Probability of each verdict, in the order of `Verdict`, as the model itself words it."""
    states: NDArray[np.float32]
    """Hidden states, shape (factors + 1, width): one a factor, the last at the verdict."""
    pooled: NDArray[np.float32]
    """Mean and standard deviation of hidden states over the situation, shape (POOLED, width): statistics
    pooling as for speakers' voices (Snyder et al. 2018, "X-vectors")."""


class SheetReader:
    """Reads a situation into a factor sheet.

    Args:
        model: The local model.
        library: Prompts, factors and worked examples.
    """

    def __init__(self, model: LocalModel, library: PromptLibrary) -> None:
        self.factors = library.factors
        self.prefix: Prefix = model.prefix(_messages(library))
        self._texts = [f"{factor.name}:" for factor in self.factors] + [STRATEGY]
        self._options = [[f" {level.name}" for level in factor.levels] for factor in self.factors]
        self._options.append([f" {phrase}" for phrase in PHRASES.values()])

    def read(self, session: Session, situation: str) -> Reading:
        """Read the situation and weigh every factor and the verdict in one forward pass.

        The session is left behind the situation, ready for `reason_lead`.
        """
        start = session.position
        session.read(situation)
        length = session.position - start
        session.close_turn()
        read = session.hidden()[:, :length]
        choices, states = session.choose_side_by_side(self._texts, self._options)
        return self._reading(read, states, [choice.probabilities for choice in choices])

    def glance(self, session: Session, situation: str) -> Reading:
        """Hidden states alone, in three quarters of the time of `read`; the model's own words are left even.

        They are those of `read`, bit by bit. The session stays as it was.
        """
        read, states = session.read_at_once(situation, self._texts)
        return self._reading(read, states, [(1 / len(words),) * len(words) for words in self._options])

    def _reading(self, read: States, states: States, shares: Sequence[tuple[float, ...]]) -> Reading:
        *levels, verdict = shares
        names = [factor.name for factor in self.factors]
        # A factor is read best at three quarters of the depth, the verdict and the text somewhat earlier.
        chosen = np.concatenate([states[-1, :-1], states[-2, -1:]])
        pooled = np.concatenate([read[:AVERAGED].mean(axis=1), read[SPREAD].std(axis=1)])
        return Reading(dict(zip(names, levels, strict=True)), verdict, chosen, pooled)


def sheet(
    situation: str,
    factors: Sequence[FactorSpec],
    probabilities: Mapping[str, Sequence[float]],
    embedder: Embedder,
    meanings: NDArray[np.float32],
) -> tuple[Factor, ...]:
    """The factor sheet as it is shown.

    Args:
        situation: What the user wrote.
        factors: Definitions.
        probabilities: For each factor, the probability of each level.
        embedder: Finds the clause that a level rests on.
        meanings: From `embed_levels`.
    """
    told = told_by_figures(situation)
    clauses = split_clauses(situation)
    similarity = embedder.encode(clauses) @ meanings.T
    lines, column = [], 0
    for spec in factors:
        weights = np.asarray(probabilities[spec.name])
        place = int(weights.argmax())
        if spec.levels[place].name in BELOW and spec.name in told:
            place = [level.name for level in spec.levels].index(told[spec.name])
            weights = np.eye(len(weights))[place]
        level = spec.levels[place]
        quote = None
        if level != spec.silent and spec.name != "task":
            quote = _quote(clauses, similarity[:, column + place], spec)
            if quote is None and spec.silent and weights[place] < UNQUOTED:
                level, place = spec.silent, spec.levels.index(spec.silent)
        lines.append(
            Factor(
                name=spec.name,
                level=level.name,
                meaning=level.meaning,
                quote=quote,
                probability=float(min(weights[place], 1.0)),
                pushes_toward=level.pushes,
            )
        )
        column += len(spec.levels)
    return tuple(lines)


def told_by_figures(situation: str) -> dict[str, str]:
    """Levels that a stated number of cards settles by definition, whatever the model reads.

    Not of a cluster: so many cards are often those of somebody else whom the situation tells of. Nor where one card
    is told of and several: they are told of different people, or of different days.
    """
    told = [item.number for item in quantities.read(situation) if item.kind is Kind.GPUS]
    cards = max(told, default=0) if min(told, default=0) >= FEW_CARDS else 0
    return {"compute": "moderate"} if FEW_CARDS <= cards < MANY_CARDS else {}


def embed_levels(factors: Sequence[FactorSpec], embedder: Embedder) -> NDArray[np.float32]:
    """Embedding of every level's meaning, in order, shape (levels of all factors, 384)."""
    return embedder.encode([f"{factor.title}: {level.meaning}" for factor in factors for level in factor.levels])


def correct(
    sheet: Sequence[Factor], factors: Sequence[FactorSpec], corrections: Mapping[str, str]
) -> tuple[Factor, ...]:
    """A sheet with the levels that the user set; they win, and rest on no quotation."""
    lines = []
    for line, spec in zip(sheet, factors, strict=True):
        if spec.name in corrections:
            level = spec.level(corrections[spec.name])
            changes = {"level": level.name, "meaning": level.meaning, "pushes_toward": level.pushes}
            line = line.model_copy(update=changes | {"quote": None, "probability": 1.0, "corrected": True})
        lines.append(line)
    return tuple(lines)


def split_clauses(text: str) -> list[str]:
    """Clauses of a text that are worth quoting, each a verbatim substring of it."""
    clauses: list[str] = []
    for match in CLAUSE.finditer(text):
        for part in JOIN.split(match.group()):
            clause = part.strip(" \t\"'“”-–:")
            words = len(clause.split()) + len(UNSPACED.findall(clause)) // 2
            if SHORTEST <= words <= LONGEST and clause in text:
                clauses.append(clause)
    return list(dict.fromkeys(clauses))


def _quote(clauses: Sequence[str], similarity: NDArray[np.float32], spec: FactorSpec) -> str | None:
    best, best_score = None, FLOOR
    for clause, closeness in zip(clauses, similarity, strict=True):
        words = set(re.findall(r"\w[\w-]*", clause.lower()))
        cues = sum(any(word.startswith(cue.lower()) for word in words) for cue in spec.cues)
        score = float(closeness) + CUE_WEIGHT * min(cues, 2)
        if score > best_score:
            best, best_score = clause, score
    return best


def _messages(library: PromptLibrary) -> list[dict[str, str]]:
    system = library.prompt("sheet").render(factors=library.factors, verdicts=list(PHRASES.values()))
    messages = [{"role": "system", "content": system}]
    for place, example in enumerate(library.examples):
        messages.append({"role": "user", "content": example.situation.strip()})
        messages.append({"role": "assistant", "content": _solution(example, reasoned=place % REASONED == 0)})
    return [*messages, {"role": "user", "content": HOLE}]


def _solution(example: Example, *, reasoned: bool) -> str:
    lines = [f"{name}: {level}" for name, level in example.sheet.items()]
    text = "\n".join([*lines, verdict_line(example.verdict)])
    if reasoned:
        lead = reason_lead(example.because, example.sheet[example.because], example.fact)
        text += f"{lead} {example.reason}"
    return text
