"""A whole copy: every partition up to the watermark that was seen, some of them at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from dispatcher.eventlog.base import Chunk, EventLog, TopicPartition, UnknownTopic
from dispatcher.reprocess.copying import Copied, Copier
from dispatcher.reprocess.insisting import Insistence, Stopped
from dispatcher.reprocess.positions import Position, Positions
from dispatcher.reprocess.selection import Chosen
from dispatcher.reprocess.survey import Share, survey
from dispatcher.reprocess.tally import Counts, Tally

READ_BYTES: Final = 1 << 20
AT_ONCE: Final = 4
"""Partitions that are copied beside each other: one computes while others wait for the log."""
STORE_SECONDS: Final = 1.0
"""A kill makes us copy again what was copied since."""
LOOK_SECONDS: Final = 1.0
"""How often somebody who follows looks for news."""


class Reprocess:
    """Copies from `origin` with `copier`, and keeps in `positions` how far it came."""

    def __init__(
        self,
        origin: EventLog,
        copier: Copier,
        positions: Positions,
        tally: Tally,
        insistence: Insistence,
        *,
        store_seconds: float = STORE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._origin = origin
        self._copier = copier
        self._positions = positions
        self._tally = tally
        self._insistence = insistence
        self._store_seconds = store_seconds
        self._look_seconds = look_seconds

    async def run(self, shares: Sequence[Share]) -> bool:
        """Copy these; False when it was stopped before the end. Raises StartupError for what no patience helps."""
        waiting = iter(shares)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._work(waiting))
        except BaseExceptionGroup as group:
            _, others = group.split(Stopped)
            if others is None:
                return False
            raise _first(others) from None
        return not self._insistence.stopped or not any(topic.left for topic in self._tally.topics.values())

    async def follow(self, choose: Callable[[], Sequence[Chosen]]) -> None:
        """Go on with what comes, in topics of before and new ones, until stopped."""
        while not await self._insistence.sleep(self._look_seconds):
            chosen = choose()
            try:
                shares = await self._insistence.on(lambda chosen=chosen: self._news(chosen))  # type: ignore[misc]
            except Stopped:
                return
            await self.run(shares)

    async def _news(self, chosen: Sequence[Chosen]) -> list[Share]:
        ahead = Tally()
        shares = await survey(self._origin, self._positions, chosen, ahead, trust=True)
        for name, topic in ahead.topics.items():
            known = self._tally.of(name)
            known.total = max(known.total, topic.total)
        return [share for share in shares if share.begin < share.goal]

    async def _work(self, waiting: Iterator[Share]) -> None:
        for share in waiting:
            if self._insistence.stopped:
                return
            if share.begin < share.goal:
                await self._partition(share)

    async def _partition(self, share: Share) -> None:
        progress = _Progress(share)
        stored = time.monotonic()
        async with aclosing(self._chunks(share)) as chunks:
            async for chunk in chunks:
                copied = await self._insistence.on(lambda chunk=chunk: self._copy(share, chunk))  # type: ignore[misc]
                self._advance(progress, chunk, copied)
                if self._insistence.stopped:
                    break
                if time.monotonic() - stored >= self._store_seconds:
                    await self._store(progress)
                    stored = time.monotonic()
        await self._store(progress)

    async def _chunks(self, share: Share) -> AsyncGenerator[Chunk, None]:
        """Reads one ahead, so that nobody waits for what is copied next."""
        ahead = self._reading(share.partition, share.begin)
        try:
            while True:
                chunk = await ahead
                if chunk is None:
                    return
                if chunk.next_offset < share.goal:
                    ahead = self._reading(share.partition, chunk.next_offset)
                yield chunk
                if chunk.next_offset >= share.goal:
                    return
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    def _reading(self, partition: TopicPartition, offset: int) -> "asyncio.Task[Chunk | None]":
        return asyncio.create_task(self._insistence.on(lambda: self._read(partition, offset)))

    async def _read(self, partition: TopicPartition, offset: int) -> Chunk | None:
        """None when somebody has deleted the topic meanwhile."""
        try:
            return await self._origin.read(partition, offset, READ_BYTES)
        except UnknownTopic:
            return None

    async def _copy(self, share: Share, chunk: Chunk) -> Copied:
        return await self._copier.copy(share.chosen, share.number, chunk.records)

    def _advance(self, progress: "_Progress", chunk: Chunk, copied: Copied) -> None:
        before = progress.position.next
        copied.counts.expired = max(0, chunk.start_offset - before)
        progress.take(chunk, copied)
        topic = self._tally.of(chunk.partition[0])
        topic.passed += chunk.next_offset - before
        topic.total = max(topic.total, topic.passed)
        topic.counts.add(copied.counts)
        topic.met(copied.misfits)

    async def _store(self, progress: "_Progress") -> None:
        await self._insistence.on(lambda: self._positions.store({progress.partition: progress.position}))


class _Progress:
    """How far one partition has come."""

    def __init__(self, share: Share) -> None:
        self.partition = share.partition
        counts = Counts()
        counts.add(share.counts)
        self.position = Position(share.begin, -1, 0, counts)

    def take(self, chunk: Chunk, copied: Copied) -> None:
        self.position.next = chunk.next_offset
        if chunk.records:
            self.position.last = chunk.records[-1].offset
            self.position.stamp = chunk.records[-1].timestamp_ms
        self.position.counts.add(copied.counts)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """TaskGroups wrap what their tasks raise; the operator wants the words of one."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
