"""The tab for tables: upload, watch, read, download. The model serves the chat between two rows."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from tunewise import batching
from tunewise.advisor import Advisor
from tunewise.batching import Job, Outcome, Table
from tunewise.errors import TunewiseError
from tunewise.render import percent
from tunewise.schema import LABELS, METHOD_LABELS, Method, Verdict
from tunewise.ui import cards

HEADERS = ("Situation", "Verdict", "Sure", "Close call", "Method", "Worth asking", "Error")
WIDTHS: list[str | int] = ["240px", "130px", "80px", "90px", "130px", "220px", "140px"]
EMPTY = "Upload a table with one situation a row; its verdicts, charts and a download then stand here."
MOST_ROWS = 5000
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

    def judge(path: str | None, name: str | None) -> Iterator[Update]:
        yield from _judge(advisor, path, name)

    running = start.click(
        judge,
        [upload, column],
        [status, result, download],
        concurrency_limit=2,
        concurrency_id="batch",
        **quiet,
    )
    stop.click(lambda: cards.note("Stopped."), None, status, cancels=running, queue=False, **quiet)


def _columns(path: str | None) -> Update:
    """The columns of an uploaded table, with the likeliest chosen."""
    if path is None:
        return gr.Dropdown(choices=[], value=None), cards.batch_card(EMPTY, 0, [])
    try:
        table = batching.read_table(Path(path), limit=MOST_ROWS)
    except TunewiseError as error:
        names = _names(path)
        return gr.Dropdown(choices=names, value=None), cards.note(error.message if not names else _choose(names))
    note = f"{len(table.rows)} rows; the situations are in “{table.column}”."
    return gr.Dropdown(choices=list(table.columns), value=table.column), cards.batch_card(note, 0, [])


def _choose(names: list[str]) -> str:
    return f"Choose the column that holds the situations: {', '.join(names)}."


def _names(path: str) -> list[str]:
    try:
        return list(batching.columns(Path(path)))
    except TunewiseError:
        return []


def _judge(advisor: Advisor, path: str | None, column: str | None) -> Iterator[Update]:
    if path is None:
        raise gr.Error("Choose a file first.", duration=6, print_exception=False)
    try:
        table = batching.read_table(Path(path), column or None, MOST_ROWS)
        # Gradio serves downloads from the temporary folder only.
        out = Path(tempfile.mkdtemp(prefix="tunewise-")) / f"{Path(path).stem}-verdicts.csv"
        outcomes: list[Outcome] = []
        began = drawn = time.perf_counter()
        for outcome in Job(advisor, table, out).run():
            outcomes.append(outcome)
            if time.perf_counter() - drawn > REDRAW:
                drawn = time.perf_counter()
                yield _status(table, outcomes, drawn - began), _shown(table, outcomes), gr.skip()
        yield _status(table, outcomes, 0), _shown(table, outcomes), gr.DownloadButton(value=str(out), interactive=True)
    except TunewiseError as error:
        raise gr.Error(str(error), duration=10, print_exception=False) from None


def _status(table: Table, outcomes: list[Outcome], seconds: float) -> str:
    done, total = len(outcomes), len(table.rows)
    left = seconds / done * (total - done)
    status = "All rows are judged." if done == total else f"{done} of {total}, about {_duration(left)} left."
    return cards.batch_card(status, total, outcomes)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _shown(table: Table, outcomes: list[Outcome]) -> gr.Dataframe:
    return gr.Dataframe(value=_cells(table, outcomes), visible=True)


def _cells(table: Table, outcomes: list[Outcome]) -> list[list[Any]]:
    """The rows as a person reads them; the download has the words of the field."""
    cells = []
    for outcome in outcomes:
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
