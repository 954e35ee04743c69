"""Batches: records of one partition, packed into one row; and their ids."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from dispatcher.eventlog.base import Record

OFFSET_BITS = 44
BATCH_BYTES = 64 << 10
"""A batch takes further records up to about this size; a larger record has a batch of its own."""

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Record]).decode


class Batch(NamedTuple):
    """A row: `first` and `last` are the offsets it stands for, also of records that compaction has removed."""

    partition: int
    first: int
    last: int
    newest_ms: int
    records: Sequence[Record]

    def row(self) -> tuple[int, int, int, bytes]:
        return row_id(self.partition, self.first), self.last, self.newest_ms, encode(self.records)


def row_id(partition: int, offset: int) -> int:
    return partition << OFFSET_BITS | offset


def offset_of(row: int) -> int:
    return row & ((1 << OFFSET_BITS) - 1)


def partition_id_of(row: int) -> int:
    return row >> OFFSET_BITS


def size_of(record: Record) -> int:
    """Bytes of content."""
    return len(record.key or b"") + len(record.value or b"") + len(record.tag or b"")


def split(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cut into runs of about BATCH_BYTES."""
    first, size = 0, 0
    for index, record in enumerate(records):
        size += size_of(record)
        if size > BATCH_BYTES and index > first:
            yield records[first:index]
            first, size = index, size_of(record)
    if records:
        yield records[first:]


def batches(partition: int, records: Sequence[Record]) -> Iterator[Batch]:
    for run in split(records):
        yield Batch(partition, run[0].offset, run[-1].offset, run[-1].timestamp_ms, run)
