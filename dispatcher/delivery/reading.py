"""Reads of the log through the shared cache; two laggards at the same place cause one read."""

import asyncio
import time

from dispatcher.delivery.blocks import BlockCache
from dispatcher.eventlog.base import Chunk, EventLog, Record, TopicPartition, UnknownTopic
from dispatcher.metrics import Metrics

READ_BYTES = 512 * 1024


class Reader:
    def __init__(self, log: EventLog, cache: BlockCache, metrics: Metrics) -> None:
        self._log = log
        self._cache = cache
        self._read_bytes = metrics.log_read_bytes.labels("ranged")
        self._read_seconds = metrics.consume_duration.labels("read_from_kafka")
        self._pending: dict[tuple[TopicPartition, int], asyncio.Task[Chunk]] = {}

    async def close(self) -> None:
        """Ends the reads that nobody waits for any more."""
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def chunk(self, partition: TopicPartition, offset: int) -> Chunk:
        """Records from `offset` on, from the cache where possible. Raises LogUnavailable, UnknownTopic."""
        block = self._cache.find(partition, offset)
        if block is not None:
            return Chunk(partition, block.from_offset(offset), block.next_offset, 0, block.next_offset)
        key = (partition, offset)
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(self._read(partition, offset))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def cached(self, partition: TopicPartition, offset: int) -> Record | None:
        return self._cache.record(partition, offset)

    async def record(self, partition: TopicPartition, offset: int) -> Record | None:
        """One record; None when retention or compaction took it, or its topic is gone. Raises LogUnavailable."""
        found = self._cache.record(partition, offset)
        if found is not None:
            return found
        try:
            chunk = await self.chunk(partition, offset)
        except UnknownTopic:
            return None
        first = chunk.records[0] if chunk.records else None
        return first if first is not None and first.offset == offset else None

    def _ended(self, key: tuple[TopicPartition, int], task: "asyncio.Task[Chunk]") -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # all who waited for it may be gone

    async def _read(self, partition: TopicPartition, offset: int) -> Chunk:
        began = time.perf_counter()
        chunk = await self._log.read(partition, offset, READ_BYTES)
        self._read_seconds.observe(time.perf_counter() - began)
        self._read_bytes.inc(sum(len(record.value or b"") for record in chunk.records))
        if chunk.records:
            self._cache.add(partition, max(offset, chunk.start_offset), chunk)
        return chunk
