"""What `tunewise fit` and `tunewise eval` do, with their progress bars."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tunewise import heads
from tunewise.advisor import Advisor
from tunewise.errors import UserError
from tunewise.evaluation import baselines, comparison, fitting, report, runs, summary, teaching
from tunewise.evaluation import scenarios as labelled
from tunewise.evaluation.rewriting import Material
from tunewise.evaluation.scenarios import Scenario
from tunewise.schema import Verdict

SPLITS = ("fit", "dev", "test")


@dataclass(frozen=True)
class Places:
    """Folders of an evaluation."""

    data: Path
    """Holds `scenarios`, `robustness` and `runs`."""
    run: Path
    """Gets records and report."""
    against: Path | None
    """An earlier run to compare with."""


def fit(advisor: Advisor, files: Sequence[Path], data: Path, out: Path) -> None:
    """Fit the heads on everything but the test split, save them and print what they are worth."""
    scenarios = [scenario for scenario in labelled.read(files) if scenario.split != "test"]
    fitting.check_kinds(scenarios)
    copies = fitting.disturbed(scenarios, Material.load(data / "robustness"))
    advisor.load()
    with _bar("Reading scenarios") as progress:
        readings = fitting.read(advisor, [*scenarios, *copies], data / "runs" / "features.npz", progress)
    with Console(stderr=True).status("Fitting"):
        fitted = fitting.fit(advisor, scenarios, copies, readings, data / "routing")
        heads.save(out, fitted.card, fitted.readouts, [heads.mark(scenario.id) for scenario in scenarios])
    console = Console()
    console.print(f"Fitted on {len(scenarios)} scenarios and {len(copies)} disturbed copies; out of fold:")
    for name, value in fitted.card.out_of_fold.items():
        console.print(f"  {name:24} {value}", highlight=False)
    for count, (strict, fair) in fitted.curve.items():
        console.print(f"  with {count:5} scenarios: strict {strict:.3f}, fair {fair:.3f}", highlight=False)


def teach(advisor: Advisor, files: Sequence[Path], data: Path, out: Path, sample: int, *, short: bool = False) -> None:
    """Teach the head in `out` the scenarios of some files, save it and print what it learned.

    What it knows already is passed over, so that the same lesson counts once. With `short` the read-out of short
    messages learns, and situations that are told are judged as before.

    Raises:
        UserError: No file is named, there is no head, nothing new, or nothing to hold the head by; or it belongs to
            another model.
    """
    if not files:
        raise UserError("Nothing is named that the head could be taught.", "Name files of scenarios.")
    if not (out / "head.npz").is_file():
        raise UserError(f"There is no head in {out}.", "Copy head.npz and head.json of a head there.")
    known = heads.Heads.load(out)
    advisor.load()
    if not known.fits(advisor.model.fingerprint, advisor.library.digest):
        raise UserError(f"The head in {out} belongs to another model or other prompts.", "Fit it anew, without --onto.")

    def tokens(item: Scenario) -> int:
        return advisor.model.count(item.situation)

    def concerned(items: Sequence[Scenario]) -> list[Scenario]:
        return [item for item in items if item.split != "test" and (not short or heads.shortness(tokens(item)))]

    new = [item for item in concerned(labelled.read(files)) if not known.knows(item.id)]
    if not new:
        raise UserError("There is nothing new in these files.", "Scenarios of the test split are never taught.")
    others = [item for item in labelled.read(sorted((data / "scenarios").glob("*.jsonl"))) if known.knows(item.id)]
    alike = concerned(others)
    old = teaching.drawn(alike, sample)
    if not old:
        raise UserError(f"Nothing in {data / 'scenarios'} is known to the head.", "Run this in a checkout.")
    copies = fitting.disturbed(new, Material.load(data / "robustness"))
    with _bar("Reading scenarios") as progress:
        readings = fitting.read(advisor, [*new, *copies, *old], data / "runs" / "features.npz", progress)
    with Console(stderr=True).status("Teaching"):
        fitted_on = known.card.scenarios + known.card.out_of_fold["copies"]
        stands_for = fitted_on * len(alike) / len(others) / len(old)
        lengths = np.array([tokens(item) for item in (*new, *copies, *old)])
        taught, figures = teaching.teach(known, new, copies, old, readings, lengths, stands_for, short=short)
        card = known.card.model_copy(
            update={
                "scenarios": known.card.scenarios + len(new),
                "out_of_fold": known.card.out_of_fold | {f"taught {name}": value for name, value in figures.items()},
            }
        )
        heads.save(out, card, known.readouts | taught, [*known.known, *(heads.mark(scenario.id) for scenario in new)])
    console = Console()
    console.print(f"Taught {len(new)} scenarios, held by {len(old)} of the {known.card.scenarios} that it knew:")
    for name, value in figures.items():
        console.print(f"  {name:24} {value}", highlight=False)


def chosen(files: Sequence[Path], split: str, sample: int | None) -> list[Scenario]:
    """The scenarios of a split, or some of them.

    Raises:
        UserError: The split does not exist or is empty.
    """
    if split not in SPLITS:
        raise UserError(f"There is no split '{split}'.", f"Choose one of {', '.join(SPLITS)}.")
    found = [scenario for scenario in labelled.read(files) if scenario.split == split]
    if not found:
        raise UserError(f"No scenario belongs to the split '{split}'.")
    return found if sample is None else runs.spread(found, sample)


def evaluate(advisor: Advisor, scenarios: Sequence[Scenario], plan: runs.Plan, places: Places, *, fresh: bool) -> bool:
    """Run, write the report, print its table; True where an earlier run was significantly better."""
    if advisor.settings.engine:
        # The plain prompt is asked of the local model, which has no part in such a run.
        plan = replace(plan, plain=0)
    advisor.load()
    material = Material.load(places.data / "robustness")
    card = runs.card_of(advisor, scenarios)
    run = runs.Run(places.run, card, fresh=fresh)
    steps = plan.steps(scenarios, material.rewritings())
    _go(run, steps, advisor, material)
    guesses = _baselines(advisor, scenarios, places.data) if plan.classifiers else {}
    found = summary.summarise(card, list(run.records.values()), scenarios, guesses, material.rewritings())
    paths = report.write(found, places.run)
    console = Console()
    console.print(_table(found))
    console.print(f"Report: {paths[-1]}", highlight=False)
    return places.against is not None and _compare(run, places.against, scenarios, console)


def _go(run: runs.Run, steps: Sequence[runs.Step], advisor: Advisor, material: Material) -> None:
    with _bar("Judging") as progress:
        done = sum(run.done(step) for step in steps)
        for kind in ("default", "small"):
            part = [step for step in steps if (step.kind == "small") == (kind == "small")]
            if all(run.done(step) for step in part):
                continue
            # Two models at once would take ten times as long on two cores, so one goes before the other comes.
            judge = (
                advisor
                if kind == "default"
                else Advisor(advisor.settings.model_copy(update={"model": runs.SMALL_MODEL}))
            )
            for _ in run.go(part, {kind: judge}, material):
                done += 1
                progress(done, len(steps))


def _baselines(advisor: Advisor, scenarios: Sequence[Scenario], data: Path) -> dict[str, list[Verdict]]:
    fitted = labelled.read(sorted((data / "scenarios").glob("*.jsonl")))
    judged = {scenario.id for scenario in scenarios}
    fit_on = [scenario for scenario in fitted if scenario.split != "test" and scenario.id not in judged]
    if not fit_on:
        return {}
    return {
        "always the most frequent": baselines.majority(fit_on, scenarios),
        "bag of words, logistic regression": baselines.bag_of_words(fit_on, scenarios),
        "MiniLM embedding, logistic regression": baselines.embedding(fit_on, scenarios, advisor.embedder),
    }


def _compare(run: runs.Run, against: Path, scenarios: Sequence[Scenario], console: Console) -> bool:
    found = comparison.compare(list(run.records.values()), against, scenarios)
    console.print(f"Against {against}: {found.sentence}", highlight=False)
    return found.worse


def _table(found: summary.Summary) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("way", "n", "strict", "fair", "train or fine-tune"):
        table.add_column(name)
    for row in found.rows:
        table.add_row(row.way, str(row.strict.count), str(row.strict), str(row.fair), str(row.train_versus_fine_tune))
    table.caption = f"ECE {found.ece}, flips {found.robustness.get('all', '–')}, {len(found.breaches)} breaches"
    return table


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
