"""Which topics there are: asked for again and again, because nobody tells."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from dispatcher.eventlog.base import TopicPartition, UnknownTopic
from dispatcher.eventlog.kafka.clients import METADATA_MS, REQUEST_MS, Failures, away, named, started, stop
from dispatcher.eventlog.kafka.connection import Connection

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""A topic that another dispatcher has made is seen within this time."""
MISSED_LOOKS = 2
"""A topic counts as deleted when it was not there so many times in a row: a broker that starts may not know it yet."""


class Catalog:
    """Topics whose names begin with `prefix`, kept fresh.

    What is not in here must never be named to a producer or consumer: they would ask for it for ever.
    """

    def __init__(self, connection: Connection, prefix: str, look_seconds: float = LOOK_SECONDS) -> None:
        self._connection = connection
        self.prefix = prefix
        self._look_seconds = look_seconds
        self._missed: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.admin: AIOKafkaAdminClient
        self.counts: Mapping[str, int] = {}
        """Topic → partitions that have a leader. Replaced as a whole when something changes."""
        self.leaderless = 0
        self.replication: Mapping[str, int] = {}

    async def start(self) -> None:
        """Raises LogUnavailable."""
        self.admin = await started(
            AIOKafkaAdminClient(
                request_timeout_ms=REQUEST_MS, metadata_max_age_ms=METADATA_MS, **self._connection.options()
            )
        )
        try:
            await self.look()
        except BaseException:
            await stop(self.admin)
            raise
        self._task = asyncio.create_task(self._run(), name="topics of Kafka")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await stop(self.admin)

    async def look(self) -> None:
        """Raises LogUnavailable."""
        try:
            described = await self.admin.describe_topics()
        except Failures as problem:
            raise away(problem) from None
        self._take([topic for topic in described if topic["topic"].startswith(self.prefix)])

    def has(self, partition: TopicPartition) -> bool:
        return 0 <= partition[1] < self.counts.get(partition[0], 0)

    def check(self, partition: TopicPartition) -> None:
        """Raises UnknownTopic."""
        if not self.has(partition):
            raise UnknownTopic(named(partition))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except Exception as problem:
                logger.warning("topics cannot be listed: %s", problem, extra={"action": "topics"})

    def _take(self, described: list[dict[str, Any]]) -> None:
        found = {topic["topic"]: topic for topic in described if not topic["error_code"]}
        counts = {name: self._count(name, topic) for name, topic in found.items()}
        for name, count in self.counts.items():
            if name not in found:
                self._missed[name] = self._missed.get(name, 0) + 1
                if self._missed[name] < MISSED_LOOKS:
                    counts[name] = count
        self._missed = {name: times for name, times in self._missed.items() if name in counts and name not in found}
        counts = {name: count for name, count in counts.items() if count}
        if counts != self.counts:
            self.counts = counts
        self.leaderless = sum(p["leader"] < 0 for topic in found.values() for p in topic["partitions"])
        self.replication = {name: _copies(topic) for name, topic in found.items()}

    def _count(self, name: str, topic: dict[str, Any]) -> int:
        """Partitions, once each has a leader; what is known already stays known while its broker is away."""
        partitions = topic["partitions"]
        settled = all(partition["leader"] >= 0 for partition in partitions)
        return len(partitions) if settled else self.counts.get(name, 0)


def _copies(topic: dict[str, Any]) -> int:
    return min((len(partition["replicas"]) for partition in topic["partitions"]), default=0)
