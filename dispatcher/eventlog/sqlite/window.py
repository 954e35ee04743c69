"""Keeps the newest records of all partitions together in memory, up to a number of bytes."""

from collections import deque
from collections.abc import Sequence

from dispatcher.eventlog.base import Record
from dispatcher.eventlog.sqlite.batches import size_of
from dispatcher.eventlog.sqlite.partition import Partition

RECORD_BYTES = 300
"""What Python needs for a record besides its content."""


class Window:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._runs: deque[tuple[Partition, int, int]] = deque()  # partition, end offset, bytes

    def push(self, partition: Partition, records: Sequence[Record]) -> None:
        """Publish these records, and let the oldest go from memory where that needs room."""
        partition.published(records)
        size = sum(map(size_of, records)) + RECORD_BYTES * len(records)
        self._runs.append((partition, records[-1].offset + 1, size))
        self._size += size
        while self._size > self._limit:
            oldest, end, freed = self._runs.popleft()
            oldest.forget_before(end)
            self._size -= freed
