"""An object store whose operations are timed and whose faults become the server's errors."""

import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from dispatcher.errors import DispatcherError
from dispatcher.hooks.types import Fetched, FetchingStore, ObjectStore, StoredInfo, StreamId
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

_TITLES = {
    "put": "store error in PutData",
    "fetch": "store error in GetData",
    "exists": "store error in GetData",
    "copy": "copy error",
    "delete": "store error in DeleteData",
}


class MeasuredStore:
    """Same methods as ObjectStore. FileNotFoundError passes; any other fault is a DispatcherError (500)."""

    def __init__(self, store: ObjectStore, metrics: Metrics) -> None:
        self._store = store
        self._fetches = isinstance(store, FetchingStore)
        self._seconds = metrics.streams_duration

    async def put(self, where: StreamId, path: Path) -> None:
        with self._measured("put"):
            await self._store.put(where, path)

    async def info(self, where: StreamId) -> StoredInfo | None:
        with self._measured("exists"):
            return await self._store.info(where)

    async def fetch(self, where: StreamId, most: int) -> Fetched | None:
        """As FetchingStore; a store that is none is only asked for size and age."""
        if not self._fetches:
            info = await self.info(where)
            return info and Fetched(info, None)
        with self._measured("fetch"):
            return await self._store.fetch(where, most)  # type: ignore[attr-defined, no-any-return]

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        # Timed up to the first piece: how fast the rest goes is up to who reads it.
        pieces = self._store.read(where, start, length)
        with self._measured("fetch"):
            first = await anext(pieces, b"")
        yield first
        async for piece in pieces:
            yield piece

    async def copy(self, origin: StreamId, target: StreamId) -> None:
        with self._measured("copy"):
            await self._store.copy(origin, target)

    async def delete(self, where: StreamId) -> bool:
        with self._measured("delete"):
            return await self._store.delete(where)

    async def close(self) -> None:
        await self._store.close()

    @contextmanager
    def _measured(self, method: str) -> Iterator[None]:
        started = time.perf_counter()
        result = "error"
        try:
            yield
            result = "ok"
        except (FileNotFoundError, DispatcherError):
            raise
        except Exception as error:
            log.exception("store failed", extra={"action": method})
            raise DispatcherError(
                "the object store failed; the server's log says how", title=_TITLES[method]
            ) from error
        finally:
            self._seconds.labels(method, result).observe(time.perf_counter() - started)
