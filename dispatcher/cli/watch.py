"""`dispatcher watch`: what is moving now."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dispatcher.cli.client import Client, ServerError
from dispatcher.cli.console import Failure, console, is_live
from dispatcher.cli.options import server_option
from dispatcher.cli.scrape import Numbers, PluginNumbers, read

NOTHING = PluginNumbers()


@click.command()
@click.option("--once", is_flag=True, help="Print the figures once and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print JSON.")
@click.option(
    "--every", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds between looks."
)
@server_option
def watch(once: bool, as_json: bool, every: float, server: str) -> None:
    """Show what moves through a running server: plugins, their jobs, events a second.

    Figures count from the start of the server. Ctrl-C ends it.

    \b
    Examples:
      dispatcher watch
      dispatcher watch --once --json --server http://hub:8111
    """
    if as_json and not once:
        raise click.UsageError("--json needs --once")
    try:
        asyncio.run(_watch(once, as_json, every, server))
    except ServerError as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        return


async def scrape(client: Client) -> Numbers:
    """The server's figures. Raises ServerError."""
    text = await client.text("/metrics")
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise ServerError(f"/metrics is not readable: {error}") from None


async def _watch(once: bool, as_json: bool, every: float, server: str) -> None:
    async with Client(server, patience=2 if once else 30) as client:
        before, then = await scrape(client), time.monotonic()
        if once:
            click.echo(json.dumps(asdict(before), indent=2)) if as_json else console().print(picture(before))
            return
        with _shown() as show:
            show(picture(before))
            while True:
                await asyncio.sleep(every)
                now, moment = await scrape(client), time.monotonic()
                show(picture(now, before, moment - then))
                before, then = now, moment


@contextmanager
def _shown() -> Iterator[Callable[[RenderableType], None]]:
    """A picture in one place on a terminal, one below the other elsewhere."""
    out = console()
    if not is_live():
        yield out.print
        return
    with Live(console=out, auto_refresh=False) as live:
        yield lambda picture: live.update(picture, refresh=True)


def picture(now: Numbers, before: Numbers | None = None, seconds: float = 1.0) -> RenderableType:
    """Totals above a table of plugins. With an earlier reading also rates a second."""
    line = Text(f"{now.published:,} events published")
    if before is not None:
        line.append(f" ({_rate(now.published, before.published, seconds)}/s)")
    line.append(f", {now.uploads:,} uploads ({decimal(now.uploaded_bytes)}), {now.dead_letters:,} dead letters")
    return Group(line, _plugins(now, before, seconds)) if now.plugins else line


def _plugins(now: Numbers, before: Numbers | None, seconds: float) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("plugin")
    for title in ("handed out", "working on", "again", "completed", "opted out", "failed", "jobs/s"):
        table.add_column(title, justify="right")
    for name, plugin in sorted(now.plugins.items()):
        earlier = before.plugins.get(name, NOTHING) if before else None
        table.add_row(name, *_cells(plugin), _rate(plugin.ended, earlier.ended, seconds) if earlier else "")
    return table


def _cells(plugin: PluginNumbers) -> list[str]:
    figures = (plugin.handed_out, plugin.leased, plugin.again, plugin.completed, plugin.opted_out, plugin.failed)
    return [f"{figure:,}" for figure in figures]


def _rate(now: int, before: int, seconds: float) -> str:
    return f"{max(now - before, 0) / seconds:,.1f}"
