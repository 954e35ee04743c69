"""Topics and partitions: their rows in the database and their state in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import apsw

from dispatcher.eventlog.base import TopicPartition, TopicSpec, UnknownTopic
from dispatcher.eventlog.sqlite.batches import row_id
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.sqlite.query import Row, first, rows, value

_LAST = "SELECT last, ts FROM batch WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
_PARTITIONS = """
SELECT topic.name, cleanup, retention_ms, number, partition.id, start, floor, cleaned
FROM topic JOIN partition ON partition.topic = topic.id
"""
_ALL = f"{_PARTITIONS} ORDER BY topic.name, number"
_OF_TOPIC = f"{_PARTITIONS} WHERE topic.name = ? ORDER BY number"


class Found(NamedTuple):
    """A partition as the database has it."""

    topic: str
    cleanup: str
    retention_ms: int
    number: int
    id: int
    start: int
    cleaned: int
    next_offset: int
    newest_ms: int


@dataclass
class Topic:
    cleanup: str
    retention_ms: int
    partitions: list[Partition] = field(default_factory=list)

    def allows(self, spec: TopicSpec) -> bool:
        """The topic is already as this spec wants it."""
        limits = (self.cleanup, self.retention_ms) == (spec.cleanup, spec.retention_ms)
        return limits and len(self.partitions) >= spec.partitions


class Catalog:
    """All topics by name. Belongs to the event loop."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}

    def merge(self, found: Iterable[Found]) -> None:
        """Take over what a transaction made; what is known keeps its state."""
        for row in found:
            topic = self.topics.setdefault(row.topic, Topic(row.cleanup, row.retention_ms))
            if topic.cleanup != row.cleanup:  # see `ensure`: compaction starts over
                for partition in topic.partitions:
                    partition.cleaned = 0
            topic.cleanup, topic.retention_ms = row.cleanup, row.retention_ms
            if row.number == len(topic.partitions):
                topic.partitions.append(_partition(row))

    def partition(self, name: TopicPartition) -> Partition:
        """Raises UnknownTopic."""
        found = self.find(name)
        if found is None:
            raise UnknownTopic(f"{name[0]}, partition {name[1]}")
        return found

    def find(self, name: TopicPartition) -> Partition | None:
        topic = self.topics.get(name[0])
        known = topic is not None and 0 <= name[1] < len(topic.partitions)
        return topic.partitions[name[1]] if topic and known else None

    def existing(self, names: Iterable[TopicPartition]) -> list[Partition]:
        return [found for name in names if (found := self.find(name)) is not None]

    def missing(self, specs: Iterable[TopicSpec]) -> list[TopicSpec]:
        """Specs that the topics do not satisfy yet."""
        return [spec for spec in specs if spec.name not in self.topics or not self.topics[spec.name].allows(spec)]


def load(connection: apsw.Connection) -> list[Found]:
    """Every partition with its next offset: after its last record, or what cleaning noted down."""
    return [_found(connection, row) for row in rows(connection, _ALL)]


def ensure(connection: apsw.Connection, specs: Sequence[TopicSpec]) -> list[Found]:
    """Make or change these topics; gives all their partitions."""
    for spec in specs:
        _ensure(connection, spec)
    return [_found(connection, row) for spec in specs for row in rows(connection, _OF_TOPIC, (spec.name,))]


def _ensure(connection: apsw.Connection, spec: TopicSpec) -> None:
    before = value(connection, "SELECT cleanup FROM topic WHERE name = ?", (spec.name,))
    connection.execute(
        "INSERT INTO topic(name, cleanup, retention_ms) VALUES (?, ?, ?) ON CONFLICT(name) "
        "DO UPDATE SET cleanup = excluded.cleanup, retention_ms = excluded.retention_ms",
        (spec.name, spec.cleanup, spec.retention_ms),
    )
    topic = value(connection, "SELECT id FROM topic WHERE name = ?", (spec.name,))
    numbers = [(topic, number) for number in range(spec.partitions)]
    connection.executemany("INSERT OR IGNORE INTO partition(topic, number) VALUES (?, ?)", numbers)
    if before not in (None, spec.cleanup):
        _forget_compaction(connection, topic)


def _forget_compaction(connection: apsw.Connection, topic: int) -> None:
    """Retention decides now, also about tombstones; should compaction come back, it starts over."""
    for (partition,) in rows(connection, "SELECT id FROM partition WHERE topic = ?", (topic,)):
        connection.execute("UPDATE partition SET cleaned = 0 WHERE id = ?", (partition,))
        connection.execute("DELETE FROM newest WHERE partition = ?", (partition,))
        connection.execute("DELETE FROM tombstone WHERE id BETWEEN ? AND ?", _ids(partition))


def _found(connection: apsw.Connection, row: Row) -> Found:
    topic, cleanup, retention_ms, number, partition, start, floor, cleaned = row
    last, newest_ms = first(connection, _LAST, _ids(partition)) or (-1, 0)
    next_offset = max(floor, last + 1)
    return Found(topic, cleanup, retention_ms, number, partition, start, cleaned, next_offset, newest_ms)


def _ids(partition: int) -> tuple[int, int]:
    return row_id(partition, 0), row_id(partition + 1, 0) - 1


def _partition(row: Found) -> Partition:
    return Partition(
        (row.topic, row.number),
        row.id,
        start=row.start,
        high=row.next_offset,
        cleaned=row.cleaned,
        newest_ms=row.newest_ms,
    )
