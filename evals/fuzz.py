"""Every parser against inputs that nobody meant to write: mutated, cut, spliced, repeated, random.

    python -m evals.fuzz [--cases 1000000] [--seed 1] [--only NAME …]

A parser may refuse an input by an error of its own (`TunewiseError`, `UnreadableError`) and by nothing else.
The cases are the same for the same seed, so what is found can be found again.
"""

import argparse
import contextlib
import os
import random
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunewise import batching, corpus, dialogue, gguf, grounding, loaders, tables
from tunewise.artifacts import Catalogue, ModelStore
from tunewise.errors import TunewiseError
from tunewise.estimation import calculator, catalogue, quantities
from tunewise.evaluation import scenarios
from tunewise.factors import split_clauses
from tunewise.loaders import UnreadableError
from tunewise.prompts import PromptLibrary
from tunewise.render import escape
from tunewise.settings import SETTINGS_FILE, Settings
from tunewise.ui import history

SLOW = 1.0
"""Seconds; a case that takes longer is reported, for a text of a stranger must not stop the work."""
LONGEST = 4000
ODD = (
    "\0", "\ufeff", "\u202e", "\u200b", "\u2028", "\x85", "\r", "\r\n", "\n\n", "---\n", '"', "'", "\\", "{", "}", "[",
    "]", "|", "<", ">", "%", "$", ",", ";", "\t", "é", "𝔘", "👩‍👩‍👧", "١٢٣", "²", "½", "Ⅷ", "１２", "߁", "NaN",
    "<<: *a", "Infinity", "-1", "1e999", "9" * 30, "0", "00", "٫", "null", "true", "!!python/object:os.system", "&a",
    "*a", "{{ x }}",
    "{% for", "\ud800", "=", "#", "a" * 300, "(" * 60, "2024-13-45", "=1+1", "../", "1.1.1.1", "1,000,00", "0x10", "∞",
    "ß", "İ", "ﬁ", "\x1b[31m", "B", "7B", "k", "GPU", "-", "—", "[" * 2000, '{"a":' * 500, "2001-01-01", ": ", "- ",
)  # fmt: skip
Bytes = bytes


@dataclass
class Parser:
    """Something that reads what others wrote."""

    name: str
    seeds: Sequence[Bytes]
    """Inputs it was made for; the cases are made from them."""
    parse: Callable[[Bytes], object]
    cases: int = 0
    refused: int = 0
    crashes: list[tuple[Bytes, str]] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of the slowest case."""

    def run(self, cases: int, seed: int) -> None:
        """Feed it so many cases."""
        chance = random.Random(f"{self.name}{seed}")
        for _ in range(cases):
            case = mutate(chance, chance.choice(self.seeds), self.seeds)
            began = time.process_time()
            self.cases += 1
            try:
                self.parse(case)
            except (TunewiseError, UnreadableError):
                self.refused += 1
            # Whatever else it is, it is what this program looks for.
            except Exception:
                self.crashes.append((case, traceback.format_exc(limit=-3)))
            self.slowest = max(self.slowest, time.process_time() - began)


def mutate(chance: random.Random, data: Bytes, others: Sequence[Bytes]) -> Bytes:
    """A few random changes to an input, or now and then plain noise."""
    if chance.random() < 0.03:
        return chance.randbytes(chance.randrange(200))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        place = chance.randrange(len(data) + 1)
        end = min(len(data), place + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(8):
            case 0:
                data = data[:place] + data[end:]
            case 1:
                data = data[:place] + chance.randbytes(chance.choice((1, 2, 8))) + data[end:]
            case 2 | 3:
                data = data[:place] + chance.choice(ODD).encode("utf-8", "surrogatepass") + data[end:]
            case 4:
                data = data[:end] + data[place:end] * chance.choice((1, 2, 20)) + data[end:]
            case 5:
                other = chance.choice(others)
                data = data[:place] + other[chance.randrange(len(other) + 1) :]
            case 6:
                data = data[:place]
            case _:
                data = (
                    data[:place] + str(chance.choice((0, 1, -1, 255, 2**31, 2**63, 2**64, 0.1))).encode() + data[end:]
                )
    return data[:LONGEST]


def text(parse: Callable[[str], object]) -> Callable[[Bytes], object]:
    """A parser of text as one of bytes; what is no UTF-8 comes as surrogates, as from a command line."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def in_file(file: Path, parse: Callable[[Path], object]) -> Callable[[Bytes], object]:
    """A parser of files as one of bytes."""

    def run(data: Bytes) -> object:
        file.write_bytes(data)
        return parse(file)

    return run


def _words(message: str) -> object:
    checked = dialogue.check(message)
    grounding.violations(checked, [checked[::2]])
    return dialogue.route(checked, 0.5), split_clauses(checked), escape(checked)


def _sizes(message: str) -> object:
    with contextlib.suppress(TunewiseError):
        catalogue.gpu(message)
    return ModelStore(Path("nowhere")).find(message)


def _table(file: Path) -> object:
    table = tables.read_table(file)
    return [table.text(place) for place in range(len(table.rows))]


def _settings(file: Path) -> object:
    os.chdir(file.parent)
    return Settings.load()


def _prompt(file: Path) -> object:
    library = PromptLibrary(file.parent)
    return library.prompt(file.stem).render(situation="x")


def _examples(file: Path) -> object:
    return PromptLibrary(file.parent).examples


def _own_catalogue(file: Path) -> object:
    import tomllib

    try:
        return Catalogue.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        # The catalogue ships with the package: whoever reads it has pydantic's and TOML's own errors.
        return None


def _journal(message: str) -> object:
    try:
        return batching.Outcome.model_validate_json(message.encode("utf-8", "replace"))
    except ValueError:
        return None


def gguf_seed() -> Bytes:
    """A well-formed GGUF file with a string, an array and a tensor of 64 floats."""

    def name(value: Bytes) -> Bytes:
        return struct.pack("<Q", len(value)) + value

    entries = name(b"general.architecture") + struct.pack("<I", 8) + name(b"tiny")
    entries += name(b"list") + struct.pack("<IIQ", 9, 4, 3) + struct.pack("<3I", 1, 2, 3)
    tensor = name(b"weight") + struct.pack("<I", 1) + struct.pack("<Q", 64) + struct.pack("<IQ", 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + entries + tensor
    return head + bytes(-len(head) % 32) + bytes(256)


FACTS = b"""---
title: A topic
topic: a-topic
kind: topic
checked: 2026-11-01
---

# A topic

- **F01.01** A fact of 12 words, with a number: 3.5 %.
  Source: Somebody et al. 2021, arXiv:2101.00001 <https://arxiv.org/abs/2101.00001> | verified | as of 2026-04
- **F01.02** Another fact.
  Source: A report | recalled
"""
MARKDOWN = b"""---
title: Labels
---
# Costs

Three *annotators* label; see [the guide](https://example.org). <b>Raw</b>

| case | euros |
|---|---|
| X-ray | 1.40 |
"""
HTML = b"""<html><head><title>Notes</title><script>evil()</script></head><body><h2>Whisper</h2>
<p>Our run reached <b>11.2</b> percent<!-- unseen --> errors.</p><div hidden><p style='color:red'>x</p></div>
<nav><form><button>Go</button></form></nav><table><tr><td style="display:none"><i hidden>y</i></td><td>1<br>2</td></tr>
</table></body></html>"""
TEXTS = [
    "Große Maße für £5 bei 21 °C.".encode("cp1252"),
    "Данные не покидают больницу.".encode("koi8_r"),
    "数据保留期限：90天。".encode("gb18030"),
    "می\u200cخواهیم چهار هزار عکس\fPage two of it.".encode(),
    "Every crate is weighed twice.".encode("utf-16"),
]
QUANTITIES = [
    "How much memory do I need to fine-tune a 13B model with QLoRA on 4×A100 80GB?",
    "half a billion tokens, 2,5 Mio. Bilder, 50k rows and 1 200 labels; two RTX 4090, 8x H100",
    "What does it cost to pre-train 7B on 2T tokens with 64 A100s in 30 days for $ 1.5 million?",
    "How many tokens for a 1.3B model? KV cache of Llama 3 8B at 32k context, batch size 16, 4-bit, rank 64, 3 epochs",
    "We have 300 hours of audio, 4.000 labelled X-rays and 24 GB; how long to train 125M parameters on one V100?",
    "How many users can a 70B model in int8 serve on 2 x L40S with 20 concurrent requests and 4k token prompts?",
]


def _document(name: str, suffix: str, seeds: Sequence[Bytes]) -> Parser:
    """The loader of a format; those of PDF and Word are left out, for they pass on their libraries' own errors."""
    # Imports the libraries, which is no part of the time of a case.
    loaders.load(seeds[0], suffix)
    return Parser(name, seeds, lambda data: loaders.load(data, suffix))


def parsers(folder: Path) -> list[Parser]:
    """Every parser, with files in a scratch folder."""
    for name in ("facts", "prompts", "settings", "examples"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parent.parent
    (folder / "examples" / "factors.toml").write_bytes((root / "prompts" / "factors.toml").read_bytes())
    result = b'{"kind": "answer", "question": "q", "text": "a", "evidence": [], "timings": {"total": 1}}'
    talk = b'{"tunewise": 1, "turns": [{"user": "hi", "text": "hello", "result": null}, '
    talk += b'{"user": "q", "text": "a", "result": ' + result + b"}]}"
    plain = [line.encode() for line in QUANTITIES]
    lines = (root / "evals" / "scenarios" / "text.jsonl").read_bytes().splitlines()[:4]
    settings = (
        b'model = "qwen2.5-coder-1.5b"\ncontext = 8192\nthreads = 2\nreasons = 3\noffline = true\ncache = "/tmp/x"\n'
    )
    prompt = b"---\nname: sheet\nversion: 1\nvariables: [situation]\n---\nRead {{ situation }}{{ 1 if situation }}\n"
    outcome = b'{"row": 0, "digest": "ab", "result": {"verdict": "fine_tune"}, "error": null}'
    objects = [b'{"situation": "one", "n": 1}\n\n{"situation": null}\n"x"\n']
    rows = [
        b'id,text\n1,hello\n2,"a, ""b""\nc"\n',
        b"\xef\xbb\xbfsituation;n\none;1\n",
        b"only\nx\n",
        b"id,text,more\n1,a,b,c,d\n",
    ]
    card = (root / "src" / "tunewise" / "catalogue.toml").read_bytes().split(b"\n\n")[1] + b"\n"
    example = b"  - situation".join((root / "prompts" / "examples.yaml").read_bytes().split(b"  - situation")[:3])
    return [
        Parser("quantities", plain, text(lambda words: quantities.read(words))),
        Parser("calculator", plain, text(lambda words: calculator.calculate(words))),
        Parser("messages", plain, text(_words)),
        Parser("names", [b"A100 80GB", b"rtx-4090", b"qwen2.5-coder-1.5b", b"H100"], text(_sizes)),
        Parser("front matter", [FACTS], in_file(folder / "facts" / "a.md", lambda file: corpus.load(file.parent))),
        Parser("csv", rows, in_file(folder / "a.csv", _table)),
        Parser("tsv", [row.replace(b",", b"\t") for row in rows], in_file(folder / "a.tsv", _table)),
        Parser("jsonl", objects, in_file(folder / "a.jsonl", _table)),
        Parser("lines", [b"one\ntwo\n"], in_file(folder / "a.txt", _table)),
        Parser("journal", [outcome], text(_journal)),
        Parser("catalogue", [card], in_file(folder / "c.toml", _own_catalogue)),
        Parser("settings", [settings], in_file(folder / "settings" / SETTINGS_FILE, _settings)),
        Parser("gguf", [gguf_seed()], in_file(folder / "m.gguf", gguf.check)),
        Parser("scenarios", lines, in_file(folder / "s.jsonl", lambda file: scenarios.read([file]))),
        Parser("conversation", [talk], text(lambda words: history.from_json(words))),
        Parser("prompt", [prompt], in_file(folder / "prompts" / "sheet.md", _prompt)),
        Parser("examples", [example], in_file(folder / "examples" / "examples.yaml", _examples)),
        _document("text document", ".txt", TEXTS),
        _document("markdown", ".md", [MARKDOWN, *TEXTS]),
        _document("html", ".html", [HTML]),
    ]  # fmt: skip


def run(
    cases: int, seed: int, only: Sequence[str] = (), listen: Callable[[Parser], object] = lambda _: None
) -> list[Parser]:
    """Share the cases out over the parsers and feed them."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        chosen = [parser for parser in parsers(Path(scratch)) if not only or parser.name in only]
        try:
            for parser in chosen:
                parser.run(-(-cases // len(chosen)), seed)
                listen(parser)
        finally:
            os.chdir(home)
    return chosen


def tell(parser: Parser) -> None:
    """Print what became of a parser, and every kind of crash once."""
    print(
        f"{parser.name:14} {parser.cases:9,} cases  {parser.refused:9,} refused  {len(parser.crashes):6,} crashes  "
        f"slowest {1000 * parser.slowest:7.1f} ms",
        flush=True,
    )
    for case, trace in {trace.splitlines()[-1][:60]: (case, trace) for case, trace in parser.crashes}.values():
        print(f"  {case[:300]!r}\n{trace}", flush=True)


def main() -> None:
    """Read the arguments, run, print a line a parser and every kind of crash once."""
    options = argparse.ArgumentParser(prog="python -m evals.fuzz", description="Fuzz every parser.")
    options.add_argument("--cases", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", nargs="*", default=[])
    given = options.parse_args()
    found = run(given.cases, given.seed, given.only, tell)
    total = -(-given.cases // len(found))
    crashes = sum(len(parser.crashes) for parser in found)
    print(f"{total * len(found):,} cases, {crashes:,} crashes")
    sys.exit(1 if crashes or any(parser.slowest > SLOW for parser in found) else 0)


if __name__ == "__main__":
    main()
