"""Reading connections, each used by one thread at a time, and the queries they run."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import apsw

from dispatcher.eventlog.base import LogUnavailable, Record
from dispatcher.eventlog.runs import weight
from dispatcher.eventlog.sqlite.batches import decode, row_id
from dispatcher.eventlog.sqlite.query import first, value
from dispatcher.eventlog.sqlite.schema import open_reader

READERS = 2
T = TypeVar("T")

_READ = """
SELECT body FROM batch
WHERE id BETWEEN ifnull((SELECT max(id) FROM batch WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3 ORDER BY id
"""
_FIRST_FROM = "SELECT body FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"
_TIME_FROM = "SELECT id, last, ts FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"


class Readers:
    """A few threads that read; they never wait for the writer."""

    def __init__(self, folder: Path) -> None:
        self._idle: SimpleQueue[apsw.Connection] = SimpleQueue()
        for _ in range(READERS):
            self._idle.put(open_reader(folder))
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="event log reader")

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Raises LogUnavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._with, query)
        except apsw.Error as error:
            raise LogUnavailable(f"the event log cannot be read: {error}") from error
        except RuntimeError as error:  # the pool is shut down
            raise LogUnavailable("the log is closed") from error

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        while not self._idle.empty():
            self._idle.get().close()

    def _with(self, query: Callable[[apsw.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return query(connection)
        finally:
            self._idle.put(connection)


def read_records(
    connection: apsw.Connection, partition: int, offset: int, end: int, max_bytes: int
) -> tuple[list[Record], int]:
    """Records of `offset` <= offset < `end` that fit (base.EventLog.read), and where to read on."""
    found: list[Record] = []
    room = max_bytes
    bounds = (row_id(partition, 0), row_id(partition, offset), row_id(partition, end - 1))
    cursor = connection.execute(_READ, bounds)
    try:
        for (body,) in cursor:
            for record in decode(body):
                if record.offset < offset:
                    continue
                room -= weight(record)
                if room < 0 and found:
                    return found, found[-1].offset + 1
                found.append(record)
    finally:
        cursor.close()  # an open cursor would keep the WAL from being reused
    return found, end


def offset_at(connection: apsw.Connection, partition: int, start: int, end: int, timestamp_ms: int) -> int | None:
    """First offset in [start, end) whose record is at or after the time; bisects, as timestamps grow."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        row = first(connection, _TIME_FROM, (row_id(partition, middle), row_id(partition, end - 1)))
        if row is None or row[2] >= timestamp_ms:
            high = middle
        else:
            low = row[1] + 1
    body = value(connection, _FIRST_FROM, (row_id(partition, low), row_id(partition, end - 1)))
    records = decode(body) if body else ()
    return next((record.offset for record in records if record.timestamp_ms >= timestamp_ms), None)
