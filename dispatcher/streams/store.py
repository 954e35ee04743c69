"""Object stores through obstore: a folder on local disk, and memory.

Both keep the layout `<source>/<label>/<id[0]>/<id[1]>/<id>`; objects without source and label lie at the root.
obstore's blocking calls run in threads: its async ones, as the last act of a process, abort some interpreters.
"""

import asyncio
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore

from dispatcher.errors import StartupError
from dispatcher.hooks.types import StoredInfo, StreamId
from dispatcher.streams.address import key_of

PIECE = 4 << 20
_INCOMING = ".incoming"
_ABANDONED_SECONDS = 86_400.0


class _Objects:
    """What both stores share. All methods: see dispatcher.hooks.types.ObjectStore."""

    def __init__(self, store: LocalStore | MemoryStore) -> None:
        self._store = store

    async def put(self, where: StreamId, path: Path) -> None:
        await asyncio.to_thread(self._put, key_of(where), path)

    async def info(self, where: StreamId) -> StoredInfo | None:
        return await asyncio.to_thread(self._info, key_of(where))

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        key = key_of(where)
        for offset in range(start, start + length, PIECE):
            end = min(offset + PIECE, start + length)
            yield await asyncio.to_thread(self._read, key, offset, end)

    async def copy(self, origin: StreamId, target: StreamId) -> None:
        await asyncio.to_thread(self._copy, key_of(origin), key_of(target))

    async def delete(self, where: StreamId) -> bool:
        return await asyncio.to_thread(self._delete, key_of(where))

    async def close(self) -> None:
        # Lets obstore's own threads come to rest: a process that exits at once may abort otherwise.
        await asyncio.sleep(0.01)

    def _put(self, key: str, path: Path) -> None:
        raise NotImplementedError

    def _copy(self, origin: str, target: str) -> None:
        raise NotImplementedError

    def _info(self, key: str) -> StoredInfo | None:
        try:
            meta = obstore.head(self._store, key)
        except FileNotFoundError:
            return None
        return StoredInfo(meta["size"], meta["last_modified"].timestamp())

    def _read(self, key: str, start: int, end: int) -> bytes:
        piece = obstore.get_range(self._store, key, start=start, end=end).to_bytes()
        if len(piece) != end - start:
            raise OSError(f"{key}: {len(piece)} bytes at {start}, expected {end - start}")
        return piece

    def _delete(self, key: str) -> bool:
        if self._info(key) is None:
            return False
        with suppress(FileNotFoundError):
            obstore.delete(self._store, key)
        return True


class MemoryObjects(_Objects):
    """For tests and demonstrations: gone with the process."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def _put(self, key: str, path: Path) -> None:
        kept = self._info(key)
        if kept and kept.size == path.stat().st_size:
            obstore.copy(self._store, key, key)  # as if stored now
        else:
            obstore.put(self._store, key, path.read_bytes())

    def _copy(self, origin: str, target: str) -> None:
        obstore.copy(self._store, origin, target)


class LocalObjects(_Objects):
    """A folder on disk. An object appears whole, under its name, only when its bytes are safe on disk.

    Storing an object that is there already only makes it as new as one stored now, so that a clean-up of old
    objects cannot take away what was acknowledged after the clean-up began.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        super().__init__(LocalStore(self._root))
        self._folders = threading.Lock()
        self._forget_abandoned()

    def _put(self, key: str, path: Path) -> None:
        kept = self._info(key)
        if kept and kept.size == path.stat().st_size and self._refreshed(key):
            return
        with self._incoming() as incoming:
            obstore.put(self._store, incoming, path, max_concurrency=2)
            self._settle(incoming, key)

    def _copy(self, origin: str, target: str) -> None:
        if self._info(target) and self._refreshed(target):
            return
        with self._incoming() as incoming:
            obstore.copy(self._store, origin, incoming)
            # obstore makes a hard link, so both names get the age of the younger: nothing is deleted too early.
            self._refreshed(incoming)
            self._settle(incoming, target)

    def _delete(self, key: str) -> bool:
        deleted = super()._delete(key)
        if deleted:
            _sync((self._root / key).parent)
        return deleted

    @contextmanager
    def _incoming(self) -> Iterator[str]:
        key = f"{_INCOMING}/{secrets.token_hex(16)}"
        try:
            yield key
        except BaseException:
            with suppress(FileNotFoundError):
                (self._root / key).unlink()
            raise

    def _settle(self, incoming: str, key: str) -> None:
        """Bytes to disk, then the name, then the name to disk."""
        folder = (self._root / key).parent
        _sync(self._root / incoming)
        with self._folders:
            _make_folder(folder, self._root)
        obstore.rename(self._store, incoming, key)
        _sync(folder)

    def _refreshed(self, key: str) -> bool:
        """False when it is not there (any more)."""
        try:
            os.utime(self._root / key)
        except FileNotFoundError:
            return False
        return True

    def _forget_abandoned(self) -> None:
        """Remove what a killed server left half written. Young files may belong to another server that lives."""
        folder = self._root / _INCOMING
        if not folder.is_dir():
            return
        for file in folder.iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    file.unlink()


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


async def open_memory(url: str) -> MemoryObjects:
    """`memory:`."""
    return MemoryObjects()


def _make_folder(folder: Path, root: Path) -> None:
    """Make missing folders from the root down, each safe on disk before the next is made in it."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folder(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
