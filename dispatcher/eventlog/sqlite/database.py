"""The open database: lock, writer thread and readers, started and closed together."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import apsw

from dispatcher.eventlog.sqlite.catalog import Found, load
from dispatcher.eventlog.sqlite.readers import Readers
from dispatcher.eventlog.sqlite.schema import lock, open_writer
from dispatcher.eventlog.sqlite.writer import GroupWriter, Published


class Database:
    """`open` makes one. `writer` changes it, `readers` look at it, `found` is what it held when opened."""

    def __init__(
        self,
        holder: apsw.Connection,
        connection: apsw.Connection,
        writer: GroupWriter,
        readers: Readers,
        found: list[Found],
    ) -> None:
        self._holder = holder
        self._connection = connection
        self.writer = writer
        self.readers = readers
        self.found = found

    @classmethod
    async def open(
        cls, folder: Path, *, clock: Callable[[], float], queue_bytes: int, published: Published
    ) -> "Database":
        """Raises StartupError: in use by another process, not readable, or of a newer format."""
        holder = await asyncio.to_thread(lock, folder)
        try:
            connection = await asyncio.to_thread(open_writer, folder)
            found = await asyncio.to_thread(load, connection)
            readers = Readers(folder)
        except BaseException:
            holder.close()
            raise
        writer = GroupWriter(connection, clock=clock, queue_bytes=queue_bytes, published=published)
        return cls(holder, connection, writer, readers, found)

    async def close(self) -> None:
        """Commit what was handed over, checkpoint, let the folder go."""
        await self.writer.close()
        await self.readers.close()
        await asyncio.to_thread(self._connection.close)  # the last connection checkpoints and removes the WAL
        self._holder.close()
