"""Passages out of documents: PDF, Word, HTML, Markdown and plain text.

Runs in a process of its own, `python -m tunewise.loaders`, which `tunewise.reading` starts and feeds, so
that a hostile file can at worst end that process: it has a limit on memory, writes no file, gets bytes
and never a path. Nothing in a document is run or fetched: no script, macro, form or external entity.
"""

import io
import json
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from unicodedata import category, normalize

from tunewise.decoding import NOT_TEXT, decode

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.table import Table
    from docx.text.paragraph import Paragraph
    from markdown_it.token import Token

WORDS = 80
"""Most words of a passage."""
LETTERS_A_WORD = 7
"""Characters counted as one word where a script sets no spaces."""
SHORTEST = 12
"""Characters of the shortest passage; less is a page number or a lone mark."""
SYLLABLE = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]")
"""Kana, Chinese characters and Hangul: one says as much as three letters."""
MOST_PAGES = 2_000
MOST_CHARACTERS = 5_000_000
PATIENCE = 45.0
"""Seconds after which no further page is begun."""
MOST_UNPACKED = 100_000_000
"""Bytes that the parts of a Word file may have when unpacked."""
MOST_PARTS = 5_000
MEMORY = 1_500_000_000
"""Bytes of address space that this process may use."""
UNSEEN = (*NOT_TEXT, "Cf")
JOINER = re.compile("(?<=[\u0600-\u18af])[\u200c\u200d](?=[\u0600-\u18af])")
"""Part of the spelling in Arabic, Indic and Mongolian script; between other letters it only hides a word."""
LEGACY = bytes.fromhex("d0cf11e0a1b11ae1")
"""Opens Word files of old, and of today where a password protects them."""
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FIELD = f"{W}sdt"
WRAPPERS = (FIELD, *(W + name for name in ("ins", "moveTo", "smartTag", "customXml", "fldSimple", "bdo", "dir")))
"""Elements of a Word file around what a reader sees: form fields, tracked insertions and the like."""
SENTENCE = r"(?<=[.!?…。！？])[\"”’»')\]]*\s+(?=[^\Wa-z_]|[\"“„«(\[])"
SEPARATORS = [r"\n\n+", SENTENCE, r"(?<=[。！？；])", r"\s+", ""]
LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"}
FRONT_MATTER = re.compile(r"\A---\r?\n(?P<header>.{0,10000}?)\r?\n---\r?\n", re.S)
HEADING_STYLE = re.compile(r"^(?:heading \d|title)$", re.I)
HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0(?![.\d])", re.I)
DROPPED = ("script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "nav", "form", "button")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
BLOCKS = (*HEADINGS, "p", "li", "tr", "pre", "blockquote", "dt", "dd", "div", "section", "article", "main", "body")


@dataclass(frozen=True)
class Section:
    """A stretch of a document that is cited in one way."""

    place: str
    """How it is cited, such as `page 3` or `section “Retention”`; empty where there is no mark."""
    paragraphs: tuple[str, ...]
    """Its text."""


@dataclass(frozen=True)
class Passage:
    """A few whole sentences of a document."""

    place: str
    """As in `Section`."""
    text: str
    """On one line, otherwise verbatim."""


@dataclass(frozen=True)
class Loaded:
    """What a document holds."""

    title: str
    """Its own title; empty where it has none."""
    passages: tuple[Passage, ...]
    """In the order of the document; never empty."""
    pages: int | None = None
    """Pages read; None where the format has none."""
    note: str = ""
    """What a reader must know, in clauses: what was left out, that the encoding was guessed; empty if nothing."""


class UnreadableError(Exception):
    """A document cannot be read; the message is a clause that completes its name: `it is encrypted`."""


def load(data: bytes, suffix: str) -> Loaded:
    """Read a document.

    Args:
        data: The whole file.
        suffix: The ending of its name, such as `.pdf`; one of `LOADERS`.

    Raises:
        UnreadableError: It is broken, encrypted, empty or beyond the limits.
        ModuleNotFoundError: The library for its format is not installed.
    """
    title, sections, note = LOADERS[suffix](data)
    passages: list[Passage] = []
    pages: set[str] = set()
    characters = 0
    for section in sections:
        characters += sum(map(len, section.paragraphs))
        if characters > MOST_CHARACTERS:
            note = "; ".join(filter(None, (note, f"only its first {MOST_CHARACTERS:,} characters were read")))
            break
        pages.add(section.place)
        passages += [Passage(section.place, text) for text in split(section.paragraphs)]
    if not passages:
        raise UnreadableError("it holds no text" + (" (scanned pages, perhaps)" if suffix == ".pdf" else ""))
    return Loaded(clean(title)[:120], tuple(passages), len(pages) if suffix == ".pdf" else None, note)


def split(paragraphs: Iterable[str]) -> list[str]:
    """Cut text into passages of whole sentences, `WORDS` words at most; an endless sentence is cut by words."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    cutter = RecursiveCharacterTextSplitter(
        separators=SEPARATORS,
        is_separator_regex=True,
        keep_separator="end",
        chunk_size=WORDS,
        chunk_overlap=0,
        length_function=length,
    )
    text = "\n\n".join(clean(paragraph) for paragraph in paragraphs)
    found = (" ".join(piece.split()) for piece in cutter.split_text(text))
    return [piece for piece in found if _size(piece) >= SHORTEST and re.search(r"[^\W\d_]", piece)]


def _size(text: str) -> int:
    """Characters of a text, or what comes to them where a sign is a syllable or a word."""
    return len(text) + 2 * len(SYLLABLE.findall(text))


def length(text: str) -> int:
    """Words of a text, or what comes to them in scripts without spaces."""
    return max(len(text.split()), len(text) // (2 * LETTERS_A_WORD))


def clean(text: str) -> str:
    """A text on one line, without signs that cannot be seen and without ligatures of the typesetter."""
    text = normalize("NFC", text)
    spelt = {found.start() for found in JOINER.finditer(text)}
    shown = (char for at, char in enumerate(text) if char.isspace() or at in spelt or category(char) not in UNSEEN)
    return " ".join("".join(shown).translate(LIGATURES).split())


Parsed = tuple[str, Iterable[Section], str]
"""Title, sections, and the note, as in `Loaded`."""


def _decoded(data: bytes) -> tuple[str, str]:
    """The text of a file, and what a reader must know of it."""
    try:
        text, guessed = decode(data)
    except UnicodeError:
        raise UnreadableError("it is not text") from None
    return text, f"its encoding was guessed ({guessed})" if guessed else ""


def _plain(data: bytes) -> Parsed:
    text, note = _decoded(data)
    pages = text.split("\f")
    places = [f"page {number}" if len(pages) > 1 else "" for number in range(1, len(pages) + 1)]
    sections = [Section(place, tuple(re.split(r"\n\s*\n", page))) for place, page in zip(places, pages, strict=True)]
    return "", sections, note


def _markdown(data: bytes) -> Parsed:
    from markdown_it import MarkdownIt

    text, note = _decoded(data)
    front = FRONT_MATTER.match(text)
    named = re.search(r"^title:\s*[\"']?(.+?)[\"']?\s*$", front["header"], re.M) if front else None
    tokens = MarkdownIt("commonmark").enable("table").parse(text[front.end() :] if front else text)
    blocks = list(_markdown_blocks(tokens))
    first = next((text for heading, text in blocks if heading), "")
    return named[1] if named else first, _by_heading(blocks), note


def _markdown_blocks(tokens: "Sequence[Token]") -> Iterator[tuple[bool, str]]:
    """Paragraphs, each with whether it is a heading; raw HTML is left out."""
    row: list[str] = []
    opener = ""
    for token in tokens:
        if token.type == "inline":
            text = "".join(_markdown_text(child) for child in token.children or ())
            if opener in ("th_open", "td_open"):
                row.append(text)
            else:
                yield opener == "heading_open", text
        elif token.type in ("fence", "code_block"):
            yield False, token.content
        elif token.type == "tr_close":
            yield False, " | ".join(row)
            row = []
        opener = token.type


def _markdown_text(token: "Token") -> str:
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    return token.content if token.type in ("text", "code_inline", "image", "text_special") else ""


def _by_heading(blocks: Iterable[tuple[bool, str]]) -> Iterator[Section]:
    """Sections of a document that has headings in place of pages."""
    name, paragraphs = "", list[str]()
    for heading, text in blocks:
        if heading:
            yield _section(name, paragraphs)
            name, paragraphs = clean(text)[:80], []
        else:
            paragraphs.append(text)
    yield _section(name, paragraphs)


def _section(name: str, paragraphs: list[str]) -> Section:
    # “Retention: 90 days” says something only with its heading.
    if 0 < _size(clean(" ".join(paragraphs))) < SHORTEST:
        paragraphs = [name, *paragraphs]
    return Section(f"section “{name}”" if name else "", tuple(paragraphs))


def _html(data: bytes) -> Parsed:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data, "lxml")
    title = soup.title.get_text() if soup.title else ""
    for tag in soup.find_all(DROPPED):
        tag.decompose()
    for tag in soup.select("[hidden], [aria-hidden=true], [style]"):
        # A tag that went with its parent has no attributes left to look at.
        if tag.decomposed:
            continue
        if tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or HIDDEN_STYLE.search(str(tag.get("style", ""))):
            tag.decompose()
    for tag in soup.find_all(["td", "th"]):
        tag.append(" | ")
    for tag in soup.find_all("br"):
        tag.replace_with("\n")
    blocks: list[tuple[bool, list[str]]] = []
    last = None
    for string in soup.body.strings if soup.body else ():
        block = string.find_parent(BLOCKS)
        if block is not last:
            blocks.append((block is not None and block.name in HEADINGS, []))
            last = block
        blocks[-1][1].append(str(string))
    return title, _by_heading((heading, "".join(pieces)) for heading, pieces in blocks if "".join(pieces).strip()), ""


def _word(data: bytes) -> Parsed:
    import docx
    from docx.table import Table

    _check_zip(data)
    document = docx.Document(io.BytesIO(data))
    _unwrap(document.element.body)

    def blocks() -> Iterator[tuple[bool, str]]:
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                yield from ((False, row) for row in _word_rows(block))
            else:
                style = block.style.name if block.style else ""
                yield bool(HEADING_STYLE.match(style or "")), _word_text(block)

    return _word_title(document), _by_heading(blocks()), ""


def _unwrap(body: Any) -> None:
    """Put what is wrapped in the wrapper's place, since python-docx passes wrappers over.

    What was deleted or moved away stays wrapped, and so unread.
    """
    for wrapper in list(body.iter(*WRAPPERS)):
        for child in reversed(_wrapped(wrapper)):
            wrapper.addnext(child)
        wrapper.getparent().remove(wrapper)


def _wrapped(wrapper: Any) -> list[Any]:
    """What a reader learns from: no list of the headings, and no prompt of a field that was not filled in."""
    if wrapper.tag != FIELD:
        return list(wrapper)
    gallery = wrapper.find(f"{W}sdtPr/{W}docPartObj/{W}docPartGallery")
    listed = gallery is not None and gallery.get(f"{W}val") == "Table of Contents"
    if listed or wrapper.find(f"{W}sdtPr/{W}showingPlcHdr") is not None:
        return []
    return list(wrapper.iterfind(f"{W}sdtContent/*"))


def _word_title(document: "WordDocument") -> str:
    styled = ((block.style.name if block.style else "", block.text) for block in document.paragraphs[:20])
    headed = (text for style, text in styled if HEADING_STYLE.match(style or ""))
    return document.core_properties.title or next(headed, "")


def _word_text(paragraph: "Paragraph") -> str:
    """The words of a paragraph that a reader sees."""
    from docx.text.run import Run

    parts = paragraph.iter_inner_content()
    runs = (run for part in parts for run in ([part] if isinstance(part, Run) else part.runs))
    return "".join(run.text for run in runs if not run.font.hidden)


def _word_rows(table: "Table") -> Iterator[str]:
    for row in table.rows:
        cells = row.cells
        # A cell that spans columns is told once a column, as the same object; cells that read alike are not.
        own = (cell for place, cell in enumerate(cells) if place == 0 or cell is not cells[place - 1])
        yield " | ".join("\n".join(map(_word_text, cell.paragraphs)) for cell in own)


def _check_zip(data: bytes) -> None:
    """Refuse a package that unpacks to more than a document can have, before any of it is unpacked."""
    if data.startswith(LEGACY):
        raise UnreadableError("it is encrypted, or a Word file of the old kind")
    try:
        parts = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise UnreadableError("it is not a Word file") from None
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise UnreadableError("it unpacks to far more than a document holds")
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableError("it is encrypted")


def _pdf(data: bytes) -> Parsed:
    import pypdf
    from pypdf.errors import DependencyError

    reader = pypdf.PdfReader(io.BytesIO(data))
    try:
        # A file that only its owner locked opens with the empty password, as in every viewer.
        locked = reader.is_encrypted and not reader.decrypt("")
    except DependencyError:
        locked = True
    if locked:
        raise UnreadableError("it is encrypted")
    sections: list[Section] = []
    broken = 0
    late = time.monotonic() + PATIENCE
    for number, page in enumerate(reader.pages, start=1):
        if number > MOST_PAGES or time.monotonic() > late:
            return "", sections, f"only its first {number - 1:,} pages were read"
        try:
            text = page.extract_text()
        except MemoryError:
            raise
        # pypdf raises whatever a broken page makes it stumble over; the other pages are still good.
        except Exception:
            broken += 1
            continue
        sections.append(Section(f"page {number}", tuple(_pdf_paragraphs(text))))
    return "", sections, f"{broken} of its pages cannot be read" if broken else ""


def _pdf_paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a page: a line much shorter than the longest ends one."""
    lines = [line.strip() for line in text.split("\n")]
    full = 0.6 * max(map(len, lines), default=0)
    current = ""
    for line in lines:
        # A word that was broken at the end of a line keeps its hyphen: it may have had one before.
        current = current + line if re.search(r"\w-$", current) else f"{current} {line}"
        if not line or (len(line) < full and re.search(r"[.!?:”\")]$", line)):
            yield current
            current = ""
    yield current


LOADERS: dict[str, Callable[[bytes], Parsed]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _plain,
    ".text": _plain,
    ".pdf": _pdf,
    ".html": _html,
    ".htm": _html,
    ".docx": _word,
}
"""Readers by the ending of a file's name."""


def answer(data: bytes, suffix: str) -> dict[str, object]:
    """What the process replies: a `Loaded`, or `unreadable` or `missing` with the reason."""
    try:
        return asdict(load(data, suffix))
    except UnreadableError as error:
        return {"unreadable": str(error)}
    except ModuleNotFoundError as error:
        return {"missing": error.name or str(error)}
    except MemoryError:
        return {"unreadable": "it needs more memory than a document may take"}
    # Four libraries over hostile bytes: whatever they raise means that the file is broken.
    except Exception as error:
        return {"unreadable": f"it is broken ({type(error).__name__})"}


def serve(inward: BinaryIO, outward: BinaryIO) -> None:
    """Answer requests until the input ends: a JSON line with `suffix` and `bytes`, then so many bytes."""
    while line := inward.readline():
        request = json.loads(line)
        reply = answer(inward.read(request["bytes"]), request["suffix"])
        outward.write(json.dumps(reply).encode() + b"\n")
        outward.flush()


def confine() -> None:
    """Limit what this process may use, where the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # pragma: no cover - Windows
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        # Not every system has every limit: macOS refuses one on memory. Documents are read all the same.
        with suppress(ValueError, OSError):
            hard = resource.getrlimit(kind)[1]
            # Nobody but root may raise a limit that was set for this process.
            lowest = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (lowest, lowest))


if __name__ == "__main__":
    confine()
    serve(sys.stdin.buffer, sys.stdout.buffer)
