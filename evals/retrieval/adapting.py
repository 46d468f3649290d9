"""Fit the search's adapter on the questions of the knowledge folder.

    python -m evals.retrieval.adapting

Every question shall stand nearest to its own fact among all facts. No query of the evaluation takes part; those of
the development set say what it is worth. Embedding the questions takes a minute or two, fitting less than one.
"""

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from evals.retrieval import data, measures
from tunewise import Advisor
from tunewise.adapter import FILE, Adapter
from tunewise.embedding import WIDTH
from tunewise.ranking import best

TEMPERATURE = 0.05
"""Divides the cosines."""
STEPS, BATCH = 300, 1024
RATE = 2e-3
"""Learning rate at the start; it falls along a half cosine."""
DECAY = 3e-3
"""Pull of both maps towards doing nothing."""
MOMENTS = 0.9, 0.999
"""Of Adam (Kingma and Ba 2015, arXiv:1412.6980)."""
Rows = NDArray[np.float32]


def main() -> None:
    """Fit, write and say what it is worth."""
    advisor = Advisor(offline=True)
    corpus, facts = advisor.index.corpus, advisor.index.vectors
    place = {fact.id: number for number, fact in enumerate(corpus.facts)}
    asked = [(text, place[name]) for name, texts in corpus.questions.items() for text in texts]
    asked.sort(key=lambda pair: len(pair[0]))
    with Console(stderr=True).status(f"Embedding {len(asked):,} questions"):
        questions = advisor.embedder.encode([text for text, _ in asked])
    query, fact = fit(questions, np.array([number for _, number in asked]), facts)
    np.savez_compressed(FILE, query=query.astype(np.float16), fact=fact.astype(np.float16))
    fitted = Adapter(query, fact, digest="")
    grades = data.judgements()
    names = [item.id for item in corpus.facts]
    before: list[float] = []
    after: list[float] = []
    for one in data.queries("development"):
        if measures.answers(grades[one.id]):
            vector = advisor.embedder.encode([advisor.index._speller.correct(one.text)])[0]
            for gains, scores in (
                (before, facts @ vector),
                (after, fitted.facts(facts) @ fitted.queries(vector)),
            ):
                gains.append(measures.ndcg([names[number] for number in best(scores, 10)], grades[one.id]))
    print(f"{len(asked):,} questions of {len(names):,} facts; dense alone on {len(after)} development queries:")
    print(f"nDCG@10 {np.mean(before):.3f} without, {np.mean(after):.3f} with it")


def fit(questions: Rows, answers: NDArray[np.int64], facts: Rows, *, steps: int = STEPS, seed: int = 0) -> list[Rows]:
    """The two maps, each to be added to the identity.

    Args:
        questions: Embeddings, shape (n, 384), of length 1.
        answers: The place of the fact that each asks for, shape (n,).
        facts: Embeddings, shape (m, 384), of length 1.
        steps: Of Adam.
        seed: Of the batches.

    Returns:
        That of queries and that of facts, shape (384, 384) each.
    """
    chance = np.random.default_rng(seed)
    maps = [np.zeros((WIDTH, WIDTH), dtype=np.float32) for _ in range(2)]
    first, second = ([np.zeros_like(one) for one in maps] for _ in range(2))
    size = min(BATCH, len(questions))
    for step in range(1, steps + 1):
        rows = chance.choice(len(questions), size, replace=False)
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        slopes = _slopes(questions[rows], answers[rows], facts, maps)
        for one, mean, square, slope in zip(maps, first, second, slopes, strict=True):
            mean += (1 - MOMENTS[0]) * (slope - mean)
            square += (1 - MOMENTS[1]) * (slope * slope - square)
            spread = np.sqrt(square / (1 - MOMENTS[1] ** step)) + 1e-8
            one -= (rate * mean / (1 - MOMENTS[0] ** step) / spread).astype(np.float32)
    return maps


def _slopes(questions: Rows, answers: NDArray[np.int64], facts: Rows, maps: list[Rows]) -> list[Rows]:
    """Gradients of the contrastive loss by both maps."""
    asked, asked_length = _turned(questions, maps[0])
    told, told_length = _turned(facts, maps[1])
    odds = asked @ told.T / TEMPERATURE
    odds = np.exp(odds - odds.max(axis=1, keepdims=True))
    errors = odds / odds.sum(axis=1, keepdims=True)
    errors[np.arange(len(answers)), answers] -= 1
    errors /= TEMPERATURE * len(answers)
    return [
        questions.T @ _through(errors @ told, asked, asked_length) + DECAY * maps[0],
        facts.T @ _through(errors.T @ asked, told, told_length) + DECAY * maps[1],
    ]


def _turned(rows: Rows, weights: Rows) -> tuple[Rows, Rows]:
    moved = rows + rows @ weights
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return moved / length, length


def _through(slope: Rows, unit: Rows, length: Rows) -> Rows:
    """A gradient by a row of length 1, as one by the row before it was given that length."""
    return np.asarray((slope - (slope * unit).sum(axis=1, keepdims=True) * unit) / length, dtype=np.float32)


if __name__ == "__main__":
    main()
