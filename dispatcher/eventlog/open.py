"""Opens an event log and its journal by URL: the only place that names the backends."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import EventLog, Journal
from dispatcher.eventlog.memory import MemoryJournal, MemoryLog
from dispatcher.eventlog.sqlite.log import SqliteLog


@dataclass(frozen=True)
class LogOptions:
    """What a backend is told."""

    data_dir: Path
    message_max_bytes: int
    """Longest value of a record."""
    clean_seconds: float = 30.0
    """Pause between two passes of retention and compaction."""
    queue_bytes: int = 64 << 20
    """Bytes that may wait to be written before an append has to wait."""
    window_bytes: int = 64 << 20
    """Bytes of the newest records that are held in memory for reading."""
    clock: Callable[[], float] = time.time


Factory = Callable[[LogOptions], Awaitable[tuple[EventLog, Journal]]]


async def open_memory(options: LogOptions) -> tuple[EventLog, Journal]:
    log = MemoryLog(
        message_max_bytes=options.message_max_bytes, clock=options.clock, clean_seconds=options.clean_seconds
    )
    await log.start()
    return log, MemoryJournal()


async def open_sqlite(options: LogOptions) -> tuple[EventLog, Journal]:
    log = SqliteLog(
        options.data_dir,
        message_max_bytes=options.message_max_bytes,
        clock=options.clock,
        queue_bytes=options.queue_bytes,
        window_bytes=options.window_bytes,
        clean_seconds=options.clean_seconds,
    )
    await log.start()
    return log, log.journal


BACKENDS: Mapping[str, Factory] = {"memory:": open_memory, "sqlite:": open_sqlite}


async def open_log(
    url: str,
    *,
    data_dir: Path,
    message_max_bytes: int,
    clean_seconds: float = 30.0,
    queue_bytes: int = 64 << 20,
    window_bytes: int = 64 << 20,
    clock: Callable[[], float] = time.time,
    backends: Mapping[str, Factory] = BACKENDS,
) -> tuple[EventLog, Journal]:
    """A started log and its journal; closing the log closes both. Raises StartupError.

    `memory:` forgets everything at the end; `sqlite:` keeps its file in `data_dir`.
    """
    factory = backends.get(url)
    if factory is None:
        raise StartupError(f"no event log {url!r}; there are: {', '.join(sorted(backends))}")
    return await factory(LogOptions(data_dir, message_max_bytes, clean_seconds, queue_bytes, window_bytes, clock))
