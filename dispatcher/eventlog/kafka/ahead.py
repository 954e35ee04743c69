"""What brokers sent beyond what a read asked for: kept for a moment for whoever reads on from there.

Brokers send whole batches, packed, so a piece of a scan is seldom what one fetch brings. Without this a scan in
pieces fetches and unpacks the same bytes several times.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from dispatcher.eventlog.base import Record, TopicPartition
from dispatcher.eventlog.runs import weight

AHEAD_BYTES = 2 << 20
"""Of one scan, unpacked; the rest is fetched again."""
TOTAL_BYTES = 8 << 20
SECONDS = 2.0
"""After that nobody reads on, or what is said of the partition's end is old."""
PLACES = 256


class Run(NamedTuple):
    records: list[Record]
    next_offset: int
    high_watermark: int


class _Kept(NamedTuple):
    run: Run
    bytes: int
    until: float


Place = tuple[TopicPartition, int]


class Ahead:
    """Runs by the place where they begin. `clock` in seconds, never going back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Place, _Kept] = OrderedDict()
        self._bytes = 0
        self._ends: OrderedDict[Place, None] = OrderedDict()

    @property
    def bytes(self) -> int:
        return self._bytes

    def room(self, partition: TopicPartition, offset: int) -> int:
        """Bytes worth unpacking beyond a read that begins here: none unless it goes on where one has ended."""
        return AHEAD_BYTES if (partition, offset) in self._ends else 0

    def take(self, partition: TopicPartition, offset: int) -> Run | None:
        """What begins at this offset; it is not kept any longer."""
        self._forget_old()
        kept = self._kept.pop((partition, offset), None)
        if kept is None:
            return None
        self._bytes -= kept.bytes
        return kept.run

    def split(self, partition: TopicPartition, run: Run, count: int) -> Run:
        """The first `count` records; the others are kept."""
        rest = run.records[count:]
        if rest:
            after = run.records[count - 1].offset + 1
            self._keep((partition, after), Run(rest, run.next_offset, run.high_watermark))
            run = Run(run.records[:count], after, run.high_watermark)
        self._ends[partition, run.next_offset] = None
        self._ends.move_to_end((partition, run.next_offset))
        if len(self._ends) > PLACES:
            self._ends.popitem(last=False)
        return run

    def _keep(self, place: Place, run: Run) -> None:
        self._drop(place)
        size = sum(map(weight, run.records))
        self._kept[place] = _Kept(run, size, self._clock() + SECONDS)
        self._bytes += size
        while self._bytes > TOTAL_BYTES:
            self._drop(next(iter(self._kept)))

    def _forget_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._drop(next(iter(self._kept)))

    def _drop(self, place: Place) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._bytes -= kept.bytes
