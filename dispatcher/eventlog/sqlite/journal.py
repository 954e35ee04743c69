"""The journal: a table in the log's database, written through the same group commit."""

from collections.abc import Mapping, Sequence

import apsw

from dispatcher.eventlog.base import Fenced
from dispatcher.eventlog.sqlite.database import Database
from dispatcher.eventlog.sqlite.query import rows, value

_CLAIM = "INSERT INTO fence(slot, fence) VALUES (?, 1) ON CONFLICT(slot) DO UPDATE SET fence = fence + 1"
_FENCE = "SELECT fence FROM fence WHERE slot = ?"
_STATE = "SELECT key, value FROM journal WHERE slot = ?"
_PUT = (
    "INSERT INTO journal(slot, key, value) VALUES (?, ?, ?) ON CONFLICT(slot, key) DO UPDATE SET value = excluded.value"
)

State = dict[bytes, bytes]


class SqliteJournal:
    """Implements base.Journal. Closed together with its log."""

    def __init__(self, database: Database) -> None:
        self._writer = database.writer

    async def open(self, slot: int) -> tuple[int, State]:
        return (await self.open_many([slot]))[slot]

    async def open_many(self, slots: Sequence[int]) -> dict[int, tuple[int, State]]:
        def claim(connection: apsw.Connection) -> dict[int, tuple[int, State]]:
            return {slot: _claim(connection, slot) for slot in slots}

        return await self._writer.call(claim)

    async def peek(self, slot: int) -> State:
        return await self._writer.call(lambda connection: dict(rows(connection, _STATE, (slot,))))

    async def put(self, slot: int, fence: int, items: Mapping[bytes, bytes | None]) -> None:
        kept = [(slot, key, value) for key, value in items.items() if value is not None]
        gone = [(slot, key) for key, value in items.items() if value is None]

        def write(connection: apsw.Connection) -> None:
            newest = value(connection, _FENCE, (slot,))
            if newest != fence:
                raise Fenced(f"slot {slot}: fence {fence} is not the newest")
            connection.executemany(_PUT, kept)
            connection.executemany("DELETE FROM journal WHERE slot = ? AND key = ?", gone)

        size = sum(len(key) + len(value or b"") for key, value in items.items())
        await self._writer.call(write, size)


def _claim(connection: apsw.Connection, slot: int) -> tuple[int, State]:
    connection.execute(_CLAIM, (slot,))
    return value(connection, _FENCE, (slot,)), dict(rows(connection, _STATE, (slot,)))
