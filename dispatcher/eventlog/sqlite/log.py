"""The event log over SQLite."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw

from dispatcher.eventlog.base import (
    Append,
    Chunk,
    LogUnavailable,
    Record,
    RecordTooLarge,
    TopicPartition,
    TopicSpec,
    UnknownTopic,
)
from dispatcher.eventlog.cleaner import Cleaner
from dispatcher.eventlog.partitioning import partition_of
from dispatcher.eventlog.runs import fitting
from dispatcher.eventlog.sqlite.catalog import Catalog, Found, ensure
from dispatcher.eventlog.sqlite.cleaning import Cleaning
from dispatcher.eventlog.sqlite.database import Database
from dispatcher.eventlog.sqlite.identity import identity
from dispatcher.eventlog.sqlite.journal import SqliteJournal
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.sqlite.readers import offset_at, read_records
from dispatcher.eventlog.sqlite.window import Window
from dispatcher.eventlog.tailing import LogTail, Tails
from dispatcher.eventlog.timestamps import DAY_MS

Row = tuple[Partition, Append]


class SqliteLog:
    """Implements base.EventLog in `<folder>/events.db`; `journal` is the journal in the same file.

    An append waits while `queue_bytes` wait for the disk already. The newest `window_bytes` of records are read from
    memory. Once started, old records are cleaned away every `clean_seconds`.
    """

    journal: SqliteJournal

    def __init__(
        self,
        folder: Path,
        *,
        message_max_bytes: int = 3 << 20,
        clock: Callable[[], float] = time.time,
        queue_bytes: int = 64 << 20,
        window_bytes: int = 64 << 20,
        clean_seconds: float = 30.0,
        tombstone_ms: int = DAY_MS,
    ) -> None:
        self._folder = folder
        self._max_bytes = message_max_bytes
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._catalog = Catalog()
        self._window = Window(window_bytes)
        self._tails = Tails()
        self._tombstone_ms = tombstone_ms
        self._cleaner = Cleaner(self.clean_once, clean_seconds)
        self._database: Database | None = None

    async def start(self) -> None:
        """Open the file. Raises StartupError, which names the folder."""
        self._database = await Database.open(
            self._folder, clock=self._clock, queue_bytes=self._queue_bytes, published=self._publish
        )
        self._catalog.merge(self._database.found)
        self._cleaning = Cleaning(self._database.writer, self._catalog, self._tombstone_ms)
        self.journal = SqliteJournal(self._database)
        self._cleaner.start()

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        outcomes: list[Exception | None] = [None] * len(items)
        rows: list[Row] = []
        size = 0
        for index, item in enumerate(items):
            row = self._row(item)
            if isinstance(row, Exception):
                outcomes[index] = row
            else:
                rows.append(row)
                size += len(item.key) + len(item.value or b"") + len(item.tag or b"")
        failure = await self._write(rows, size) if rows else None
        return [outcome or failure for outcome in outcomes] if failure else outcomes

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        readers = self._opened().readers
        found = self._catalog.partition(partition)
        end = found.high
        offset = max(offset, found.start)
        if offset >= end:
            return Chunk(partition, (), offset, found.start, end)
        if found.has_recent(offset):
            held, first = found.recent(offset)
            records = fitting(held, first, max_bytes)
            next_offset = records[-1].offset + 1 if first + len(records) < len(held) else end
            return Chunk(partition, records, next_offset, found.start, end)

        def query(connection: apsw.Connection) -> tuple[list[Record], int]:
            return read_records(connection, found.id, offset, end, max_bytes)

        records, next_offset = await readers.run(query)
        return Chunk(partition, records, next_offset, found.start, found.high)

    async def tail(self, want: Mapping[TopicPartition, int]) -> LogTail:
        self._opened()
        tail = LogTail(self, self._tails, self._clock)
        await tail.retarget(want)
        self._tails.add(tail)
        return tail

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._opened()
        return {found.name: (found.start, found.high) for found in self._catalog.existing(partitions)}

    async def offset_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int | None]:
        wanted = [(found.name, (found.id, found.start, found.high)) for found in self._catalog.existing(partitions)]

        def query(connection: apsw.Connection) -> dict[TopicPartition, int | None]:
            return {name: offset_at(connection, *bounds, timestamp_ms) for name, bounds in wanted}

        return await self._opened().readers.run(query)

    def topics(self) -> Mapping[str, int]:
        return {name: len(topic.partitions) for name, topic in self._catalog.topics.items()}

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        missing = self._catalog.missing(specs)

        def change(connection: apsw.Connection) -> list[Found]:
            return ensure(connection, missing)

        writer = self._opened().writer
        if missing:
            self._catalog.merge(await writer.call(change))

    async def identity(self) -> str:
        """A name of this file that no other log has; the same whenever it is opened. Raises LogUnavailable."""
        return await self._opened().writer.call(identity)

    async def clean_once(self) -> None:
        """Remove everything that retention and compaction allow at this moment. Raises LogUnavailable."""
        self._opened()
        await self._cleaning.run(int(self._clock() * 1000))

    async def close(self) -> None:
        """Records handed over are committed; what comes later is refused."""
        database, self._database = self._database, None
        if database is None:
            return
        await self._cleaner.close()
        await self._tails.close()
        await database.close()

    def high_watermark(self, partition: TopicPartition) -> int:
        return self._catalog.partition(partition).high

    def _row(self, item: Append) -> Row | Exception:
        topic = self._catalog.topics.get(item.topic)
        if topic is None:
            return UnknownTopic(item.topic)
        if item.value is not None and len(item.value) > self._max_bytes:
            return RecordTooLarge(f"{len(item.value)} bytes; the limit is {self._max_bytes}")
        return topic.partitions[partition_of(item.key, len(topic.partitions))], item

    async def _write(self, rows: Sequence[Row], size: int) -> LogUnavailable | None:
        if self._database is None:
            return LogUnavailable("the log is closed")
        return await self._database.writer.write(rows, size)

    def _publish(self, published: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        for partition, records in published:
            self._window.push(partition, records)
        self._tails.published([partition.name for partition, _ in published])

    def _opened(self) -> Database:
        if self._database is None:
            raise LogUnavailable("the log is closed")
        return self._database
