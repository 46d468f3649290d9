"""Many situations from a table: every row is judged once, whatever interrupts the run.

Each result is a line of a journal beside the output, synced as soon as it is reached; several rows share a pass
of the model. A run that is started again takes over what the journal holds, and the output appears in one piece
at the end.
"""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunewise.advisor import Advisor
from tunewise.cluster import Cluster
from tunewise.decision import CLOSE_CALL
from tunewise.errors import InputError, StoreError, TunewiseError, UnfitError, UserError
from tunewise.remote import RemoteAdvisor
from tunewise.schema import Judgement, Value, Verdict
from tunewise.together import Lanes

LONGEST_FIELD = 1 << 30
"""Characters of a field of a CSV file."""
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
LIKELY = ("situation", "text", "question", "prompt", "description", "message", "body")
"""Columns that are taken for the situation where none is named."""
REQUESTS = 8
"""Rows that are asked of a model elsewhere at the same time; its server reads them side by side."""
WINDOW = 32
"""Rows that are looked at together; as many of them as fit go through the model at once."""
Row = Mapping[str, Any]
NESTED = frozenset({"advice", "error"})
FLAT = frozenset(
    {"verdict", "confidence", "close_call", "method", "would_change", "question", "reasons", "sources", "error"}
    | {f"p_{verdict.value}" for verdict in Verdict}
)
"""Columns of ours in an output; columns of the input with such a name get another one."""


class Outcome(Value):
    """What became of a row."""

    row: int
    """Place in the table, from 0."""
    digest: str
    """Of its text, so that a changed table is not answered with old results."""
    result: dict[str, Any] | None = None
    """The judgement or advice as JSON, without timings; None where the row failed."""
    error: str | None = None
    """Why it failed, in a sentence."""


class Key(Value):
    """What a journal's results depend on; under another key it is not taken over."""

    model: str
    prompts: str
    knowledge: str
    head: str | None
    reasons: bool
    version: int = 2


class Broken(dict[str, Any]):
    """A row that could not be read as it stands; it fails by itself, and its column `broken` says why."""


@dataclass(frozen=True)
class Table:
    """Rows with the column that holds the situations."""

    rows: Sequence[Row]
    column: str

    def text(self, place: int) -> str:
        """The situation of a row; empty where it could not be read."""
        row = self.rows[place]
        value = None if isinstance(row, Broken) else row.get(self.column)
        return "" if value is None else str(value)

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns, in order of their first row."""
        return _names(self.rows)


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    verdicts: Mapping[Verdict, int]
    close: int
    """Verdicts that are too close to call."""
    failed: int


def read_table(file: Path, column: str | None = None, limit: int | None = None) -> Table:
    """Read a CSV, TSV, JSONL, Parquet or text file (one situation a line).

    Args:
        file: Its ending names the format.
        column: The one with the situations; guessed from its name where None.
        limit: Most rows to take.

    Raises:
        InputError: The file cannot be read, is empty, or has no such column.
    """
    try:
        rows = _rows(file)
    except (OSError, csv.Error, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}.", f"Formats: {', '.join(FORMATS)}, in UTF-8.") from error
    if not rows:
        raise InputError(f"{file} holds no rows.", "Give it a header and a situation a row.")
    return Table(rows[:limit], _column(file, _names(rows), column))


def columns(file: Path) -> Sequence[str]:
    """Names of a table's columns.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return _names(_rows(file))
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise InputError(f"{file.name} cannot be read: {error}.") from error


@dataclass(frozen=True)
class Job:
    """One table to be judged into one output."""

    advisor: Advisor
    table: Table
    out: Path
    reasons: bool = False
    """Whole answers with reasons instead of verdicts alone."""
    keep: Sequence[str] | None = None
    """Columns of the input that the output has too; all where None."""
    cluster: Cluster | None = None
    """Judges in the advisor's place."""

    def run(self) -> Generator[Outcome, None, None]:
        """Judge what has not been judged; hands out every outcome, those of earlier runs first.

        Raises:
            StoreError: The journal or the output cannot be written.
            UserError: Another process works on the same output.
        """
        with _alone(self.out), _failing(self.out):
            done = self._resume()
            yield from (done[place] for place in sorted(done))
            left = [place for place in range(len(self.table.rows)) if place not in done]
            with self._journal.open("a", encoding="utf-8") as journal, self._lanes(left) as lanes:
                for outcome in self._judge(left, done, lanes):
                    _append(journal, outcome.model_dump_json())
                    done[outcome.row] = outcome
                    yield outcome
            _write(self.out, [self._line(done[place]) for place in range(len(self.table.rows))])
            self._journal.unlink()

    @property
    def _journal(self) -> Path:
        return self.out.with_name(self.out.name + ".partial")

    def _key(self) -> Key:
        made = self.advisor.provenance()
        return Key(
            model=made.model_sha256,
            prompts=made.prompts,
            knowledge=made.knowledge,
            head=made.head,
            reasons=self.reasons,
        )

    def _resume(self) -> dict[int, Outcome]:
        """Outcomes of an earlier run that still hold; the journal is left with these alone."""
        key = self._key().model_dump_json()
        # A line that was torn by a full disk may end within a letter.
        stored = self._journal.read_text(encoding="utf-8", errors="replace") if self._journal.exists() else ""
        lines = stored.split("\n")
        kept = [item for line in lines[1:] if (item := self._valid(line))] if lines[:1] == [key] else []
        partial = self._journal.with_suffix(".rewrite")
        with partial.open("w", encoding="utf-8") as file:
            for line in (key, *(item.model_dump_json() for item in kept)):
                _append(file, line)
        partial.replace(self._journal)
        return {item.row: item for item in kept}

    def _valid(self, line: str) -> Outcome | None:
        try:
            found = Outcome.model_validate_json(line)
        except ValidationError:
            return None
        fits = found.row < len(self.table.rows) and found.digest == _digest(self.table.text(found.row))
        return found if fits else None

    def _judge(self, places: Sequence[int], done: Mapping[int, Outcome], lanes: Lanes | None) -> Iterator[Outcome]:
        """Judge rows, in order; a text that was judged before keeps its result."""
        known = {outcome.digest: outcome for outcome in done.values()}
        size = self.cluster.window if self.cluster else WINDOW
        for start in range(0, len(places), size):
            window = places[start : start + size]
            texts = {_digest(self.table.text(place)): self.table.text(place) for place in window}
            fresh = {digest: text for digest, text in texts.items() if digest not in known}
            results = zip(fresh, self._results(list(fresh.values()), lanes), strict=True)
            for place in window:
                digest = _digest(self.table.text(place))
                while digest not in known:
                    judged, result = next(results)
                    known[judged] = _outcome(place, judged, result)
                yield known[digest].model_copy(update={"row": place})

    def _results(self, texts: Sequence[str], lanes: Lanes | None) -> Iterator[Judgement | TunewiseError]:
        if self.cluster is not None:
            yield from self.cluster.judge(texts)
        elif lanes is not None:
            yield from lanes.judge(texts)
        elif isinstance(self.advisor, RemoteAdvisor):
            pool = ThreadPoolExecutor(REQUESTS)
            try:
                yield from pool.map(self._result, texts)
            finally:
                pool.shutdown(cancel_futures=True)
        else:
            yield from map(self._result, texts)

    @contextmanager
    def _lanes(self, left: Sequence[int]) -> Iterator[Lanes | None]:
        """Contexts beside each other, where verdicts alone are asked of the local model."""
        elsewhere = self.cluster is not None or isinstance(self.advisor, RemoteAdvisor)
        if not left or self.reasons or elsewhere:
            yield None
            return
        lanes = Lanes(self.advisor)
        try:
            yield lanes
        finally:
            lanes.close()

    def _result(self, text: str) -> Judgement | TunewiseError:
        try:
            return self.advisor.ask(text) if self.reasons else self.advisor.judge(text)
        # An engine that cannot be reached fails the run, which then goes on where it stopped; not the rows left.
        except (UserError, UnfitError) as error:
            return error

    def _kept(self, name: str) -> bool:
        return self.keep is None or name in self.keep

    def _line(self, outcome: Outcome) -> dict[str, Any]:
        """A row of the output: the columns of the input, then ours."""
        ours = NESTED if self.out.suffix == ".jsonl" else FLAT
        given = self.table.rows[outcome.row].items()
        row = {f"input_{name}" if name in ours else name: value for name, value in given if self._kept(name)}
        if self.out.suffix == ".jsonl":
            return row | {"advice": outcome.result, "error": outcome.error}
        return row | flat(outcome)


def _outcome(row: int, digest: str, result: Judgement | TunewiseError) -> Outcome:
    if isinstance(result, TunewiseError):
        return Outcome(row=row, digest=digest, error=str(result))
    dumped = result.model_dump(mode="json", exclude={"situation", "timings"})
    return Outcome(row=row, digest=digest, result=dumped)


def chosen_columns(names: str | None, table: Table) -> Sequence[str] | None:
    """The columns to keep, from a list with commas.

    Raises:
        UserError: The table has no such column.
    """
    if names is None:
        return None
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = table.columns
    for name in wanted:
        if name not in known:
            raise UserError(f"The table has no column '{name}'.", f"It has {', '.join(known)}.")
    return wanted


def flat(outcome: Outcome) -> dict[str, Any]:
    """An outcome in columns."""
    result = outcome.result or {}
    shares = result.get("probabilities", {})
    reasons = result.get("reasons", [])
    change = next(iter(result.get("would_change", [])), None)
    cited = [evidence["source"] for reason in reasons for evidence in reason["evidence"]]
    return {
        "verdict": result.get("verdict", ""),
        "confidence": _rounded(result.get("confidence")),
        **{f"p_{verdict.value}": _rounded(shares.get(verdict.value)) for verdict in Verdict},
        "close_call": is_close(outcome),
        "method": result.get("method") or "",
        "would_change": _change(change) if change else "",
        "question": next(iter(result.get("questions", [])), ""),
        **({"reasons": " ".join(reason["text"] for reason in reasons)} if reasons else {}),
        **({"sources": "; ".join(dict.fromkeys(cited))} if cited else {}),
        "error": outcome.error or "",
    }


def _change(change: Mapping[str, Any]) -> str:
    parts = [change, change["also"]] if change.get("also") else [change]
    return f"{' and '.join(part['meaning'] for part in parts)} → {change['verdict']}"


def is_close(outcome: Outcome) -> bool:
    """Whether the two best verdicts lie too near to each other to call."""
    shares = sorted((outcome.result or {}).get("probabilities", {}).values(), reverse=True)
    return len(shares) > 1 and shares[0] - shares[1] < CLOSE_CALL


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Count verdicts, close calls and failures."""
    counts = Counter(Verdict(outcome.result["verdict"]) for outcome in outcomes if outcome.result)
    return Summary(
        verdicts={verdict: counts[verdict] for verdict in Verdict},
        close=sum(is_close(outcome) for outcome in outcomes),
        failed=sum(outcome.error is not None for outcome in outcomes),
    )


def check_output(table: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse an output that would harm something.

    Raises:
        UserError: It is the input, exists already, or has an unknown ending.
    """
    if out.suffix not in FORMATS[:-1]:
        raise UserError(f"{out} has no known ending.", f"Choose one of {', '.join(FORMATS[:-1])}.")
    if out.resolve() == table.resolve():
        raise UserError("Input and output are the same file.", "Name another output.")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already.", "Name another output, or pass --overwrite.")


def _rows(file: Path) -> list[Row]:
    match file.suffix.lower():
        case ".csv" | ".tsv":
            return _separated(file)
        case ".jsonl":
            # Not by `splitlines`: strings of JSON may hold the separators of Unicode.
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return [_object(line, place) for place, line in enumerate(lines, start=1) if line.strip()]
        case ".parquet":
            from pyarrow import parquet

            return list(parquet.read_table(file).to_pylist())
        case ".txt":
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return [{"situation": line} for line in lines if line.strip()]
    raise ValueError(f"the ending '{file.suffix}' is not known")


def _separated(file: Path) -> list[Row]:
    """Rows of a CSV or TSV file, whose delimiter its header tells."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        while (first := stream.readline()) and not first.strip():
            continue
        delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
        # A lone column needs none, and a comma in its texts is a comma.
        delimiter = delimiter if delimiter in first else "\x1f"
        # The library refuses fields of 128 KiB; a row whose text is too long is to fail by itself.
        csv.field_size_limit(LONGEST_FIELD)
        reader = csv.reader(chain([first], stream), delimiter=delimiter, skipinitialspace=True, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if twice := [name for name, count in Counter(header).items() if count > 1]:
            raise ValueError(f"two columns are called '{twice[0]}'")
        return [_row(header, fields, delimiter, reader.line_num) for fields in reader if fields]


def _row(header: Sequence[str], fields: Sequence[str], delimiter: str, line: int) -> Row:
    row = dict(zip_longest(header, fields[: len(header)]))
    if any(field.strip() for field in fields[len(header) :]):
        return Broken(
            row, broken=f"line {line} has more fields than the header: put texts with '{delimiter}' in quotes"
        )
    return row


def _names(rows: Sequence[Row]) -> list[str]:
    """Names of the columns; those of rows that could be read, where there are any."""
    whole = [row for row in rows if not isinstance(row, Broken)]
    return list(dict.fromkeys(name for row in whole or rows[:1] for name in row))


def _object(line: str, place: int) -> Row:
    """A line of JSONL; one that is broken becomes a row of its own, which will fail by itself."""
    try:
        found = json.loads(line)
        if "\\ud" in line.lower():
            # Half an emoji, as a program that cut a text leaves it, could not be written again.
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return Broken(situation=None, broken=f"line {place} is not JSON")
    return found if isinstance(found, dict) else {"situation": found if isinstance(found, str) else None}


def _column(file: Path, columns: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in columns:
            raise InputError(f"{file} has no column '{wanted}'.", f"It has {', '.join(columns)}.")
        return wanted
    by_name = {name.strip().lower(): name for name in columns}
    for likely in LIKELY:
        if likely in by_name:
            return by_name[likely]
    if len(columns) == 1:
        return columns[0]
    raise InputError(
        f"{file} has no column called {' or '.join(LIKELY[:3])}.",
        f"Name the one with the situations by --column: {', '.join(columns)}.",
    )


def _write(out: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write the output in one piece."""
    partial = out.with_name(f".{out.name}.new")
    columns = list(dict.fromkeys(name for line in lines for name in line))
    if out.suffix == ".parquet":
        from pyarrow import parquet, table

        parquet.write_table(table({name: _alike([line.get(name) for line in lines]) for name in columns}), partial)
    else:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            if out.suffix == ".jsonl":
                stream.writelines(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines)
            else:
                writer = csv.DictWriter(stream, columns, delimiter="\t" if out.suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(lines)
            stream.flush()
            os.fsync(stream.fileno())
    partial.replace(out)


def _alike(values: Sequence[Any]) -> Sequence[Any]:
    """A column for Parquet; texts where its values are of several kinds, or what writing shows to be of none: {}."""
    from pyarrow import ArrowException, BufferOutputStream, parquet, table

    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 or kinds <= {int, float}:
        with suppress(ArrowException, ValueError, OverflowError):
            parquet.write_table(table({"column": values}), BufferOutputStream())
            return values
    text = json.JSONEncoder(ensure_ascii=False, default=str).encode if kinds & {dict, list} else str
    return [None if value is None else text(value) for value in values]


def _append(stream: Any, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
    os.fsync(stream.fileno())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Another process writes {out}.", "Wait for it, or name another output.") from None
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def _failing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Make room or name another output; the same command then goes on where it stopped."
        raise StoreError(f"{out} cannot be written: {error.strerror or error}.", remedy) from error
