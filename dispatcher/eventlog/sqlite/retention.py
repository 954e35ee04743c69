"""Retention: removes records from the start of a partition once they are too old. Runs on the writer thread."""

from typing import NamedTuple

import apsw

from dispatcher.eventlog.sqlite.batches import row_id
from dispatcher.eventlog.sqlite.query import rows

STEP_BATCHES = 32

_OLDEST = "SELECT id, last, ts FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"


class Expired(NamedTuple):
    start: int
    """The partition's new start offset."""
    oldest_ms: int | None
    """Timestamp of the first record left; None: no record, or this step did not come so far."""
    more: bool


def expire(connection: apsw.Connection, partition: int, start: int, next_offset: int, before_ms: int) -> Expired:
    """One small step: removes leading batches whose records are all older."""
    ids = (row_id(partition, start), row_id(partition, next_offset))
    found = rows(connection, _OLDEST, (*ids, STEP_BATCHES))
    left = next((index for index, (_, _, ts) in enumerate(found) if ts >= before_ms), len(found))
    oldest_ms = found[left][2] if left < len(found) else None
    if left == 0:
        return Expired(start, oldest_ms, more=False)
    last_id, last, _ = found[left - 1]
    connection.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (ids[0], last_id))
    connection.execute("UPDATE partition SET start = ?, floor = ? WHERE id = ?", (last + 1, next_offset, partition))
    return Expired(last + 1, oldest_ms, more=left == STEP_BATCHES)
