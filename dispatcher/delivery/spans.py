"""Sets of offsets kept as sorted, disjoint, half-open ranges."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """Offsets that are still to be looked at. All operations keep the ranges sorted and apart."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._starts, offset) - 1
        return index >= 0 and offset < self._ends[index]

    def __len__(self) -> int:
        """How many offsets, not how many ranges."""
        return sum(self._ends) - sum(self._starts)

    def first(self) -> tuple[int, int]:
        return self._starts[0], self._ends[0]

    def add(self, start: int, end: int) -> None:
        """Join [start, end) to the set; touching ranges melt together."""
        if start >= end:
            return
        low = bisect_right(self._starts, start)
        if low and self._ends[low - 1] >= start:
            low -= 1
            start = self._starts[low]
        high = low
        while high < len(self._starts) and self._starts[high] <= end:
            end = max(end, self._ends[high])
            high += 1
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def remove(self, start: int, end: int) -> int:
        """Take [start, end) out; gives how many offsets were there."""
        gone = 0
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            low, high = self._starts[index], self._ends[index]
            cut_low, cut_high = max(low, start), min(high, end)
            if cut_low >= cut_high:
                index += 1
                continue
            gone += cut_high - cut_low
            rest = [(a, b) for a, b in ((low, cut_low), (cut_high, high)) if a < b]
            self._starts[index : index + 1] = [a for a, _ in rest]
            self._ends[index : index + 1] = [b for _, b in rest]
            index += len(rest)
        return gone
