"""Sentences that are addressed to the model instead of describing a situation.

A message is data: nothing in it may tell the model what to decide. A sentence that gives the model an
order, plays a turn of a conversation or prints a verdict in advance says nothing about the situation, so
the model reads a copy without it. The person's own text stays what is shown, quoted and kept, and a note
says how many sentences were passed over. Fitted by `python -m evals.orders`.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewise.embedding import Embedder

LEAST_KEPT = 12
"""Characters that must remain; a message that is nothing but orders is read as it stands."""
PIECE = re.compile(
    r"[^.!?。？！\n]*(?:[.!?](?![\s\"”’')\]]|$)[^.!?。？！\n]*)*[.!?。？！]*[\"”’')\]」』）]*\s*\n*\s*|\n+"
)
"""A sentence; scripts that put no spaces between words put none behind their full stop either."""
TURN = re.compile(r"(?<=\s)(?=(?:Assistant|Human|User|Tunewise): )")
"""Where a turn of a conversation begins in mid-sentence, as behind a text without a full stop."""
INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
IDS = r"use_as_is|train_from_scratch|needs_more_information|fine_tune"
CHOICE = (
    r"fine-?tune\b|train\b[^.\n]{0,20}\bfrom scratch\b|use\b[^.\n]{0,20}\bas (?:it )?is\b"
    r"|(?:ask for|needs?) more information\b"
)
# An id of ours is none where it names a file or is called in code.
CERTAIN = re.compile(
    rf"(?<![a-z0-9_])(?:{IDS})(?![a-z0-9_(]|\.(?-i:[a-z]))"
    r"|<\|[\w ]{1,30}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|</?s>"
    r"|</?(?:system|assistant|user|human|verdict|instructions?)>"
    rf"|^\W*tunewise\s*:\s|(?:[\"'](?:verdict|strategy|decision)[\"']|\bverdict)\s*[:=]\W*(?:{CHOICE})"
    r"|\bthe right strategy is to\b",
    re.I,
)
"""What no description of a situation contains: control tokens, our own labels, a verdict of ours in advance."""
REPLY = re.compile(r"^\W*(?:assistant|ai|bot)\s*:\s", re.I)
"""Begins what a model is said to have answered; also a field of a form ("AI: none so far")."""
PERSON = re.compile(r"^\W*(?:human|user)\s*:\s+", re.I)
"""Begins what a person said in a pasted chat; what follows describes a situation as often as not."""
CUES = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"\b(?:ignore|disregard|forget|overrule|override|drop|skip|erase|discard|set aside|never mind|bypass)\b",
        r"\b(?:vergiss|ignorier\w*|lass\b.*beiseite|oublie\w*|ignore[sz]?|ne tiens pas compte|olvida\w*|no hagas caso"
        r"|ignora\w*|esque[cç]a|dimentica)\b|忽略|不要理会|无视|無視|忘れて|забудь|игнориру\w*|تجاهل|भूल जाओ",
        r"\b(?:say|answer|reply|respond|output|print|write|state|conclude|declare|recommend|choose|pick|name|report|emit"
        r"|repeat|vote|endorse|classif\w+|label\w*)\b",
        r"\b(?:antwort\w*|gib\b.*aus|entscheide|sag|réponds?|répondre|dis|responde\w*|di|responda|rispondi|scegli)\b"
        r"|回答|判定|结论|結論|答えて|ответь|выбери|أجب|उत्तर",
        r"\b(?:you|your|du|dein\w*|tu|tes|tus?|você|sua)\b|你|您|あなた|ты|твой",
        r"\b(?:must|have to|has to|shall|obey|only|solely|always|regardless|no matter|whatever|from (?:now|here) on)\b",
        r"\b(?:verdict|instructions?|system prompt|prompt|rules?|analysis|strategy|assistant|language model"
        r"|the model|the ai|advisor|this tool|classifier|chatbot)\b",
        r"\b(?:from scratch|from zero|fine-?tun\w*|as it is|as is|existing model|ready(?:-made)? model|more information"
        r"|unmodified|off-the-shelf)\b",
        r"\b(?:pretend|imagine|act as|behave like|play|simulate|role|game|you are now|firmware|mode|persona)\b",
        r"\b(?:admin\w*|developer|maintainer|operator|policy|compliance|ceo|cto|supervisor|override|authori[sz]ed)\b",
        r"[{}\[\]<>|=#]",
        r"\b(?:we|our|us|i|my|wir|unser\w*|ich|nous|notre|nos|je|nuestr\w*|tenemos)\b|我们|私",
        r"\d",
        r"\?\s*$",
        r"^\W*(?:please\W+)?(?:ignore|disregard|forget|say|answer|reply|respond|output|print|write|state|conclude|choose"
        r"|pick|treat|do not|don't|stop|skip|repeat|pretend|imagine|assume|refuse|set)\b",
    )
)
"""Words that orders and descriptions use unequally; the fit weighs them."""


@dataclass(frozen=True)
class Read:
    """A message as the model reads it."""

    text: str
    """Without the sentences that were passed over; verbatim otherwise."""
    passed: tuple[str, ...] = ()
    """Those sentences."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of it."""
        if not self.passed:
            return ()
        count = f"{len(self.passed)} sentences" if len(self.passed) > 1 else "One sentence"
        first = " ".join(self.passed[0].split())
        shown = first if len(first) <= 80 else first[:80] + "…"
        verb = "were" if len(self.passed) > 1 else "was"
        return (f"{count} addressed to the model {verb} not taken as part of the situation: “{shown}”",)


class Orders:
    """Tells orders to the model from descriptions of a situation.

    Args:
        weights: Of embedding and cues, shape (384 + cues,).
        bias: Added to their sum.
        first: Log-odds from which a sentence is an order.
        beside: The same for the neighbour of one.
    """

    def __init__(self, weights: NDArray[np.float32], bias: float, *, first: float, beside: float) -> None:
        self.weights = weights
        self.bias = bias
        self.first = first
        self.beside = beside

    @classmethod
    @cache
    def shipped(cls) -> "Orders":
        """The fitted one."""
        data = json.loads(Path(__file__).with_name("orders.json").read_text(encoding="utf-8"))
        weights = np.asarray(data["weights"], dtype=np.float32)
        return cls(weights, data["bias"], first=data["first"], beside=data["beside"])

    def scores(self, pieces: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
        """Log-odds that each sentence is an order."""
        clean = [plain(piece) for piece in pieces]
        found = features(pieces, embedder) @ self.weights + self.bias
        # The turn of a model is as suspicious as the neighbour of an order.
        found += (self.first - self.beside) * np.array([bool(REPLY.match(piece)) for piece in clean], dtype=np.float32)
        return np.where([bool(CERTAIN.search(piece)) for piece in clean], np.float32(99), found)

    def read(self, text: str, embedder: Embedder) -> Read:
        """A message as the model should read it."""
        pieces = split(text)
        if len(pieces) < 2:
            return Read(text)
        scores = self.scores(pieces, embedder)
        order = scores >= self.first
        near = np.convolve(order, [1, 1, 1])[1:-1] > 0
        order |= near & (scores >= self.beside)
        kept = "".join(piece for piece, passed in zip(pieces, order, strict=True) if not passed).strip()
        if not order.any() or len(kept) < LEAST_KEPT:
            return Read(text)
        return Read(kept, tuple(piece.strip() for piece, passed in zip(pieces, order, strict=True) if passed))


def features(pieces: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """Embedding and cues of sentences, shape (n, 384 + cues)."""
    clean = [plain(piece) for piece in pieces]
    cues = np.array([[bool(cue.search(piece)) for cue in CUES] for piece in clean], dtype=np.float32)
    return np.concatenate([embedder.encode(clean), cues], axis=1)


def split(text: str) -> list[str]:
    """Sentences with the white space behind them; together they are the text again."""
    found: list[str] = []
    for piece in (part for match in PIECE.finditer(text) for part in TURN.split(match.group())):
        if found and (not piece.strip() or not re.search(r"\w", piece)):
            found[-1] += piece
        elif piece:
            found.append(piece)
    return found


def plain(piece: str) -> str:
    """A sentence without tricks of writing, full-width letters and invisible signs, and without a person's label."""
    return PERSON.sub("", INVISIBLE.sub("", unicodedata.normalize("NFKC", piece)).strip())
