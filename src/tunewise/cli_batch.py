"""`tunewise batch`: where it judges, and how it shows that it gets on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tunewise.errors import UserError, WorkError

if TYPE_CHECKING:
    from tunewise.batching import Job, Outcome
    from tunewise.cluster import Cluster
    from tunewise.settings import Settings


@contextmanager
def cluster(engine: str, workers: int | None, settings: "Settings") -> "Iterator[Cluster | None]":
    """The actors of `--engine ray` while they are needed; None for `--engine here`."""
    if engine not in ("here", "ray"):
        raise UserError(f"There is no engine '{engine}'.", "Choose 'here' or 'ray'.")
    if engine == "here":
        yield None
        return
    if settings.engine:
        raise UserError("A cluster holds models of its own.", "Leave TUNEWISE_ENGINE unset with --engine ray.")
    from tunewise.cluster import Cluster

    try:
        found = Cluster(settings, workers)
    except ModuleNotFoundError:
        raise WorkError("This needs the library ray.", "Run: pip install 'tunewise[ray]'") from None
    try:
        yield found
    finally:
        found.close()


def judge_rows(job: "Job") -> "list[Outcome]":
    """Run a job behind a bar that shows the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    outcomes = []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(job.table.rows))

        def tell(sentence: str) -> None:
            progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

        try:
            for outcome in replace(job, tell=tell).run():
                outcomes.append(outcome)
                if outcome.earlier:
                    # Rows that were there at once say nothing of how long the others take.
                    progress.reset(task, completed=len(outcomes))
                else:
                    progress.advance(task)
        except KeyboardInterrupt:
            progress.console.print("Stopped; the same command goes on from here.")
            raise
    return outcomes
