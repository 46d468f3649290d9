"""What the terminal shows: a fold over the events of an answer."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.prompt import Prompt
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tunewise.artifacts import PullProgress
from tunewise.conversation import Conversation
from tunewise.errors import TunewiseError
from tunewise.estimation.calculator import span
from tunewise.render import percent, source_line, what_changed
from tunewise.schema import (
    Advice,
    Answer,
    DoneEvent,
    Estimate,
    Event,
    Evidence,
    Factor,
    FactorEvent,
    Hit,
    Reason,
    ReasonEvent,
    StatusEvent,
    TextEvent,
    Verdict,
    VerdictEvent,
)

COLOURS = {
    Verdict.TRAIN_FROM_SCRATCH: "magenta",
    Verdict.FINE_TUNE: "cyan",
    Verdict.USE_AS_IS: "green",
    Verdict.NEEDS_MORE_INFORMATION: "yellow",
}
BAR = 24
LEAVE = "/quit"
YOU = "\001\033[1m\002you\001\033[0m\002: "
"""The prompt; what stands between the control signs takes no room."""


class AnswerView:
    """Draws an answer as its events arrive.

    Args:
        console: Where to draw.
        details: Also show factors of which nothing was said, and the timings.
    """

    def __init__(self, console: Console, *, details: bool = False) -> None:
        self._console = console
        self._details = details
        self._factors: list[Factor] = []
        self._texts: dict[int, str] = {}

    def show(self, events: Iterable[Event]) -> Advice | Answer:
        """Draw until the last event.

        Returns:
            The result.
        """
        waiting = Spinner("dots", Text("Loading the model …", style="dim"))
        with Live(waiting, console=self._console, transient=True, refresh_per_second=10) as live:
            for event in events:
                match event:
                    case StatusEvent():
                        live.update(Spinner("dots", Text(f"{event.text} …", style="dim")))
                    case FactorEvent():
                        self._factors.append(event.factor)
                    case VerdictEvent():
                        self._console.print(_verdict(event))
                        self._console.print(self._sheet())
                        live.update(Spinner("dots", Text("Writing the reasons …", style="dim")))
                    case TextEvent():
                        self._texts[event.index] = self._texts.get(event.index, "") + event.text
                        live.update(self._draft())
                    case ReasonEvent():
                        self._texts.pop(event.index, None)
                    case DoneEvent():
                        live.update(Text(""))
                        self._finish(event.result)
                        return event.result
                    case _:
                        pass
        raise AssertionError("a stream ends with its result")

    def _draft(self) -> RenderableType:
        lines = [Text(f" · {text}", style="dim") for _, text in sorted(self._texts.items())]
        return Group(*lines)

    def _sheet(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column("What the situation says")
        table.add_column("Your words", style="italic")
        table.add_column("Speaks for")
        for factor in self._factors:
            if factor.known or self._details:
                toward = factor.pushes_toward
                colour = COLOURS[toward] if toward else ""
                table.add_row(
                    Text(factor.meaning if factor.known else f"{factor.name}: not stated"),
                    Text(f"“{factor.quote}”" if factor.quote else "", style="italic"),
                    Text(toward.label if toward else "", style=colour),
                )
        return table

    def _finish(self, result: Advice | Answer) -> None:
        if isinstance(result, Advice):
            self._console.print(_reasons(result.reasons))
            self._console.print(_plan(result))
            if changed := what_changed(result):
                self._console.print(Text.assemble(("What changed: ", "bold"), changed))
            if result.estimates:
                self._console.print(estimates_table(result.estimates))
            for note in result.notes:
                self._console.print(Text(f"! {note}", style="yellow"))
            for question in result.questions:
                self._console.print(Text.assemble(("Worth finding out: ", "bold"), question))
        else:
            self._console.print(Padding(Text(result.text), (0, 0, 1, 0)))
            if result.estimates:
                self._console.print(estimates_table(result.estimates))
            self._console.print(_sources(result.evidence))
        if self._details:
            timings = ", ".join(f"{name} {value:.2f}" for name, value in result.timings if value)
            self._console.print(Text(f"Timings: {timings}", style="dim"))


def _verdict(event: VerdictEvent) -> RenderableType:
    colour = COLOURS[event.verdict]
    lines: list[RenderableType] = []
    if event.method:
        lines.append(Text(f"Method: {event.method.value.replace('_', ' ')}\n"))
    for verdict, share in sorted(event.probabilities.items(), key=lambda item: -item[1]):
        filled = round(share * BAR)
        style = COLOURS[verdict] if verdict is event.verdict else "dim"
        bar = "█" * filled + "░" * (BAR - filled)
        lines.append(Text(f"{bar} {percent(share):>5}  {verdict.label}", style=style))
    title = f"[bold]{event.verdict.label}[/bold]"
    return Panel(Group(*lines), title=title, title_align="left", border_style=colour, expand=False)


def _reasons(reasons: Iterable[Reason]) -> RenderableType:
    rows: list[RenderableType] = []
    for place, reason in enumerate(reasons, start=1):
        rows.append(Text(f"{place}. {reason.text}", style="bold" if not reason.composed else ""))
        rows += [Padding(_source(evidence), (0, 0, 1, 3)) for evidence in reason.evidence]
    return Group(*rows)


def _plan(advice: Advice) -> RenderableType:
    """Why this method, what comes second, and the next steps; with rules as sources only in the record."""
    lines: list[RenderableType] = []
    if advice.method and advice.method_reason:
        lines.append(Text.assemble(("How: ", "bold"), f"{advice.method.label}, because {advice.method_reason}."))
    for other in advice.alternatives[:1]:
        lines.append(Text.assemble(("Next best: ", "bold"), f"{other.method.label}; but {other.why_not}."))
    if advice.plan:
        lines += [Text("\nNext steps", style="bold")]
        lines += [Text(f"{place}. {step.text}") for place, step in enumerate(advice.plan, start=1)]
    return Padding(Group(*lines), (0, 0, 1, 0)) if lines else Group()


def _sources(sources: Iterable[Evidence]) -> RenderableType:
    return Group(
        *[
            Padding(Group(Text(f"[{place}]"), _source(evidence)), (0, 0, 1, 0))
            for place, evidence in enumerate(sources, start=1)
        ]
    )


def _source(evidence: Evidence) -> Text:
    text = Text.assemble((f"“{evidence.quote}”", "italic"), "\n", (source_line(evidence), "dim"))
    if evidence.url:
        text.append(f" {evidence.url}", style="dim")
    return text


def hits_table(hits: Iterable[Hit]) -> RenderableType:
    """Facts that were found, best first, with their sources."""
    rows: list[RenderableType] = []
    for place, hit in enumerate(hits, start=1):
        source = hit.fact.sources[0]
        rows.append(Text.assemble((f"{place}. {hit.fact.id}", "bold cyan"), f"  {hit.fact.title}"))
        body = Text.assemble(hit.fact.text, "\n", (source.citation, "dim"))
        if source.url:
            body.append(f" {source.url}", style="dim")
        rows.append(Padding(body, (0, 0, 1, 3)))
    return Group(*rows)


def estimates_table(estimates: Iterable[Estimate]) -> RenderableType:
    """Figures with their range, formula and source."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("Figure")
    table.add_column("Range", justify="right", style="bold")
    table.add_column("How it comes about", style="dim")
    for estimate in estimates:
        notes = [estimate.formula, *estimate.assumptions, estimate.source]
        table.add_row(Text(estimate.quantity), Text(span(estimate)), Text("; ".join(notes)))
    return table


def converse(console: Console, begin: Callable[[], Conversation]) -> None:
    """Talk until the person leaves; neither an error nor Ctrl-C while an answer is written ends the conversation.

    Args:
        console: Where to talk.
        begin: Makes a conversation that has heard nothing yet.
    """
    conversation = begin()
    console.print("Describe your situation, or ask about training and fine-tuning. /new, /quit", style="dim")
    while (message := _said(console)) not in (LEAVE, "/exit"):
        if message == "/new":
            conversation = begin()
            continue
        try:
            AnswerView(console).show(conversation.stream(message))
        except TunewiseError as error:
            console.print(str(error), style="yellow", markup=False)
        except KeyboardInterrupt:
            console.print("Stopped.", style="dim")


def _edits_lines(console: Console) -> bool:
    """Whether a person types here and readline is there; it is in place from then on."""
    # Elsewhere it may print control sequences.
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    with suppress(ImportError):
        import readline  # noqa: F401  # `input` asks it.

        return True
    return False


def _said(console: Console) -> str:
    """What the person types, or a paste with all its lines.

    A terminal by itself cuts lines at 4,095 characters, tears a paste into its lines and hands arrow keys over as text.
    """
    try:
        if not _edits_lines(console):
            return Prompt.ask("[bold]you[/bold]", console=console).strip()
        # Readline must know the prompt, or it draws over it.
        return input(YOU if console.color_system else "you: ").strip()
    except EOFError:
        console.print()
        return LEAVE


class PullBar:
    """A progress bar for files that are fetched; appears when the first one is."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, state: PullProgress) -> None:
        """Show how far a pull is."""
        if state.name not in self._tasks:
            self._progress.start()
            size = f"{state.total / 1e6:,.0f} MB"
            self._progress.console.print(f"Fetching {escape(state.name)} ({size}, once).")
            self._tasks[state.name] = self._progress.add_task(escape(state.name), total=state.total)
        words = {"fetch": "", "join": " (joining)", "done": " (checked)"}[state.phase]
        task = self._tasks[state.name]
        self._progress.update(task, completed=state.done, description=f"{state.name}{words}")
        if state.phase == "done":
            self._progress.stop()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        # A bar that never ran would still print an empty line.
        if self._tasks:
            self._progress.stop()
