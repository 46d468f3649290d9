"""Predicted against reported: `python -m evals.estimates`."""

from rich.console import Console
from rich.table import Table

from evals.estimates.check import WITHIN, Row, compare, summary


def main() -> None:
    """Print the table and what it comes to."""
    rows = compare()
    console = Console()
    console.print(_table(rows))
    share, median = summary(rows)
    console.print(f"{len(rows)} runs: {share:.0%} within a factor of {WITHIN}, median factor {median:.2f}.")


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("run", "what", "reported", "predicted", "range", "factor"):
        table.add_column(name)
    for row in rows:
        mark = "" if row.factor <= WITHIN else " (!)"
        low, high = f"{row.estimate.low:.3g}", f"{row.estimate.high:.3g}"
        table.add_row(
            row.name,
            row.estimate.quantity,
            f"{row.reported:.3g} {row.estimate.unit}",
            f"{row.predicted:.3g}",
            f"{low} to {high}",
            f"{row.factor:.2f}{mark}",
        )
    return table


if __name__ == "__main__":
    main()
