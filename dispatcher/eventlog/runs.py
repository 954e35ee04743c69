"""Runs of records that fit into a number of bytes."""

from collections.abc import Sequence

from dispatcher.eventlog.base import Record

OVERHEAD = 64
"""Bytes counted for a record besides its value, so that tombstones are not free."""


def weight(record: Record) -> int:
    """Bytes that a record counts for in a read."""
    return OVERHEAD + (len(record.value) if record.value else 0)


def fitting(records: Sequence[Record], first: int, max_bytes: int) -> Sequence[Record]:
    """Records from index `first` on that weigh `max_bytes` together at most, but at least one if there is one."""
    room = max_bytes
    for index in range(first, len(records)):
        room -= weight(records[index])
        if room < 0 and index > first:
            return records[first:index]
    return records[first:]
