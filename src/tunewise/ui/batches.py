"""The tab for tables: upload, watch, read, download. The model serves the chat between two rows."""

import atexit
import csv
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import gradio as gr

from tunewise import batching, tables
from tunewise.advisor import Advisor
from tunewise.batching import Job, Outcome
from tunewise.errors import InputError, TunewiseError, printable
from tunewise.render import percent
from tunewise.schema import LABELS, METHOD_LABELS, Method, Verdict
from tunewise.tables import Table
from tunewise.ui import cards
from tunewise.ui.line import Line, Place

HEADERS = ("Situation", "Verdict", "Sure", "Close call", "Method", "Worth asking", "Error")
WIDTHS: list[str | int] = ["240px", "130px", "80px", "90px", "130px", "220px", "140px"]
EMPTY = "Upload a table with one situation a row; its verdicts, charts and a download then stand here."
MOST_ROWS = 5000
ELSEWHERE = "All of them: tunewise batch, on the command line."
TOGETHER = 2
"""Tables that are judged at the same time; each takes memory of its own."""
LONGEST = 160
"""Characters of a situation that the table shows."""
REDRAW = 0.5
"""Seconds between two drawings."""
Update = tuple[Any, ...]


def tab(advisor: Advisor) -> None:
    """Draw the tab into the blocks that are being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            upload = gr.File(
                label="CSV, TSV, JSONL or text, one situation a row",
                file_types=[".csv", ".tsv", ".jsonl", ".txt"],
                elem_id="batch-file",
            )
            column = gr.Dropdown([], label="Column with the situations", interactive=True, elem_id="batch-column")
            with gr.Row():
                start = gr.Button("Judge all rows", variant="primary", elem_id="batch-start")
                stop = gr.Button("Stop", elem_id="batch-stop")
            download = gr.DownloadButton("Download the result", interactive=False, elem_id="batch-download")
        with gr.Column(scale=6, min_width=320):
            status = gr.HTML(cards.batch_card(EMPTY, 0, []), elem_id="batch-status")
            result = gr.Dataframe(
                headers=list(HEADERS),
                column_widths=WIDTHS,
                interactive=False,
                wrap=True,
                label="Result",
                visible=False,
                elem_id="batch-result",
            )
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    upload.change(_columns, upload, [column, status], queue=False, **quiet)
    line = Line()
    # Gradio serves downloads from the temporary folder only.
    folder = Path(tempfile.mkdtemp(prefix="tunewise-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def judge(path: str | None, name: str | None, request: gr.Request) -> Iterator[Update]:
        session = str(request.session_hash)
        try:
            with line.place(session) as place:
                given = read(path, name or None)
                yield from _waited(line, place)
                if not place.cancel.is_set:
                    yield from judged(advisor, given, given.out(folder / _own(session)), place)
        except TunewiseError as error:
            said = re.sub(rf"{re.escape(str(folder))}\S*/", "", str(error))
            raise gr.Error(said, duration=10, print_exception=False) from None

    def end(request: gr.Request) -> None:
        line.stop(str(request.session_hash))

    # Questions of everyone wait in the line; Gradio's own way to cancel would throw away what was judged.
    start.click(judge, [upload, column], [status, result, download], concurrency_limit=None, **quiet)
    stop.click(end, None, None, queue=False, **quiet)


@dataclass(frozen=True)
class Upload:
    """A table that was uploaded, as far as it is judged here."""

    file: Path
    table: Table
    size: int
    """Rows of the whole table."""

    def out(self, folder: Path) -> Path:
        """Where its verdicts go: for the same table the same place, so that one that was stopped goes on."""
        key = hashlib.sha256(f"{self.file}\0{self.table.column}".encode("utf-8", "replace")).hexdigest()[:16]
        return folder / key / f"{self.file.stem}-verdicts.csv"

    @property
    def cut(self) -> str:
        """Which rows are judged where those are not all of them; empty where they are."""
        rows = len(self.table.rows)
        return f"The first {rows:,} of {self.size:,} rows" if rows < self.size else ""


def _own(session: str) -> str:
    """The name of a session's folder: the browser sends the session's, which may be any path."""
    return hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:16]


def _columns(path: str | None) -> Update:
    """The columns of an uploaded table, with the likeliest chosen."""
    if path is None:
        return gr.Dropdown(choices=[], value=None), cards.batch_card(EMPTY, 0, [])
    try:
        given = read(path)
    except TunewiseError as error:
        return gr.Dropdown(choices=_names(Path(path)), value=None), cards.note(str(error))
    table = given.table
    which = f"{given.cut} are judged here. {ELSEWHERE}" if given.cut else f"{given.size} rows."
    note = f"{which} The situations are in “{table.column}”."
    return gr.Dropdown(choices=list(table.columns), value=table.column), cards.batch_card(note, 0, [])


def read(path: str | None, column: str | None = None) -> Upload:
    """Read a table that was uploaded.

    Raises:
        InputError: There is none, it cannot be read, or its column has to be chosen.
    """
    if path is None:
        raise InputError("Choose a file first.")
    file = Path(path)
    try:
        table = tables.read_table(file, column)
    except InputError as error:
        # The command line names the server's folders, and an option that the page does not have.
        if names := _names(file):
            raise InputError(f"Choose the column that holds the situations: {', '.join(names)}.") from None
        raise InputError(error.message.replace(printable(str(file)), printable(file.name)), error.remedy) from None
    return Upload(file, replace(table, rows=table.rows[:MOST_ROWS]), len(table.rows))


def _names(file: Path) -> list[str]:
    try:
        return list(tables.columns(file))
    except TunewiseError:
        return []


def _waited(line: Line, place: Place) -> Iterator[Update]:
    told = -1
    while (ahead := line.ahead(place, told)) >= TOGETHER and not place.cancel.is_set:
        if ahead != told:
            yield cards.note(f"Waiting: {ahead} tables are before yours."), gr.skip(), gr.skip()
        told = ahead
    if place.cancel.is_set:
        yield cards.note("Stopped."), gr.skip(), gr.skip()


def judged(advisor: Advisor, given: Upload, out: Path, place: Place) -> Iterator[Update]:
    """Judge a table; what is judged when it is stopped can be downloaded, and the next start goes on from there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    table, outcomes = given.table, list[Outcome]()
    began = drawn = time.perf_counter()
    with closing(Job(advisor, table, out).run()) as running:
        for outcome in running:
            outcomes.append(outcome)
            if place.cancel.is_set and len(outcomes) < len(table.rows):
                _write(table, outcomes, out)
                break
            if time.perf_counter() - drawn > REDRAW:
                drawn = time.perf_counter()
                yield _status(given, outcomes, drawn - began), _shown(table, outcomes), gr.skip()
    status = _status(given, outcomes, None)
    yield status, _shown(table, outcomes), gr.DownloadButton(value=str(out), interactive=True)


def _write(table: Table, outcomes: list[Outcome], out: Path) -> None:
    """Write the rows that were judged, with columns as in the output of a whole run."""
    lines = []
    for outcome in _in_order(outcomes):
        given = {
            f"input_{name}" if name in batching.FLAT else name: value for name, value in table.rows[outcome.row].items()
        }
        lines.append(given | batching.flat(outcome))
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for line in lines for name in line)))
        writer.writeheader()
        writer.writerows(lines)


def _in_order(outcomes: list[Outcome]) -> list[Outcome]:
    """By row: what an earlier run judged comes first, wherever it stands in the table."""
    return sorted(outcomes, key=attrgetter("row"))


def _status(given: Upload, outcomes: list[Outcome], seconds: float | None) -> str:
    """How far it is, after so many seconds; None where it goes no further."""
    done, total = len(outcomes), len(given.table.rows)
    if done == total:
        status = f"{given.cut} are judged. {ELSEWHERE}" if given.cut else "All rows are judged."
    elif seconds is None:
        status = f"Stopped: {done:,} of {total:,} rows are judged. “Judge all rows” goes on from there."
    else:
        status = f"{done} of {total}{_left(outcomes, total - done, seconds)}."
    return cards.batch_card(status, total, outcomes)


def _left(outcomes: list[Outcome], rows: int, seconds: float) -> str:
    """How long the other rows take; what an earlier run judged was there at once and says nothing of it."""
    judged = sum(not outcome.earlier for outcome in outcomes)
    return f", about {_duration(seconds / judged * rows)} left" if judged else ""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _shown(table: Table, outcomes: list[Outcome]) -> gr.Dataframe:
    return gr.Dataframe(value=_cells(table, outcomes), visible=True)


def _cells(table: Table, outcomes: list[Outcome]) -> list[list[Any]]:
    """The rows as a person reads them; the download has the words of the field."""
    cells = []
    for outcome in _in_order(outcomes):
        flat: Mapping[str, Any] = batching.flat(outcome)
        text = table.text(outcome.row)
        cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        result = outcome.result or {}
        cells.append(
            [
                cut,
                LABELS[Verdict(result["verdict"])] if result else "",
                percent(result["confidence"]) if result else "",
                "yes" if result and batching.is_close(outcome) else "",
                METHOD_LABELS[Method(result["method"])] if result.get("method") else "",
                flat["question"],
                flat["error"],
            ]
        )
    return cells
