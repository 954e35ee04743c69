"""Backends of the event log and journal that keep the same contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.eventlog.base import Append, EventLog, Journal, Record, TopicPartition
from dispatcher.eventlog.memory import MemoryJournal, MemoryLog
from dispatcher.eventlog.sqlite.log import SqliteLog

MAX_BYTES = 3 << 20
TOMBSTONE_MS = 60_000


class Clock:
    """Unix time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        return int(self.now * 1000)


class Backend:
    """A started log and journal, with what the interfaces leave out."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.log: EventLog
        self.journal: Journal

    async def start(self) -> None: ...

    async def reopen(self) -> None:
        """Close and open again, where state outlives that."""

    async def clean(self) -> None: ...

    async def records(self, partition: TopicPartition, offset: int = 0, max_bytes: int = 1 << 20) -> list[Record]:
        """Everything from an offset on, read piece by piece."""
        found: list[Record] = []
        while True:
            chunk = await self.log.read(partition, offset, max_bytes)
            found += chunk.records
            offset = chunk.next_offset
            if offset >= chunk.high_watermark:
                return found

    async def append(self, *items: Append) -> None:
        assert await self.log.append(items) == [None] * len(items)


class MemoryBackend(Backend):
    async def start(self) -> None:
        self._log = self.log = MemoryLog(message_max_bytes=MAX_BYTES, clock=self.clock, tombstone_ms=TOMBSTONE_MS)
        self.journal = MemoryJournal()

    async def clean(self) -> None:
        await self._log.clean_once()


class SqliteBackend(Backend):
    def __init__(self, clock: Clock, folder: Path, window_bytes: int) -> None:
        super().__init__(clock)
        self._folder = folder
        self._window_bytes = window_bytes

    async def start(self) -> None:
        self._log = SqliteLog(
            self._folder,
            message_max_bytes=MAX_BYTES,
            clock=self.clock,
            window_bytes=self._window_bytes,
            clean_seconds=3600,
            tombstone_ms=TOMBSTONE_MS,
        )
        await self._log.start()
        self.log, self.journal = self._log, self._log.journal

    async def reopen(self) -> None:
        await self._log.close()
        await self.start()

    async def clean(self) -> None:
        await self._log.clean_once()


@pytest.fixture(params=["memory", "sqlite", "sqlite-from-disk"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    clock = Clock()
    made: dict[str, Backend] = {
        "memory": MemoryBackend(clock),
        "sqlite": SqliteBackend(clock, tmp_path, window_bytes=1 << 20),
        "sqlite-from-disk": SqliteBackend(clock, tmp_path, window_bytes=0),
    }
    backend = made[request.param]
    await backend.start()
    yield backend
    await backend.log.close()
