"""Two runs side by side, on the situations that both judged."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from tunewise.errors import UserError
from tunewise.evaluation import report, runs
from tunewise.evaluation.scenarios import Scenario
from tunewise.evaluation.summary import CORE, Share
from tunewise.schema import Verdict


class Change(BaseModel):
    """A situation on which two runs part."""

    id: str
    situation: str
    label: Verdict
    before: Verdict
    now: Verdict


class Comparison(BaseModel):
    """Two runs on the same situations."""

    sentence: str
    """How many turned, and whether that can be chance (exact McNemar test)."""
    worse: bool
    """Whether the new run is significantly worse."""
    rows: list[tuple[str, Share, Share]]
    """Share right by group: its name, now, before."""
    changes: list[Change]
    """Those that turned from right to wrong or back first."""


def compare(new: Sequence[runs.Record], earlier: Path, scenarios: Sequence[Scenario]) -> Comparison:
    """Hold a run against an earlier one.

    Args:
        new: Records of the run.
        earlier: Folder of the other one.
        scenarios: The labelled situations.

    Raises:
        UserError: They have no situation in common.
    """
    now, before = _verdicts(new), _verdicts(runs.load_records(earlier))
    kept = [scenario for scenario in scenarios if scenario.id in now and scenario.id in before]
    if not kept:
        raise UserError(f"{earlier} judged none of these scenarios.")
    pairs = [(now[scenario.id] is scenario.verdict, before[scenario.id] is scenario.verdict) for scenario in kept]
    sentence, worse = report.compare([right for right, _ in pairs], [right for _, right in pairs])
    groups = {
        "Right": kept,
        "Train or fine-tune": [scenario for scenario in kept if scenario.verdict in CORE],
        **{verdict.label: [scenario for scenario in kept if scenario.verdict is verdict] for verdict in Verdict},
    }
    turned = [
        Change(
            id=scenario.id,
            situation=scenario.situation,
            label=scenario.verdict,
            before=before[scenario.id],
            now=now[scenario.id],
        )
        for scenario in kept
        if before[scenario.id] is not now[scenario.id]
    ]
    return Comparison(
        sentence=sentence,
        worse=worse,
        rows=[(name, _right(group, now), _right(group, before)) for name, group in groups.items() if group],
        changes=sorted(turned, key=lambda change: change.label not in (change.before, change.now)),
    )


def _verdicts(records: Sequence[runs.Record]) -> dict[str, Verdict]:
    return {record.scenario: record.verdict for record in records if record.kind == "judged" and record.verdict}


def _right(scenarios: Sequence[Scenario], verdicts: dict[str, Verdict]) -> Share:
    return Share.of([verdicts[scenario.id] is scenario.verdict for scenario in scenarios])
