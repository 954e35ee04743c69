"""`dispatcher hooks`: which packages extend this server, with which options, and what is wrong with them."""

import os
import time

import click

from dispatcher.assembly import Assembly
from dispatcher.cli.console import Failure
from dispatcher.cli.environment import loaded_settings
from dispatcher.cli.scaffold import new
from dispatcher.cli.text import printable
from dispatcher.errors import StartupError
from dispatcher.hooks.packages import HookPackage
from dispatcher.metrics import Metrics


@click.group(invoke_without_command=True)
@click.pass_context
def hooks(context: click.Context) -> None:
    """List hook packages: version, objects, options, and why one is left out.

    Loads them as a server with these settings would. The exit code is 1 when a package does not load. What they cost
    a running server is in GET /api/v2/admin/hooks.

    \b
    Examples:
      dispatcher hooks
      dispatcher hooks new my-rules
      DISPATCHER_HOOKS_DIR=/etc/azul/hooks dispatcher hooks
    """
    if context.invoked_subcommand is not None:
        return
    try:
        assembly = Assembly(loaded_settings(os.environ).settings, Metrics(), time.time)
        assembly.hooks.load()
    except StartupError as error:
        raise Failure(str(error)) from None
    packages = assembly.hooks.packages
    click.echo("\n".join(line for package in packages for line in _lines(package)))
    if any(package.error for package in packages):
        raise SystemExit(1)


hooks.add_command(new)


def _lines(package: HookPackage) -> list[str]:
    name = " ".join(part for part in (package.name, package.version) if part)
    lines = [f"{printable(name)}  ({printable(package.origin)})"]
    if package.disabled:
        return [*lines, "  disabled"]
    if package.error:
        return [*lines, f"  left out: {printable(package.error)}"]
    lines += [f"  {thing}" for thing in package.objects]
    lines += [f"  in place of the server's own: {thing}" for thing in package.replaces]
    lines += [f"  option {option} = {printable(str(value))}" for option, value in package.options.items()]
    return lines
