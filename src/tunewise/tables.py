"""Tables of situations in and out: CSV, TSV, JSONL, Parquet and text.

A row that is broken stays in its place and fails by itself; a table is refused only where its rows cannot be told
apart or none of its columns holds the situations. An output appears in one piece.
"""

import csv
import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Self

from tunewise.errors import InputError, UserError, printable, with_extra

LONGEST_FIELD = 1 << 30
"""Characters of a field of a CSV file."""
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
LIKELY = ("situation", "text", "question", "prompt", "description", "message", "body")
"""Columns that are taken for the situation where none is named."""
NO_DELIMITER = "\x1f"
"""Parts the fields of a table that has but one column: a sign that no text holds."""
UNREADABLE = (OSError, csv.Error, ValueError, ArithmeticError, LookupError, RecursionError)
"""What the readers raise over a file that is not what its ending says."""
Row = Mapping[str, Any]


class Broken(dict[str, Any]):
    """A row that could not be read as it stands; it fails by itself, and its column `broken` says why."""


@dataclass(frozen=True)
class Table:
    """Rows with the column that holds the situations."""

    rows: Sequence[Row]
    column: str
    whole: bool = True
    """Whether these are all rows, and not only the first so many."""

    def text(self, place: int) -> str:
        """The situation of a row; empty where it could not be read."""
        row = self.rows[place]
        value = None if isinstance(row, Broken) else row.get(self.column)
        return "" if value is None else _as_text(value)

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns, in order of their first row."""
        return _names(self.rows)


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
    except UNREADABLE as error:
        remedy = f"Formats: {', '.join(FORMATS)}, in UTF-8."
        raise InputError(printable(f"{file} cannot be read: {error}."), remedy) from error
    if not rows:
        raise InputError(printable(f"{file} holds no rows."), "Give it a header and a situation a row.")
    return Table(rows[:limit], _column(file, _names(rows), column), whole=limit is None or len(rows) <= limit)


def columns(file: Path) -> Sequence[str]:
    """Names of a table's columns.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return _names(_rows(file))
    except UNREADABLE as error:
        raise InputError(printable(f"{file.name} cannot be read: {error}.")) from error


def check_output(table: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse an output that would harm something, or that could not be written in the end.

    Raises:
        UserError: It is the input, exists already, or has an unknown ending.
        WorkError: The library for its format is not installed.
    """
    if out.suffix not in FORMATS[:-1]:
        raise UserError(f"{out} has no known ending.", f"Choose one of {', '.join(FORMATS[:-1])}.")
    if out.resolve() == table.resolve():
        raise UserError("Input and output are the same file.", "Name another output.")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already.", "Name another output, or pass --overwrite.")
    if out.suffix == ".parquet":
        with with_extra("batch"):
            import pyarrow  # noqa: F401 - hours may lie between this and its use


def write(out: Path, lines: Sequence[Row]) -> None:
    """Write a table in one piece; its ending names the format."""
    partial = out.with_name(f".{out.name}.new")
    columns = list(dict.fromkeys(name for line in lines for name in line))
    if out.suffix == ".parquet":
        from pyarrow import parquet, table

        parquet.write_table(table({name: _alike([line.get(name) for line in lines]) for name in columns}), partial)
    else:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            if out.suffix == ".jsonl":
                stream.writelines(json.dumps(line, ensure_ascii=False, default=_as_text) + "\n" for line in lines)
            else:
                writer = csv.DictWriter(stream, columns, delimiter="\t" if out.suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows({name: _field(value) for name, value in line.items()} for line in lines)
            stream.flush()
            os.fsync(stream.fileno())
    partial.replace(out)


def _as_text(value: Any) -> str:
    """A value as a person reads it: Parquet files of other programs hold texts as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _field(value: Any) -> Any:
    return _as_text(value) if isinstance(value, bytes) else value


def _rows(file: Path) -> list[Row]:
    match file.suffix.lower():
        case ".csv" | ".tsv":
            return _separated(file)
        case ".jsonl":
            # Not by `splitlines`: strings of JSON may hold the separators of Unicode.
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return [_object(line, place) for place, line in enumerate(lines, start=1) if line.strip()]
        case ".parquet":
            return _parquet(file)
        case ".txt":
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return [{"situation": line} for line in lines if line.strip()]
    raise ValueError(f"the ending '{file.suffix}' is not known")


def _parquet(file: Path) -> list[Row]:
    from pyarrow import ArrowException, parquet

    try:
        found = parquet.read_table(file)
    except ArrowException as error:
        raise ValueError(str(error)) from error
    columns = [_values(*column) for column in zip(found.column_names, found.columns, strict=True)]
    return [dict(zip(found.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(name: str, column: Any) -> Sequence[Any]:
    """What a column of Parquet holds. Its types reach further than those of Python, as to dates before the year 1."""
    from pyarrow import ArrowException

    try:
        values: list[Any] = column.to_pylist()
    except (ArrowException, ValueError, ArithmeticError, LookupError) as error:
        raise ValueError(f"its column '{name}' holds a value that Python does not have ({error})") from error
    return values


@dataclass(frozen=True)
class _Record:
    """What stands between two ends of rows in a CSV file."""

    line: int
    """Number of its first line."""
    fields: list[str]
    broken: str
    """Why it cannot be read as it stands; empty where it can."""


class _Lines:
    """Lines of a file, of which those that a broken record swallowed are handed out once more.

    Args:
        lines: What is left of the file.
        number: Of the first of them.
    """

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines = lines
        self._number = number
        self._taken: list[str] = []
        self._again: deque[str] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self._taken.append(self._again.popleft() if self._again else next(self._lines))
        return self._taken[-1]

    def end(self) -> int:
        """End a record; the number of its first line."""
        first = self._number
        self._number += len(self._taken)
        self._taken.clear()
        return first

    def shorten(self) -> tuple[str, bool]:
        """Cut the record to its first line; that line, and whether it was all of the record."""
        first, *rest = self._taken
        self._again.extendleft(reversed(rest))
        self._taken = [first]
        return first, not rest


def _separated(file: Path) -> list[Row]:
    """Rows of a CSV or TSV file, whose delimiter its header tells."""
    # The library refuses fields of 128 KiB; a row whose text is too long is to fail by itself.
    csv.field_size_limit(LONGEST_FIELD)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        number, first = next(((at, line) for at, line in enumerate(stream, start=1) if line.strip()), (0, ""))
        delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
        # A lone column needs none, and a comma in its texts is a comma.
        delimiter = delimiter if delimiter in first else NO_DELIMITER
        head, *records = [*_records(_Lines(chain([first], stream), number), delimiter)] or [_Record(0, [], "")]
    if head.broken:
        raise ValueError("the quotes of its header do not match")
    header = _header(head.fields, records)
    return [_row(header, record, delimiter) for record in records]


def _records(lines: _Lines, delimiter: str) -> Iterator[_Record]:
    """The records of a file; one whose quotes do not match ends with its first line."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    lone = delimiter == NO_DELIMITER
    while True:
        broken = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            line, whole = lines.shorten()
            # Beside a lone column nothing can be mistaken: such quotes are part of its text.
            broken = "" if lone and whole else "has quotes that do not match: double those within a text"
            loose = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
            fields = [line.rstrip("\r\n")] if lone else next(loose, [])
        number = lines.end()
        if fields:
            yield _Record(number, [delimiter.join(fields)] if lone else fields, broken)


def _header(names: Sequence[str], records: Sequence[_Record]) -> dict[int, str]:
    """Names of the columns, by their place.

    Spreadsheets add columns without name. Those at the end are none: what stands there ran over from a text.
    """
    header = [name.strip() for name in names]
    while header and not header[-1]:
        header.pop()
    found = {place: name for place, name in enumerate(header) if name or any(_filled(row, place) for row in records)}
    if twice := [name for name, count in Counter(found.values()).items() if count > 1]:
        raise ValueError(f"two columns are called '{twice[0]}'" if twice[0] else "two columns have no name")
    if records and not found:
        raise ValueError("its header names no column")
    return found


def _filled(record: _Record, place: int) -> bool:
    return len(record.fields) > place and bool(record.fields[place].strip())


def _row(header: Mapping[int, str], record: _Record, delimiter: str) -> Row:
    width = max(header) + 1
    fields = dict(zip_longest(range(width), record.fields[:width]))
    row = {name: fields[place] for place, name in header.items()}
    if record.broken:
        return Broken(row, broken=f"line {record.line} {record.broken}")
    if any(field.strip() for field in record.fields[width:]):
        why = f"has more fields than the header has names: put texts with '{delimiter}' in quotes"
        return Broken(row, broken=f"line {record.line} {why}")
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
    named = printable(", ".join(columns))
    if wanted is not None:
        if wanted not in columns:
            raise InputError(printable(f"{file} has no column '{wanted}'."), f"It has {named}.")
        return wanted
    by_name = {name.strip().lower(): name for name in columns}
    for likely in LIKELY:
        if likely in by_name:
            return by_name[likely]
    if len(columns) == 1:
        return columns[0]
    raise InputError(
        printable(f"{file} has no column called {' or '.join(LIKELY[:3])}."),
        f"Name the one with the situations by --column: {named}.",
    )


def _alike(values: Sequence[Any]) -> Sequence[Any]:
    """A column for Parquet; texts where its values are of several kinds, or what writing shows to be of none: {}."""
    from pyarrow import ArrowException, BufferOutputStream, parquet, table

    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 or kinds <= {int, float}:
        with suppress(ArrowException, ValueError, OverflowError):
            parquet.write_table(table({"column": values}), BufferOutputStream())
            return values
    text = json.JSONEncoder(ensure_ascii=False, default=_as_text).encode if kinds & {dict, list} else _as_text
    return [None if value is None else text(value) for value in values]
