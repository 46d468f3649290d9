"""Text out of bytes whose encoding nobody told: UTF-8, UTF-16, or the older one that it looks most like."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from operator import itemgetter
from unicodedata import category

WESTERN = "äöüßéà àâæçèéêëîïôùûüÿœ áéíóúüñªº áâãàçéêíóôõúªº àèéìíòóù åäöæøéü áéíóúýðþæö ëïéèöüáóêç".split()
CENTRAL = "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîşţ čćđšž".split()
OLDER = (
    *product(["cp1252"], WESTERN),
    *product(["cp1250", "iso8859_2"], CENTRAL),
    ("cp1254", "çğıöşüâîûİ"),
    ("cp1255", "אבגדהוזחטיךכלםמןנסעףפץצקרשת"),
    *product(["cp1251", "koi8_r", "cp866"], ["абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґў"]),
    ("cp1253", "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"),
    ("cp1256", "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىيپچژگ"),
)
"""Encodings of text files that are in neither UTF-8 nor UTF-16, each with what a language writes in it beyond ASCII."""
ASIAN = (
    ("euc_kr", "euc_kr", range(0xB0, 0xC9)),
    ("gb18030", "gb2312", (0xA1, 0xA3, *range(0xB0, 0xD8))),
    ("big5", "big5", (0xA1, *range(0xA4, 0xC7))),
    ("euc_jp", "euc_jp", (0xA1, 0xA3, 0xA4, 0xA5, *range(0xB0, 0xD0))),
    ("shift_jis", "shift_jis", (*range(0x81, 0x84), *range(0x88, 0x98))),
)
"""The same for larger scripts: the bytes that open a sign of everyday use, and a codec that knows few others."""
SIGNS = frozenset("“”„‘’‚–—…«»‹›•£€¥§©®™°±×µ½¼¾²³·¿¡†\u00a0")
STRANGE = 0.3
"""Share of signs out of place from which on a text is not in that encoding."""
NOT_TEXT = ("Cc", "Co", "Cs", "Cn")
"""Categories of signs that no text holds; those that steer its layout (Cf) are part of many scripts."""


def decode(data: bytes) -> tuple[str, str]:
    """The text of a file, and the encoding that was guessed; empty where it is UTF-8, or UTF-16 with its mark.

    Raises:
        UnicodeError: It is not text.
    """
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        signs = Counter(text).items()
        odd = sum(count for char, count in signs if category(char) in NOT_TEXT and not char.isspace())
        if "\0" not in text and odd <= 0.01 * len(text):
            return text, "" if encoding.startswith("utf") else encoding
    raise UnicodeError("it is not text")


def _encodings(data: bytes) -> Iterator[str]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield "utf-16"
        return
    yield "utf-8-sig"
    # No text in these encodings holds a zero, so nothing is guessed about binary files.
    if b"\0" in data:
        return
    # The first lines beyond ASCII; the others tell nothing.
    lines = b"\n".join(line for line in data.splitlines() if not line.isascii())
    ahead = len(lines) - len(lines.lstrip(bytes(range(128))))
    sample = lines[max(0, ahead - 20) :][:20_000]
    rated = [(_strangeness(sample, *writing), writing[0]) for writing in (*OLDER, *_asian())]
    # Letters of several languages stand together now and then; one language is likelier. Of equals, the first is.
    rated.append((0.2 + _strangeness(sample, "cp1252", "".join(WESTERN)), "cp1252"))
    rated.sort(key=itemgetter(0))
    yield from (encoding for strangeness, encoding in rated if strangeness < STRANGE)
    from charset_normalizer import from_bytes

    if best := from_bytes(data, cp_isolation=list({encoding for _, encoding in rated})).best():
        yield best.encoding
    yield "cp1252"


@cache
def _asian() -> list[tuple[str, str]]:
    return [
        (encoding, "".join(bytes(pair).decode(codec, "ignore") for pair in product(leads, range(0x40, 0xFF))))
        for encoding, codec, leads in ASIAN
    ]


def _strangeness(sample: bytes, encoding: str, alphabet: str) -> float:
    """Share of the signs beyond ASCII that are not written so with this alphabet."""
    text = f" {sample.decode(encoding, 'replace')} "
    usual = {*alphabet, *alphabet.upper()}
    places = [place for place, char in enumerate(text) if not char.isascii()]
    strange = sum(not _fits(text[place - 1], text[place], text[place + 1], usual) for place in places)
    return strange / max(1, len(places))


def _fits(before: str, char: str, after: str, usual: set[str]) -> bool:
    """Whether a sign is at home between its neighbours."""
    if char not in usual:
        return char in SIGNS and not (before.isalpha() and after.isalpha())
    # No capital stands within a word, and the last form of a Hebrew letter stands last.
    if (char.isupper() and before.islower()) or (char in "ךםןףץ" and after.isalpha()):
        return False
    # Alphabets that are not Latin share no word with ASCII letters; larger scripts do.
    return not ("\u0370" <= char <= "\u06ff" and any(near.isascii() and near.isalpha() for near in (before, after)))
