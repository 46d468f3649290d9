"""Writing: reasons tied to a factor and a fact, and answers that cite; each checked before it counts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunewise import grounding
from tunewise.llm import HOLE, LocalModel, Prefix
from tunewise.prompts import PHRASES, PromptLibrary, reason_lead, verdict_line
from tunewise.schema import Evidence, Fact, Factor, Reason, ReasonEvent, TextEvent, Verdict
from tunewise.session import Session

REASON_TOKENS = 32
"""Longest reason; the worked examples have 15 to 25 tokens, and what is longer rarely passes the check."""
GIST = 24
"""Words of a fact that a reason is written from; the fact is cited whole."""
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
ANSWER_TOKENS = 160
COPIED = 0.6
"""Share of a reason that may be one run of words out of its fact."""
LEAST_WORDS = 6
TEACH = r"(?:must|should|needs? to|has to|have to|can|could|will) (?:be )?(?:fine-tune|adapt|train|tune|teach|learn)"
AGAINST: dict[Verdict, re.Pattern[str]] = {
    Verdict.TRAIN_FROM_SCRATCH: re.compile(
        r"(?:too (?:few|little|small)|not enough) .{0,40}(?:from (?:scratch|nothing|zero)|of its own)"
        r"|(?:enough|fits?|right|best) (?:to|for) (?:fine-tun|adapt)|(?:must|should|needs? to) be fine-tuned"
        r"|fine-tuning is (?:the )?(?:right|best|better|enough)",
        re.I,
    ),
    Verdict.FINE_TUNE: re.compile(
        r"(?:too (?:few|little|small)|not enough) (?:to|for) (?:fine-tun|adapt|tun)"
        r"|enough to train (?:a model |one )?(?:from scratch|of its own)|nothing (?:left )?to train"
        r"|(?:must|should|needs? to) be trained from|not (?:worth|necessary to) fine-tun",
        re.I,
    ),
    Verdict.USE_AS_IS: re.compile(
        rf"enough to (?:fine-tun|adapt|train|teach)|{TEACH}|fine-tuning is (?:the )?(?:right|best|better|needed)"
        r"|train(?:ing)? state",
        re.I,
    ),
    Verdict.NEEDS_MORE_INFORMATION: re.compile(r"enough to (?:fine-tun|adapt|train|teach)", re.I),
}
"""Turns of phrase that argue for another verdict than the one they stand under."""


TOWARD: dict[Verdict, re.Pattern[str]] = {
    Verdict.TRAIN_FROM_SCRATCH: re.compile(r"from scratch|of (?:its|their|your|one's) own|boosted|train", re.I),
    Verdict.FINE_TUNE: re.compile(r"fine-tun|adapt|pre-trained|adapter|lora|teach|transfer|carr(?:y|ies) over", re.I),
    Verdict.USE_AS_IS: re.compile(
        r"existing|prompt|retriev|index|ready-made|shelf|zero-shot|as it is|look(?:ed)? up|context|already|no training",
        re.I,
    ),
}
"""Turns of phrase of which a reason for a verdict has at least one; without any it says something else."""


@dataclass(frozen=True)
class Ground:
    """What a reason is to rest on."""

    factor: Factor
    fact: Fact
    title: str
    """How the factor is called before a person."""
    because: str | None
    """Why its level speaks for the verdict, if there is such a clause."""


def write_reasons(
    session: Session, situation: str, verdict: Verdict, grounds: Sequence[Ground]
) -> Iterator[TextEvent | ReasonEvent]:
    """Write one reason a ground, all side by side, check each, and replace what fails.

    Args:
        session: Behind the situation, as `SheetReader.read` leaves it.
        situation: What the user wrote.
        verdict: What the reasons are for.
        grounds: At least one.

    Yields:
        Pieces as they are written, then each reason, whole and checked, in order.
    """
    session.read(verdict_line(verdict))
    written = [index for index, ground in enumerate(grounds) if can_be_written(ground, verdict)]
    leads = [
        reason_lead(ground.factor.name, ground.factor.level, gist(ground.fact.readable), ground.factor.quote)
        for ground in (grounds[index] for index in written)
    ]
    texts = [""] * len(grounds)
    for place, piece in session.write_side_by_side(leads, limit=REASON_TOKENS, stop=["\n"]) if leads else ():
        index = written[place]
        new = piece if texts[index] else piece.lstrip()
        texts[index] += new
        if new:
            yield TextEvent(index=index, text=new)
    for index, (ground, text) in enumerate(zip(grounds, texts, strict=True)):
        yield ReasonEvent(index=index, reason=settle(text.strip(), situation, verdict, ground, texts[:index]))


def can_be_written(ground: Ground, verdict: Verdict) -> bool:
    """Whether a model has anything to reason about; where the user said nothing, it tends to make it up."""
    return ground.factor.quote is not None and verdict is not Verdict.NEEDS_MORE_INFORMATION


def gist(fact: str) -> str:
    """The first sentences of a fact, as many as fit; reading every word of it would cost half a second."""
    kept, *others = SENTENCE.split(fact)
    for sentence in others:
        if len(kept.split()) + len(sentence.split()) > GIST:
            break
        kept += f" {sentence}"
    return kept


def settle(
    text: str,
    situation: str,
    verdict: Verdict,
    ground: Ground,
    earlier: Sequence[str],
) -> Reason:
    """A reason as it is shown: the model's sentence where it stands up to the checks, else a composed one."""
    fits = not faults(text, situation, verdict, ground) and text not in [other.strip() for other in earlier]
    return Reason(
        text=text if fits else compose(ground, verdict),
        factors=(ground.factor.name,),
        evidence=(Evidence.of(ground.fact),),
        composed=not fits,
    )


def faults(text: str, situation: str, verdict: Verdict, ground: Ground) -> list[str]:
    """What is wrong with a reason; empty where it may be shown.

    A reason must be whole, speak of the situation, argue for the verdict, say nothing that neither
    situation nor fact supports, and not be copied out of the fact.
    """
    found = grounding.violations(text, [situation, ground.fact.readable])
    if len(text.split()) < LEAST_WORDS or text[-1:] not in ".!":
        found.append("not a whole sentence")
    if grounding.copied(text, ground.fact.readable) > COPIED:
        found.append("copied from the fact")
    if AGAINST[verdict].search(text):
        found.append("argues for another verdict")
    if verdict in TOWARD and not TOWARD[verdict].search(text):
        found.append("does not argue for the verdict")
    if ground.factor.known and grounding.overlap(text, ground.factor.quote or situation) == 0:
        found.append("does not speak of what the user said")
    return found


def compose(ground: Ground, verdict: Verdict) -> str:
    """A plain reason built from what the user said, for where the model's own sentence fails."""
    factor, title = ground.factor, ground.title
    if verdict is Verdict.NEEDS_MORE_INFORMATION and ground.because is None:
        if factor.known and factor.level not in ("vague", "other"):
            return f"{title}: {factor.meaning}; that alone does not settle the choice."
        return f"Not stated: {title.lower()}. The choice depends on it."
    if not factor.known:
        return f"Not stated: {title.lower()}. Nothing said of it speaks against the decision to {PHRASES[verdict]}."
    said = f"“{factor.quote}”" if factor.quote else f"{title}, {factor.meaning}"
    if ground.because:
        return f"{said}: {ground.because}."
    if factor.pushes_toward is verdict:
        return f"{said}: that speaks for the decision to {PHRASES[verdict]}."
    return f"{said}: that is compatible with the decision to {PHRASES[verdict]}."


class AnswerWriter:
    """Answers questions about the subject from facts.

    Args:
        model: The local model.
        library: Holds the prompt `answer`.
    """

    def __init__(self, model: LocalModel, library: PromptLibrary) -> None:
        self._model = model
        system = library.prompt("answer").render()
        self.prefix: Prefix = model.prefix([{"role": "system", "content": system}, {"role": "user", "content": HOLE}])

    def write(self, session: Session, question: str, facts: Sequence[Fact]) -> Iterator[str]:
        """Write an answer that cites facts as [1], [2] …; not checked yet."""
        listed = "\n".join(f"[{place}] {fact.readable}" for place, fact in enumerate(facts, start=1))
        session.read(f"Facts:\n{listed}\n\nQuestion: {question}")
        session.close_turn()
        yield from session.write("Answer:", limit=ANSWER_TOKENS, stop=["\n\n", "\nQuestion:", "\nFacts:"])


def settle_answer(text: str, question: str, facts: Sequence[Fact]) -> tuple[str, tuple[Evidence, ...]]:
    """Keep the sentences of an answer that the facts support, and cite what they rest on.

    Returns:
        The checked text, and the evidence in the order of its first citation. Where nothing stands,
        the best fact itself is the answer.
    """
    kept: list[str] = []
    used: list[int] = []
    supports = [question, *(fact.readable for fact in facts)]
    for sentence in re.split(r"(?<=[.!?])\s+(?!\[)", _cited_within(text.strip())):
        plain = re.sub(r"\s*\[\d+\]", "", sentence)
        if len(plain.split()) < 3 or plain[-1:] not in ".!?:" or grounding.violations(plain, supports):
            continue
        cited = [int(number) for number in re.findall(r"\[(\d+)\]", sentence)]
        known = [number for number in cited if 1 <= number <= len(facts)]
        best = known or [_closest(plain, facts)]
        used += [number for number in best if number not in used]
        kept.append(re.sub(r"\s*\[\d+\]", "", sentence) + "".join(f" [{used.index(n) + 1}]" for n in best))
    if not kept:
        return f"{facts[0].readable} [1]", (Evidence.of(facts[0]),)
    return " ".join(kept), tuple(Evidence.of(facts[number - 1]) for number in used)


def _cited_within(text: str) -> str:
    """An answer with every citation before the full stop of its sentence: "a [1, 2]." and "a. [1] [2]" alike."""
    single = re.sub(
        r"\[(\d+(?:\s*,\s*\d+)+)\]", lambda found: re.sub(r"\d+", r"[\g<0>]", found[1]).replace(",", ""), text
    )
    return re.sub(r"([.!?])((?:\s*\[\d+\])+)", r"\2\1", single)


def _closest(sentence: str, facts: Sequence[Fact]) -> int:
    weights = [grounding.overlap(sentence, fact.readable) for fact in facts]
    return weights.index(max(weights)) + 1
