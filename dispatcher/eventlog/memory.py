"""Event log and journal in the memory of this process: no threads, no files; gone when the process ends."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from dispatcher.eventlog.base import (
    FOREVER,
    Append,
    Chunk,
    Fenced,
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
from dispatcher.eventlog.tailing import LogTail, Tails
from dispatcher.eventlog.timestamps import DAY_MS, stamp

_offset = itemgetter(0)
_timestamp = itemgetter(1)


class MemoryLog:
    """Implements base.EventLog. Holds every record until retention or compaction takes it.

    `start` lets it clean itself every `clean_seconds`; without it, call `clean_once`.
    """

    def __init__(
        self,
        *,
        message_max_bytes: int = 3 << 20,
        clock: Callable[[], float] = time.time,
        clean_seconds: float = 30.0,
        tombstone_ms: int = DAY_MS,
    ) -> None:
        self._max_bytes = message_max_bytes
        self._clock = clock
        self._tombstone_ms = tombstone_ms
        self._topics: dict[str, tuple[TopicSpec, list[_Partition]]] = {}
        self._tails = Tails()
        self._cleaner = Cleaner(self.clean_once, clean_seconds)
        self._closed = False

    async def start(self) -> None:
        self._cleaner.start()

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        if self._closed:
            return [LogUnavailable("the log is closed")] * len(items)
        grown: set[TopicPartition] = set()
        now_ms = int(self._clock() * 1000)
        outcomes = [self._append(item, now_ms, grown) for item in items]
        self._tails.published(grown)
        return outcomes

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        self._check_open()
        return self._partition(partition).read(partition, offset, max_bytes)

    async def tail(self, want: Mapping[TopicPartition, int]) -> LogTail:
        self._check_open()
        tail = LogTail(self, self._tails, self._clock)
        await tail.retarget(want)
        self._tails.add(tail)
        return tail

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._check_open()
        return {name: (found.start, found.high) for name, found in self._existing(partitions)}

    async def offset_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int | None]:
        self._check_open()
        return {name: found.offset_at(timestamp_ms) for name, found in self._existing(partitions)}

    def topics(self) -> Mapping[str, int]:
        return {name: len(partitions) for name, (_, partitions) in self._topics.items()}

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        self._check_open()
        for spec in specs:
            _, partitions = self._topics.get(spec.name, (spec, []))
            partitions.extend(_Partition() for _ in range(spec.partitions - len(partitions)))
            self._topics[spec.name] = (spec, partitions)

    async def clean_once(self) -> None:
        """Let go of everything that retention and compaction allow at this moment."""
        now_ms = int(self._clock() * 1000)
        for spec, partitions in list(self._topics.values()):
            for partition in partitions:
                if spec.cleanup == "compact":
                    partition.compact(now_ms - self._tombstone_ms)
                elif spec.retention_ms != FOREVER:
                    partition.expire(now_ms - spec.retention_ms)
                await asyncio.sleep(0)

    async def close(self) -> None:
        self._closed = True
        await self._cleaner.close()
        await self._tails.close()

    def high_watermark(self, partition: TopicPartition) -> int:
        return self._partition(partition).high

    def _append(self, item: Append, now_ms: int, grown: set[TopicPartition]) -> Exception | None:
        if item.topic not in self._topics:
            return UnknownTopic(item.topic)
        if item.value is not None and len(item.value) > self._max_bytes:
            return RecordTooLarge(f"{len(item.value)} bytes; the limit is {self._max_bytes}")
        _, partitions = self._topics[item.topic]
        number = partition_of(item.key, len(partitions))
        partitions[number].append(item, now_ms)
        grown.add((item.topic, number))
        return None

    def _partition(self, name: TopicPartition) -> "_Partition":
        topic, number = name
        _, partitions = self._topics.get(topic, (None, []))
        if not 0 <= number < len(partitions):
            raise UnknownTopic(f"{topic}, partition {number}")
        return partitions[number]

    def _existing(self, names: Iterable[TopicPartition]) -> "Iterable[tuple[TopicPartition, _Partition]]":
        counts = self.topics()
        return [(name, self._partition(name)) for name in names if 0 <= name[1] < counts.get(name[0], 0)]

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the log is closed")


class _Partition:
    def __init__(self) -> None:
        self.start = 0
        self.high = 0
        self._records: list[Record] = []
        self._newest_ms = 0
        self._newest: dict[bytes | None, int] = {}  # of what compaction has seen
        self._compacted_to = 0

    def append(self, item: Append, now_ms: int) -> None:
        self._newest_ms = stamp(self._newest_ms, now_ms)
        self._records.append(Record(self.high, self._newest_ms, item.key, item.value, item.tag))
        self.high += 1

    def read(self, name: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        first = bisect_left(self._records, max(offset, self.start), key=_offset)
        records = fitting(self._records, first, max_bytes)
        more = first + len(records) < len(self._records)
        next_offset = records[-1].offset + 1 if more else max(offset, self.high)
        return Chunk(name, records, next_offset, self.start, self.high)

    def offset_at(self, timestamp_ms: int) -> int | None:
        index = bisect_left(self._records, timestamp_ms, key=_timestamp)
        return self._records[index].offset if index < len(self._records) else None

    def expire(self, before_ms: int) -> None:
        kept = next((i for i, record in enumerate(self._records) if record.timestamp_ms >= before_ms), None)
        if kept == 0 or not self._records:
            return
        self.start = self._records[-1].offset + 1 if kept is None else self._records[kept].offset
        del self._records[:kept]

    def compact(self, tombstones_before_ms: int) -> None:
        for record in self._records[bisect_left(self._records, self._compacted_to, key=_offset) :]:
            self._newest[record.key] = record.offset
        self._compacted_to = self.high
        self._records = [record for record in self._records if self._keep(record, tombstones_before_ms)]

    def _keep(self, record: Record, tombstones_before_ms: int) -> bool:
        if self._newest[record.key] != record.offset:
            return False
        if record.value is None and record.timestamp_ms < tombstones_before_ms:
            del self._newest[record.key]
            return False
        return True


class MemoryJournal:
    """Implements base.Journal."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[bytes, bytes]] = {}
        self._fences: dict[int, int] = {}

    async def open(self, slot: int) -> tuple[int, dict[bytes, bytes]]:
        self._fences[slot] = self._fences.get(slot, 0) + 1
        return self._fences[slot], dict(self._slots.get(slot, {}))

    async def open_many(self, slots: Sequence[int]) -> dict[int, tuple[int, dict[bytes, bytes]]]:
        return {slot: await self.open(slot) for slot in slots}

    async def peek(self, slot: int) -> dict[bytes, bytes]:
        return dict(self._slots.get(slot, {}))

    async def put(self, slot: int, fence: int, items: Mapping[bytes, bytes | None]) -> None:
        if fence != self._fences.get(slot):
            raise Fenced(f"slot {slot}: fence {fence} is not the newest")
        state = self._slots.setdefault(slot, {})
        for key, value in items.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
