"""The event log and the journal: two small interfaces that memory, SQLite and Kafka keep alike.

Words: a topic has partitions, a partition has records with growing offsets (gaps allowed: compaction and
retention take records away, offsets are never used twice).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

TopicPartition = tuple[str, int]

FOREVER = -1


class Record(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    """None is a tombstone: the key's earlier records are to be forgotten."""
    tag: bytes | None
    """Packed filter fields (dispatcher.hooks.header) on events and statuses."""


class Chunk(NamedTuple):
    """A run of records of one partition, as one read gives it."""

    partition: TopicPartition
    records: Sequence[Record]
    next_offset: int
    """Where to read on: may exceed the last offset + 1 (gaps)."""
    start_offset: int
    """First offset that retention has left."""
    high_watermark: int
    """One past the last offset ever given out. Caught up means next_offset >= high_watermark."""


class Append(NamedTuple):
    """One record to be written; the log chooses partition (hash of key) and offset."""

    topic: str
    key: bytes
    value: bytes | None
    tag: bytes | None = None


@dataclass(frozen=True)
class TopicSpec:
    """A topic and its limits, as wire contract 5.2 has them."""

    name: str
    partitions: int = 1
    cleanup: Literal["compact", "delete"] = "compact"
    retention_ms: int = FOREVER
    config: Mapping[str, str] = field(default_factory=dict)
    replication: int = 1
    """Copies of each partition, where the log keeps more than one."""


class LogUnavailable(Exception):
    """The log cannot take or give records now; nothing of this call is acknowledged."""


class RecordTooLarge(Exception):
    """The record exceeds the log's message limit; asking again will not help."""


class UnknownTopic(Exception):
    """No such topic: `ensure_topics` makes one."""


class TopicRefused(Exception):
    """The log will not have this topic as it is wanted; the text says which and why. Asking again will not help."""


class Fenced(Exception):
    """A newer owner has opened this slot: the caller must stop serving it."""


class Tail(Protocol):
    """Follows many partitions at once, each from a position of its own."""

    async def next(self) -> Sequence[Chunk]:
        """Wait until at least one followed partition has something new, then give what is there, in bounded chunks.

        Raises LogUnavailable, also after `close`. A failed or cancelled call moves no position: nothing is skipped.
        """
        ...

    async def retarget(self, want: Mapping[TopicPartition, int]) -> None:
        """Follow exactly these partitions, from these offsets. A partition already followed keeps its position."""
        ...

    def caught_up_at(self) -> float:
        """Unix time up to which everything appended has been given out by `next`."""
        ...

    async def close(self) -> None: ...


class EventLog(Protocol):
    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        """Write records; per item None (durable: it survives power loss) or why not.

        Items keep their order within a partition. Never raises for the fault of one item; a log that is away or
        closed gives LogUnavailable for every item that it did not take.
        """
        ...

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        """Records from `offset` on: at least one if there is one, about `max_bytes` of values at most.

        Below start_offset: reads from start_offset. At or past the high watermark: an empty chunk with
        next_offset = max(offset, high_watermark). Raises UnknownTopic.
        """
        ...

    async def tail(self, want: Mapping[TopicPartition, int]) -> Tail: ...

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """(start_offset, high_watermark) of each partition that exists."""
        ...

    async def offset_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int | None]:
        """First offset whose record is at or after this time; None when there is none."""
        ...

    def topics(self) -> Mapping[str, int]:
        """Names of topics and their partition counts."""
        ...

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Make missing topics, raise partition counts; an embedded log also takes over cleanup and retention of others.

        Raises LogUnavailable, TopicRefused.
        """
        ...

    async def close(self) -> None: ...


class Journal(Protocol):
    """Compacted key-value store in 64 slots, each with one owner at a time."""

    async def open(self, slot: int) -> tuple[int, dict[bytes, bytes]]:
        """Claim the slot: gives the fence of this claim and everything written so far."""
        ...

    async def open_many(self, slots: Sequence[int]) -> dict[int, tuple[int, dict[bytes, bytes]]]:
        """`open` for many slots at once: one wait instead of one for each."""
        ...

    async def peek(self, slot: int) -> dict[bytes, bytes]:
        """Everything written so far, without a claim: its owner goes on. Raises LogUnavailable."""
        ...

    async def put(self, slot: int, fence: int, items: Mapping[bytes, bytes | None]) -> None:
        """Write all items durably, in order, together (None removes). Raises Fenced, LogUnavailable."""
        ...


SLOTS = 64
