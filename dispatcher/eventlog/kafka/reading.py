"""Ranged reads: a few consumers that seek, read one partition and rest again."""

import asyncio
from collections import OrderedDict

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned
from aiokafka.errors import OffsetOutOfRangeError

from dispatcher.eventlog.base import Record, TopicPartition
from dispatcher.eventlog.kafka.ahead import Ahead, Run
from dispatcher.eventlog.kafka.clients import Failures, away, open_consumer, stop
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.records import to_records
from dispatcher.eventlog.runs import fitting, weight

READERS = 3
SECONDS = 10.0
FETCH_BYTES = 256 << 10
FETCH_WAIT_MS = 10
LOOK_MS = 25
"""Longer than a fetch at the end of a partition takes."""
PIECE = 32
"""Records unpacked at once: small files of large events must not fill memory."""
SILENT_ANSWERS = 3
KEPT = 64
"""Partitions a consumer keeps assigned: going to one of them again costs nothing."""


class OutOfRange(Exception):
    """Retention has taken the offset, or it was never given out."""


class Readers:
    """Reads wait for a free consumer, first come, first served."""

    def __init__(self, connection: Connection, readers: int = READERS, seconds: float = SECONDS) -> None:
        self._connection = connection
        self._count = readers
        self._seconds = seconds
        self._all: list[_Reader] = []
        self._free: asyncio.Queue[_Reader] = asyncio.Queue()
        self._ahead = Ahead()

    async def start(self) -> None:
        """Raises LogUnavailable."""
        for _ in range(self._count):
            consumer = await open_consumer(
                self._connection,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_bytes=FETCH_BYTES,
            )
            reader = _Reader(consumer)
            self._all.append(reader)
            self._free.put_nowait(reader)

    async def close(self) -> None:
        for reader in self._all:
            await stop(reader.consumer)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Run:
        """From an existing partition. Raises OutOfRange, LogUnavailable."""
        run = self._ahead.take(partition, offset)
        if run is None:
            run = await self._fetch(partition, offset, max_bytes + self._ahead.room(partition, offset))
        return self._ahead.split(partition, run, len(fitting(run.records, 0, max_bytes)))

    async def _fetch(self, partition: TopicPartition, offset: int, max_bytes: int) -> Run:
        try:
            async with asyncio.timeout(self._seconds):
                reader = await self._free.get()
                try:
                    return await reader.read(partition, offset, max_bytes)
                finally:
                    self._free.put_nowait(reader)
        except OffsetOutOfRangeError:
            raise OutOfRange(str(offset)) from None
        except Failures as problem:
            raise away(problem) from None


class _Reader:
    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = consumer
        self._assigned: OrderedDict[Assigned, None] = OrderedDict()

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Run:
        consumer, place = self.consumer, Assigned(*partition)
        self._assign(place)
        answered = consumer.last_poll_timestamp(place)
        consumer.seek(place, offset)
        consumer.resume(place)
        silent = 0
        try:
            while True:
                records = await self._take(place, max_bytes)
                high: int = consumer.highwater(place) or 0
                position: int = await consumer.position(place)
                if records:
                    kept = fitting(records, 0, max_bytes)
                    after = position if len(kept) == len(records) else kept[-1].offset + 1
                    return Run(list(kept), after, max(high, after))
                if consumer.last_poll_timestamp(place) != answered:
                    answered = consumer.last_poll_timestamp(place)
                    silent += 1
                    # alone in its fetch, a partition is answered with something unless there is nothing up to its end
                    if position >= high or silent == SILENT_ANSWERS:
                        return Run([], max(position, high), high)
        finally:
            consumer.pause(place)
            consumer.seek(place, offset)  # forgets what was fetched and not taken: it would hold up the others

    async def _take(self, place: Assigned, max_bytes: int) -> list[Record]:
        """At least one record if there is one, and then what is there already."""
        records: list[Record] = []
        room, wait_ms = max_bytes, LOOK_MS
        while room >= 0:
            found = await self.consumer.getmany(place, timeout_ms=wait_ms, max_records=PIECE)
            piece = to_records(found.get(place, ()))
            records += piece
            room -= sum(map(weight, piece))
            if len(piece) < PIECE:
                break
            wait_ms = 0
        return records

    def _assign(self, place: Assigned) -> None:
        if place in self._assigned:
            self._assigned.move_to_end(place)
            return
        self._assigned[place] = None
        if len(self._assigned) > KEPT:
            self._assigned.popitem(last=False)
        self.consumer.assign(list(self._assigned))
        for known in self._assigned:
            self.consumer.seek(known, 0)
            self.consumer.pause(known)
