import json

import numpy as np
import pytest
from evals.retrieval import data, measures, own, reasons, systems

from tests.conftest import ROOT
from tunewise import corpus
from tunewise.retrieval import Index

GRADES = {"a": 2, "b": 1, "c": 2, "d": 0}


def test_recall_counts_what_could_stand_there():
    assert measures.recall(["a", "b", "x"], GRADES, 3) == 0.5
    assert measures.recall(["a", "b", "c"], GRADES, 1) == 1
    assert measures.recall(["d", "b"], GRADES, 5) == 0


def test_hit_and_reciprocal_rank():
    assert measures.hit(["d", "b", "c"], GRADES, 3) == 1
    assert measures.hit(["d", "b", "c"], GRADES, 2) == 0
    assert measures.reciprocal_rank(["d", "b", "c"], GRADES) == pytest.approx(1 / 3)
    assert measures.reciprocal_rank(["d"], GRADES) == 0


def test_ndcg_by_hand():
    # Gains 3, 1, 0, discounted by log2(2), log2(3), log2(4); the best order gives 3, 3, 1.
    best = 3 + 3 / np.log2(3) + 1 / 2
    assert measures.ndcg(["a", "b", "x"], GRADES) == pytest.approx((3 + 1 / np.log2(3)) / best)
    assert measures.ndcg(["c", "a", "b", "d"], GRADES) == pytest.approx(1)


def test_randomisation_tells_a_clear_gap_from_none():
    low = [0.1 * (place % 3) for place in range(30)]
    assert measures.randomisation([value + 0.5 for value in low], low) < 0.001
    assert measures.randomisation(low, low) == 1


def test_kappa_by_hand():
    # Agreement 3 of 4; by chance 6 of 16: (0.75 - 0.375) / (1 - 0.375).
    assert measures.kappa([0, 0, 1, 2], [0, 0, 1, 1]) == pytest.approx(0.6)
    assert measures.kappa([0, 1, 2], [0, 1, 2], weighted=True) == 1


def test_queries_are_many_and_of_many_voices():
    development, test = data.queries("development"), data.queries("test")
    assert len(test) >= 150 and len(development) >= 80
    texts = [query.text for query in development + test]
    assert len(set(texts)) == len(texts)
    assert len({query.id for query in development + test}) == len(texts)
    assert len({query.voice.split("-")[0] for query in test}) >= 6


def test_every_query_is_judged_and_judgements_are_of_facts_that_are_there():
    known = corpus.load(ROOT / "knowledge").by_id
    graded = data.judgements()
    assert set(graded) == {query.id for split in data.SPLITS for query in data.queries(split)}
    assert {grade for rows in graded.values() for grade in rows.values()} == {0, 1, 2}
    judged = {fact for rows in graded.values() for fact in rows}
    # A fact may be merged with another after it was judged; many of them would make the figures wrong.
    assert len(judged - set(known)) <= 0.02 * len(judged)


def test_the_same_judge_agrees_with_the_first_round():
    graded = data.judgements()
    again = [(row["query"], row["fact"], row["grade"]) for row in map(json.loads, (data.FOLDER / "again.jsonl").open())]
    pairs = [(graded[query][fact], grade) for query, fact, grade in again if fact in graded[query]]
    assert len(pairs) >= 100
    assert measures.kappa([one for one, _ in pairs], [two for _, two in pairs]) >= 0.7


@pytest.fixture(scope="module")
def index(tmp_path_factory, embedder):
    return Index.open(tmp_path_factory.mktemp("index"), corpus.load(ROOT / "knowledge"), embedder)


@pytest.fixture(scope="module")
def development(index):
    graded = data.judgements()
    asked = [query for query in data.queries("development") if measures.answers(graded[query.id])]
    return [graded[query.id] for query in asked], asked, systems.ask(index, asked)


def figures(index, development, ranker):
    facts = index.corpus.facts
    rankings = [[facts[place].id for place in ranker(index, one)] for one in development[2]]
    pairs = list(zip(rankings, development[0], strict=True))
    return np.mean([measures.ndcg(*pair) for pair in pairs]), np.mean([measures.hit(*pair, 5) for pair in pairs])


def test_the_evaluation_ranks_as_the_search_does(index, development):
    for query, one in list(zip(development[1], development[2], strict=True))[:25]:
        shipped = [index.corpus.facts[place].id for place in systems.shipped(index, one)]
        searched = [hit.fact.id for hit in index.search(query.text, 10)]
        # Chroma's search is approximate: a place or two may differ.
        assert len(set(shipped) & set(searched)) >= 9


def test_the_search_is_no_worse_than_it_was(index, development):
    gain, hit = figures(index, development, systems.shipped)
    assert gain >= 0.71
    assert hit >= 0.95
    for part in systems.PARTS.values():
        assert gain >= figures(index, development, part)[0] + 0.04


def test_three_citations_are_not_one_fact_thrice(index, development):
    for one in development[2]:
        places = systems.shipped(index, one)[:3]
        close = np.triu(index.vectors[places] @ index.vectors[places].T, 1)
        assert close.max() < 0.92


def test_facts_without_questions_are_not_crowded_out(index, embedder):
    beside = Index.open(index.folder.parent, own.robbed(index.corpus), embedder)
    theirs, others, _ = own.recall(beside)
    assert theirs >= 0.58 and others >= 0.72


def test_the_facts_under_reasons_stay_in_the_askers_field(advisor):
    assert reasons.share(advisor, reasons.sample(120)) >= 0.38
