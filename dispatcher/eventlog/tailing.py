"""Tails of a log that lives in this process: the log says what was published, the tail reads it in bounded pieces."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from dispatcher.eventlog.base import Chunk, LogUnavailable, TopicPartition
from dispatcher.eventlog.runs import weight

CHUNK_BYTES = 1 << 20
ROUND_BYTES = 16 << 20
NEVER = 0.0


class Readable(Protocol):
    """What a tail needs of its log."""

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk: ...

    def high_watermark(self, partition: TopicPartition) -> int:
        """Raises UnknownTopic."""
        ...


class Tails:
    """All open tails of one log."""

    def __init__(self) -> None:
        self._open: set[LogTail] = set()

    def add(self, tail: "LogTail") -> None:
        self._open.add(tail)

    def discard(self, tail: "LogTail") -> None:
        self._open.discard(tail)

    def published(self, partitions: Iterable[TopicPartition]) -> None:
        """Records of these partitions can be read now."""
        for tail in self._open:
            tail.notice(partitions)

    async def close(self) -> None:
        for tail in list(self._open):
            await tail.close()


class LogTail:
    """Implements base.Tail; one caller of `next` at a time.

    A `next` gives at most about CHUNK_BYTES of a partition and ROUND_BYTES in all; partitions take turns. A cancelled
    or failed `next` moves no position, so nothing is skipped.
    """

    def __init__(self, log: Readable, tails: Tails, clock: Callable[[], float]) -> None:
        self._log = log
        self._tails = tails
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        self._behind: dict[TopicPartition, None] = {}  # in order of their turns
        self._news = asyncio.Event()
        self._closed = False
        self._caught_up_at = clock()
        self._goal: dict[TopicPartition, int] = {}
        self._goal_set_at = NEVER

    async def next(self) -> Sequence[Chunk]:
        """See base.Tail. Raises LogUnavailable, also once the tail or its log is closed."""
        while True:
            await self._wait()
            self._set_goal()
            chunks = self._advance(await self._read_round())
            if chunks:
                return chunks

    async def retarget(self, want: Mapping[TopicPartition, int]) -> None:
        """See base.Tail. Raises UnknownTopic and then changes nothing."""
        highs = {partition: self._log.high_watermark(partition) for partition in want}
        new = want.keys() - self._positions.keys()
        self._positions = {partition: self._positions.get(partition, offset) for partition, offset in want.items()}
        self._behind = {partition: None for partition in self._behind if partition in want}
        self._goal = {}
        for partition in new:
            if want[partition] < highs[partition]:
                self._behind[partition] = None
                self._caught_up_at = NEVER  # when that backlog was appended is not known
        self._wake()

    def caught_up_at(self) -> float:
        return self._caught_up_at if self._behind else self._clock()

    async def close(self) -> None:
        self._closed = True
        self._tails.discard(self)
        self._news.set()

    def notice(self, partitions: Iterable[TopicPartition]) -> None:
        """Called by the log: these partitions have grown."""
        fresh = [partition for partition in partitions if partition in self._positions]
        if fresh and not self._behind:
            self._caught_up_at = self._clock()
        self._behind.update(dict.fromkeys(fresh))
        self._wake()

    def _wake(self) -> None:
        if self._behind:
            self._news.set()

    async def _wait(self) -> None:
        while not self._behind and not self._closed:
            self._news.clear()
            await self._news.wait()
        if self._closed:
            raise LogUnavailable("the log is closed")

    def _set_goal(self) -> None:
        """Under steady load a tail is never without backlog: measure against the watermarks of one moment."""
        if not self._goal:
            self._goal = {partition: self._log.high_watermark(partition) for partition in self._behind}
            self._goal_set_at = self._clock()

    async def _read_round(self) -> list[tuple[int, Chunk]]:
        chunks: list[tuple[int, Chunk]] = []
        room = ROUND_BYTES
        for partition in list(self._behind):
            position = self._positions.get(partition)
            if position is None:  # retargeted while reading
                continue
            chunk = await self._log.read(partition, position, min(room, CHUNK_BYTES))
            chunks.append((position, chunk))
            room -= sum(map(weight, chunk.records))
            if room <= 0:
                break
        return chunks

    def _advance(self, read: list[tuple[int, Chunk]]) -> list[Chunk]:
        """Move on past what was read, in one go with giving it out."""
        chunks = []
        for position, chunk in read:
            partition = chunk.partition
            if self._positions.get(partition) != position:
                continue
            self._positions[partition] = chunk.next_offset
            self._behind.pop(partition, None)
            if chunk.next_offset < self._log.high_watermark(partition):
                self._behind[partition] = None  # to the end of the queue
            chunks.append(chunk)
        self._check_goal()
        return chunks

    def _check_goal(self) -> None:
        reached = self._positions
        missing = {part: high for part, high in self._goal.items() if reached.get(part, high) < high}
        if self._goal and not missing:
            self._caught_up_at = self._goal_set_at
        self._goal = missing
