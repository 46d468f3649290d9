"""Typing errors in a query, mended from the words of the index and of the embedder's own vocabulary.

Damerau 1964: a letter too many, too few, wrong or swapped, and in long words two that are not wrong ones. A word is
left alone where it is known, also as a form or a compound of known words, where it is a known one with something
before or behind it, where it has a capital, or where most words are unknown (another language). A field has words
of its own that no list holds, so what is not clearly an error stays: "coreference" is no "conference".
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

import numpy as np

LONG = 9
"""Letters from which two errors are mended."""
MIDDLE = 7
"""Letters from which a wrong one is."""
SHORT = 5
"""Letters below which nothing is."""
WRONG = 1.2
"""Cost of a wrong letter; one too many, too few or swapped costs 1."""
FORMS = tuple(tuple(pair.split(">")) for pair in "s> es> ies>y ed> ed>e d> ing> ing>e ly> er> ers>".split(" "))
"""Endings, and what stands in their place in the known word."""
CANDIDATE = re.compile(r"\b[a-z]{5,}\b")


class Speller:
    """Mends typing errors.

    Args:
        counts: Words of the index and how often each stands there.
        vocabulary: Words of the language, lower case.
    """

    def __init__(self, counts: Mapping[str, int], vocabulary: Collection[str]) -> None:
        self._counts = counts
        self._known = set(vocabulary) | set(counts)
        # A word that stands once in the index may be an error itself.
        self._words = sorted(word for word in self._known if len(word) >= 4 and counts.get(word, 2) >= 2)
        self._letters = np.array([_letters(word) for word in self._words], dtype=np.uint32)
        self._lengths = np.array([len(word) for word in self._words])
        self._mend = lru_cache(maxsize=4096)(self._nearest)

    def correct(self, text: str) -> str:
        """The text with its typing errors mended; unchanged where it has none, or is in another language."""
        words = re.findall(r"[a-z]{2,}", text)
        if 2 * sum(not self.knows(word) for word in words) > len(words):
            return text
        return CANDIDATE.sub(lambda match: self._mend(match[0]), text)

    def knows(self, word: str) -> bool:
        """Whether a word, or what it is a form or a compound of, is known."""
        if word in self._known or word.replace("our", "or") in self._known or word.replace("is", "iz") in self._known:
            return True
        for ending, instead in FORMS:
            stem = word.removesuffix(ending)
            if stem != word and len(stem) >= 3 and stem + instead in self._known:
                return True
        return any(self._compound(word[:cut], word[cut:]) for cut in range(3, len(word) - 2))

    def _compound(self, one: str, two: str) -> bool:
        """Whether two words make a known one together; a vocabulary holds too many scraps to take both from it."""
        return {one, two} <= self._known and max(one, two, key=len) in self._counts

    def _nearest(self, word: str) -> str:
        """The known word that an unknown one was most likely meant to be; itself where none is near."""
        if len(word) < SHORT or self.knows(word):
            return word
        edits, limit = (2, 2.0) if len(word) >= LONG else (1, WRONG if len(word) >= MIDDLE else 1.0)
        apart = np.bitwise_count(self._letters ^ np.uint32(_letters(word)))
        near = (apart <= 2 * edits) & (np.abs(self._lengths - len(word)) <= edits)
        best, cost = word, np.inf
        for place in np.flatnonzero(near):
            other = self._words[place]
            distance = _distance(word, other) if other[0] == word[0] else np.inf
            count = self._counts.get(other, 0)
            # Among all words of the language, one that is two errors away is most often another word.
            if distance <= (limit if count else WRONG):
                price = distance - 0.02 * min(count, 20) - (0.3 if count else 0.0)
                best, cost = (other, price) if price < cost else (best, cost)
        return word if _longer(word, best) else best


def _longer(word: str, other: str) -> bool:
    """Whether a word is another with something before or behind it, other than a letter that was typed twice."""
    before = word.endswith(other) and len(word) > len(other) + 1
    return before or (word.startswith(other) and word[-1] != other[-1])


def _letters(word: str) -> int:
    """The letters of a word as a set of bits."""
    return sum({1 << (ord(letter) - ord("a")) for letter in word if "a" <= letter <= "z"})


def _distance(one: str, two: str) -> float:
    """Weighted edit distance with swaps of neighbours (optimal string alignment)."""
    table = [[0.0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for row in range(len(one) + 1):
        table[row][0] = float(row)
    table[0] = [float(column) for column in range(len(two) + 1)]
    for row in range(1, len(one) + 1):
        for column in range(1, len(two) + 1):
            wrong = 0.0 if one[row - 1] == two[column - 1] else WRONG
            least = min(table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + wrong)
            if row > 1 and column > 1 and one[row - 1] == two[column - 2] and one[row - 2] == two[column - 1]:
                least = min(least, table[row - 2][column - 2] + 1)
            table[row][column] = least
    return float(table[-1][-1])
