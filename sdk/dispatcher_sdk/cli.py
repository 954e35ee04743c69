"""The command `dispatcher-sdk`: run a plugin on files, or serve it from a dispatcher."""

import sys
from pathlib import Path

import click

from dispatcher_sdk.errors import SdkError
from dispatcher_sdk.loading import load_plugin
from dispatcher_sdk.plugin import Plugin


@click.group()
def main() -> None:
    """Write, try and serve analysis plugins."""


@main.command()
@click.argument("plugin")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file, instead of a table.")
@click.option("--format", "file_format", default="", help="Pretend that the file was identified as this format.")
@click.option(
    "--setting", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the source, such as passwords=a;b."
)
def run(plugin: str, files: tuple[Path, ...], as_json: bool, file_format: str, settings: tuple[str, ...]) -> None:
    """Run PLUGIN (a .py file, or package.module:name) on FILES in this process, without a server.

    The exit code is 1 when a file ended in an error.
    """
    from dispatcher_sdk.show import as_line, as_table
    from dispatcher_sdk.testing import run_plugin

    loaded = _loaded(plugin)
    failed = False
    for file in files:
        result = run_plugin(loaded, file, file_format=file_format, settings=_pairs(settings))
        click.echo(as_line(str(file), result) if as_json else as_table(str(file), result))
        failed = failed or result.status.startswith("error-")
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("plugin")
@click.option("--server", envvar="DISPATCHER_URL", required=True, help="URL of the dispatcher [env: DISPATCHER_URL].")
@click.option(
    "--workers",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="Jobs at once: processes, or tasks of an async plugin.",
)
@click.option(
    "--lease",
    type=click.IntRange(10, 86400),
    default=90,
    show_default=True,
    help="Seconds without a heartbeat after which a job goes to another worker.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds after which a job is killed, instead of the plugin's own.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds that jobs may go on after SIGTERM.",
)
def serve(plugin: str, server: str, workers: int, lease: int, timeout: float | None, grace: float) -> None:
    """Serve PLUGIN (a .py file, or package.module:name) from a dispatcher until SIGTERM or Ctrl-C.

    Ends cleanly: jobs that run may finish, others are given back. A second signal gives everything back at once.
    """
    from dispatcher_sdk.serving import serve_until_signal

    loaded = _loaded(plugin)
    if timeout is not None:
        loaded.timeout = timeout
    try:
        serve_until_signal(loaded, plugin, server, workers=workers, lease=lease, grace=grace)
    except SdkError as problem:
        raise click.ClickException(str(problem)) from None


def _loaded(target: str) -> Plugin:
    try:
        return load_plugin(target)
    except SdkError as problem:
        raise click.ClickException(str(problem)) from None


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--setting")
        pairs[key] = value
    return pairs
