"""A byte-bounded cache of runs of records, shared by the tail, all laggards and all replies."""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict

from dispatcher.eventlog.base import Chunk, Record, TopicPartition

MERGE_BELOW = 64 * 1024
"""Small runs from the tail are melted into one block up to about this size."""


def weight(records: list[Record]) -> int:
    """Bytes that records hold in memory, roughly."""
    return sum(160 + len(record.value or b"") + len(record.tag or b"") for record in records)


class Block:
    """Records of [start, next_offset) of one partition."""

    __slots__ = ("bytes", "next_offset", "offsets", "records", "start")

    def __init__(self, start: int, records: list[Record], next_offset: int) -> None:
        self.start = start
        self.next_offset = next_offset
        self.records = records
        self.offsets = [record.offset for record in records]
        self.bytes = weight(records)

    def extend(self, other: "Block") -> None:
        self.records.extend(other.records)
        self.offsets.extend(other.offsets)
        self.next_offset = other.next_offset
        self.bytes += other.bytes

    def find(self, offset: int) -> Record | None:
        offsets = self.offsets
        index = offset - self.start  # right where there are no gaps
        if not 0 <= index < len(offsets) or offsets[index] != offset:
            index = bisect_left(offsets, offset)
        return self.records[index] if index < len(offsets) and offsets[index] == offset else None

    def from_offset(self, offset: int) -> list[Record]:
        return self.records[bisect_left(self.offsets, offset) :]


class BlockCache:
    """Least recently used blocks go first when the bytes exceed the bound."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._bytes = 0
        self._blocks: OrderedDict[tuple[TopicPartition, int], Block] = OrderedDict()
        self._starts: dict[TopicPartition, list[int]] = {}
        self._last: tuple[TopicPartition, Block] | None = None
        """Where the last record was found: the next one is mostly there, too."""

    @property
    def bytes(self) -> int:
        return self._bytes

    def add(self, partition: TopicPartition, start: int, chunk: Chunk) -> None:
        """Keep what a read or the tail gave for [start, chunk.next_offset)."""
        block = Block(start, list(chunk.records), chunk.next_offset)
        if block.next_offset <= start or block.bytes > self._max:
            return
        if not self._melt(partition, block):
            if (partition, start) in self._blocks:
                self._drop(partition, start)
            self._blocks[partition, start] = block
            insort(self._starts.setdefault(partition, []), start)
        self._bytes += block.bytes
        while self._bytes > self._max:
            (oldest, first), _ = next(iter(self._blocks.items()))
            self._drop(oldest, first)

    def find(self, partition: TopicPartition, offset: int) -> Block | None:
        """The block that covers `offset`."""
        starts = self._starts.get(partition)
        if not starts:
            return None
        index = bisect_right(starts, offset) - 1
        if index < 0:
            return None
        block = self._blocks[partition, starts[index]]
        if offset >= block.next_offset:
            return None
        self._blocks.move_to_end((partition, block.start))
        return block

    def record(self, partition: TopicPartition, offset: int) -> Record | None:
        last = self._last
        if last is None or last[0] != partition or not last[1].start <= offset < last[1].next_offset:
            block = self.find(partition, offset)
            if block is None:
                return None
            last = self._last = (partition, block)
        return last[1].find(offset)

    def _melt(self, partition: TopicPartition, block: Block) -> bool:
        starts = self._starts.get(partition)
        if not starts:
            return False
        last = self._blocks[partition, starts[-1]]
        if last.next_offset != block.start or last.bytes + block.bytes > MERGE_BELOW:
            return False
        last.extend(block)
        self._blocks.move_to_end((partition, last.start))
        return True

    def _drop(self, partition: TopicPartition, start: int) -> None:
        block = self._blocks.pop((partition, start))
        if self._last is not None and self._last[1] is block:
            self._last = None
        self._bytes -= block.bytes
        starts = self._starts[partition]
        starts.remove(start)
        if not starts:
            del self._starts[partition]
