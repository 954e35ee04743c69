"""Short topic names for a test on a shared broker: each test sees only its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dispatcher.eventlog.base import Append, Chunk, TopicPartition, TopicSpec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.tail import KafkaTail


class Apart:
    """A KafkaLog whose topics have `prefix` in front, which the test does not see."""

    def __init__(self, log: KafkaLog, prefix: str) -> None:
        self._log = log
        self._prefix = prefix

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        return await self._log.append([item._replace(topic=self._prefix + item.topic) for item in items])

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        return self._short(await self._log.read(self._full(partition), offset, max_bytes))

    async def tail(self, want: Mapping[TopicPartition, int]) -> "_Tail":
        return _Tail(await self._log.tail(self._wanted(want)), self)

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        found = await self._log.bounds([self._full(partition) for partition in partitions])
        return {self._own(partition): bounds for partition, bounds in found.items()}

    async def offset_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int | None]:
        found = await self._log.offset_at([self._full(partition) for partition in partitions], timestamp_ms)
        return {self._own(partition): offset for partition, offset in found.items()}

    def topics(self) -> Mapping[str, int]:
        return {self._own((name, 0))[0]: count for name, count in self._log.topics().items()}

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        await self._log.ensure_topics([replace(spec, name=self._prefix + spec.name) for spec in specs])

    async def close(self) -> None:
        await self._log.close()

    def _full(self, partition: TopicPartition) -> TopicPartition:
        return (self._prefix + partition[0], partition[1])

    def _own(self, partition: TopicPartition) -> TopicPartition:
        return (partition[0].removeprefix(self._prefix), partition[1])

    def _wanted(self, want: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {self._full(partition): offset for partition, offset in want.items()}

    def _short(self, chunk: Chunk) -> Chunk:
        return chunk._replace(partition=self._own(chunk.partition))


class _Tail:
    def __init__(self, tail: KafkaTail, apart: Apart) -> None:
        self._tail = tail
        self._apart = apart

    async def next(self) -> Sequence[Chunk]:
        return [self._apart._short(chunk) for chunk in await self._tail.next()]

    async def retarget(self, want: Mapping[TopicPartition, int]) -> None:
        await self._tail.retarget(self._apart._wanted(want))

    def caught_up_at(self) -> float:
        return self._tail.caught_up_at()

    async def close(self) -> None:
        await self._tail.close()
