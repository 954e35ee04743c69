"""How far each partition has been copied: kept in the destination's log, so that any machine can go on.

One record for each partition in a compacted topic, written only after everything before it is durable.
"""

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Final

import msgspec

from dispatcher.eventlog.base import Append, EventLog, LogUnavailable, TopicPartition, TopicSpec
from dispatcher.eventlog.topics import TopicNames
from dispatcher.reprocess.tally import Counts

TOPIC: Final = "reprocess"
READ_BYTES: Final = 1 << 20


class Position(msgspec.Struct):
    """Where to go on. `last` and `stamp` are offset and time of a record before that: if another one is there now,
    the topic has been made anew."""

    next: int
    last: int
    stamp: int
    counts: Counts


class Positions:
    """Of one origin, which `origin` names: the same topic names may come from several logs."""

    def __init__(self, log: EventLog, names: TopicNames, origin: str, replication: int = 1) -> None:
        self._log = log
        self._spec = TopicSpec(names.system(TOPIC), replication=replication)
        self._origin = origin
        self._known: dict[TopicPartition, Position] = {}

    async def make(self) -> None:
        """Raises LogUnavailable, TopicRefused."""
        await self._log.ensure_topics([self._spec])

    async def load(self) -> None:
        """Learn what earlier runs have written; nothing where there was none. Raises LogUnavailable."""
        partitions = [(self._spec.name, number) for number in range(self._log.topics().get(self._spec.name, 0))]
        for partition, (offset, high) in (await self._log.bounds(partitions)).items():
            while offset < high:
                chunk = await self._log.read(partition, offset, READ_BYTES)
                for record in chunk.records:
                    self._learn(record.key or b"", record.value)
                offset = chunk.next_offset

    def get(self, partition: TopicPartition) -> Position | None:
        return self._known.get(partition)

    async def store(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Durable on return. Raises LogUnavailable."""
        items = [Append(self._spec.name, self._key(at), msgspec.json.encode(to)) for at, to in positions.items()]
        for problem in await self._log.append(items):
            if problem is not None:
                raise LogUnavailable(str(problem))
        self._known.update(deepcopy(dict(positions)))

    def _key(self, partition: TopicPartition) -> bytes:
        topic, number = partition
        return f"{self._origin}/{topic}/{number}".encode()

    def _learn(self, key: bytes, value: bytes | None) -> None:
        origin, _, rest = key.decode(errors="replace").partition("/")
        topic, _, number = rest.rpartition("/")
        if origin == self._origin and value is not None and number.isdecimal():
            with suppress(msgspec.MsgspecError):  # of a version that we do not know: begin anew
                self._known[topic, int(number)] = msgspec.json.decode(value, type=Position)
