"""The stores that come with the dispatcher, opened by URL. The one module here that uses obstore: stores beyond
this machine enter through it too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import MemoryStore

from dispatcher.errors import StartupError
from dispatcher.hooks.types import StoredInfo, StreamId
from dispatcher.streams.address import key_of
from dispatcher.streams.local import LocalObjects

PIECE = 4 << 20


async def open_local(url: str) -> LocalObjects:
    """`file:///srv/azul`. Raises StartupError when it is not such a URL or the folder cannot be used."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise StartupError(f"store {url!r}: a local store is written as file:///absolute/path")
    try:
        return await asyncio.to_thread(LocalObjects, path)
    except OSError as error:
        raise StartupError(f"store {url!r}: {error}") from error


async def open_memory(url: str) -> "MemoryObjects":
    """`memory:`."""
    return MemoryObjects()


class MemoryObjects:
    """For tests and demonstrations: gone with the process. Methods: see dispatcher.hooks.types.ObjectStore.

    obstore's blocking calls run in threads: its async ones, as the last act of a process, abort some interpreters.
    """

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def put(self, where: StreamId, path: Path) -> None:
        await asyncio.to_thread(self._put, key_of(where), path)

    async def info(self, where: StreamId) -> StoredInfo | None:
        return await asyncio.to_thread(self._info, key_of(where))

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        key = key_of(where)
        if await asyncio.to_thread(self._info, key) is None:
            raise FileNotFoundError(key)
        for offset in range(start, start + length, PIECE):
            end = min(offset + PIECE, start + length)
            yield await asyncio.to_thread(self._read, key, offset, end)

    async def copy(self, origin: StreamId, target: StreamId) -> None:
        await asyncio.to_thread(obstore.copy, self._store, key_of(origin), key_of(target))

    async def delete(self, where: StreamId) -> bool:
        return await asyncio.to_thread(self._delete, key_of(where))

    async def close(self) -> None:
        # Lets obstore's own threads come to rest: a process that exits at once may abort otherwise.
        await asyncio.sleep(0.01)

    def _put(self, key: str, path: Path) -> None:
        kept = self._info(key)
        if kept and kept.size == path.stat().st_size:
            obstore.copy(self._store, key, key)  # as if stored now
        else:
            obstore.put(self._store, key, path.read_bytes())

    def _info(self, key: str) -> StoredInfo | None:
        try:
            meta = obstore.head(self._store, key)
        except FileNotFoundError:
            return None
        return StoredInfo(meta["size"], meta["last_modified"].timestamp())

    def _read(self, key: str, start: int, end: int) -> bytes:
        piece = obstore.get_range(self._store, key, start=start, end=end).to_bytes()
        if len(piece) != end - start:
            raise OSError(f"object ends at byte {start + len(piece)}, {end - start - len(piece)} bytes early")
        return piece

    def _delete(self, key: str) -> bool:
        if self._info(key) is None:
            return False
        with suppress(FileNotFoundError):
            obstore.delete(self._store, key)
        return True
