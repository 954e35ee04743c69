"""The one reader of the tail: shares news among all subscribers and obeys statuses."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from dispatcher.delivery.blocks import BlockCache
from dispatcher.delivery.replay import Replay
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.statuses import Statuses
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import Chunk, EventLog, LogUnavailable, Tail, TopicPartition
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Following:
    def __init__(
        self,
        log: EventLog,
        scheduler: Scheduler,
        cache: BlockCache,
        statuses: Statuses,
        replay: Replay,
        metrics: Metrics,
    ) -> None:
        self._log = log
        self._scheduler = scheduler
        self._cache = cache
        self._statuses = statuses
        self._replay = replay
        self._read_bytes = metrics.log_read_bytes.labels("tail")
        self._tail: Tail | None = None
        self._task: asyncio.Task[None] | None = None
        self._aiming = asyncio.Lock()
        self.aimed = True
        """Whether the tail reads what the scheduler thinks it reads."""

    async def start(self) -> None:
        """Follow the statuses from now on; older ones are replayed for whoever needs them."""
        for partition, (_, high) in (await self._log.bounds(sorted(self._scheduler.statuses))).items():
            self._scheduler.follow(partition, high)
        self._tail = await self._log.tail(dict(self._scheduler.position))
        self._task = asyncio.create_task(self._run(self._tail), name="tail of the log")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._tail is not None:
            await self._tail.close()

    def caught_up_at(self) -> float:
        return self._tail.caught_up_at() if self._tail is not None else 0.0

    # ---- what the tail reads

    async def follow(self, subscriber: Subscriber) -> None:
        """Read everything of this subscriber too, from its present end on.

        May be cancelled or fail at any point: the subscriber does not count as followed then.
        """
        revision = subscriber.revision
        if subscriber.followed == revision:
            return
        async with self._aiming:
            await self._aim()
            missing = self._existing(subscriber.cursors.keys() - self._scheduler.position.keys())
            if missing:
                for partition, (_, high) in (await self._log.bounds(missing)).items():
                    self._scheduler.follow(partition, high)
                self.aimed = False
                await self._aim()
            subscriber.followed = revision

    async def follow_statuses(self, topic: str) -> None:
        """Obey every record of partitions that the status topic has got since the last look."""
        scheduler = self._scheduler
        fresh = sorted({(topic, number) for number in range(self._log.topics().get(topic, 0))} - scheduler.statuses)
        if not fresh:
            return
        async with self._aiming:
            await self._aim()
            bounds = await self._log.bounds(fresh)
            for partition in bounds.keys() - scheduler.position.keys():
                scheduler.follow(partition, bounds[partition][1])
                self.aimed = False
            await self._aim()
            for partition, (start, _) in bounds.items():
                await self._replay.catch_up(partition, start)
                scheduler.statuses |= {partition}

    async def drop_unwanted(self) -> None:
        """Stop reading what no subscriber with recent polls wants."""
        scheduler = self._scheduler
        async with self._aiming:
            for partition in scheduler.position.keys() - scheduler.wanted_by_tail() - scheduler.statuses:
                scheduler.unfollow(partition)
                self.aimed = False
            await self._aim()

    async def _aim(self) -> None:
        """Point the tail at all positions, unless it is. Until that is done no further partition gets a position:
        a tail that still followed it from before could be ahead of that."""
        if self.aimed or self._tail is None:
            return
        for partition in self._scheduler.position.keys() - set(self._existing(self._scheduler.position)):
            self._scheduler.unfollow(partition)
        await self._tail.retarget(dict(self._scheduler.position))
        self.aimed = True

    def _existing(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Those whose topic is there: a deleted one must never be asked for."""
        counts = self._log.topics()
        return [(topic, number) for topic, number in partitions if number < counts.get(topic, 0)]

    # ---- what it reads

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

    def _absorb(self, chunk: Chunk) -> None:
        position = self._scheduler.position.get(chunk.partition)
        if position is None:
            return  # unfollowed while this was on its way
        self._read_bytes.inc(sum(len(record.value or b"") for record in chunk.records))
        if chunk.records and len(self._scheduler.roster.matcher(chunk.partition[0])):
            self._cache.add(chunk.partition, chunk.records[0].offset, chunk)
        if chunk.partition in self._scheduler.statuses:
            for record in chunk.records:
                if record.offset >= position:
                    self._statuses.obey(record)
        try:
            self._scheduler.absorb_tail(chunk)
        except Exception:
            log.exception("news could not be shared", extra={"action": "tail"})
            self._scheduler.pass_over(chunk)
