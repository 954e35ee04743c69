"""Sets of offsets kept as sorted, disjoint, half-open ranges."""

from bisect import bisect_left, bisect_right
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

    @property
    def end(self) -> int:
        """One past the last offset; 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def first_from(self, low: int) -> int | None:
        """The first offset at or past `low`."""
        index = bisect_right(self._ends, low)
        return max(self._starts[index], low) if index < len(self._starts) else None

    def add(self, start: int, end: int) -> None:
        """Join [start, end) to the set; touching ranges melt together."""
        if start >= end:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def remove(self, start: int, end: int) -> int:
        """Take [start, end) out; gives how many offsets were there."""
        low = bisect_right(self._ends, start)
        high = bisect_left(self._starts, end)
        if start >= end or low >= high:
            return 0
        first, last = self._starts[low], self._ends[high - 1]
        gone = sum(self._ends[low:high]) - sum(self._starts[low:high])
        rest = [(a, b) for a, b in ((first, start), (end, last)) if a < b]
        self._starts[low:high] = [a for a, _ in rest]
        self._ends[low:high] = [b for _, b in rest]
        return gone - sum(b - a for a, b in rest)
