"""`dispatcher filetype`: what the server would call a file."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from dispatcher.cli.console import Failure
from dispatcher.cli.files import Found, find, reason
from dispatcher.cli.text import printable
from dispatcher.hooks.types import WorkerEnricher
from dispatcher.streams.identify import builtin_enrichers
from dispatcher.streams.workers import WorkerPool


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
def filetype(paths: tuple[Path, ...]) -> None:
    """Print the format and MIME type of files, folders recursively.

    A line is: name, two tabs, format, tab, MIME type. No server is needed. Files are parsed in processes of their own,
    as the server does it, so that a hostile one ends nothing but its own line.

    \b
    Examples:
      dispatcher filetype sample.exe
      dispatcher filetype /srv/samples | cut -f 3 | sort | uniq -c
    """
    if not paths:
        raise Failure("name at least one file or folder")
    asyncio.run(_print_all(find(paths)))


async def _print_all(files: Iterable[Found]) -> None:
    """As many files at once as there are workers, printed in order."""
    # What settles the format; similarity hashes are not asked for.
    identifiers = [enricher for enricher in builtin_enrichers() if not enricher.independent]
    async with WorkerPool() as pool:
        running: deque[asyncio.Task[str]] = deque()
        for found in files:
            running.append(asyncio.create_task(_line(pool, identifiers, found)))
            if len(running) > 2 * pool.size:
                click.echo(await running.popleft())
        for task in running:
            click.echo(await task)


async def _line(pool: WorkerPool, identifiers: Sequence[WorkerEnricher], found: Found) -> str:
    name = printable(found.path)
    problem = found.problem or await asyncio.to_thread(_problem, found.path)
    if problem:
        return f"*Unable to open: {name} ({problem})"
    known: dict[str, str | int] = {"size": found.size, "label": "content"}
    findings = await pool.run(found.path.resolve(), known, identifiers)
    if "mime" not in findings.fields:
        failure = findings.failures[0]
        return f"*Unable to identify: {name} ({failure.cause}: {printable(failure.detail)})"
    return f"{name}\t\t{findings.fields['file_format']}\t{findings.fields['mime']}"


def _problem(path: Path) -> str:
    """Why a file cannot be opened; empty when it can."""
    try:
        path.open("rb").close()
    except OSError as error:
        return reason(error)
    return ""
