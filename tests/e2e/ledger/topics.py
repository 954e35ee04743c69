"""What the test does to topics behind the dispatchers' backs, and sees of them without asking a dispatcher."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

SOON = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"}
"""Compaction within seconds."""
_SLOTS = 64
_WAIT_MS = 1000


async def make_journal(endpoint: str, topic: str) -> None:
    """As a dispatcher makes it, but compacted within seconds."""
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoint)
    await admin.start()
    try:
        config = {**SOON, "cleanup.policy": "compact", "min.compaction.lag.ms": "0"}
        await admin.create_topics([NewTopic(topic, _SLOTS, 1, topic_configs=config)])
    finally:
        await admin.close()


async def is_forgotten(endpoint: str, topic: str) -> bool:
    """Whether there were events in this topic and the log has none of them any more."""
    async with _reader(endpoint, topic) as (_, starts, ends):
        return starts == ends and any(ends.values())


async def compacted_away(endpoint: str, topic: str) -> int:
    """How many records of this topic are gone from between others."""
    async with _reader(endpoint, topic) as (consumer, starts, ends):
        gone = sum(ends[place] - start for place, start in starts.items())
        for place, start in starts.items():
            consumer.seek(place, start)
        for place, end in ends.items():
            while await consumer.position(place) < end:
                gone -= sum(map(len, (await consumer.getmany(timeout_ms=_WAIT_MS)).values()))
    return gone


@asynccontextmanager
async def _reader(
    endpoint: str, topic: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, dict[TopicPartition, int], dict[TopicPartition, int]]]:
    """A consumer of the whole topic, and where each partition begins and ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=endpoint, client_id="ledger", auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = await _partitions(endpoint, topic)
        places = [TopicPartition(topic, number) for number in sorted(partitions)]
        consumer.assign(places)
        yield consumer, await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    finally:
        await consumer.stop()


async def _partitions(endpoint: str, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoint)
    await admin.start()
    try:
        [described] = await admin.describe_topics([topic])
        return [partition["partition"] for partition in described["partitions"]]
    finally:
        await admin.close()
