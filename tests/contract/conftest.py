"""Backends of the event log and journal that keep the same contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.eventlog.base import Append, EventLog, Journal, Record, TopicPartition
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.journal import KafkaJournal, journal_spec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.memory import MemoryJournal, MemoryLog
from dispatcher.eventlog.sqlite.log import SqliteLog
from tests.kafka.apart import Apart

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


class KafkaBackend(Backend):
    """The broker's clock is the real one: what depends on moving the clock by hand is not for it."""

    def __init__(self, clock: Clock, endpoint: str, prefix: str) -> None:
        super().__init__(clock)
        self._endpoint = endpoint
        self._prefix = f"azul.{prefix}."

    async def start(self) -> None:
        log = KafkaLog(
            Connection(self._endpoint), prefix=self._prefix, message_max_bytes=MAX_BYTES, clock=self.clock, seconds=10
        )
        await log.start()
        self.log = Apart(log, self._prefix)
        self.journal = KafkaJournal(log, journal_spec(f"{self._prefix}system.dispatch"))
        log.close_first(self.journal.close)

    async def reopen(self) -> None:
        await self.log.close()
        await self.start()


@pytest.fixture(params=["memory", "sqlite", "sqlite-from-disk", pytest.param("kafka", marks=pytest.mark.kafka)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path, topic_prefix: str) -> AsyncIterator[Backend]:
    for cannot in request.node.iter_markers("not_on"):
        if cannot.args[0] == request.param:
            pytest.skip(f"{request.param}: {cannot.args[1]}")
    backend = _make(request, tmp_path, topic_prefix)
    await backend.start()
    yield backend
    await backend.log.close()


def _make(request: pytest.FixtureRequest, folder: Path, topic_prefix: str) -> Backend:
    clock = Clock()
    match request.param:
        case "memory":
            return MemoryBackend(clock)
        case "kafka":
            return KafkaBackend(clock, request.getfixturevalue("kafka").endpoint, topic_prefix)
        case kind:
            return SqliteBackend(clock, folder, window_bytes=1 << 20 if kind == "sqlite" else 0)
