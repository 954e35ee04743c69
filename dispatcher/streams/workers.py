"""A small pool of worker processes for code that parses hostile bytes.

A file that crashes, hangs or bloats a parser costs that parser's fields for that file, never the server and
never another upload: the worker is killed, and what was still to be asked is asked of a fresh one.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from dispatcher.errors import StartupError
from dispatcher.hooks.types import WorkerEnricher
from dispatcher.streams.frames import Fields, Info
from dispatcher.streams.process import Reply, WorkerLost, WorkerProcess

log = logging.getLogger(__name__)

GIB = 1 << 30
FILES_PER_WORKER = 5_000
"""Then it is replaced: native parsers leak."""
LOAD_SECONDS = 30.0


class Failure(NamedTuple):
    """An enricher that gave nothing for a file. Causes: crash, timeout, memory, raised, garbage, start."""

    enricher: str
    cause: str
    detail: str


class Findings(NamedTuple):
    fields: Fields
    failures: list[Failure]
    info: dict[str, Info]
    """Enricher → what it says besides fields."""


class WorkerPool:
    """`async with WorkerPool() as pool`, then `await pool.run(...)` from any number of tasks.

    `memory_bytes` bounds the address space of each worker, `file_seconds` the wall time that all enrichers
    together may take for one file (unmodified runners give an upload 15 s in all).
    """

    def __init__(self, size: int | None = None, *, memory_bytes: int = GIB, file_seconds: float = 12.0) -> None:
        self.size = size or max(2, os.cpu_count() or 2)
        self._memory_bytes = memory_bytes
        self._file_seconds = file_seconds
        self._functions: list[str] = []
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="worker-spawner")
        # Last in, first out: a quiet server keeps one worker warm and never starts the others.
        self._seats: asyncio.LifoQueue[_Seat] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        for _ in range(self.size):
            self._seats.put_nowait(_Seat(self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for files in work, then ends all workers."""
        for _ in range(self.size):
            seat = await self._seats.get()
            await seat.vacate()
        self._spawner.shutdown()

    async def load(self, functions: Iterable[str]) -> None:
        """Import these in every worker before its first file. Raises StartupError naming what cannot be imported."""
        self._functions += functions
        async with self._seat() as seat:
            await seat.worker()

    async def run(self, path: Path, known: Mapping[str, str | int], enrichers: Sequence[WorkerEnricher]) -> Findings:
        """Run all enrichers on one file, in order; each sees `known` and what those before it found. Never
        raises for the fault of a file or an enricher."""
        findings = Findings({}, [], {})
        if not enrichers:
            return findings
        async with self._seat() as seat:
            due = asyncio.get_running_loop().time() + self._file_seconds
            left = list(enrichers)
            while left:
                left = await self._ask(seat, path, known, left, findings, due)
        return findings

    async def start_worker(self) -> WorkerProcess:
        """A fresh worker with everything imported. Raises OSError, WorkerLost, StartupError."""
        worker = await WorkerProcess.start(self._spawner, self._memory_bytes)
        worker.ask({"load": self._functions})
        faults = (await worker.reply(LOAD_SECONDS)).faults
        if faults:
            await worker.kill()
            name, reason = next(iter(faults.items()))
            raise StartupError(f"enricher function {name} cannot be imported in a worker process: {reason}")
        return worker

    @asynccontextmanager
    async def _seat(self) -> "AsyncIterator[_Seat]":
        seat = await self._seats.get()
        try:
            yield seat
        finally:
            self._seats.put_nowait(seat)

    async def _ask(
        self,
        seat: "_Seat",
        path: Path,
        known: Mapping[str, str | int],
        enrichers: list[WorkerEnricher],
        findings: Findings,
        due: float,
    ) -> list[WorkerEnricher]:
        """One round trip; gives those that were not reached because the worker was lost."""
        now = asyncio.get_running_loop().time
        try:
            worker = await seat.worker()
        except (OSError, WorkerLost, StartupError) as error:
            findings.failures.extend(Failure(each.name, "start", str(error)) for each in enrichers)
            return []
        worker.ask(
            {
                "path": str(path),
                "fields": {**known, **findings.fields},
                "steps": [(each.function, each.timeout) for each in enrichers],
            }
        )
        for done, enricher in enumerate(enrichers, 1):
            try:
                reply = await worker.reply(max(0.0, min(enricher.timeout, due - now())))
            except WorkerLost as lost:
                findings.failures.append(Failure(enricher.name, lost.cause, str(lost)))
                log.warning("worker lost", extra={"action": "enrich", "enricher": enricher.name, "cause": lost.cause})
                return _in_time(enrichers[done:], findings, due - now())
            _take(enricher, reply, findings)
            if reply.cause == "memory":
                worker.files = FILES_PER_WORKER  # what filled its memory may still be there
        return []


class _Seat:
    """A place for one worker; started when it is first needed, replaced when it is lost or old."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._worker: WorkerProcess | None = None

    async def worker(self) -> WorkerProcess:
        """Raises OSError, WorkerLost, StartupError."""
        if self._worker and (self._worker.dead or self._worker.files >= FILES_PER_WORKER):
            await self.vacate()
        if self._worker is None:
            self._worker = await self._pool.start_worker()
        self._worker.files += 1
        return self._worker

    async def vacate(self) -> None:
        if self._worker:
            await self._worker.kill()
        self._worker = None


def _in_time(left: list[WorkerEnricher], findings: Findings, seconds: float) -> list[WorkerEnricher]:
    if seconds > 0:
        return left
    findings.failures.extend(Failure(each.name, "timeout", "no time left for this file") for each in left)
    return []


def _take(enricher: WorkerEnricher, reply: Reply, findings: Findings) -> None:
    if reply.cause:
        findings.failures.append(Failure(enricher.name, reply.cause, reply.error[:500]))
    findings.fields.update(reply.fields)
    if reply.info:
        findings.info[enricher.name] = reply.info
