"""A run as a report: JSON for machines, Markdown for a repository, one self-contained HTML page to read."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunewise.evaluation import metrics
from tunewise.evaluation.summary import ORDER, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGNIFICANT = 0.05
FILES = ("summary.json", "report.md", "report.html")
TEXT, SOFT, BLUE, AMBER = "#1d2733", "#7b8794", "#2563a8", "#c47f17"


def write(summary: Summary, folder: Path) -> list[Path]:
    """Write `summary.json`, `report.md` and `report.html` into a folder; the paths in that order."""
    pages = (
        summary.model_dump_json(indent=1) + "\n",
        _environment(html=False).get_template("report.md.j2").render(s=summary, order=ORDER),
        _environment(html=True)
        .get_template("report.html.j2")
        .render(s=summary, order=ORDER, reliability=reliability(summary), coverage=coverage(summary)),
    )
    paths = [folder / name for name in FILES]
    for path, page in zip(paths, pages, strict=True):
        path.write_text(page, encoding="utf-8")
    return paths


def load(folder: Path) -> Summary:
    """The figures of a report that was written before."""
    return Summary.model_validate_json((folder / FILES[0]).read_text(encoding="utf-8"))


def reliability(summary: Summary) -> Markup:
    """Reliability diagram as SVG: how often a verdict of a given confidence is right."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
        sure, right, counts = zip(*summary.reliability, strict=True)
        axes.plot(sure, right, color=BLUE, marker="o")
        for x, y, count in zip(sure, right, counts, strict=True):
            axes.annotate(str(count), (x, y), textcoords="offset points", xytext=(6, -10), color=SOFT, fontsize=8)
        axes.set(xlim=(0.2, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share right")

    return _figure(draw)


def coverage(summary: Summary) -> Markup:
    """Risk-coverage curve as SVG: accuracy among the verdicts that the head is surest of."""

    def draw(axes: "Axes") -> None:
        shares, right = zip(*summary.risk_coverage, strict=True)
        axes.plot(shares, right, color=AMBER, marker=".")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="share of questions answered", ylabel="share right")

    return _figure(draw)


def compare(new: Sequence[bool], old: Sequence[bool]) -> tuple[str, bool]:
    """Two runs on the same questions: a sentence, and whether the new one is significantly worse."""
    wins, losses, p = metrics.paired_test(new, old)
    worse = losses > wins and p < SIGNIFICANT
    verdict = "significantly worse" if worse else ("significantly better" if p < SIGNIFICANT else "no clear difference")
    return f"{len(new)} questions: {wins} only now right, {losses} only before, p = {p:.3f}: {verdict}.", worse


def _figure(draw: Callable[["Axes"], None]) -> Markup:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    draw(axes)
    page = io.StringIO()
    figure.savefig(page, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = page.getvalue()
    return Markup(svg[svg.index("<svg") :])


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("tunewise.evaluation", "templates"),
        undefined=StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    return environment
