"""Opens both ends of a copy: the log that is read, and the log that everything is published to."""

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import EventLog
from dispatcher.eventlog.kafka.open import open_kafka_log
from dispatcher.eventlog.open import open_log
from dispatcher.eventlog.sqlite.log import SqliteLog
from dispatcher.eventlog.sqlite.schema import FILE_NAME
from dispatcher.eventlog.topics import TopicNames, prefix_of
from dispatcher.settings import Settings

NEVER_CLEAN = 365 * 86_400.0
"""Seconds: an old log is read and left as it is."""
_PREVIOUS = "say which with --previous-prefix (DISPATCHER_REPROCESS_PREVIOUS_PREFIX)"


class Origin(NamedTuple):
    """The old installation. `identity` tells its log from others in the records of how far a copy came."""

    log: EventLog
    names: TopicNames
    identity: str
    title: str


async def open_destination(stack: AsyncExitStack, settings: Settings) -> EventLog:
    """The log of the current settings. Raises StartupError."""
    if settings.kafka_endpoint:
        log: EventLog = await open_kafka_log(settings.model_copy(update={"kafka_connect_retries": 0}))
    elif settings.event_log == "sqlite":
        log, _ = await open_log(
            "sqlite:", data_dir=settings.data_dir, message_max_bytes=settings.message_max_bytes, clock=time.time
        )
    else:
        raise StartupError("DISPATCHER_EVENT_LOG=memory forgets everything at the end: nothing can be copied to it")
    stack.push_async_callback(log.close)
    return log


async def open_origin(
    stack: AsyncExitStack, settings: Settings, destination: EventLog, previous: str, folder: Path | None
) -> Origin:
    """Topics of the prefix `previous`, in the log of a data folder or else in the same log as the destination.

    Raises StartupError when there are none, and says what there is.
    """
    if folder is not None and not _is_ours(folder, settings):
        return await _in_folder(stack, settings, previous, folder)
    if not previous:
        raise StartupError(f"the topics of which prefix are to be copied? {_PREVIOUS}, or a data folder with --from")
    if previous == settings.kafka_topic_prefix:
        raise StartupError(
            f"{previous} is the current prefix too: set DISPATCHER_KAFKA_TOPIC_PREFIX to the new one, or {_PREVIOUS}"
        )
    if settings.kafka_endpoint:
        return await _on_kafka(stack, settings, previous)
    return _found(destination, previous, "here", str(settings.data_dir))


def _is_ours(folder: Path, settings: Settings) -> bool:
    """Whether this folder is the one that the current settings name."""
    return not settings.kafka_endpoint and folder.resolve() == settings.data_dir.resolve()


async def _on_kafka(stack: AsyncExitStack, settings: Settings, previous: str) -> Origin:
    where = f"Kafka on {settings.kafka_endpoint}"
    old = settings.model_copy(update={"kafka_topic_prefix": previous, "kafka_connect_retries": 0})
    log = await open_kafka_log(old)
    stack.push_async_callback(log.close)
    if log.topics():
        return _found(log, previous, "kafka", where)
    everything = await open_kafka_log(old, prefix=TopicNames.ROOT)
    stack.push_async_callback(everything.close)
    raise StartupError(_missing(previous, where, everything))


async def _in_folder(stack: AsyncExitStack, settings: Settings, previous: str, folder: Path) -> Origin:
    if not (folder / FILE_NAME).is_file():
        raise StartupError(f"there is no event log in {folder}: name the data folder of a dispatcher, with {FILE_NAME}")
    log = SqliteLog(folder, message_max_bytes=settings.message_max_bytes, clean_seconds=NEVER_CLEAN)
    await log.start()
    stack.push_async_callback(log.close)
    if not previous:
        found = _prefixes(log)
        if len(found) != 1:
            raise StartupError(f"the log in {folder} has topics of {_listed(found)}: {_PREVIOUS}")
        previous = found[0]
    return _found(log, previous, await log.identity(), str(folder))


def _found(log: EventLog, previous: str, identity: str, where: str) -> Origin:
    names = TopicNames(previous)
    if not any(names.parse(topic) for topic in log.topics()):
        raise StartupError(_missing(previous, where, log))
    return Origin(log, names, identity, f"{names.unprefixed('*')} in {where}")


def _missing(previous: str, where: str, log: EventLog) -> str:
    return f"there are no topics of the prefix {previous} in {where}; it has {_listed(_prefixes(log))}"


def _prefixes(log: EventLog) -> list[str]:
    return sorted({prefix for topic in log.topics() if (prefix := prefix_of(topic))})


def _listed(prefixes: list[str]) -> str:
    return ", ".join(prefixes) if prefixes else "no installation"
