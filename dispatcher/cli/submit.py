"""`dispatcher submit`: from files on disk to events that plugins receive."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from dispatcher.cli.client import Client, ServerError
from dispatcher.cli.console import Failure, console, is_live
from dispatcher.cli.files import Found, find
from dispatcher.cli.options import server_option
from dispatcher.cli.submission import Outcome, Submission
from dispatcher.cli.text import count, printable
from dispatcher.eventlog.topics import SOURCE_NAME


def _source(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not SOURCE_NAME.fullmatch(value):
        raise click.BadParameter("use letters, digits, '_', '-' and '.' (not first), 128 at most")
    return value


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--source", required=True, callback=_source, help="Source that the files come from, such as `upload`.")
@click.option("--again", is_flag=True, help="Submit what is stored already, too: every plugin sees it again.")
@click.option("--workers", default=8, show_default=True, type=click.IntRange(1, 64), help="Files under way at once.")
@server_option
def submit(paths: tuple[Path, ...], source: str, again: bool, workers: int, server: str) -> None:
    """Upload files and folders and publish an event for each file.

    Files whose content the server already stores for this source are skipped. Files that cannot be read are named
    and skipped. A server that restarts meanwhile is waited for. Exit code 1 when something failed.

    \b
    Examples:
      dispatcher submit sample.exe --source upload
      dispatcher submit /srv/samples /tmp/one.zip --source feed --server http://hub:8111
    """
    outcome = asyncio.run(run(console(), paths, source, again=again, workers=workers, server=server))
    raise SystemExit(1 if outcome.failed else 0)


async def run(out: Console, paths: tuple[Path, ...], source: str, *, again: bool, workers: int, server: str) -> Outcome:
    """Submit and print what happens. Raises Failure when no server answers."""
    try:
        async with Client(server, patience=2) as client:
            await client.text("/")
    except ServerError as error:
        raise Failure(f"{error}; `dispatcher serve` starts a server") from None
    async with Client(server) as client:
        with progress(out) as bar:
            submission = Submission(client, source, _reporter(out, bar), again=again, workers=workers)
            counting = asyncio.create_task(_count(paths, bar))
            outcome = await submission.run(find(paths))
            await counting
    out.print(summary(outcome))
    return outcome


def summary(outcome: Outcome) -> str:
    """One line on how it went."""
    parts = [f"{count(outcome.submitted, 'file')} submitted ({decimal(outcome.bytes)})"]
    parts += [f"{outcome.stored:,} already stored"] if outcome.stored else []
    parts += [f"{outcome.empty:,} empty"] if outcome.empty else []
    parts += [f"{outcome.failed:,} failed"] if outcome.failed else []
    return ", ".join(parts)


def progress(out: Console) -> AbstractContextManager[Progress | None]:
    """A bar that knows the end once all files are counted; nothing without a terminal."""
    if not is_live():
        return nullcontext()
    columns = (
        SpinnerColumn(),
        TextColumn("submitting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=out, transient=True)
    bar.add_task("submit", total=None)
    return bar


async def _count(paths: tuple[Path, ...], bar: Progress | None) -> None:
    if bar is not None:
        total = await asyncio.to_thread(lambda: sum(1 for _ in find(paths)))
        bar.update(bar.task_ids[0], total=total)


def _reporter(out: Console, bar: Progress | None) -> Callable[[Found, str], None]:
    def report(found: Found, problem: str) -> None:
        if problem:
            out.print(f"*{printable(found.path)}: {printable(problem)}", markup=False)
        if bar is not None:
            bar.update(bar.task_ids[0], advance=1)

    return report
