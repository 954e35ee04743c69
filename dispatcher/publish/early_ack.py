"""Writes behind the answer (`DISPATCHER_ASYNC_ACK`): a bounded queue between a POST and the log."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.publish.outcome import Unit
from dispatcher.publish.writer import Problems, Writer

QUEUE_BYTES: Final = 32 * 2**20
BATCH_BYTES: Final = 8 * 2**20
ENTRY_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 10.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

_log = logging.getLogger(__name__)


class EarlyAck:
    """Takes units at once and writes them in order; while the log is away they wait, and the queue fills."""

    def __init__(
        self,
        writer: Writer,
        *,
        queue_bytes: int = QUEUE_BYTES,
        entry_seconds: float = ENTRY_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._writer = writer
        self._limit = queue_bytes
        self._entry_seconds = entry_seconds
        self._drain_seconds = drain_seconds
        self._waiting: deque[Unit] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="early-ack")

    async def put(self, units: Sequence[Unit]) -> None:
        """Returns when the units are in the queue; all or none. Raises Unavailable when there is no room for long."""
        if self._task is None or self._closing:
            raise Unavailable("The server is stopping; nothing was published.")
        size = sum(unit.size for unit in units)
        try:
            async with asyncio.timeout(self._entry_seconds), self._changed:
                await self._changed.wait_for(lambda: self._bytes == 0 or self._bytes + size <= self._limit)
                self._waiting.extend(units)
                self._bytes += size
                self._changed.notify_all()
        except TimeoutError:
            raise Unavailable("The event log does not keep up; try again.") from None

    async def close(self) -> None:
        """Write what is waiting, for a limited time; what is lost then is logged."""
        if self._task is None:
            return
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        _, late = await asyncio.wait([self._task], timeout=self._drain_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            _log.error(
                "%d events that were answered early are lost: the log did not take them",
                len(self._waiting),
                extra={"action": "drain"},
            )

    async def _run(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return
            batch = self._batch()
            await self._write(batch)
            async with self._changed:
                for _ in batch:
                    self._bytes -= self._waiting.popleft().size
                self._changed.notify_all()

    def _batch(self) -> list[Unit]:
        """The first units; they leave the queue only when they are written."""
        batch, size = [], 0
        for unit in self._waiting:
            batch.append(unit)
            size += unit.size
            if size >= BATCH_BYTES:
                break
        return batch

    async def _write(self, batch: list[Unit]) -> None:
        pause = FIRST_PAUSE
        while batch:
            problems = await self._writer.write(batch)
            batch = _to_repeat(batch, problems)
            if batch:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


def _to_repeat(batch: list[Unit], problems: Problems) -> list[Unit]:
    again = []
    for unit, problem in zip(batch, problems, strict=True):
        if isinstance(problem, LogUnavailable):
            again.append(unit)
        elif problem is not None:
            _log.error(
                "event %s was answered early and is lost: %r",
                unit.event.kafka_key,
                problem,
                extra={"action": "write-behind", "event_id": unit.event.kafka_key},
            )
    return again
