"""Settings for commands: mistakes end the command, warnings go to standard error."""

from collections.abc import Mapping

import click

from dispatcher.cli.console import Failure
from dispatcher.errors import StartupError
from dispatcher.settings import Loaded, load


def loaded_settings(environ: Mapping[str, str]) -> Loaded:
    """Read the environment. Raises Failure with every mistake in it."""
    try:
        loaded = load(environ)
    except StartupError as error:
        raise Failure(str(error)) from None
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded
