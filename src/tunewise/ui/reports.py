"""The tab of the evaluation: read a report, compare two runs, judge a sample here and now."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tunewise.advisor import Advisor
from tunewise.errors import TunewiseError
from tunewise.ui import cards

FOLDER = Path("evals")
PLACES = ("reports", "runs")
LABELLED = ("*.jsonl", "held-out/*.jsonl")
"""Files of labelled situations, of which a run may hold any."""
MISSING = (
    "No report is here. Run 'tunewise eval' in a checkout of the repository; its report then stands here. "
    "The figures above are those of the head that came with this installation."
)


def tab(advisor: Advisor) -> None:
    """Draw the tab into the blocks that are being built."""
    gr.HTML(cards.head_card(advisor.heads.card if advisor.heads else None), elem_id="head")
    names = list(_runs())
    with gr.Row():
        run = gr.Dropdown(names, value=names[0] if names else None, label="Report", elem_id="report-name")
        other = gr.Dropdown(names, value=None, label="Compare with", elem_id="report-other")
        size = gr.Slider(5, 60, 10, step=5, label="Situations of the sample")
        start = gr.Button("Judge a sample", elem_id="sample-start")
    said = gr.HTML("", elem_id="report-said")
    shown = gr.HTML(_report(names[0] if names else None), elem_id="report")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    run.change(_report, run, shown, **quiet)
    for choice in (run, other):
        choice.change(_compare, [run, other], said, **quiet)

    def sample(count: float) -> Iterator[str]:
        yield from _sample(advisor, int(count))

    start.click(sample, size, said, concurrency_limit=1, concurrency_id="batch", **quiet)


def _runs() -> dict[str, Path]:
    """Folders with a report, by name."""
    found = [file.parent for place in PLACES for file in sorted((FOLDER / place).glob("*/summary.json"))]
    return {f"{folder.parent.name}/{folder.name}": folder for folder in found}


def _report(name: str | None) -> str:
    folder = _runs().get(name or "")
    if folder is None:
        return cards.note(MISSING)
    page = (folder / "report.html").read_text(encoding="utf-8")
    # A document of its own, without scripts: its styles stay inside.
    title = html.escape(f"Report {folder.name}")
    return f'<iframe class="tw-report" sandbox title="{title}" srcdoc="{html.escape(page)}"></iframe>'


def _compare(name: str | None, other: str | None) -> str:
    runs = _runs()
    if name not in runs or other not in runs:
        return ""
    if name == other:
        return cards.note("Choose another run than the one that is shown.")
    try:
        from tunewise.evaluation import comparison
        from tunewise.evaluation import runs as records
        from tunewise.evaluation import scenarios as labelled

        labels = labelled.read(sorted(file for kind in LABELLED for file in (FOLDER / "scenarios").glob(kind)))
        found = comparison.compare(records.load_records(runs[name]), runs[other], labels)
    except ModuleNotFoundError as error:
        return cards.note(f"This needs the library {error.name}: pip install 'tunewise[eval]'")
    except TunewiseError as error:
        return cards.note(str(error))
    return cards.comparison_card(name, other, found)


def _sample(advisor: Advisor, count: int) -> Iterator[str]:
    try:
        from tunewise.evaluation import commands
    except ModuleNotFoundError as error:
        yield cards.note(f"This needs the library {error.name}: pip install 'tunewise[eval]'")
        return
    try:
        chosen = commands.chosen(sorted((FOLDER / "scenarios").glob("*.jsonl")), "dev", count)
    except TunewiseError as error:
        yield cards.note(str(error))
        return
    right = fair = 0
    for done, scenario in enumerate(chosen, start=1):
        verdict = advisor.judge(scenario.situation).verdict
        right += verdict is scenario.verdict
        fair += scenario.accepts(verdict)
        yield cards.note(
            f"{done} of {len(chosen)} development situations (the head was fitted on these): "
            f"{right} right, {fair} right or fair."
        )
