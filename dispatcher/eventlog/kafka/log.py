"""The event log on Kafka: one producer, one tail per follower, a few readers, whatever the number of subscribers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, Chunk, LogUnavailable, TopicPartition, TopicSpec
from dispatcher.eventlog.kafka.administration import Administration
from dispatcher.eventlog.kafka.ahead import Run
from dispatcher.eventlog.kafka.bounds import Bounds
from dispatcher.eventlog.kafka.catalog import LOOK_SECONDS, Catalog
from dispatcher.eventlog.kafka.clients import named, open_consumer
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.reading import OutOfRange, Readers
from dispatcher.eventlog.kafka.tail import PARTITION_BYTES, ROUND_BYTES, KafkaTail
from dispatcher.eventlog.kafka.watchdog import Probe
from dispatcher.eventlog.kafka.writing import SECONDS, Row, Writer, Written, record_limit

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0


class KafkaLog:
    """Implements base.EventLog. Sees only topics whose names begin with `prefix`.

    `seconds` is how long an append or read may take before it counts as failed. `connect_retries` is how often the
    first connection is tried again.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        prefix: str = "",
        message_max_bytes: int = 3 << 20,
        queue_bytes: int = 64 << 20,
        fetch_min_bytes: int = 1,
        fetch_wait_ms: int = 100,
        strict_topics: bool = False,
        connect_retries: int = 10,
        compression: str | None = "lz4",
        seconds: float = SECONDS,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._fetch_min_bytes = fetch_min_bytes
        self._fetch_wait_ms = fetch_wait_ms
        self._connect_retries = connect_retries
        self._clock = clock
        self._catalog = Catalog(connection, prefix, look_seconds)
        self._administration = Administration(self._catalog, record_limit(message_max_bytes), strict=strict_topics)
        self._bounds = Bounds(connection, self.topics, seconds)
        self._readers = Readers(connection, seconds=seconds)
        self._writer = Writer(
            connection,
            self.topics,
            message_max_bytes=message_max_bytes,
            queue_bytes=queue_bytes,
            clock=clock,
            compression=compression,
            seconds=seconds,
        )
        self._tails: set[KafkaTail] = set()
        self._stack = AsyncExitStack()
        self._closed = False

    async def start(self) -> None:
        """Connect. Raises StartupError when nobody answers after all retries."""
        async with AsyncExitStack() as stack:
            await self._connect()
            stack.push_async_callback(self._catalog.close)
            for part in (self._bounds, self._readers, self._writer):
                stack.push_async_callback(part.close)
                await part.start()
            self._stack = stack.pop_all()

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        if self._closed:
            return [LogUnavailable("the log is closed")] * len(items)
        return await self._writer.append(items)

    async def write(self, partition: TopicPartition, rows: Sequence[Row]) -> list[Written]:
        """Rows for one partition in order; tells where their batches lie. Raises LogUnavailable, RecordTooLarge."""
        self._check_open()
        return await self._writer.write(partition, rows)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        self._check_open()
        self._catalog.check(partition)
        run = await self._read(partition, offset, max_bytes)
        return Chunk(partition, run.records, run.next_offset, self._bounds.starts.get(partition, 0), run.high_watermark)

    async def tail(self, want: Mapping[TopicPartition, int]) -> KafkaTail:
        self._check_open()
        for partition in want:
            self._catalog.check(partition)
        consumer = await open_consumer(
            self._connection,
            fetch_min_bytes=self._fetch_min_bytes,
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=PARTITION_BYTES,
            fetch_max_bytes=ROUND_BYTES,
        )
        tail = KafkaTail(consumer, self._catalog, self._bounds, self._clock, self._tails.discard)
        self._tails.add(tail)
        await tail.retarget(want)
        return tail

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._check_open()
        return await self._bounds.of(self._existing(partitions))

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermarks of those that exist: half the cost of `bounds`."""
        self._check_open()
        return await self._bounds.ends(self._existing(partitions))

    async def offset_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int | None]:
        self._check_open()
        return await self._bounds.at(self._existing(partitions), timestamp_ms)

    def topics(self) -> Mapping[str, int]:
        return self._catalog.counts

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Make missing topics and raise partition counts; other differences are logged and left alone.

        Raises LogUnavailable, and TopicRefused for what Kafka refuses or, with `strict_topics`, for a difference.
        """
        self._check_open()
        await self._administration.ensure(specs)

    def exists(self, partition: TopicPartition) -> bool:
        return self._catalog.has(partition)

    def probes(self) -> dict[str, Probe]:
        """What the watchdog asks of this log."""
        return {"answers to appends": self._writer.silence, "answers to reads": self._tail_silence}

    def _tail_silence(self) -> float | None:
        return max((silence for tail in self._tails if (silence := tail.silence()) is not None), default=None)

    async def ask_afresh(self) -> None:
        """Ask through a new client. Raises LogUnavailable, also when some partition of ours has no leader."""
        catalog = Catalog(self._connection, self._catalog.prefix)
        await catalog.start()
        await catalog.close()
        if catalog.leaderless:
            raise LogUnavailable(f"{catalog.leaderless} partitions have no leader")

    def close_first(self, close: Callable[[], Awaitable[None]]) -> None:
        """Something that lives on this log and has to end before it does."""
        self._stack.push_async_callback(close)

    @property
    def administration(self) -> Administration:
        return self._administration

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(tail.close() for tail in list(self._tails)))
        await self._stack.aclose()

    async def _connect(self) -> None:
        pause = 0.5
        for left in range(self._connect_retries, -1, -1):
            try:
                return await self._catalog.start()
            except LogUnavailable as problem:
                if not left:
                    raise StartupError(f"no Kafka answers at {self._connection.endpoint}: {problem}") from None
                logger.warning("waiting for %s", problem, extra={"action": "connect"})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Run:
        """Retention moves the start while we look, so a place that was in range may be out of it the next moment."""
        for _ in range(3):
            try:
                return await self._readers.read(partition, offset, max_bytes)
            except OutOfRange:
                start, high = (await self._bounds.of([partition]))[partition]
            if not offset < start < high:
                return Run([], max(offset, high), high)
            offset = start
        raise LogUnavailable(f"{named(partition)}: retention is faster than this read")

    def _existing(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [partition for partition in partitions if self._catalog.has(partition)]

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the log is closed")
