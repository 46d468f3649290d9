"""How long a table takes on so many machines. Pure."""

import math

from pydantic import Field

from tunewise.schema import Value

A_MINUTE = 45.0
"""Verdicts a minute on two cores: evals/reports/throughput.json."""
START = 30.0
"""Seconds until a machine that has the model files judges its first piece."""


class Schedule(Value):
    """What a run on several machines comes to."""

    seconds: float
    a_minute: float
    efficiency: float = Field(ge=0, le=1)
    """Share of the machines' time that goes into judging."""


def schedule(rows: int, machines: int, *, a_minute: float = A_MINUTE, start: float = START, piece: int = 8) -> Schedule:
    """Time for a table: every machine starts once, then takes pieces as long as there are any.

    Args:
        rows: Rows of the table.
        machines: Alike.
        a_minute: Verdicts a minute of one of them.
        start: Seconds until it judges.
        piece: Rows that it takes at once.
    """
    longest = math.ceil(math.ceil(rows / piece) / machines)
    working = min(longest * piece, rows) * 60 / a_minute
    seconds = start + working
    return Schedule(
        seconds=seconds,
        a_minute=rows * 60 / seconds,
        efficiency=min(1.0, rows * 60 / a_minute / (machines * seconds)),
    )
