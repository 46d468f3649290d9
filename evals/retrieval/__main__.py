"""Measure the search of facts.

    python -m evals.retrieval [--split development] [--ablations] [--speed] [--scale 100000]

Writes what it found to `evals/retrieval/report/` as JSON and Markdown.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evals.retrieval import data, measures, speed, systems
from evals.retrieval.data import Query
from evals.retrieval.systems import Asked, Ranker
from tunewise import Advisor
from tunewise.evaluation.metrics import interval, paired_test
from tunewise.retrieval import Index

REPORT = Path(__file__).parent / "report"
MEASURES: dict[str, Callable[[Sequence[str], measures.Grades], float]] = {
    "recall@3": partial(measures.recall, k=3),
    "recall@5": partial(measures.recall, k=5),
    "recall@10": partial(measures.recall, k=10),
    "hit@5": partial(measures.hit, k=5),
    "nDCG@10": measures.ndcg,
    "MRR": measures.reciprocal_rank,
}
COMPARED = ("recall@5", "nDCG@10", "MRR")
Figures = dict[str, list[float]]


def main() -> None:
    """Measure, print tables and store the figures."""
    options = _options()
    advisor = Advisor(offline=True)
    index = advisor.index
    REPORT.mkdir(exist_ok=True)
    for split in [options.split] if options.split else data.SPLITS:
        found = measure(index, split, ablations=options.ablations)
        _store(split, found, list(_markdown(split, found)))
    asked = data.queries("development")
    if options.speed:
        folder = advisor.settings.knowledge or Path(__file__).parents[2] / "knowledge"
        _store("speed", timed := speed.own_size(folder, advisor.embedder, asked), _times(timed))
    if options.scale:
        _store("scale", timed := speed.large(index, options.scale, asked), _times(timed))


def measure(index: Index, split: str, *, ablations: bool = False) -> dict[str, Any]:
    """Figures of the shipped search and its rivals on a split.

    Args:
        index: Where to search.
        split: development or test.
        ablations: Also the shipped search less each of its parts.
    """
    grades = data.judgements()
    known = index.corpus.by_id
    grades = {query: {fact: grade for fact, grade in rows.items() if fact in known} for query, rows in grades.items()}
    asked = [query for query in data.queries(split) if measures.answers(grades[query.id])]
    mended = systems.ask(index, asked)
    rankers: dict[str, Ranker] = {"shipped": systems.shipped, **systems.PARTS, **systems.OTHERS}
    rows = {name: _figures(index, asked, mended, ranker, grades) for name, ranker in rankers.items()}
    if ablations:
        rows |= {name: _figures(index, asked, mended, ranker, grades) for name, ranker in systems.LESS.items()}
        raw = systems.ask(index, asked, mend=False)
        rows["without mending typing errors"] = _figures(index, asked, raw, systems.shipped, grades)
        bare = systems.bare(index, asked)
        rows["without titles and headings"] = _figures(index, asked, bare, systems.shipped, grades)
    shipped = rows["shipped"]
    part = max(systems.PARTS, key=lambda name: sum(rows[name]["nDCG@10"]))
    wins, losses, chance = paired_test([bool(x) for x in shipped["hit@5"]], [bool(x) for x in rows[part]["hit@5"]])
    voices = {_manner(query) for query in asked}
    return {
        "queries": len(data.queries(split)),
        "with an answer in the folder": len(asked),
        "facts": len(known),
        "systems": {name: _summary(figures) for name, figures in rows.items()},
        "better part": part,
        "p, shipped against it": {
            **{name: round(measures.randomisation(shipped[name], rows[part][name]), 4) for name in COMPARED},
            "hit@5": round(chance, 4),
        },
        "hit@5 won and lost": [wins, losses],
        "p, shipped against shares": {
            name: round(measures.randomisation(shipped[name], rows["shares of the best score"][name]), 4)
            for name in COMPARED
        },
        "voices": {
            voice: _summary(_only(shipped, [_manner(query) == voice for query in asked])) for voice in sorted(voices)
        },
    }


def rank(index: Index, asked: Sequence[Query], mended: Sequence[Asked], ranker: Ranker) -> list[list[str]]:
    """Identifiers of the facts that a system puts first, for each query."""
    facts = index.corpus.facts
    return [[facts[place].id for place in ranker(index, one)] for _, one in zip(asked, mended, strict=True)]


def _figures(
    index: Index, asked: Sequence[Query], mended: Sequence[Asked], ranker: Ranker, grades: dict[str, dict[str, int]]
) -> Figures:
    rankings = rank(index, asked, mended, ranker)
    pairs = [(ranking, grades[query.id]) for query, ranking in zip(asked, rankings, strict=True)]
    found = {name: [measure(*pair) for pair in pairs] for name, measure in MEASURES.items()}
    found["unjudged"] = [sum(fact not in judged for fact in ranking) / 10 for ranking, judged in pairs]
    return found


def _manner(query: Query) -> str:
    """How it is asked, whoever asks."""
    return "non-native" if query.voice == "non-native" else query.voice.split("-")[0]


def _only(figures: Figures, wanted: Sequence[bool]) -> Figures:
    return {name: [value for value, keep in zip(row, wanted, strict=True) if keep] for name, row in figures.items()}


def _summary(figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {"queries": len(figures["MRR"])}
    for name, values in figures.items():
        low, high = interval(values)
        mean = round(sum(values) / len(values), 3)
        found[name] = mean if name == "unjudged" else [mean, round(low, 3), round(high, 3)]
    return found


def _markdown(split: str, found: dict[str, Any]) -> Iterator[str]:
    yield f"# Search on the {split} queries\n"
    yield (
        f"{found['queries']} queries, {found['with an answer in the folder']} of them with an answer among the "
        f"{found['facts']} facts. Means with 95 % bootstrap intervals over queries; what each measure counts stands in "
        "`evals/retrieval/README.md`.\n"
    )
    yield from _table("system", found["systems"])
    yield (
        f"\nShipped against {found['better part']}, the better of its parts: p = "
        + ", ".join(f"{chance} ({name})" for name, chance in found["p, shipped against it"].items())
        + "; against shares of the best score: p = "
        + ", ".join(f"{chance} ({name})" for name, chance in found["p, shipped against shares"].items())
        + ". Paired randomisation tests by query; McNemar's exact test for hit@5.\n"
    )
    yield from _table("voice", found["voices"])


def _table(first: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"| {first} | queries | " + " | ".join(MEASURES) + " | unjudged |"
    yield "| --- " * (len(MEASURES) + 3) + "|"
    for name, row in rows.items():
        cells = [f"{row[key][0]:.3f} ({row[key][1]:.2f}-{row[key][2]:.2f})" for key in MEASURES]
        yield f"| {name} | {row['queries']} | " + " | ".join(cells) + f" | {row['unjudged']:.3f} |"


def _times(found: dict[str, float]) -> list[str]:
    return ["# Times", "", *(f"- {name}: {value}" for name, value in found.items())]


def _store(name: str, found: dict[str, Any], lines: Sequence[str]) -> None:
    text = "\n".join(lines) + "\n"
    print(text)
    (REPORT / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (REPORT / f"{name}.md").write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.retrieval", description="Measure the search of facts.")
    parser.add_argument("--split", choices=data.SPLITS, help="only this one")
    parser.add_argument("--ablations", action="store_true", help="also the shipped search less each of its parts")
    parser.add_argument("--speed", action="store_true", help="also time a query, a build and an update")
    parser.add_argument("--scale", type=int, help="also time a query over so many synthetic facts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
