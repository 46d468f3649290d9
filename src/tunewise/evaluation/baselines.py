"""What a verdict costs without Tunewise: simple classifiers fitted on the same scenarios.

If the bag of words comes close to the decision head, the scenarios give their labels away by words.
"""

from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tunewise.embedding import Embedder
from tunewise.evaluation.scenarios import Scenario
from tunewise.schema import Verdict


def majority(fit: Sequence[Scenario], test: Sequence[Scenario]) -> list[Verdict]:
    """The most frequent verdict, whatever is asked."""
    common = Counter(scenario.verdict for scenario in fit).most_common(1)[0][0]
    return [common] * len(test)


def bag_of_words(fit: Sequence[Scenario], test: Sequence[Scenario]) -> list[Verdict]:
    """Logistic regression on TF-IDF of words and pairs of words."""
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    model.fit([scenario.situation for scenario in fit], [scenario.verdict.value for scenario in fit])
    return [Verdict(guess) for guess in model.predict([scenario.situation for scenario in test])]


def embedding(fit: Sequence[Scenario], test: Sequence[Scenario], embedder: Embedder) -> list[Verdict]:
    """Logistic regression on the sentence embedding of the situation."""
    rows = embedder.encode([scenario.situation for scenario in [*fit, *test]])
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(rows[: len(fit)], [scenario.verdict.value for scenario in fit])
    return [Verdict(guess) for guess in model.predict(rows[len(fit) :])]
