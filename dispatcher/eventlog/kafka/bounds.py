"""First and last offsets of many partitions at once, and offsets by time."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned

from dispatcher.eventlog.base import TopicPartition
from dispatcher.eventlog.kafka.clients import Failures, away, open_consumer, stop
from dispatcher.eventlog.kafka.connection import Connection

SECONDS = 10.0


class Bounds:
    """One consumer that never reads. It holds a partition of every topic, so that it knows all leaders by itself."""

    def __init__(self, connection: Connection, topics: Callable[[], Collection[str]], seconds: float = SECONDS) -> None:
        self._connection = connection
        self._topics = topics
        self._seconds = seconds
        self._held: frozenset[str] = frozenset()
        self._consumer: AIOKafkaConsumer
        self.starts: dict[TopicPartition, int] = {}
        """First offsets as they were last seen; they only grow."""

    async def start(self) -> None:
        """Raises LogUnavailable."""
        self._consumer = await open_consumer(self._connection)

    async def close(self) -> None:
        await stop(self._consumer)

    async def of(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """(start, high watermark) of partitions that exist. Raises LogUnavailable."""
        if not partitions:
            return {}
        places = [Assigned(*partition) for partition in partitions]
        self._hold()
        try:
            async with asyncio.timeout(self._seconds):
                # the end last: a start is never past it then
                starts = await self._consumer.beginning_offsets(places)
                ends = await self._consumer.end_offsets(places)
        except Failures as problem:
            raise away(problem) from None
        found = {(place.topic, place.partition): (starts[place], ends[place]) for place in places}
        self.starts.update((partition, start) for partition, (start, _) in found.items())
        return found

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """High watermarks alone. Raises LogUnavailable."""
        if not partitions:
            return {}
        self._hold()
        try:
            async with asyncio.timeout(self._seconds):
                ends = await self._consumer.end_offsets([Assigned(*partition) for partition in partitions])
        except Failures as problem:
            raise away(problem) from None
        return {(place.topic, place.partition): end for place, end in ends.items()}

    async def at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int | None]:
        """First offsets at or after a time. Raises LogUnavailable."""
        if not partitions:
            return {}
        self._hold()
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._consumer.offsets_for_times(
                    {Assigned(*partition): timestamp_ms for partition in partitions}
                )
        except Failures as problem:
            raise away(problem) from None
        return {(place.topic, place.partition): entry and entry.offset for place, entry in found.items()}

    def _hold(self) -> None:
        names = frozenset(self._topics())
        if names == self._held:
            return
        self._held = names
        places = [Assigned(name, 0) for name in sorted(names)]
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, 0)
            self._consumer.pause(place)
