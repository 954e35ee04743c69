"""`dispatcher reprocess`: the events of an older installation, through everything that a POST goes through."""

import asyncio
import os
from pathlib import Path
from typing import Final

import click
import uvloop
from rich.console import Console

from dispatcher.cli.console import Failure, console
from dispatcher.cli.copy_screen import Screen, not_copied, plan_table, result_table
from dispatcher.cli.environment import loaded_settings
from dispatcher.cli.logs import configure
from dispatcher.cli.stopping import stop_event
from dispatcher.cli.text import printable
from dispatcher.errors import StartupError
from dispatcher.reprocess.selection import Wanted
from dispatcher.reprocess.session import Request, Session
from dispatcher.settings import Settings

NOT_EVERYTHING: Final = 3
"""Exit code: some records could not be copied, and are kept as dead letters."""
INTERRUPTED: Final = 130
DRAW_SECONDS: Final = 0.25


@click.command()
@click.option(
    "--previous-prefix", default="", help="Topic prefix to copy from [env: DISPATCHER_REPROCESS_PREVIOUS_PREFIX]."
)
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Copy from the embedded log in this data folder; its server must not run.",
)
@click.option("--sources", is_flag=True, help="Only topics of sources [env: DISPATCHER_REPROCESS_SOURCES].")
@click.option("--system", is_flag=True, help="Only system topics [env: DISPATCHER_REPROCESS_SYSTEM].")
@click.option(
    "--include", multiple=True, metavar="NAME", help="Only this topic or source; may be repeated, may have *."
)
@click.option("--deny", multiple=True, metavar="NAME", help="Not this topic or source; repeat it for more, * fits all.")
@click.option("--plan", is_flag=True, help="Show what there is to copy, and change nothing.")
@click.option("--follow", is_flag=True, help="When done, go on with what comes, until Ctrl-C.")
@click.option("--no-pause", is_flag=True, help="Let plugins work meanwhile; they get what is copied.")
@click.option("--restart", is_flag=True, help="Begin at the start, whatever was copied before.")
@click.option("--ignore-warning", is_flag=True, help="Leave out sources that the settings do not know.")
def reprocess(
    previous_prefix: str,
    folder: Path | None,
    sources: bool,
    system: bool,
    include: tuple[str, ...],
    deny: tuple[str, ...],
    plan: bool,
    follow: bool,
    no_pause: bool,
    restart: bool,
    ignore_warning: bool,
) -> None:
    """Copy the events of an older installation to the current topic prefix.

    Reads topics of another prefix in the same Kafka, written by this dispatcher or by the original (Avro, versions 4
    to 6), or the embedded log of a laptop. Every event goes through what a POST goes through. Plugins are paused
    meanwhile. Stopped or killed, it goes on where it was when it is run again, on any machine.

    Exit codes: 0 all is copied, 1 it cannot begin or go on, 3 some records could not be copied and are kept as dead
    letters, 130 stopped before the end.

    \b
    Examples:
      dispatcher reprocess --previous-prefix prod01 --plan
      dispatcher reprocess --previous-prefix prod01 --deny 'old-feed' --deny system.status
      DISPATCHER_KAFKA_ENDPOINT=kafka:9092 dispatcher reprocess --from ./data
    """
    settings = loaded_settings(os.environ).settings
    configure("WARNING", settings.log_format)
    sources, system = sources or settings.reprocess_sources, system or settings.reprocess_system
    request = Request(
        previous_prefix or settings.reprocess_previous_prefix,
        folder,
        Wanted(
            sources=sources or not system,
            system=system or not sources,
            include_system=settings.reprocess_include_system,
            include=include,
            deny=(*deny, *settings.reprocess_deny_topics),
        ),
        restart=restart,
        pause=not no_pause,
        follow=follow,
    )
    try:
        code = uvloop.run(_run(console(), settings, request, plan=plan, ignore=ignore_warning))
    except StartupError as problem:
        raise Failure(str(problem)) from None
    raise SystemExit(code)


async def _run(out: Console, settings: Settings, request: Request, *, plan: bool, ignore: bool) -> int:
    stop = stop_event()
    async with Session(settings, request, stop) as session:
        _show_plan(out, session)
        if plan:
            return 0
        if session.selection.unlisted and not ignore:
            raise Failure(_unlisted(session.selection.unlisted))
        done = await _copy(out, session)
        return _show_end(out, session, done or (request.follow and stop.is_set()))


def _show_plan(out: Console, session: Session) -> None:
    out.print(f"from  {printable(session.origin.title)}", markup=False)
    out.print(f"to    {printable(session.destination)}", markup=False)
    if any(topic.total for topic in session.tally.topics.values()):
        out.print(plan_table(session.tally))
    else:
        out.print("the chosen topics are empty", markup=False)
    for topic, why in session.selection.left_out.items():
        out.print(f"left out: {printable(topic)}: {printable(why)}", markup=False)
    for place in session.tally.again:
        out.print(f"from its start, as the topic was made anew: {printable(place)}", markup=False)


def _unlisted(sources: list[str]) -> str:
    names = printable(", ".join(sources))
    return (
        f"DISPATCHER_SOURCES_HELM does not name {names}, so events of {'it' if len(sources) == 1 else 'them'} would be "
        "refused: add what is missing, or say --ignore-warning to leave these topics where they are"
    )


async def _copy(out: Console, session: Session) -> bool:
    with Screen(out, session.tally) as screen:
        copying = asyncio.create_task(session.copy())
        try:
            while not copying.done():
                await asyncio.wait([copying], timeout=DRAW_SECONDS)
                screen.show()
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        out.print(screen.summary(), markup=False)
    return copying.result()


def _show_end(out: Console, session: Session, done: bool) -> int:
    out.print(result_table(session.tally))
    for line in not_copied(session.tally, session.dead_letters):
        out.print(line, markup=False)
    if not done:
        out.print("stopped: run the same command again to go on from here", markup=False)
        return INTERRUPTED
    return NOT_EVERYTHING if session.tally.sum().set_aside else 0
