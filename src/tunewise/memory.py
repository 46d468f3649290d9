"""What a conversation has said of a situation: additions, corrections and what-ifs. Pure.

Every message is kept as it was written. What the model reads is the account as it stands: a corrected
figure takes the place of the older one, and words that were taken back are left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from tunewise.estimation.rules import Kind
from tunewise.factors import UNSPACED, split_clauses
from tunewise.mentions import YEAR, Figure, figures, fit
from tunewise.schema import Contradiction, Question


class Intent(StrEnum):
    """What a message does to what was said before."""

    ADDITION = "addition"
    CORRECTION = "correction"
    WHAT_IF = "what_if"
    """Asks how it would be; what was said stays."""


CORRECTION = re.compile(
    r"\b(?:actually|correction|sorry|my mistake|by mistake|mistaken|typo|meant|make (?:that|it)|scratch that"
    r"|strike that|no,? wait|(?:i|we|that|it|this|which) (?:was|were|is|got|had)(?: \w+){0,2} wrong"
    r"|misread|misspoke|mixed up|in (?:fact|truth|reality)|instead|no longer|any ?more|after all|change of plans?"
    r"|turns? out|turned out|should have (?:said|been|read)|korrektur|tatsächlich|eigentlich|verzeihung|en fait|pardon"
    r"|en realidad|perdón|me equivoqué)\b|不对|更正|其实|訂正|実は",
    re.I,
)
LEAD = r"^\W*(?:(?:ok|okay|and|so|but|hm+|well|just|now|und|aber|et|y|then)\W+|(?:那么?|では|じゃあ?)[\s,，、]*)*"
SUPPOSED = (
    r"(?:(?:what (?:about )?if|what would\b[^,?]{0,40}\bif|suppose|supposing|imagine|assum(?:e|ing)|let'?s say"
    r"|hypothetically|in theory|say (?=(?:we|i)\b)|how would\b[^?]{0,60}\bif|would\b[^?]{0,60}\bif|was wäre,? wenn"
    r"|angenommen|et si|supposons|imaginons|y si|supongamos)\b|如果|假如|假设(?!检验)|要是|倘若|もし|仮に)"
)
ASKED = r"(?=(?:[^.!;\n]|\.(?=\w)|(?<=\be\.g)\.|(?<=\bi\.e)\.)*[?？])"
"""The same sentence ends as a question; one further on may ask about what is stated here."""
CONDITION = (
    rf"(?:si|se) {ASKED}|(?:if|wenn) (?:{ASKED}|(?=(?:we|i|there|it|they|you|(?:the|our|my) [\w-]+)"
    r" (?:had|were|was|could|got|did|would|might)\b))"
)
WHAT_IF = re.compile(rf"{LEAD}(?:{SUPPOSED}|{CONDITION})(?:,? (?:that|if))?[\s,:]*", re.I | re.S)
MORE = re.compile(
    r"\b(?:another|more|additional(?:ly)?|extra|further|also|plus|as well|on top|besides|in addition|weitere|zusätzlich"
    r"|autres?|más|adicional\w*)\b",
    re.I,
)
NOT = re.compile(
    r"[\s,;(–-]*\b(?:(?:and )?not|\w+n't|instead of|rather than|no longer|nicht|statt|pas|en vez de)\s+"
    r"(?:[\w'-]+\s+){0,3}?$",
    re.I,
)
UNKNOWN = re.compile(
    r"^\W*(?:(?:oh|hm+|well|sorry|honestly|to be honest)\W+)*(?:(?:i|we)(?: really| honestly)?"
    r" (?:do ?n[o']t|can(?:no|')t)(?: really)? (?:know|say|tell)|dunno|no idea|not sure|unsure|unknown|no clue"
    r"|hard to say|keine ahnung|(?:das )?wei(?:ß|ss) (?:ich|wir) nicht|je ne sais pas|no (?:lo )?sé"
    r"|(?:我们?)?[也还]?不(?:知道|清楚|确定)[呢啊了]?|(?:わか|分か)(?:りません|らない)(?:です)?)"
    r"(?![^\W\d_])[^?]{0,60}?(?:$|(?:[,;.:!\n–—，。；！]|(?=\b(?:but|though|although|however|aber|mais|pero)\b|但))"
    r"(?P<aside>[^?]*)$)",
    re.I,
)
NO_FACT = frozenset(
    "sorry honestly to be honest right now yet exactly at the moment for this point i i'm we am afraid really either"
    " unfortunately have need must can will check ask look find out about that it though thanks thank you leider"
    " désolé".split()
)
"""Behind "I don't know" these words tell nothing."""
REPLY = re.compile(r"^\W*(?:yes|no|nope|yep|yeah|none|some|a few|about|around|roughly|ja|nein|oui|non|sí)\b", re.I)
SHORT = 12
"""Words up to which a message may be a bare answer, which is read together with its question."""
BARE = 4
"""Words up to which a message answers whatever was asked for, and says nothing without the question."""
LONG_WORD = re.compile(r"[^\W\d_]{5,}")
FIRM = re.compile(r"\b(?:actually|correction|sorry|mistake\w*|meant|wrong|not|no)\b", re.I)
"""Words under which even a message that ends as a question corrects what was said."""
MOST_NEWS = 64
"""Figures of a message that are held against older ones; more are a table, which corrects none of them."""
NOT_REACH = 80
"""Characters before a figure within which a "not" takes it back."""
SENTENCE_END = re.compile(r"[.!?;](?!\d)|[\n。！？；]")
FILLER = (
    r"(?:\W|\b(?:and|but|ok|okay|well|hm+|no|yes|so|it|s|that|this|is|are|there|now|only|just|about|around|roughly|some"
    r"|approximately|nearly|almost|exactly|over|under|more|less|fewer|than|at|most|least|up|to|in|all|total|altogether"
    r"|an?|of|labell?ed|annotated|tagged|available|far|today|etwa|rund|nur|environ|unos|unas)\b)*"
)
"""Words around a figure that say nothing of where it comes from."""
FILLED = re.compile(FILLER, re.I)
CLAIM = re.compile(
    r"(?:\b(?:(?:we|i)(?:['’]ve)?(?: (?:only|just|now|still|currently|really|do|have))* (?:have|own|got|hold|can use)"
    r"|wir haben|haben wir|ich habe|nous avons|j['’]ai|tenemos|tengo|abbiamo|the|our|my|unsere|nos|nuestr[oa]s"
    r"|(?:our|the) (?:[\w-]+ )?(?:archive|collection|corpus|data ?(?:set|base)|cluster|server) (?:has|holds|contains)"
    r"|budget)|我们有|我有)(?: (?:an?|one|the|our)(?: [\w-]+){1,2} (?:with|of))?" + FILLER + "$",
    re.I,
)
"""Right before a figure: it is all that the person has."""
TOTAL = re.compile(r"\b(?:in total|altogether|insgesamt|au total|en total)\b", re.I)
FOREIGN = re.compile(
    r"\b(?:of (?:these|those|them|which)|each|every|per|test\w*|tried|check\w*|evaluat\w*|validat\w*|held|hold-?out"
    r"|compar\w*|class(?:es)?|categor\w+|others?|(?:an?|the|this|that|their) (?:paper|study)|papers|took|used|vendors?"
    r"|suppliers?|partners?|colleagues?|competitors?|they|their|show(?:s|ing)?|rare\w*|subset|among|part of|average"
    r"|davon|jede\w*|pro|klassen?|andere\w*|dont|chaque|par|autres?|cada|por|otr[oa]s?|clases?)\b|[每另]|其中|测试",
    re.I,
)
"""Beside a figure: it is a part of what there is, or somebody else's."""
CLAUSE_END = re.compile(
    r"[,:()–—](?!\d)|\b(?:and|but|that|so|because|since) (?=(?:it|there|we|i|they|he|she|you)(?:\b|['’]))", re.I
)
SPACES = re.compile(r"[ \t]{2,}|[ \t]+(?=[,.;!?])")
LEAST_LEFT = 3
"""Letters that must be left of a message for it to be read at all."""


class Pair(NamedTuple):
    """A figure, and the older one that it takes the place of."""

    new: Figure
    place: int
    """Of the passage in which the older one stands."""
    old: Figure
    taken: Figure | None = None
    """The mention of the older one that the message takes back."""


@dataclass(frozen=True)
class Swap:
    """A figure that took the place of an older one."""

    text: str
    """The new figure."""
    words: str
    """The words of the message that gave it, verbatim."""
    factor: str
    """What it is about."""
    before: float
    """The older figure."""
    after: float
    """The new one."""


@dataclass(frozen=True)
class Account:
    """A situation as it stands after some messages; `hear` gives the next one."""

    said: tuple[str, ...] = ()
    """The messages, verbatim, oldest first."""
    passages: tuple[str, ...] = ()
    """What of each of them the model reads."""
    swaps: tuple[Swap, ...] = ()
    intent: Intent = Intent.ADDITION
    """Of the last message."""
    contradictions: tuple[Contradiction, ...] = ()
    """Between the last message and older ones."""
    unknown: str = ""
    """The factor of which the last message says that it is not known."""
    replies: bool = False
    """Whether the last message answers the question that was asked."""

    @property
    def situation(self) -> str:
        """What was written, whole."""
        return "\n".join(self.said)

    @property
    def text(self) -> str:
        """What the model reads."""
        return "\n".join(passage for passage in self.passages if passage)

    @property
    def hypothetical(self) -> bool:
        """Whether the last message only asks how it would be."""
        return self.intent is Intent.WHAT_IF

    def hear(self, message: str, asked: Question | None = None) -> "Account":
        """The account after one more message.

        Args:
            message: What the person writes.
            asked: The question that was put before, which a short message may answer.
        """
        if not self.said:
            return Account((message,), (message,))
        plain = replace(self, said=(*self.said, message), contradictions=(), unknown="", replies=False)
        unknown = UNKNOWN.match(message)
        if asked is not None and unknown and not figures(message):
            told = _fact(unknown["aside"] or "")
            plain = replace(plain, unknown=asked.factor, replies=not told)
            return replace(plain, passages=(*self.passages, told), intent=Intent.ADDITION)
        if asked is not None and answers(message, asked) and not _heard(plain, message).contradictions:
            bare = _length(message) <= BARE or REPLY.match(message) or unknown
            passage = f"{asked.text} {message}" if bare else message
            return replace(plain, passages=(*self.passages, passage), replies=True, intent=Intent.ADDITION)
        return _heard(plain, message)

    def without(self, outdated: Sequence[Contradiction]) -> "Account":
        """The account without older words that the last message contradicts."""
        passages = [*self.passages]
        for contradiction in outdated:
            for place, passage in enumerate(passages[:-1]):
                passages[place] = _cut(passage, contradiction.before)
        told = () if self.hypothetical else tuple(outdated)
        return replace(self, passages=tuple(passages), contradictions=self.contradictions + told)

    def verbatim(self, quote: str | None) -> str | None:
        """A quotation of what the model reads in the person's own words, or None where there are none."""
        if quote is None or quote in self.situation:
            return quote
        return next((swap.words for swap in reversed(self.swaps) if swap.text in quote), None)


def answers(message: str, asked: Question) -> bool:
    """Whether a short message is a bare answer to a question, such as "about 400" or "no, never"."""
    if _length(message) > SHORT or _asks(message) or CORRECTION.search(message) or WHAT_IF.match(message):
        return False
    if REPLY.match(message) or UNKNOWN.match(message):
        return True
    words = set(LONG_WORD.findall(" ".join([asked.text, *(choice.meaning for choice in asked.choices)]).lower()))
    return _length(message) <= BARE or bool(words & set(LONG_WORD.findall(message.lower())))


def _fact(aside: str) -> str:
    """What stands behind an "I don't know", verbatim; empty where that tells nothing."""
    told = set(re.findall(r"[^\W\d_][\w']*", aside.lower())) - NO_FACT
    return aside.strip(" ,;.!–—") if told else ""


def contradiction(factor: str, title: str, before: str, after: str) -> Contradiction:
    """Two statements that cannot both hold, in words."""
    text = f"{title}: you said “{before}” before and “{after}” now; the newer statement counts."
    return Contradiction(factor=factor, before=before, after=after, text=text)


def _heard(account: Account, message: str) -> Account:
    lead = WHAT_IF.match(message)
    start = lead.end() if lead else 0
    cue = bool(CORRECTION.search(message))
    olds = [(place, old) for place, passage in enumerate(account.passages) for old in figures(passage)]
    pairs = _pairs(message, olds, eager=cue or lead is not None)
    passages, swaps = _replaced(account.passages, pairs, message), [_swap(pair, message) for pair in pairs]
    contradictions = [contradiction(_factor(old), "Figures", old.text, new.text) for new, _, old, _ in pairs]
    revoked = [pair.taken for pair in pairs if pair.taken is not None]
    if lead is not None or (swaps and _asks(message) and not FIRM.search(message)):
        statement = message[start:].rstrip(" ?？.") + "."
        return replace(account, passages=(*passages, statement), swaps=(*account.swaps, *swaps), intent=Intent.WHAT_IF)
    return replace(
        account,
        passages=(*passages, _statement(message, revoked)),
        swaps=(*account.swaps, *swaps),
        intent=Intent.CORRECTION if cue or contradictions else Intent.ADDITION,
        contradictions=tuple(contradictions),
    )


def _replaced(passages: Sequence[str], pairs: Sequence[Pair], message: str) -> list[str]:
    left = [*passages]
    # From the last one on, so that the places of the others stay true.
    for new, place, old, _ in sorted(pairs, key=lambda pair: pair.old.start, reverse=True):
        left[place] = left[place][: old.start] + message[new.start : new.end] + left[place][old.end :]
    return left


def _swap(pair: Pair, message: str) -> Swap:
    amount = message[pair.new.start : pair.new.end]
    words = next((clause for clause in split_clauses(message) if amount in clause), message)
    return Swap(amount, words, _factor(pair.old), pair.old.value, pair.new.value)


def _pairs(message: str, olds: Sequence[tuple[int, Figure]], *, eager: bool) -> list[Pair]:
    """New figures with the older one each takes the place of; a figure stands in one pair only."""
    news = figures(message)[:MOST_NEWS]
    pairs: list[Pair] = []
    for pair in [*_denials(message, news, olds, eager=eager), *_likeliest(message, news, olds)]:
        clash = any(pair.new in (other.new, other.taken) or pair[1:3] == other[1:3] for other in pairs)
        if not clash and _meant(pair, pairs[0].new if pairs else None, message, eager=eager):
            pairs.append(pair)
    return pairs


def _denials(message: str, news: Sequence[Figure], olds: Sequence[tuple[int, Figure]], *, eager: bool) -> list[Pair]:
    """Older figures that the message mentions, each with the one in its place: "400, not 4,000"."""
    pairs: list[Pair] = []
    for taken in news:
        same = [item for item in olds if item[1].value == taken.value]
        if not same:
            continue
        denied = _denial(message, taken) is not None
        others = [new for new in news if new.value != taken.value and (denied or fit(new, same[-1][1]))]
        if others and (denied or eager):
            nearest = min(others, key=lambda new: (not fit(new, same[-1][1]), abs(new.start - taken.start)))
            pairs.append(Pair(nearest, *same[-1], taken if denied else None))
    return sorted(pairs, key=lambda pair: -fit(pair.new, pair.old))


def _denial(message: str, figure: Figure) -> re.Match[str] | None:
    """The words right before a figure that take it back."""
    return NOT.search(message, max(figure.start - NOT_REACH, 0), figure.start)


def _likeliest(message: str, news: Sequence[Figure], olds: Sequence[tuple[int, Figure]]) -> list[Pair]:
    """For each new figure the older one that it fits best; the surest pair comes first."""
    pairs: list[Pair] = []
    for new in news:
        around = message[max(new.start - 30, 0) : new.start + len(new.text) + 15]
        if new.kind is None and (0 < new.value < 1 or YEAR.fullmatch(new.text)):
            continue
        if MORE.search(around) or any(old.value == new.value and old.kind is new.kind for _, old in olds):
            continue
        if olds:
            best = max(olds, key=lambda item: (fit(new, item[1]), _likely(new, item[1]), item[0], item[1].start))
            pairs.append(Pair(new, *best))
    return sorted(pairs, key=lambda pair: -fit(pair.new, pair.old))


def _meant(pair: Pair, first: Figure | None, message: str, *, eager: bool) -> bool:
    """Whether a figure is to take the place of the older one; in doubt both are kept.

    Args:
        pair: The two.
        first: The new figure that surely takes the place of an older one, if there is one.
        message: In which the new figure stands.
        eager: Whether the message corrects something or asks how it would be.
    """
    sure = fit(pair.new, pair.old)
    if pair.taken is not None:
        return first is None or sure >= 1
    if eager and first is None:
        return sure >= 1 and not _comes_along(pair.new, message)
    sentence, before = _sentence(message, pair.new)
    beside = first is not None and sentence == _sentence(message, first)[0]
    # A model is named by its size: beside a corrected figure another size is another model.
    if sure < (1 if eager and beside and pair.new.kind is Kind.PARAMETERS else 2):
        return False
    if first is None and _asks(sentence) and not FIRM.search(message):
        # It becomes a what-if, which overwrites nothing.
        return True
    if FOREIGN.search(sentence):
        return False
    return _claimed(sentence, before, pair.new) or beside


def _comes_along(figure: Figure, message: str) -> bool:
    """Whether a figure of a correction is none of the person's own: a test set's, a colleague's, a price for each.

    Only its clause tells: "I checked, it's 400 images, the others are blurred". What is supposed may be anybody's.
    """
    if figure.kind is None or WHAT_IF.match(message):
        return False
    sentence, before = _sentence(message, figure)
    start = max((end.end() for end in CLAUSE_END.finditer(before)), default=0)
    end = CLAUSE_END.search(sentence, len(before) + len(figure.text))
    return FOREIGN.search(sentence, start, end.start() if end else len(sentence)) is not None


def _sentence(message: str, figure: Figure) -> tuple[str, str]:
    """The sentence of a figure, and what of it stands before the figure."""
    ends = [match.end() for match in SENTENCE_END.finditer(message)]
    start = max((end for end in ends if end <= figure.start), default=0)
    end = min((end for end in ends if end >= figure.end), default=len(message))
    return message[start:end], message[start : figure.start]


def _claimed(sentence: str, before: str, figure: Figure) -> bool:
    """Whether a sentence gives its figure as all there is: "we have 400", "the 400", or hardly another word."""
    rest = sentence.replace(figure.text, " ", 1)
    return bool(CLAIM.search(before) or TOTAL.search(sentence) or FILLED.fullmatch(rest))


def _likely(new: Figure, old: Figure) -> bool:
    """A number that counts nothing named is about examples, where there are any, sooner than about cards or money."""
    return new.kind is not None or old.kind is Kind.EXAMPLES


def _factor(old: Figure) -> str:
    if old.kind is None:
        return "labels" if old.labelled else ""
    if old.kind in (Kind.GPUS, Kind.MONEY):
        return "compute"
    return "labels" if old.labelled or old.kind in (Kind.EXAMPLES, Kind.AUDIO) else "raw"


def _length(message: str) -> int:
    """Words of a message; two letters are one where words are not set apart."""
    return len(message.split()) + len(UNSPACED.findall(message)) // 2


def _asks(message: str) -> bool:
    return message.rstrip().endswith(("?", "？", "؟"))


def _statement(message: str, revoked: Sequence[Figure]) -> str:
    """A message without the figures that it takes back."""
    # From the last one on, so that the places of the others stay true.
    for figure in sorted(revoked, key=lambda figure: figure.start, reverse=True):
        lead = _denial(message, figure)
        start = lead.start() if lead else figure.start
        message = message[:start] + message[figure.end :]
    return _tidied(message)


def _cut(passage: str, words: str) -> str:
    # Of "14 GPUs" the words "4 GPUs" are no part, nor are they of "1.4 GPUs".
    left = re.sub(rf"(?<!\w)(?<!\d[.,]){re.escape(words)}(?!\w)", "", passage)
    if left == passage:
        return passage
    left = _tidied(left)
    return left if len(re.findall(r"[^\W\d_]", left)) >= LEAST_LEFT else ""


def _tidied(text: str) -> str:
    text = SPACES.sub(lambda match: " " if match.end() < len(text) and text[match.end()] not in ",.;!?" else "", text)
    return re.sub(r"([,.;])(?:\s*[,;.])+", r"\1", text).strip(" ,;")
