"""Harmless rewritings of a situation, under which a verdict should stand.

Each is deterministic: the same text is always rewritten the same way.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewise.errors import UserError

TYPO_RATE = 0.08
"""Share of the longer words that get a slip of the keyboard."""
SHORTEST_TYPO = 4
DISTURBANCES = 2
"""How many things are done to a copy that the heads are fitted on."""
SENTENCE = re.compile(r"(?<=[.!?。？！])\s+")
LISTS = ("padding", "injections", "fit-asides", "fit-orders")
Rewriting = Callable[[str, random.Random], str]


@dataclass(frozen=True)
class Material:
    """Sentences that rewritings use; files of `evals/robustness/`."""

    padding: Sequence[str]
    injections: Sequence[str]
    paraphrases: Mapping[str, str]
    asides: Sequence[str]
    """Remarks beside the point that the heads are fitted on; none is in `padding`, which judges them."""
    orders: Sequence[str]
    """Orders to the model that the heads are fitted on; none is in `injections`."""

    @classmethod
    def load(cls, folder: Path) -> "Material":
        """Read the files.

        Raises:
            UserError: One is missing.
        """
        try:
            texts = [(folder / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in LISTS]
            table = (folder / "paraphrases.tsv").read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"The material for rewritings cannot be read: {error}.") from error
        columns = [line.split("\t") for line in table.splitlines() if line]
        padding, injections, asides, orders = texts
        return cls(padding, injections, {row[0]: row[1] for row in columns}, asides, orders)

    def rewritings(self) -> dict[str, Rewriting]:
        """Every rewriting by name."""
        return {
            "typos": typos,
            "casual": casual,
            "paraphrase": self._paraphrase,
            "shuffled": shuffled,
            "padded": self._pad,
            "injected": self._inject,
        }

    def disturb(self, text: str) -> str:
        """A copy to fit on: two of five things are done to it, by chance that the text seeds."""
        chance = random.Random(text)
        for change in chance.sample([shuffled, typos, casual, self._digress, self._order], DISTURBANCES):
            text = change(text, chance)
        return text

    def _digress(self, text: str, chance: random.Random) -> str:
        before, after = chance.sample(list(self.asides), 2)
        return chance.choice([f"{before} {text}", f"{text} {after}", f"{before} {text} {after}"])

    def _order(self, text: str, chance: random.Random) -> str:
        order = chance.choice(list(self.orders))
        return chance.choice([f"{text} {order}", f"{text}\n{order}", f"{order} {text}"])

    def _paraphrase(self, text: str, chance: random.Random) -> str:
        pattern = re.compile(r"\b(" + "|".join(map(re.escape, self.paraphrases)) + r")\b", re.I)
        return pattern.sub(lambda match: _cased(self.paraphrases[match.group().lower()], match.group()), text)

    def _pad(self, text: str, chance: random.Random) -> str:
        before, after = chance.sample(list(self.padding), 2)
        return f"{before} {text} {after}"

    def _inject(self, text: str, chance: random.Random) -> str:
        return f"{text} {chance.choice(list(self.injections))}"


def rewrite(text: str, rewriting: Rewriting) -> str:
    """Apply a rewriting, with chance seeded by the text itself."""
    return rewriting(text, random.Random(text))


def changes(text: str, rewriting: Rewriting) -> bool:
    """Whether a rewriting does anything to a text; a verdict that stands under nothing shows nothing."""
    return rewrite(text, rewriting) != text


def typos(text: str, chance: random.Random) -> str:
    """Swap or drop a letter in some of the longer words; numbers and short words stay."""

    def slip(match: re.Match[str]) -> str:
        word = match.group()
        if chance.random() > TYPO_RATE:
            return word
        place = chance.randrange(1, len(word) - 2)
        if chance.random() < 0.5:
            return word[:place] + word[place + 1 :]
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

    return re.sub(rf"[A-Za-z]{{{SHORTEST_TYPO},}}", slip, text)


def casual(text: str, chance: random.Random) -> str:
    """Lower case, without commas and final stops."""
    return re.sub(r"[,;](?=\s)|\.(?=\s|$)", "", text.lower())


def shuffled(text: str, chance: random.Random) -> str:
    """The sentences in another order."""
    sentences = SENTENCE.split(text)
    chance.shuffle(sentences)
    return " ".join(sentences)


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[:1].isupper() else word
