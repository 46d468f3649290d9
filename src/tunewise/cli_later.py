"""A group of commands that is loaded when it is named: its tables cost half the time of `tunewise --help`."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


class Estimates(TyperGroup):
    """The commands of `tunewise.cli_estimate`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return _group().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The one that was named, if there is one."""
        return _group().get_command(ctx, cmd_name)


def _group() -> TyperGroup:
    return get_group(import_module("tunewise.cli_estimate").app)


estimates = typer.Typer(
    cls=Estimates,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compute, memory, data and cost by formulas.\n\nEach figure comes with its formula and source; "
    "no model takes part. Quantities are read as people write them: 7B, 1.5 billion, 2T tokens, 8xA100, 8k.",
)
