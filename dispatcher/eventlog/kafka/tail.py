"""The tail: one consumer that follows many partitions, each from a position of its own."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as Assigned
from aiokafka.errors import OffsetOutOfRangeError

from dispatcher.eventlog.base import Chunk, LogUnavailable, Record, TopicPartition
from dispatcher.eventlog.kafka.bounds import Bounds
from dispatcher.eventlog.kafka.catalog import Catalog
from dispatcher.eventlog.kafka.clients import Failures, away, stop
from dispatcher.eventlog.kafka.progress import NEVER, Progress
from dispatcher.eventlog.kafka.records import to_records
from dispatcher.eventlog.runs import fitting, weight

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
ROUND_BYTES = 16 << 20
PARTITION_BYTES = 1 << 20
"""Packed, as the brokers send it."""
POLL_MS = 100
GAP_SECONDS = 1.0
FEWEST, MOST = 16, 512
"""Records unpacked at once: fewer when they turn out to be large."""


class KafkaTail:
    """Implements base.Tail; one caller of `next` at a time."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        catalog: Catalog,
        bounds: Bounds,
        clock: Callable[[], float],
        on_close: "Callable[[KafkaTail], None]",
    ) -> None:
        self._consumer = consumer
        self._catalog = catalog
        self._bounds = bounds
        self._clock = clock
        self._on_close = on_close
        self._counts: Mapping[str, int] = catalog.counts
        self._given: dict[TopicPartition, int] = {}
        """Next offset to be given out."""
        self._fetched: dict[TopicPartition, int] = {}
        """Next offset to be fetched: what lies between is in `_ready`."""
        self._progress: dict[TopicPartition, Progress] = {}
        self._ready: list[Chunk] = []
        self._at_once = MOST
        self._next_gap_look = 0.0
        self._polling = asyncio.Lock()
        self._aimed = asyncio.Event()
        self._aimed_at = time.time()
        self._closed = False

    async def next(self) -> Sequence[Chunk]:
        """See base.Tail. Waits while the brokers are away: `caught_up_at` stands still then."""
        while not self._ready:
            async with self._polling:
                if self._closed:
                    raise LogUnavailable("the tail is closed")
                await self._poll()
        return self._give()

    async def retarget(self, want: Mapping[TopicPartition, int]) -> None:
        """See base.Tail. Raises UnknownTopic and then changes nothing."""
        for partition in want:
            self._catalog.check(partition)
        if want.keys() == self._given.keys():
            return
        self._aim({partition: self._given.get(partition, offset) for partition, offset in want.items()})

    def caught_up_at(self) -> float:
        """A few tenths of a second back at best: it takes two answers of each broker to know."""
        oldest = time.time()
        for partition, given in self._given.items():
            place, progress = Assigned(*partition), self._progress[partition]
            progress.look(given, self._consumer.highwater(place), self._consumer.last_poll_timestamp(place))
            oldest = min(oldest, progress.caught_up_at)
        return NEVER if oldest == NEVER else self._clock() - (time.time() - oldest)

    def silence(self) -> float | None:
        """Seconds since any broker answered, with records or without; None when nobody waits for that."""
        if not self._polling.locked():
            return None
        answers = [self._consumer.last_poll_timestamp(Assigned(*partition)) or 0 for partition in self._given]
        return max(time.time() - max(max(answers) / 1000, self._aimed_at), 0.0) if answers else None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        self._aimed.set()
        async with self._polling:  # whoever waits in `next` leaves within POLL_MS
            await stop(self._consumer)

    # ---- where to

    def _aim(self, given: dict[TopicPartition, int]) -> None:
        """In one go, without letting anybody else run: afterwards every partition has its place."""
        self._fetched = {partition: self._fetched.get(partition, offset) for partition, offset in given.items()}
        self._ready = [chunk for chunk in self._ready if chunk.partition in given]
        self._progress = {partition: self._progress.get(partition) or Progress() for partition in given}
        self._given = given
        self._aimed_at = time.time()
        if given:
            self._consumer.assign([Assigned(*partition) for partition in given])
            for partition, offset in self._fetched.items():
                self._consumer.seek(Assigned(*partition), offset)
        elif self._consumer.assignment():
            self._consumer.unsubscribe()
        self._aimed.set()

    def _drop_deleted(self) -> None:
        if self._catalog.counts is not self._counts:
            self._counts = self._catalog.counts
            kept = {partition: given for partition, given in self._given.items() if self._catalog.has(partition)}
            if len(kept) < len(self._given):
                self._aim(kept)

    # ---- from the brokers

    async def _poll(self) -> None:
        self._drop_deleted()
        if not self._given:
            self._aimed.clear()
            await self._aimed.wait()
            return
        room, wait_ms = ROUND_BYTES, POLL_MS
        while room > 0 and (taken := await self._poll_once(wait_ms)):
            room -= taken
            wait_ms = 0
        now = time.monotonic()
        if room == ROUND_BYTES or now >= self._next_gap_look:
            self._next_gap_look = now + GAP_SECONDS
            await self._look_for_gaps()

    async def _poll_once(self, wait_ms: int) -> int:
        """Bytes that were there."""
        try:
            found = await self._consumer.getmany(timeout_ms=wait_ms, max_records=self._at_once)
        except OffsetOutOfRangeError as problem:
            await self._step_in(problem.args[0])
            return 0
        except Failures as problem:
            raise away(problem) from None
        taken = sum(self._take(place, records) for place, records in found.items())
        self._at_once = max(FEWEST, self._at_once // 2) if taken > CHUNK_BYTES * 4 else min(MOST, self._at_once * 2)
        return taken

    def _take(self, place: Assigned, found: list[ConsumerRecord]) -> int:
        partition = (place.topic, place.partition)
        if partition not in self._fetched:
            return 0
        records = to_records(found)
        self._fetched[partition] = records[-1].offset + 1
        first = 0
        while first < len(records):
            piece = fitting(records, first, CHUNK_BYTES)
            first += len(piece)
            self._add(partition, piece, piece[-1].offset + 1)
        return sum(map(weight, records))

    def _add(self, partition: TopicPartition, records: Sequence[Record], next_offset: int) -> None:
        high = self._consumer.highwater(Assigned(*partition)) or 0
        start = self._bounds.starts.get(partition, 0)
        self._ready.append(Chunk(partition, records, next_offset, start, max(high, next_offset)))

    async def _look_for_gaps(self) -> None:
        """Compaction leaves batches without records: the consumer moves on over them and says nothing."""
        for partition, fetched in list(self._fetched.items()):
            position = await self._consumer.position(Assigned(*partition))
            if position > fetched and self._fetched.get(partition) == fetched:
                self._fetched[partition] = position
                self._add(partition, (), position)

    async def _step_in(self, lost: Mapping[Assigned, int]) -> None:
        """Go to where the partition begins now, or ends, when the place we wanted is not in it."""
        bounds = await self._bounds.of([(place.topic, place.partition) for place in lost])
        for place, offset in lost.items():
            partition = (place.topic, place.partition)
            start, high = bounds[partition]
            if self._fetched.get(partition) != offset:
                continue
            target = start if offset < start else high
            if offset > high:
                logger.error(
                    "%s, partition %d ends at %d, before %d: the brokers have lost records",
                    *(place.topic, place.partition, high, offset),
                    extra={"action": "tail"},
                )
            self._fetched[partition] = target
            self._consumer.seek(place, target)
            if target == high:
                self._add(partition, (), target)

    # ---- to the caller

    def _give(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        room = ROUND_BYTES
        for chunk in self._ready:
            chunks.append(chunk)
            self._given[chunk.partition] = chunk.next_offset
            room -= sum(map(weight, chunk.records))
            if room <= 0:
                break
        del self._ready[: len(chunks)]
        return chunks
