"""`dispatcher settings`: what this server would run with, and where each value comes from."""

import json
import os

import click
from rich.table import Table

from dispatcher.cli.console import console
from dispatcher.cli.environment import loaded_settings
from dispatcher.settings.show import Row, rows


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a table.")
def settings(as_json: bool) -> None:
    """Print every setting: name, value, where it comes from, and what it does.

    Settings are environment variables. Passwords are masked.

    \b
    Examples:
      dispatcher settings
      DISPATCHER_LISTEN=0.0.0.0:8111 dispatcher settings --json
    """
    shown = list(rows(loaded_settings(os.environ)))
    if as_json:
        click.echo(json.dumps([row._asdict() for row in shown], indent=2))
    else:
        console().print(_table(shown))


def _table(shown: list[Row]) -> Table:
    table = Table("name", "value", "source", "what it does", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for row in shown:
        table.add_row(row.name, _short(row.value), row.source, row.text)
    return table


def _short(value: str) -> str:
    """The first line: YAML texts are long."""
    first, _, rest = value.partition("\n")
    return f"{first} … ({rest.count(chr(10)) + 1} more lines)" if rest else first
