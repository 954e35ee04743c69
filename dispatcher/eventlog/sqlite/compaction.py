"""Compaction: keeps only the newest record of a key. Runs on the writer thread, one small step a transaction.

The table `newest` says which batch holds a key's newest record among those that compaction has seen. A step takes
the next run of batches, removes from earlier batches what the run replaces, and packs the run into one full batch.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import apsw

from dispatcher.eventlog.base import Record
from dispatcher.eventlog.sqlite.batches import (
    BATCH_BYTES,
    Batch,
    decode,
    offset_of,
    partition_id_of,
    row_id,
)
from dispatcher.eventlog.sqlite.query import first, rows, value

STEP_BATCHES = 64
"""Batches that a step reads or rewrites at most."""

_RUN = "SELECT id, last, body FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
_REPLACED = """
SELECT newest.batch, seen.value FROM carray(?1) AS seen CROSS JOIN newest
ON newest.partition = ?2 AND newest.key = seen.value WHERE newest.batch != ?3
"""
_NOTE = "INSERT OR REPLACE INTO newest(partition, key, batch) SELECT ?1, value, ?2 FROM carray(?3)"
_DUE = "SELECT id, key FROM tombstone WHERE ts < ? ORDER BY ts LIMIT ?"


class Compacted(NamedTuple):
    cleaned: int
    """Compaction has seen everything before this offset."""
    removed: Collection[int]
    """Offsets of records that are gone."""


class _Run(NamedTuple):
    ids: Sequence[int]
    last: int
    records: Sequence[Record]


def compact(connection: apsw.Connection, partition: int, cleaned: int, next_offset: int) -> Compacted:
    """One step from offset `cleaned` on."""
    run = _next_run(connection, partition, cleaned, next_offset)
    if run is None:
        return Compacted(next_offset, ())
    newest = {record.key: record for record in run.records}
    home = run.ids[0]
    removed: set[int] = set()
    replaced = _replaced(connection, partition, home, newest)
    for batch, keys in list(replaced.items())[:STEP_BATCHES]:
        removed |= _remove(connection, batch, keys)
        _note(connection, partition, home, keys)
    if len(replaced) > STEP_BATCHES:
        return Compacted(cleaned, removed)  # the same run again: what is done is not found again
    _note(connection, partition, home, newest)
    kept = sorted(newest.values())
    removed |= {record.offset for record in run.records} - {record.offset for record in kept}
    if len(run.ids) > 1 or len(kept) < len(run.records):
        connection.executemany("DELETE FROM batch WHERE id = ?", [(row,) for row in run.ids])
        _store(connection, home, run.last, kept)
    tombs = [(row_id(partition, r.offset), r.timestamp_ms, r.key) for r in kept if r.value is None]
    connection.executemany("INSERT OR REPLACE INTO tombstone(id, ts, key) VALUES (?, ?, ?)", tombs)
    connection.execute("UPDATE partition SET cleaned = ? WHERE id = ?", (run.last + 1, partition))
    return Compacted(run.last + 1, removed)


def bury(connection: apsw.Connection, before_ms: int) -> Collection[tuple[int, int]]:
    """One step over all partitions: removes tombstones older than this. Gives (partition id, offset) of each."""
    due = rows(connection, _DUE, (before_ms, STEP_BATCHES))
    for row, key in due:
        partition = partition_id_of(row)
        batch = value(connection, "SELECT batch FROM newest WHERE partition = ? AND key = ?", (partition, key))
        if batch is not None and offset_of(row) in _remove(connection, batch, {key}, only=offset_of(row)):
            connection.execute("DELETE FROM newest WHERE partition = ? AND key = ?", (partition, key))
        connection.execute("DELETE FROM tombstone WHERE id = ?", (row,))
    return [(partition_id_of(row), offset_of(row)) for row, _ in due]


def _next_run(connection: apsw.Connection, partition: int, cleaned: int, next_offset: int) -> _Run | None:
    """Consecutive batches that fit into one, at least one if there is one."""
    bounds = (row_id(partition, cleaned), row_id(partition, next_offset), STEP_BATCHES)
    ids: list[int] = []
    records: list[Record] = []
    size = last = 0
    cursor = connection.execute(_RUN, bounds)
    for row, end, body in cursor:
        size += len(body)
        if ids and size > BATCH_BYTES:
            break
        ids.append(row)
        records += decode(body)
        last = end
    cursor.close()
    return _Run(ids, last, records) if ids else None


def _replaced(
    connection: apsw.Connection, partition: int, home: int, keys: Iterable[bytes | None]
) -> dict[int, set[bytes | None]]:
    """Earlier batches, and the keys whose record in them is no longer the newest."""
    found: dict[int, set[bytes | None]] = {}
    for batch, key in rows(connection, _REPLACED, (_carray(keys), partition, home)):
        found.setdefault(batch, set()).add(key)
    return found


def _note(connection: apsw.Connection, partition: int, home: int, keys: Iterable[bytes | None]) -> None:
    connection.execute(_NOTE, (partition, home, _carray(keys)))


def _carray(keys: Iterable[bytes | None]) -> "apsw.CArrayBinding":
    return apsw.carray(tuple(key or b"" for key in keys))


def _remove(
    connection: apsw.Connection, batch: int, keys: Collection[bytes | None], only: int | None = None
) -> set[int]:
    """Take the records of these keys (or just the one at offset `only`) out of a batch; gives their offsets."""
    row = first(connection, "SELECT last, body FROM batch WHERE id = ?", (batch,))
    if row is None:
        return set()
    last, body = row
    records = decode(body)
    gone = {r.offset for r in records if r.key in keys and only in (None, r.offset)}
    if gone:
        connection.execute("DELETE FROM batch WHERE id = ?", (batch,))
        _store(connection, batch, last, [record for record in records if record.offset not in gone])
        # Were it the partition's last batch, its offsets must not be given out again.
        connection.execute(
            "UPDATE partition SET floor = max(floor, ?) WHERE id = ?", (last + 1, partition_id_of(batch))
        )
    return gone


def _store(connection: apsw.Connection, row: int, last: int, records: Sequence[Record]) -> None:
    if records:
        batch = Batch(partition_id_of(row), offset_of(row), last, records[-1].timestamp_ms, records)
        connection.execute("INSERT INTO batch(id, last, ts, body) VALUES (?, ?, ?, ?)", batch.row())
