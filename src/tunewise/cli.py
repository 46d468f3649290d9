"""The command line: arguments, exit codes, and the one place where errors become words.

Exit codes: 0 done; 1 the work failed; 2 bad usage or bad input.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tunewise import cli_batch, cli_index, cli_later, cli_models, streams
from tunewise.errors import InputError, TunewiseError, UserError, WorkError, with_extra
from tunewise.streams import print_json

if TYPE_CHECKING:
    from tunewise.advisor import Advisor
    from tunewise.schema import Event
    from tunewise.settings import Settings

INTERRUPTED = 130


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except TunewiseError as error:
        sys.stderr.write(f"tunewise: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("tunewise: stopped.\n")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read has enough.
        streams.let_go()
        raise SystemExit(0) from None
    except OSError as error:
        # A path that cannot be looked at, or an output that takes nothing more.
        streams.let_go()
        sys.stderr.write(f"tunewise: {_refusal(error)}\n")
        raise SystemExit(UserError.exit_code) from None
    except SystemExit as left:
        # Rich calls that a failure.
        raise SystemExit(0 if isinstance(left.__context__, BrokenPipeError) else left.code) from None


def _refusal(error: OSError) -> str:
    """One sentence on what the system refused, and where."""
    why = error.strerror or str(error) or type(error).__name__
    where = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{why}." if where is None else f"{why}: {where}."


class Commands(TyperGroup):
    """The commands; their errors become words before Typer makes exit codes of its own of them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with _errors():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


app = typer.Typer(
    name="tunewise",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train from scratch, fine-tune, or use a model as it is? A local model answers, with reasons you "
    "can check.\n\nThe first question fetches the model (1.1 GB) once; after that nothing leaves this machine, "
    "unless you name an engine, a Chroma server or a Ray cluster.",
    epilog="Settings: TUNEWISE_MODEL, TUNEWISE_ENGINE, TUNEWISE_ENGINE_URL, TUNEWISE_CACHE, TUNEWISE_KNOWLEDGE, "
    "TUNEWISE_PROMPTS, TUNEWISE_CHROMA, TUNEWISE_CONTEXT, TUNEWISE_THREADS, TUNEWISE_REASONS, TUNEWISE_OFFLINE, "
    "TUNEWISE_VERBOSE, TUNEWISE_LOG, TUNEWISE_LOG_TEXT, or the same names without prefix in tunewise.toml.\n\n"
    "Exit codes: 0 done, 1 the work failed, 2 bad usage or bad input.",
)
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_later.estimates, name="estimate")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


@app.callback()
def common(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Write a JSON line for every answer to stderr: timings, tokens, hashes.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    if verbose:
        os.environ["TUNEWISE_VERBOSE"] = "true"


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Once more, for help and usage are printed before a command is run.
    with _errors():
        try:
            app()
        finally:
            sys.stdout.flush()


def _settings(model: str | None = None) -> "Settings":
    from tunewise.settings import Settings

    return Settings.load(**({"model": model} if model else {}))


@contextmanager
def _advisor(model: str | None = None) -> Iterator["Advisor"]:
    from rich.console import Console

    from tunewise.remote import make_advisor
    from tunewise.terminal import PullBar

    settings = _settings(model)
    bar = PullBar(Console(stderr=True))
    advisor = make_advisor(settings, on_pull=bar)
    try:
        yield advisor
    finally:
        bar.stop()
        advisor.close()


@app.command()
def ask(
    situation: Annotated[
        str,
        typer.Argument(help="What goes in, what should come out, what data and means there are; '-' reads stdin."),
    ],
    as_json: JsonFlag = False,
    details: Annotated[bool, typer.Option("--details", help="Also show unstated factors and timings.")] = False,
    model: Annotated[str | None, typer.Option(help="Model name or path of a GGUF file.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the decision record (Markdown) to this file; never over another.")
    ] = None,
) -> None:
    """Judge a situation, or answer a question.

    tunewise ask "We have 4,000 labelled X-rays and want to sort them by finding. One GPU."
    """
    from rich.console import Console

    from tunewise import dialogue
    from tunewise.schema import Answer
    from tunewise.terminal import AnswerView

    text = dialogue.check(streams.stdin() if situation == "-" else streams.argument(situation))
    if export is not None and export.exists():
        raise _taken(export)
    with _advisor(model) as advisor:
        # The store goes first, so that its progress bar and ours do not draw over each other.
        advisor.load()
        events = advisor.respond(text)
        result = _drain(events) if as_json else AnswerView(Console(), details=details).show(events)
    if as_json:
        print_json(result.model_dump(mode="json"))
    if isinstance(result, Answer) and not result.on_topic:
        raise typer.Exit(InputError.exit_code)
    if export is not None:
        _export(result, export)


def _export(result: Any, file: Path) -> None:
    from tunewise import render
    from tunewise.schema import Advice

    if not isinstance(result, Advice):
        raise UserError("Only a verdict has a decision record.", "Describe a situation instead of asking a question.")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(render.decision_record(result))
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}.", "Name another file.") from error
    typer.echo(f"Decision record: {file}", err=True)


def _taken(file: Path) -> UserError:
    return UserError(f"{file} exists already.", "Name another file for the decision record.")


def _drain(events: "Iterator[Event]") -> Any:
    for event in events:
        if event.event == "done":
            return event.result
    raise AssertionError("a stream ends with its result")


@app.command()
def chat(
    model: Annotated[str | None, typer.Option(help="Model name or path of a GGUF file.")] = None,
) -> None:
    """Talk about a situation; later messages add to it. /new starts over, /quit or Ctrl-D leaves."""
    from rich.console import Console

    from tunewise.terminal import converse

    with _advisor(model) as advisor:
        advisor.load()
        converse(Console(), advisor.conversation)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to serve at; anything but loopback opens it to your network.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The first free one from 7860 if left out.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    mcp: Annotated[bool, typer.Option(help="Also serve the functions as MCP tools; needs the extra 'mcp'.")] = False,
    model: Annotated[str | None, typer.Option(help="Model name or path of a GGUF file.")] = None,
) -> None:
    """Open the chat page in a browser. It is served on this machine only, unless --host says otherwise."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    from tunewise.ui import page

    with _advisor(model) as advisor:
        page.serve(advisor, host=host, port=port, open_browser=browser, mcp=mcp)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A question, a topic or a whole situation.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="Most facts to show.")] = 5,
    topic: Annotated[str | None, typer.Option(help="Only this topic, such as 'peft'.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find facts in the knowledge folder, with their sources."""
    from rich.console import Console

    from tunewise.retrieval import Filter
    from tunewise.terminal import hits_table

    query = streams.argument(query)
    with _advisor() as advisor:
        only = Filter(topics=frozenset({topic})) if topic else None
        hits = advisor.search(query, count, only)
    if as_json:
        print_json([hit.model_dump(mode="json") for hit in hits])
    else:
        Console().print(hits_table(hits) if hits else "Nothing was found.")


@app.command()
def index(
    documents: Annotated[
        list[Path] | None, typer.Argument(help="Folders or files of your own to add: Markdown, text, PDF, HTML, Word.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the documents that were added.")] = False,
    remove: Annotated[
        list[str] | None, typer.Option(help="Forget a document or a folder of them; the files stay. May be repeated.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build it anew even if it is current.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Build the search index, and add documents of your own to it. A current one is left alone.

    Named again, a folder is brought up to date: what changed is read anew, what is gone is forgotten.

    tunewise index handbook/ policy.pdf
    """
    if bool(documents) + bool(remove) + listing + rebuild > 1:
        raise UserError("Adding, --list, --remove and --rebuild exclude each other.", "Give one of them at a time.")
    with _advisor() as advisor:
        if documents:
            cli_index.add(advisor, documents, as_json=as_json)
        elif remove:
            cli_index.remove(advisor, remove, as_json=as_json)
        elif listing:
            cli_index.show(advisor, as_json=as_json)
        else:
            cli_index.build(advisor, rebuild=rebuild, as_json=as_json)


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Look for what is wrong, and how to mend it.

    Versions, model, index, memory and expected speed of this installation.
    """
    from tunewise.checkup import examine

    findings = examine(_settings())
    if as_json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        for finding in findings:
            mark = {"good": "ok  ", "note": "note", "bad": "BAD "}[finding.state]
            typer.echo(
                f"{mark} {finding.subject}: {finding.text}" + (f"\n       → {finding.remedy}" if finding.remedy else "")
            )
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


@app.command()
def batch(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or text (one situation a line).")],
    out: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet; its ending names the format.")],
    column: Annotated[
        str | None, typer.Option(help="Column with the situations; guessed from its name if left out.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns of the input to keep, such as 'id,team'; all if left out.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many rows; the whole table goes on from them.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Where to judge: 'here', or 'ray' for the cluster of RAY_ADDRESS (extra 'ray').")
    ] = "here",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Actors of --engine ray; one a processor if left out.")
    ] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Whole answers; some five times slower.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    model: Annotated[str | None, typer.Option(help="Model name or path of a GGUF file.")] = None,
) -> None:
    """Judge every row of a table. Interrupted, the same command goes on where it stopped.

    A row that cannot be judged gets its error in the column 'error', and the run goes on.

    tunewise batch projects.csv verdicts.csv
    """
    from tunewise import batching, tables

    tables.check_output(table, out, overwrite=overwrite)
    if reasons and engine != "here":
        raise UserError("A cluster gives verdicts only.", "Leave out --reasons or --engine.")
    with with_extra("batch"):
        rows = tables.read_table(table, column, limit)
    keep = batching.chosen_columns(columns, rows)
    with (
        _advisor(model) as advisor,
        with_extra("batch"),
        cli_batch.cluster(engine, workers, advisor.settings) as cluster,
    ):
        advisor.load()
        outcomes = cli_batch.judge_rows(batching.Job(advisor, rows, out, reasons, keep, cluster))
    summary = batching.summarise(outcomes)
    for verdict, count in summary.verdicts.items():
        typer.echo(f"{count:6}  {verdict.label}")
    typer.echo(f"{len(outcomes)} rows in {out}; {summary.close} too close to call, {summary.failed} failed.")
    if summary.failed == len(outcomes):
        raise WorkError("No row could be judged.", f"The column 'error' of {out} says why.")


ScenarioFiles = Annotated[
    list[Path] | None, typer.Argument(help="Files of labelled scenarios; evals/scenarios/*.jsonl if left out.")
]
DATA = Path("evals")


def _scenario_files(files: list[Path] | None) -> list[Path]:
    found = files or sorted((DATA / "scenarios").glob("*.jsonl"))
    if not found:
        raise UserError("There are no scenarios in evals/scenarios.", "Run this in a checkout, or name files.")
    return found


def _heads_folder() -> Path:
    from tunewise import heads

    return heads.SHIPPED


@app.command()
def fit(
    files: ScenarioFiles = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder that gets head.npz and head.json.",
            file_okay=False,
            exists=True,
            writable=True,
            default_factory=_heads_folder,
            show_default="where this installation reads them",
        ),
    ],
    onto: Annotated[
        bool, typer.Option("--onto", help="Teach the head of this folder the files that are named, instead of anew.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="With --onto: teach how short messages are read, and nothing else.")
    ] = False,
    sample: Annotated[int, typer.Option(min=50, help="With --onto: how many of the other scenarios are read.")] = 500,
) -> None:
    """Fit the decision head on labelled scenarios. Scenarios of the test split are left out.

    Reads every scenario once with the model (one to four seconds each; kept in evals/runs, so it can be interrupted).
    Thousands take hours: with --onto only those of FILES are read, and a sample of the others that holds the head.

    tunewise fit --onto evals/scenarios/our-own-decisions.jsonl
    """
    with with_extra("eval"):
        from tunewise.evaluation import commands
    if not (DATA / "scenarios").is_dir():
        raise UserError(f"There is no folder {DATA / 'scenarios'} here.", "Run this in a checkout of Tunewise.")
    if short and not onto:
        raise UserError("--short belongs to --onto.", "Name both, or neither.")
    with _advisor() as advisor:
        if onto:
            commands.teach(advisor, files or [], DATA, out, sample, short=short)
        else:
            commands.fit(advisor, _scenario_files(files), DATA, out)
    if out.resolve() != _heads_folder():
        typer.echo(f"It counts once head.npz and head.json are copied from {out} to {_heads_folder()}.", err=True)


@app.command("eval")
def evaluate(
    files: ScenarioFiles = None,
    split: Annotated[str, typer.Option(help="Which split to judge: fit, dev or test.")] = "test",
    run: Annotated[Path | None, typer.Option(help="Folder of the run; evals/runs/SPLIT if left out.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Judge only so many, spread over the verdicts.")] = None,
    answers: Annotated[int, typer.Option(min=0, help="How many get a whole answer, with reasons.")] = 40,
    rewritten: Annotated[int, typer.Option(min=0, help="How many are also judged in six rewritings.")] = 60,
    plain: Annotated[int, typer.Option(min=0, help="How many a plain prompt judges too; 17 seconds each.")] = 100,
    small: Annotated[int, typer.Option(min=0, help="How many the 0.5B model judges too.")] = 0,
    classifiers: Annotated[bool, typer.Option(help="Fit simple classifiers to compare with; some minutes.")] = True,
    against: Annotated[
        Path | None, typer.Option(help="An earlier run: compare question by question, exit 1 on a significant loss.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
) -> None:
    """Judge labelled scenarios and write a report.

    The report is summary.json, report.md and report.html. An interrupted run goes on where it stopped. Beside
    Tunewise stand the plain prompt and simple classifiers.

    tunewise eval --sample 40 --answers 5 --rewritten 5
    """
    with with_extra("eval"):
        from tunewise.evaluation import commands
        from tunewise.evaluation.runs import Plan
    with _advisor() as advisor:
        worse = commands.evaluate(
            advisor,
            commands.chosen(_scenario_files(files), split, sample),
            Plan(rewritten=rewritten, answered=answers, plain=plain, small=small, classifiers=classifiers),
            commands.Places(data=DATA, run=run or DATA / "runs" / split, against=against),
            fresh=fresh,
        )
    raise typer.Exit(int(worse))
