"""What commands share when they talk to people: one console, plain without a terminal, one line for an error."""

import os
import sys
from typing import IO

import click
from rich.console import Console


class Failure(click.ClickException):
    """A command ends with exit code 1 and this one line."""

    def show(self, file: IO[str] | None = None) -> None:
        click.echo(f"dispatcher: {self.message}", err=True)


def console() -> Console:
    """Prints to standard output; without a terminal nothing is cut, coloured or drawn twice."""
    plain = not is_live()
    return Console(highlight=False, soft_wrap=plain, width=200 if plain else None, no_color=plain or None)


def is_live() -> bool:
    """Whether somebody watches: a terminal, and not a CI job."""
    return sys.stdout.isatty() and not os.environ.get("CI")
