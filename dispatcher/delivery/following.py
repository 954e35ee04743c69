"""The one reader of the tail: shares news among all subscribers and obeys statuses."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping

import msgspec

from dispatcher.delivery.blocks import BlockCache
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.signals import PAUSED, RELEASED, Signals
from dispatcher.eventlog.base import Chunk, EventLog, LogUnavailable, Record, Tail, TopicPartition
from dispatcher.hooks.header import unpack
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Following:
    def __init__(
        self,
        log: EventLog,
        scheduler: Scheduler,
        cache: BlockCache,
        signals: Signals,
        pause: Pause,
        metrics: Metrics,
    ) -> None:
        self._log = log
        self._scheduler = scheduler
        self._cache = cache
        self._pause = pause
        self._read_bytes = metrics.log_read_bytes.labels("tail")
        self._statuses: frozenset[TopicPartition] = frozenset()
        self._tail: Tail | None = None
        self._task: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()

    async def start(self, statuses: Iterable[TopicPartition], since: Mapping[TopicPartition, int]) -> None:
        """Follow the status topic from the positions `since`; returns when caught up with what was there."""
        self._statuses = frozenset(statuses)
        bounds = await self._log.bounds(list(self._statuses))
        for partition, (start, high) in bounds.items():
            self._scheduler.follow(partition, max(start, since.get(partition, high)))
        self._tail = await self._log.tail(dict(self._scheduler.position))
        self._task = asyncio.create_task(self._run(self._tail), name="tail of the log")
        goal = {partition: high for partition, (_, high) in bounds.items()}
        while any(self._scheduler.position[partition] < high for partition, high in goal.items()):
            self._progress.clear()
            await self._progress.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._tail is not None:
            await self._tail.close()

    def caught_up_at(self) -> float:
        return self._tail.caught_up_at() if self._tail is not None else 0.0

    async def follow(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions too, from their present end on."""
        missing = [partition for partition in partitions if partition not in self._scheduler.position]
        if not missing or self._tail is None:
            return
        for partition, (_, high) in (await self._log.bounds(missing)).items():
            if partition not in self._scheduler.position:
                self._scheduler.follow(partition, high)
        await self._tail.retarget(dict(self._scheduler.position))

    async def drop_unwanted(self) -> None:
        """Stop reading what no subscriber with recent polls wants."""
        keep = self._scheduler.wanted_by_tail() | self._statuses
        gone = self._scheduler.position.keys() - keep
        if not gone or self._tail is None:
            return
        for partition in gone:
            self._scheduler.unfollow(partition)
        await self._tail.retarget(dict(self._scheduler.position))

    async def _run(self, tail: Tail) -> None:
        while True:
            try:
                for chunk in await tail.next():
                    self._absorb(chunk)
            except LogUnavailable as problem:
                log.warning("the tail waits for the log: %s", problem, extra={"action": "tail"})
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("the tail stumbled", extra={"action": "tail"})
                await asyncio.sleep(RETRY_SECONDS)
            self._progress.set()

    def _absorb(self, chunk: Chunk) -> None:
        position = self._scheduler.position.get(chunk.partition)
        if position is None:
            return  # unfollowed while this was on its way
        self._read_bytes.inc(sum(len(record.value or b"") for record in chunk.records))
        if chunk.records and len(self._scheduler.roster.matcher(chunk.partition[0])):
            self._cache.add(chunk.partition, chunk.records[0].offset, chunk)
        if chunk.partition in self._statuses:
            for record in chunk.records:
                if record.offset >= position:
                    self._obey(record)
        self._scheduler.absorb_tail(chunk)

    def _obey(self, record: Record) -> None:
        if record.tag is None:
            return
        try:
            header = unpack(record.tag)
        except msgspec.MsgspecError:
            return
        if record.value is not None:
            self._scheduler.on_status(header.token, header.status, record.timestamp_ms / 1000)
        elif header.status == RELEASED:
            self._scheduler.on_release(header.token, header.source_time / 1e6)
        elif header.status == PAUSED:
            self._pause.begin(header.source_time / 1e6)
