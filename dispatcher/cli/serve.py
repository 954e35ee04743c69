"""`dispatcher serve`: the server itself."""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Iterator

import click
import uvloop

from dispatcher.app import Dispatcher
from dispatcher.cli.console import Failure
from dispatcher.cli.environment import loaded_settings
from dispatcher.cli.logs import configure
from dispatcher.cli.stopping import stop_event
from dispatcher.cli.text import printable
from dispatcher.errors import StartupError
from dispatcher.hooks.builtin import BuiltinHooks
from dispatcher.settings import Settings
from dispatcher.settings.show import show
from dispatcher.streams.identify import missing_parsers

SWITCH_SECONDS = 0.0005
"""How long the event loop may keep the log's writer thread waiting; Python's own 5 ms would delay every commit."""


@click.command()
def serve() -> None:
    """Run the server until Ctrl-C or SIGTERM.

    It then answers what is in work and writes what must survive; a second signal ends it at once. Settings are
    environment variables: `dispatcher settings` prints them.

    \b
    Examples:
      dispatcher serve
      DISPATCHER_LISTEN=0.0.0.0:8111 DISPATCHER_DATA_DIR=/srv/azul dispatcher serve
    """
    settings = loaded_settings(os.environ).settings
    configure(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    _allow_many_connections()
    try:
        uvloop.run(_serve(settings))
    except StartupError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"cannot start: {error}") from None


async def _serve(settings: Settings) -> None:
    stopped = stop_event()
    async with Dispatcher(settings) as server:
        click.echo("\n".join(start_lines(server)))
        await _first_of(stopped, server.failed)
        click.echo("stopping")
    if server.failed.is_set():
        raise Failure(server.failure)
    click.echo("stopped")


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _allow_many_connections() -> None:
    """Take as many open files as the system lets us have: the usual 1 024 would be a thousand idle clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses what it calls unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start_lines(server: Dispatcher) -> Iterator[str]:
    """What an operator wants to see at the start: where it listens, what it keeps where, what is missing."""
    settings = server.settings
    yield f"Azul Dispatcher on {server.url}"
    yield f"  data    {settings.data_dir.absolute()}"
    yield f"  log     {f'Kafka on {settings.kafka_endpoint}' if settings.kafka_endpoint else settings.event_log}"
    yield f"  store   {show('store', settings.store_url)}"
    if settings.async_ack:
        yield "  DISPATCHER_ASYNC_ACK is on: a crash loses what was answered but not written yet"
    for package in server.hooks.packages:
        if package.name != BuiltinHooks.name:
            yield f"  hooks   {package.name} {package.version} {_state(package.error, package.objects)}"
    for line in missing_parsers():
        yield f"  missing {line}"


def _state(error: str, objects: tuple[str, ...]) -> str:
    return f"left out: {printable(error)}" if error else ", ".join(objects)
