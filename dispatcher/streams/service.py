"""The bytes of files: upload, look up, read, copy, delete."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher_sdk.models import UploadReply

from dispatcher.errors import NotFound
from dispatcher.hooks.types import Fetched, ObjectStore, StoredInfo, StreamId, UploadEnricher, WorkerEnricher
from dispatcher.metrics import Metrics
from dispatcher.streams.copying import StreamCopier
from dispatcher.streams.enriching import Enriching
from dispatcher.streams.ingest import Ingest
from dispatcher.streams.locks import KeyedLocks
from dispatcher.streams.measured import MeasuredStore
from dispatcher.streams.places import find, places
from dispatcher.streams.spool import Spool
from dispatcher.streams.workers import WorkerPool


class Streams:
    """`async with Streams(...)`, or `start()` and `close()`. Store and pool belong to the caller, who starts the
    pool before and closes both after.

    Addresses are StreamIds whose parts are safe segments and a lower case sha256; lookups fall back to the same
    hash without source and label (the old root layout).
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        pool: WorkerPool,
        worker_enrichers: Sequence[WorkerEnricher] = (),
        upload_enrichers: Sequence[UploadEnricher] = (),
        spool_dir: Path,
        metrics: Metrics,
    ) -> None:
        self._store = MeasuredStore(store, metrics)
        self._pool = pool
        self._functions = [each.function for each in worker_enrichers]
        self._spool = Spool(spool_dir)
        self._locks = KeyedLocks()
        enriching = Enriching(pool, worker_enrichers, upload_enrichers, metrics)
        self._ingest = Ingest(self._store, self._spool, enriching, self._locks)
        self._copier = StreamCopier(self._store, self._locks)
        self.metrics = metrics

    async def start(self) -> None:
        """Raises StartupError when an enricher's function cannot be imported, OSError when there is no spool."""
        await asyncio.to_thread(self._spool.open)
        await self._pool.load(self._functions)

    async def close(self) -> None:
        """Waits for uploads that have arrived completely."""
        await self._ingest.close()
        await asyncio.to_thread(self._spool.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def upload(
        self,
        source: str,
        label: str,
        pieces: AsyncIterator[bytes],
        *,
        skip_identify: bool = False,
        expected_sha256: str = "",
    ) -> UploadReply:
        """Store bytes and describe them; durable on return. `skip_identify` gives size and sha256 only and needs
        `expected_sha256`. Raises BadRequest, DispatcherError (titles of wire contract 1.6)."""
        self.metrics.upload_requests.inc()
        reply = await self._ingest.upload(
            source, label, pieces, skip_identify=skip_identify, expected_sha256=expected_sha256
        )
        self.metrics.uploaded_bytes.inc(reply.data.size)
        return reply

    async def info(self, wanted: StreamId) -> StoredInfo | None:
        self.metrics.exist_requests.inc()
        found = await find(self._store, wanted)
        return found and found[1]

    async def open(self, wanted: StreamId) -> tuple[StreamId, StoredInfo]:
        """Where the object really is, and its size. Raises NotFound."""
        found = await find(self._store, wanted)
        if found is None:
            raise NotFound
        return found

    async def fetch(self, wanted: StreamId, most: int) -> tuple[StreamId, Fetched]:
        """As `open`, with the bytes at once where the object has at most `most` and the store can. Raises NotFound."""
        for where in places(wanted):
            if fetched := await self._store.fetch(where, most):
                return where, fetched
        raise NotFound

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        """Exactly these bytes of an object that `open` found, in pieces. Raises FileNotFoundError when it has
        been deleted meanwhile."""
        async for piece in self._store.read(where, start, length):
            self.metrics.downloaded_bytes.inc(len(piece))
            yield piece

    async def copy(self, source_a: str, source_b: str, label: str, sha256: str) -> None:
        """As StreamCopier.copy."""
        await self._copier.copy(source_a, source_b, label, sha256)

    async def delete(self, wanted: StreamId, if_older_than: int = 0) -> bool:
        """False when the object is not older than `if_older_than` (Unix seconds; 0 or less: delete in any case).
        Raises NotFound."""
        self.metrics.delete_requests.inc()
        where, _ = await self.open(wanted)
        async with self._locks(where):
            info = await self._store.info(where)
            if info is None:
                raise NotFound
            if if_older_than > 0 and info.modified >= if_older_than:
                return False
            return await self._store.delete(where)
