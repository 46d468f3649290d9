"""What kind of message this is, and what earlier turns of a conversation said."""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import InputError

LONGEST = 20_000
"""Characters of one message; what lies behind would not fit any context here."""
NOT_TEXT = frozenset({"Cc", "Cs", "Co", "Cn"})
"""Unicode categories of control, surrogate, private and unassigned characters; those that only steer how text is laid
out (Cf: joiners, direction marks) are part of many scripts."""
ASKING = (
    r"(?<!没)(?<!没有)什么|怎么(?!办|做)|为何|如何|多少|哪|区别"
    r"|とは|何(?![千万百十も])|なに|なぜ|どう(?!す)|どの|どちら|いつ(?!も)|違い"
)
"""Words that ask where a question mark follows; "what shall I do" is left out, as it asks for a verdict."""
TOLD = r"\d[,.]*\s*[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|想"
"""A number of things ("4000张", but not "7B模型") or a wish: both tell of a situation.
The last digit stands for its number: begun at each of them, a long one takes the square of its length."""
QUESTION = re.compile(
    r"^(?:so |and |ok,? |hi,? |hello,? |please,? )*"
    r"(?:what(?:'s| is| are| does| do| did| was| were)?\b|how (?:does|do|much|many|long|is|are)\b|why\b|explain\b"
    r"|define\b|describe\b|tell me\b|when (?:does|do|is|was)\b|who\b|which\b|does\b|difference between\b"
    r"|is (?:it|there|lora|rag|continued)\b|do (?:adapters|loras?|llms|models)\b"
    r"|can (?:lora|fine-tuning|rag|you explain)\b"
    r"|was (?:ist|sind|bedeutet|heißt|bringt|macht)\b|wie (?:viel\w*|funktionier\w+|lange|groß)\b|warum\b|wieso\b"
    r"|wozu\b|wann (?:ist|sind|lohnt|braucht|nimmt)\b|worin\b|erkläre?\b"
    r"|qu['’]est-ce\b|c['’]est quoi\b|que (?:signifie|veut dire)\b|comment (?:fonctionne|marche)\w*|pourquoi\b"
    r"|combien\b|quelles? (?:est|sont)\b|expliquez?\b"
    r"|¿?\s*(?:qué (?:es|son|significa|hace)|cómo funciona\w*|por qué|cuánt[oa]s?|cuándo (?:se|es|conviene)"
    r"|cuál es la diferencia)\b|o que (?:é|são|significa)\b|como funciona\w*|che cos|cos['’]è|come funziona\w*)"
    # In a script without spaces the asking word stands anywhere in the clause that a message begins with.
    rf"|^(?!.*(?:{TOLD}))[^\n,;.!?，、；。！？]{{0,40}}(?:(?:{ASKING})[^\n。！]{{0,60}}[?？]|是什么|とは|คืออะไร|ทำงานอย่างไร)\s*$"
    r"|^(?:什么是|为什么|อะไรคือ|ทำไม)[^\n。！]{0,60}$",
    re.I,
)
OWN = re.compile(
    r"\b(?:we|we're|we've|our|ours|us|i|i'm|i've|my|mine|me|team|company|boss|manager|client|customer|lab|hospital"
    r"|wir|unser\w*|ich|mein\w*|nous|notre|nos|je|mon|nuestr\w*|tenemos|tengo|debo|debemos|necesito|necesitamos)\b"
    r"|我们|我|私|弊社|当社|เรา|हम",
    re.I,
)
TELL_ME = re.compile(
    r"\b(?:tell|show|teach) me (?=(?:what|why|how|when|who|which|where)\b(?!(?: \w+){0,2} to\b)"
    r"|(?:about|more|something|everything|the difference)\b)",
    re.I,
)
"""Asks for knowledge; "tell me what to do" asks for a verdict."""
EXPLAIN = re.compile(r"\b(?:explain|describe|define)\b", re.I)
FOR_ME = re.compile(r"\b(?:to|for) me\b", re.I)
"""Behind a wish for an explanation it tells nothing of one's own affairs."""
DIGIT = re.compile(r"\d")
LETTER = re.compile(r"[^\W\d_]")
ON_TOPIC = 0.25
"""Least probability of being on topic; out of fold 0.3 % of our own messages fall below it."""
STORY, FAR_OFF = 15, 0.05
"""Words and probability from which a message about oneself in words of the field is taken as a situation."""
LATIN = re.compile(r"[A-Za-z]{3}")
UNREAD = 40
"""Characters from which a message in another script is long enough to be a situation."""
FIELD = re.compile(
    r"\b(?:ai|ml|nlp|llms?|gpt\w*|bert|llama\w*|qwen\w*|mistral|whisper|yolo\w*|rag|lora|qlora|peft|gpus?|a100s?|h100s?"
    r"|models?|modell\w*|modèles?|modelos?|train\w*|trainier\w*|entra[iî]n\w*|entren\w*|fine-?tun\w*|finetun\w*|pre-?train\w*|scratch|prompt\w*"
    r"|data\w*|daten\w*|données|datos|labels?|labell?ed|annotat\w*|predict\w*|classif\w*|detect\w*|recogni\w*|forecast\w*"
    r"|neural|network\w*|embedding\w*|transformer\w*|chatbot\w*|bot|images?|photos?|scans?|audio|speech|recordings?|sensor\w*"
    r"|algorithm\w*|dataset\w*|corpus|tokens?|tokeni[sz]er\w*|regression|xgboost|cnn|unet|u-net|resnet|checkpoint\w*|weights"
    r"|epochs?|loss|overfit\w*|inference|quanti[sz]\w*|benchmark\w*|accuracy|documents?|texts?|translate|translation|summari[sz]\w*)\b"
    r"|模型|训练|微调|数据|图片|标注|标签|分类|识别|预测|显卡|样本|モデル|学習|データ|画像|音声|मॉडल|डेटा|चित्र|तस्वीर",
    re.I,
)
ADVISES = (
    "I advise on model strategy: whether to train a model from scratch, "
    "fine-tune one, or use one as it is. Tell me what goes in, what should come out, and what data you have."
)
PURPOSE = f"That is outside what I can help with. {ADVISES}"
GREETING = f"Hello. {ADVISES}"

COURTESY = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|thanks?|thank you|thx|ty|cheers|great|perfect|cool|nice|super|got it|i see|fair enough"
    r"|alright|bye|good ?bye|hi|hello|hey|that helps?|helpful|very|so|much|a lot|again"
    r"|for (?:that|this|(?:the|your) help)"
    r"|danke(?: schön)?|vielen dank|merci(?: beaucoup)?|(?:muchas )?gracias|谢谢|ありがとう)[\s,.!:;()D🙂🙏👍-]*)+$",
    re.I,
)
THANKS = re.compile(
    r"\b(?:thanks?|thank you|thx|ty|cheers|got it|i see|fair enough|bye|good ?bye|hi|hello|hey|helps|danke|dank|merci"
    r"|gracias)\b|谢谢|ありがとう",
    re.I,
)
"""Of the words of courtesy, those that answer no question; "ok" and "great" may."""
CAPITALS = re.compile(r"(?<!\d)(?<!\d )\b[A-Z]{2,5}s?\b")
"""CSV, PDFs, MLP: words for all that they hold no vowel; the unit of a number is none."""
WELCOME = (
    "You are welcome. What you told me is kept: add a fact, correct one, or ask how it would be if something "
    "were different."
)


class Route(StrEnum):
    """What a message asks for."""

    ADVICE = "advice"
    """A situation to be judged."""
    QUESTION = "question"
    """A question about the subject."""
    OTHER = "other"
    """None of ours."""


def courteous(text: str, *, asked: bool = False) -> bool:
    """Whether a message only thanks, greets or takes leave.

    Args:
        text: The message.
        asked: Whether a question is open, which "ok" or "great" answers.
    """
    return bool(COURTESY.match(text)) and (not asked or bool(THANKS.search(text)))


def check(text: str, *, follow_up: bool = False, asked: bool = False) -> str:
    """The message, trimmed, if it can be worked on.

    Args:
        text: The message.
        follow_up: Whether something was said before, so that a bare figure ("400", "2x A100") says something too.
        asked: Whether a question is open, which any letters may answer ("csv").

    Raises:
        InputError: It is empty, binary, over-long, or holds no words.
    """
    # Half of a pair of code units, as a cut text or a foreign terminal leaves it, could not be encoded later on.
    trimmed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    if not trimmed:
        raise InputError("The message is empty.", "Describe your situation in a sentence or more.")
    if len(trimmed) > LONGEST:
        raise InputError(
            f"The message has {len(trimmed):,} characters, and at most {LONGEST:,} can be read.",
            "Shorten it to what matters for the decision.",
        )
    odd = sum(unicodedata.category(char) in NOT_TEXT and char not in "\n\r\t" for char in trimmed)
    if odd > 0.02 * len(trimmed) or "\x00" in trimmed:
        raise InputError("The message is not text.", "Describe your situation in words.")
    bare = (follow_up and DIGIT.search(trimmed)) or (asked and LETTER.search(trimmed))
    if not bare and not has_words(trimmed):
        raise InputError("The message holds no words that can be read.", "Describe your situation in words.")
    return trimmed


def has_words(text: str) -> bool:
    """Whether a text holds at least one thing that looks like a word of some language, or of the field."""
    if CAPITALS.search(text):
        return True
    for word in re.findall(r"[^\W\d_]+", text):
        if not word.isascii() or FIELD.fullmatch(word):
            return True
        vowels = sum(char in "aeiouyAEIOUY" for char in word)
        if 2 <= len(word) <= 24 and vowels / len(word) >= 0.15 and not re.search(r"[^aeiouyAEIOUY]{6,}", word):
            return True
    return False


def topic_features(text: str, vector: NDArray[np.float32], closeness: float) -> NDArray[np.float32]:
    """What tells a message about models from any other one, in one vector.

    Args:
        text: The message.
        vector: Its sentence embedding, shape (384,).
        closeness: Cosine between the message and the nearest fact of the knowledge folder.
    """
    field, digit = bool(FIELD.search(text)), bool(DIGIT.search(text))
    signs = [float(field), float(digit), float(np.log(len(text.split()) + 1)), closeness]
    return np.concatenate([vector, np.asarray(signs, dtype=np.float32)]).astype(np.float32)


def route(text: str, on_topic: float, *, follow_up: bool = False) -> Route:
    """What a message asks for.

    Args:
        text: The message.
        on_topic: Probability that it is about models at all.
        follow_up: Whether a situation stands already, so that a bare addition belongs to it.

    Returns:
        A situation wherever there is doubt: judging one wrongly taken for something else costs a
        verdict, the other way round costs a sentence.
    """
    spoken = bool(FIELD.search(text))
    bare = follow_up and (spoken or bool(DIGIT.search(text)))
    # The embedder knows no other script than the Latin one: there the words of the field decide.
    unread = not LATIN.search(text) and (spoken or len(text) > UNREAD)
    # A long story about one's own affairs in words of the field is a situation, however it wanders.
    story = spoken and bool(OWN.search(text)) and len(text.split()) >= STORY and on_topic >= FAR_OFF
    if on_topic < ON_TOPIC and not bare and not unread and not story:
        return Route.OTHER
    if QUESTION.match(text) and len(text.split()) <= 40 and not _of_oneself(text):
        return Route.QUESTION
    return Route.ADVICE


def _of_oneself(text: str) -> bool:
    """Whether a question is about one's own affairs, not only asked for oneself: "tell me what LoRA changes"."""
    rest = TELL_ME.sub("", text)
    return OWN.search(FOR_ME.sub("", rest) if EXPLAIN.search(rest) else rest) is not None


def merge(turns: Sequence[str]) -> str:
    """One situation out of what was said in several turns, oldest first.

    Every turn stands in it verbatim, so that quotations stay true; the newest comes last, and the
    model reads it as a correction of what stands before.
    """
    return "\n".join(turns)
