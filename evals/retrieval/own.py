"""Whether facts that nobody wrote questions for are found beside those that have some.

    python -m evals.retrieval.own

So stand the passages of a person's own documents in the index. Every fourth document of the knowledge folder loses
its questions here. On the development queries: how many of the facts that answer come among the first ten, of these
documents and of the others, with both orders woven into one as the search does it, and without. The adapter has seen
the questions that are taken away, which flatters the search without weaving and leaves the other as it is.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from evals.retrieval import data
from tunewise import Advisor
from tunewise.corpus import Corpus
from tunewise.retrieval import Index, unasked

EVERY = 4
DEPTH = 10


def main() -> None:
    """Measure and print."""
    advisor = Advisor(offline=True)
    with tempfile.TemporaryDirectory() as scratch:
        index = Index.open(Path(scratch) / "index", robbed(advisor.index.corpus), advisor.embedder)
        print(f"{len(unasked(index.corpus))} of {len(index.corpus.facts)} facts without questions; recall@{DEPTH}:")
        for name in ("woven", "not woven"):
            own, others, count = recall(index)
            print(f"  {name}: of these {own:.3f} ({count} queries), of the others {others:.3f}")
            index._bare = None


def robbed(corpus: Corpus) -> Corpus:
    """A corpus whose every fourth document has no questions."""
    facts = [fact.id for document in corpus.documents[::EVERY] for fact in document.facts]
    questions = {name: texts for name, texts in corpus.questions.items() if name not in set(facts)}
    return replace(corpus, questions=questions)


def recall(index: Index) -> tuple[float, float, int]:
    """Shares of the answering facts among the first ten.

    Returns:
        Of the facts without questions, of the others, and on how many queries the former stands.
    """
    lonely = {index.corpus.facts[place].id for place in unasked(index.corpus)}
    grades = data.judgements()
    own: list[float] = []
    others: list[float] = []
    for query in data.queries("development"):
        right = {fact for fact, grade in grades[query.id].items() if grade == 2 and fact in index.corpus.by_id}
        found = {hit.fact.id for hit in index.search(query.text, DEPTH)}
        for wanted, shares in ((right & lonely, own), (right - lonely, others)):
            if wanted:
                shares.append(len(wanted & found) / len(wanted))
    return float(np.mean(own)), float(np.mean(others)), len(own)


if __name__ == "__main__":
    main()
