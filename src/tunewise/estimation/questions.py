"""Which calculation a message asks for, if any, and which asks for advice instead."""

import re
from collections.abc import Sequence
from enum import StrEnum

from tunewise.estimation.quantities import Quantity
from tunewise.estimation.rules import Kind

MOST_LETTERS = 600
LONGEST = 45
"""Words up to which a message can be a calculation question; a longer one is a situation."""
MEMORY = re.compile(
    r"\b(?:memory|vram|ram|gb|gpus?|cards?|fits?|fit on|onto|into|hold|oom|reicht"
    r"|hardware|speicher|passt|mémoire|cabe|tient|memoria)\b"
    r"|\b(?:on|with) (?:a|an|one|my|the|single)\b",
    re.I,
)
KV = re.compile(r"\bkv[ -]?cache|key[ -]value cache|keys and values", re.I)
TRAINING = re.compile(
    r"\b(?:(?:re)?train\w*|entra[iî]n\w*|entren\w*|addestr\w*|gradients?|\w*trainier\w*"
    r"|fine[ -]?tun\w*|finetun\w*|lora|qlora|sft|peft|pre-?train\w*|from scratch|epochs?)\b",
    re.I,
)
DURATION = re.compile(
    r"\b(?:how long|how many (?:gpu[ -])?(?:hours|days|weeks)|gpu[ -]?hours?|time|days|hours|duration|wie lange"
    r"|combien de (?:temps|jours)|cuánto tiempo|dauert)\b",
    re.I,
)
PRICE = re.compile(
    r"\b(?:costs?|price\w*|bill|kostet|kosten|coûte|cuesta|dollars?|budget|expensive|how much money|usd|rent)\b|[$€]",
    re.I,
)
COMPUTE = re.compile(r"\b(?:flops?|compute)\b", re.I)
HOW_MANY_TOKENS = re.compile(
    r"\bhow (?:many|much) (?:\w+ ){0,3}?(?:tokens|data|text|words)\b"
    r"|\btokens (?:do|does|would|should|are|needed)|\bchinchilla\b"
    r"|\bcompute[- ]optimal\b",
    re.I,
)
HOW_LARGE = re.compile(r"\bhow (?:large|big)\b|\b(?:largest|biggest|what size|which size)\b", re.I)
SERVING = re.compile(
    r"\b(?:serv\w+|tokens? (?:per|a|/) ?s\w*|tokens/s|throughput|inference|run|host\w*|infer\w*|generat\w+)\b",
    re.I,
)
SPEED = re.compile(r"\b(?:speed|fast|tokens? (?:per|a) s\w*|tokens/s|throughput|per million)\b", re.I)
ASKS = re.compile(
    r"\bhow (?:much|long|many|fast|large|big|expensive)\b|\b(?:wie (?:viele?|lange|groß|schnell|teuer)|passt|kostet"
    r"|combien|cuánt[oa]s?|cabe|quant[oi])\b|\bfits?\b|\bkv[ -]?cache\b|\bchinchilla\b"
    r"|\bcompute[- ]optimal\b|\b(?:costs?|price|vram|bill|flops?|throughput|gpu[ -]?hours)\b"
    r"|\btokens?(?: (?:per|a) second|/s)\b"
    r"|\b(?:days|hours|weeks|time|v?ram|compute|budget|hardware) (?:to|for|needed|required|it takes)\b"
    r"|\b(?:oom|out of memory)\b|\bestimate\b|\bsmallest (?:gpu|card)\b"
    r"|\b(?:get|put|squeeze|load) .*\b(?:onto|into|on)\b|\b(?:biggest|largest) (?:\w+ )?model\b"
    r"|\b(?:required|enough) (?:memory|vram)\b|\b(?:what|which) (?:gpus?|cards?|hardware|size)\b"
    r"|\bmemory (?:for|to|of|needed|required|footprint|do|does|would)\b"
    r"|^(?:so |and |hi,? )?(?:can|could|will|would|does|do|is|are) .*"
    r"\b(?:train|fine-?tune|q?lora|run|serve|host|load|hold)\b",
    re.I,
)
MEASURES = re.compile(r"\bhow (?:much|long|many|fast|large|big)\b|\b(?:what|which) size\b|\bvram\b", re.I)
"""Whoever asks so wants a number, even of what "should" be."""
SUFFICES = re.compile(
    r"^(?:so |and )?(?:is|are|would|will|does|do) .*\b(?:enough|sufficient|suffices?)\b|^reicht\b", re.I
)
GIVEN = frozenset({Kind.GPUS, Kind.MEMORY, Kind.TOKENS, Kind.CONTEXT, Kind.BITS, Kind.BATCH})
BRIEF = 12
"""Words up to which a size and another quantity are a calculation without any word that asks for a number."""
FEW = 30
"""Words up to which a size and a card with a question such as "realistic?" are a calculation."""
EXPLAINS = re.compile(
    r"\b(?:why|what (?:is|are|does)|explain|how (?:do|does|is|was)|who|quality"
    r"|accura\w+|know|good|we|our|better|legal)\b",
    re.I,
)
FEASIBLE = re.compile(
    r"\b(?:fits?|run|runs|running|loads?|serve|host|hold|train\w*|fine-?tun\w*|tune|q?lora|realistic|possible|feasible"
    r"|enough|chance|eta|cope|handle|go on)\b",
    re.I,
)
ADVICE = re.compile(
    r"\b(?:why|explain|quality|accura\w+|better|legal|worth|stop|replace|know|reliabl\w+|tone|customers?|strategy|slow"
    r"|overkill|overfit\w*|good)\b|(?:^|[.!?]\s+)(?:fine-?tune|train)\b",
    re.I,
)
"""Words of one who does not ask whether something fits."""
SHOULD = re.compile(r"\bshould\b|\bsollen? (?:wir|ich)\b", re.I)
CHOOSES = re.compile(
    r"\bdid\b|\bwhich way\b|\bbetter\b|\bworth\b|\bor (?:just )?(?:prompt|rag|use|train|fine|buy|an? api)", re.I
)
"""Words of one who asks for advice or for what has been, whatever quantities are named."""
COUNSEL = re.compile(
    r"\bmake sense\b|\bat all\b|\blearning rate\b|\bbeat\b|\bhold (?:its|their) own\b|\bbest way\b|\baccuracy\b"
    r"|\bhow many (?:labels|labell?ed|examples|images)\b|(?:^|[.!?]\s+)do i need to (?:train|fine|tune)"
    r"|\b(?:examples|labels|labell?ed \w+|images|photos|tickets|e-?mails|documents|rows)\b[\w ]{0,20}"
    r"\b(?:enough|sufficient|suffice)|\b(?:enough|sufficient) (?:examples|labels|images|data)\b"
    r"|\b(?:is|are) [\d,.]+k? (?!g\b|[gt]b|gigs|\w* ?(?:gpu|card)|[avh]\d)[\w -]{0,24}\b(?:enough|sufficient)\b",
    re.I,
)
"""Questions on quality and data, which no formula here answers."""
TUNING = re.compile(r"\b(?:fine[ -]?tun\w*|finetun\w*|q?lora|sft|peft)\b", re.I)
NOTHING = re.compile(r"\bscratch\b|\bpre[ -]?train(?!ed\b)", re.I)
CONTINUED = re.compile(r"\bcontinu", re.I)
HOW_MANY_CARDS = re.compile(
    r"\b(?:how many|wie viele|combien de|cuántas)[ ](?:[\w-]+[ ]){0,2}?(?:gpus?|cards?|karten|cartes|tarjetas)\b", re.I
)
HOW_MANY = re.compile(r"\b(?:how many|wie viele|combien d[e'’]|cuántas)[ ]?(?:[\w-]+[ ])?$", re.I)
ADAPTED = re.compile(
    r"\b(?:fine-?tuned|finetuned|pre-?trained|trained|distilled)(?= (?:[a-z-]+ )?(?:\d|model|version|bert|llama))", re.I
)
"""What kind of model is meant, not what is to be done to it."""
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Topic(StrEnum):
    """What is to be calculated."""

    TRAINING_MEMORY = "training memory"
    INFERENCE_MEMORY = "inference memory"
    KV_CACHE = "key-value cache"
    TRAINING_COST = "training time and cost"
    TOKENS = "training tokens"
    AFFORDABLE = "tokens that fit a time"
    MODEL_SIZE = "model size"
    SERVING = "serving"
    RENT = "rent"
    TOKEN_BILL = "bill for tokens"
    ITEM_BILL = "bill for labels or items"


def advises(text: str) -> bool:
    """Whether a message is too long for a calculation question, or asks for advice whatever figures it names."""
    if len(text) > MOST_LETTERS or len(text.split()) > LONGEST or CHOOSES.search(text) or COUNSEL.search(text):
        return True
    should = SHOULD.search(text)
    return should is not None and (not MEASURES.search(text) or text.lower().startswith("should"))


def topic(text: str, quantities: Sequence[Quantity]) -> Topic | None:
    """What is to be calculated by the library's formulas; None where the message does not ask for it.

    Args:
        text: A message that does not ask for advice (`advises`).
        quantities: What was read from it.
    """
    sentences = SENTENCE.split(text.strip())
    asked = sentences if len(sentences) == 1 else [sentence for sentence in sentences if "?" in sentence]
    kinds = {quantity.kind for quantity in quantities}
    means = {Kind.GPUS, Kind.MEMORY} & kinds
    brief = (
        "?" in text
        and len(text.split()) <= BRIEF
        and Kind.PARAMETERS in kinds
        and GIVEN & kinds
        and not EXPLAINS.search(text)
    )
    feasible = (
        len(text.split()) <= FEW
        and Kind.PARAMETERS in kinds
        and bool(means)
        and any("?" in sentence and FEASIBLE.search(sentence) for sentence in asked)
        and not ADVICE.search(text)
    )
    plain = any(ASKS.search(sentence) or (means and SUFFICES.search(sentence)) for sentence in asked)
    return _formula(text, kinds) if brief or feasible or plain else None


def trains(text: str) -> bool:
    """Whether something is to be trained, not merely a trained model to be run."""
    return TRAINING.search(ADAPTED.sub("", text)) is not None


def from_nothing(text: str) -> bool:
    """Whether a model is to be trained from nothing, and none tuned as well."""
    if CONTINUED.search(text) or TUNING.search(ADAPTED.sub("", text)):
        return False
    return NOTHING.search(text) is not None


def asks_cards(text: str, named: Quantity | None) -> bool:
    """Whether it is asked how many cards are needed, by a word for cards or by their name."""
    return HOW_MANY_CARDS.search(text) is not None or (named is not None and bool(HOW_MANY.search(text[: named.start])))


def _formula(text: str, kinds: set[Kind]) -> Topic | None:
    if Kind.PARAMETERS not in kinds:
        return Topic.MODEL_SIZE if Kind.TOKENS in kinds and HOW_LARGE.search(text) else None
    training = trains(text)
    if KV.search(text):
        return Topic.KV_CACHE
    speed = bool(SPEED.search(text))
    if HOW_MANY_TOKENS.search(text) and Kind.TOKENS not in kinds and not (speed and not training):
        if re.search(r"\bq?lora\b|fine-?tun", text, re.I):
            return None
        return Topic.AFFORDABLE if kinds >= {Kind.GPUS, Kind.DAYS} else Topic.TOKENS
    dear = bool(DURATION.search(text) or PRICE.search(text) or COMPUTE.search(text))
    if Kind.TOKENS in kinds and not speed and (COMPUTE.search(text) or DURATION.search(text)):
        return Topic.TRAINING_COST
    if training and (dear or Kind.TOKENS in kinds):
        return Topic.TRAINING_COST
    # Of a machine named by its memory alone the bandwidth is not known.
    unknown = Kind.MEMORY in kinds and Kind.GPUS not in kinds
    if not training and not unknown and (speed or (SERVING.search(text) and dear)):
        return Topic.SERVING
    if MEMORY.search(text) or Kind.GPUS in kinds or Kind.MEMORY in kinds:
        return Topic.TRAINING_MEMORY if training else Topic.INFERENCE_MEMORY
    return None
