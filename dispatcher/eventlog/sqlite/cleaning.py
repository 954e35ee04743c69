"""A cleaning pass: many small steps on the writer thread, each a transaction, with appends in between."""

import asyncio

import apsw

from dispatcher.eventlog.base import FOREVER
from dispatcher.eventlog.sqlite.catalog import Catalog
from dispatcher.eventlog.sqlite.compaction import STEP_BATCHES, Compacted, bury, compact
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.sqlite.retention import Expired, expire
from dispatcher.eventlog.sqlite.writer import GroupWriter


class Cleaning:
    def __init__(self, writer: GroupWriter, catalog: Catalog, tombstone_ms: int) -> None:
        self._writer = writer
        self._catalog = catalog
        self._tombstone_ms = tombstone_ms
        self._one_pass = asyncio.Lock()

    async def run(self, now_ms: int) -> None:
        """Clean all topics. Raises LogUnavailable; a later pass goes on where this one stopped."""
        async with self._one_pass:
            for topic in list(self._catalog.topics.values()):
                for partition in list(topic.partitions):
                    if topic.cleanup == "compact":
                        await self._compact(partition)
                    elif topic.retention_ms != FOREVER:
                        await self._expire(partition, now_ms - topic.retention_ms)
            await self._bury(now_ms - self._tombstone_ms)

    async def _compact(self, partition: Partition) -> None:
        goal = partition.high  # what comes meanwhile is for the next pass, or this one might never end

        def step(connection: apsw.Connection) -> Compacted:
            return compact(connection, partition.id, partition.cleaned, partition.next_offset)

        while partition.cleaned < goal:
            partition.cleaned, removed = await self._writer.call(step)
            if removed:
                partition.forget(removed)

    async def _expire(self, partition: Partition, before_ms: int) -> None:
        if partition.start == partition.high or (partition.oldest_ms or 0) >= before_ms:
            return

        def step(connection: apsw.Connection) -> Expired:
            return expire(connection, partition.id, partition.start, partition.next_offset, before_ms)

        more = True
        while more:
            partition.start, partition.oldest_ms, more = await self._writer.call(step)
            partition.forget_before(partition.start)

    async def _bury(self, before_ms: int) -> None:
        def step(connection: apsw.Connection) -> list[tuple[int, int]]:
            return list(bury(connection, before_ms))

        more = True
        while more:
            buried = await self._writer.call(step)
            self._forget(buried)
            more = len(buried) == STEP_BATCHES

    def _forget(self, buried: list[tuple[int, int]]) -> None:
        offsets: dict[int, set[int]] = {}
        for partition_id, offset in buried:
            offsets.setdefault(partition_id, set()).add(offset)
        for topic in self._catalog.topics.values() if buried else ():
            for partition in topic.partitions:
                if partition.id in offsets:
                    partition.forget(offsets[partition.id])
