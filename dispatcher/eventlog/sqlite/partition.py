"""What is known in memory about one partition."""

from bisect import bisect_left
from collections.abc import Container, Sequence
from operator import itemgetter

from dispatcher.eventlog.base import Record, TopicPartition

_offset = itemgetter(0)


class Partition:
    """Counters, and the records just appended (`recent`), which are read without touching the database.

    `start` to `oldest_ms` belong to the event loop; `next_offset` and `newest_ms` to the writer thread.
    """

    def __init__(self, name: TopicPartition, number: int, *, start: int, high: int, cleaned: int, newest_ms: int):
        self.name = name
        self.id = number
        self.start = start
        self.high = high
        self.cleaned = cleaned
        self.oldest_ms: int | None = None
        """Timestamp of the first record, once retention has looked."""
        self.next_offset = high
        self.newest_ms = newest_ms
        self._recent: list[Record] = []
        self._recent_from = high

    def has_recent(self, offset: int) -> bool:
        """Every record from this offset on is in memory."""
        return offset >= self._recent_from

    def recent(self, offset: int) -> tuple[Sequence[Record], int]:
        """The records in memory, and the index of the first one at or after `offset`."""
        return self._recent, bisect_left(self._recent, offset, key=_offset)

    def published(self, records: Sequence[Record]) -> None:
        self.high = records[-1].offset + 1
        self._recent.extend(records)

    def forget_before(self, offset: int) -> None:
        """These records are no longer in memory."""
        if offset > self._recent_from:
            self._recent_from = offset
            del self._recent[: bisect_left(self._recent, offset, key=_offset)]

    def forget(self, offsets: Container[int]) -> None:
        """These records are no longer in the log."""
        self._recent = [record for record in self._recent if record.offset not in offsets]
