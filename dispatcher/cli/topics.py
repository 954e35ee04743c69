"""`dispatcher topics`: what topics Kafka has, what the settings want, and how to get from one to the other."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import click
from rich.table import Table

from dispatcher.cli.console import Failure, console
from dispatcher.cli.environment import loaded_settings
from dispatcher.cli.text import count, printable
from dispatcher.errors import StartupError
from dispatcher.eventlog.base import FOREVER, LogUnavailable, TopicRefused, TopicSpec
from dispatcher.eventlog.kafka.administration import Administration
from dispatcher.eventlog.kafka.open import journal_topic, open_kafka_log
from dispatcher.eventlog.kafka.planning import Step
from dispatcher.eventlog.topics import TopicNames
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import CLEANUP, RETENTION, TopicPlan
from dispatcher.settings import Settings

Action = Callable[[Administration], Awaitable[None]]
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


@click.group()
def topics() -> None:
    """See and change the topics of this installation in Kafka.

    Topics are built in, come from DISPATCHER_SOURCES_HELM, and are changed by DISPATCHER_GLOBAL_PARTITION_COUNT,
    DISPATCHER_GLOBAL_REPLICA_COUNT and DISPATCHER_TOPICS_YAML. The server makes missing ones when it starts.

    \b
    Examples:
      dispatcher topics list
      dispatcher topics plan
      dispatcher topics apply --configs
    """


@topics.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a table.")
def list_topics(as_json: bool) -> None:
    """Print the topics that Kafka has under our prefix."""

    async def show(administration: Administration) -> None:
        found = await administration.look((CLEANUP, RETENTION))
        rows = [
            {"topic": name, "partitions": partitions, "copies": copies, **config}
            for name, (partitions, copies, config) in sorted(found.items())
        ]
        if as_json:
            click.echo(json.dumps(rows, indent=2))
            return
        table = Table("topic", "partitions", "copies", "cleanup", "kept", box=None, header_style="bold", pad_edge=False)
        for name, (partitions, copies, config) in sorted(found.items()):
            table.add_row(
                printable(name), str(partitions), str(copies), config[CLEANUP], lifetime(int(config[RETENTION]))
            )
        console().print(table)

    _with_kafka(_settings(), show)


@topics.command()
def plan() -> None:
    """Print what `apply` would do, and what differs otherwise; change nothing."""

    settings = _settings()

    async def show(administration: Administration) -> None:
        _tell(await administration.plan(_wanted(settings)), configs=False)

    _with_kafka(settings, show)


@topics.command()
@click.option("--configs", is_flag=True, help="Also set configuration keys that differ; all other keys stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def apply(configs: bool, yes: bool) -> None:
    """Make missing topics and raise partition counts, after showing the plan and asking.

    More partitions put the later events of a key into another partition. Topics never lose partitions or copies.
    """

    settings = _settings()

    async def act(administration: Administration) -> None:
        steps = await administration.plan(_wanted(settings))
        if not _tell(steps, configs=configs):
            return
        if not yes:
            click.confirm("Do this?", abort=True)
        await administration.apply(steps)
        if configs:
            await administration.set_configs(steps)
        click.echo("done")

    _with_kafka(settings, act)


def lines(steps: Sequence[Step], *, configs: bool) -> tuple[list[str], list[str]]:
    """What will be done, and what only differs."""
    doing, differing = [], []
    for step in steps:
        spec = step.spec
        if step.missing:
            doing.append(f"make   {spec.name}: {_described(spec)}")
        if step.grows:
            doing.append(f"grow   {spec.name}: {step.partitions} → {spec.partitions} partitions")
        if configs:
            doing += [f"set    {spec.name}: {s.key} = {s.wanted} (was {s.found})" for s in step.settings]
        differing += [f"differs {spec.name}: {text}" for text in step.mismatches_beside(configs)]
    return doing, differing


def lifetime(milliseconds: int) -> str:
    """`7 d`, or `for ever`."""
    if milliseconds <= FOREVER:
        return "for ever"
    unit, name = next((size, name) for size, name in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // unit} {name}"


def _described(spec: TopicSpec) -> str:
    return (
        f"{count(spec.partitions, 'partition')}, copies: {spec.replication}, {spec.cleanup}, "
        f"kept {lifetime(spec.retention_ms)}"
    )


def _tell(steps: Sequence[Step], *, configs: bool) -> bool:
    """Print the plan; tells whether there is something to do."""
    doing, differing = lines(steps, configs=configs)
    for line in (*doing, *differing):
        click.echo(printable(line))
    if not doing:
        click.echo("nothing to do")
    if not configs and any(step.settings for step in steps):
        click.echo("`dispatcher topics apply --configs` sets the keys that differ")
    return bool(doing)


def _settings() -> Settings:
    return loaded_settings(os.environ).settings


def _wanted(settings: Settings) -> list[TopicSpec]:
    names = TopicNames(settings.kafka_topic_prefix)
    sources = Sources.from_yaml(settings.sources_helm, strict=settings.sources_strict)
    specs = TopicPlan.from_settings(settings, names, sources).at_start()
    return [*specs, journal_topic(settings)]


def _with_kafka(settings: Settings, act: Action) -> None:
    if not settings.kafka_endpoint:
        raise Failure("DISPATCHER_KAFKA_ENDPOINT is not set: the embedded log looks after its topics itself")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(_run(settings, act))
    except (StartupError, LogUnavailable, TopicRefused) as problem:
        raise Failure(str(problem)) from None


async def _run(settings: Settings, act: Action) -> None:
    async with _administration(settings) as administration:
        await act(administration)


@asynccontextmanager
async def _administration(settings: Settings) -> AsyncIterator[Administration]:
    log = await open_kafka_log(settings.model_copy(update={"kafka_connect_retries": 0}))
    try:
        yield log.administration
    finally:
        await log.close()
