"""`dispatcher demo`: the whole way of a file, to look at."""

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path

import click
from rich.table import Table

from dispatcher.cli.client import Client, ServerError
from dispatcher.cli.console import Failure, console
from dispatcher.cli.demo.processes import Processes, script
from dispatcher.cli.demo.run import Run
from dispatcher.cli.environment import loaded_settings
from dispatcher.cli.options import local_url
from dispatcher.settings import Settings

PLUGINS = ("url_finder", "unpack_zip")


@click.command()
@click.option("--files", default=400, show_default=True, type=click.IntRange(1, 100_000), help="Most files to submit.")
@click.option(
    "--plugins",
    default="contrib_plugins",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the example plugins.",
)
@click.option("--seconds", default=600, show_default=True, type=click.IntRange(1), help="Longest time it may take.")
def demo(files: int, plugins: Path, seconds: int) -> None:
    """Start a server and two plugins, submit real files, and show what the plugins find.

    The files are the library of this Python and an archive of some of it. Everything is stopped at the end; what was
    stored stays in the data folder. Settings of the server apply (`dispatcher settings`).

    \b
    Examples:
      dispatcher demo
      DISPATCHER_LISTEN=127.0.0.1:8222 dispatcher demo --files 50
    """
    settings = loaded_settings(os.environ).settings
    try:
        asyncio.run(_demo(settings, files, plugins, seconds))
    except ServerError as error:
        raise Failure(str(error)) from None
    except TimeoutError:
        raise Failure(f"not over after {seconds} seconds (--seconds)") from None
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _demo(settings: Settings, files: int, plugins: Path, seconds: int) -> None:
    _end_cleanly_on_signals()
    _check_port(settings)
    code = [_plugin_code(plugins, name) for name in PLUGINS]
    server = local_url(settings)
    out = console()
    async with asyncio.timeout(seconds), Processes(settings.data_dir / "demo") as processes:
        processes.start("server", [script("dispatcher"), "serve"])
        async with Client(server) as client:
            await _answers(server, processes)
            for name, path in zip(PLUGINS, code, strict=True):
                processes.start(name, [script("dispatcher-sdk"), "serve", str(path), "--server", server])
            out.print(f"server on {server}; plugins: {', '.join(PLUGINS)}; logs in {settings.data_dir / 'demo'}")
            with tempfile.TemporaryDirectory() as folder:
                await Run(client, processes, out, len(PLUGINS)).run(files, Path(folder))
    out.print("", _next_steps(), sep="\n")


async def _answers(server: str, processes: Processes) -> None:
    """Wait for the server's first answer. Raises Failure when it ended instead."""
    while True:
        processes.check()
        try:
            async with Client(server, patience=0.5) as client:
                await client.text("/")
                return
        except ServerError:
            continue


def _end_cleanly_on_signals() -> None:
    """A closed terminal or a kill ends the children just as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _check_port(settings: Settings) -> None:
    if settings.port == 0:
        raise Failure("the demo needs a fixed port: DISPATCHER_LISTEN=127.0.0.1:8111")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Failure(
                f"cannot listen on {settings.listen}: {error.strerror}; stop what runs there, or choose another port: "
                f"DISPATCHER_LISTEN=127.0.0.1:{settings.port + 1 if settings.port < 65535 else 8111}"
            ) from None


def _plugin_code(folder: Path, name: str) -> Path:
    path = folder / name / f"{name}.py"
    if not path.is_file():
        raise Failure(f"there is no {path}: run this in a checkout of the project, or say --plugins FOLDER")
    return path


def _next_steps() -> Table:
    folder = Path(script("dispatcher")).parent
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    table = Table("Try next:", "", box=None, pad_edge=False, header_style="bold")
    table.add_row("make serve", "the server alone, with all that is stored now")
    table.add_row(f"{shown}/dispatcher submit FOLDER --source mine", "your own files")
    table.add_row(f"{shown}/dispatcher-sdk serve PLUGIN.py --server URL", "a plugin of yours")
    table.add_row(f"{shown}/dispatcher watch", "what is moving")
    table.add_row("docs/tutorial/first-ten-minutes.md", "all of it step by step")
    return table
