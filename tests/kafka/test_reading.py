"""Ranged reads on a real broker: what they cost on the wire."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from tests.bench.logs import Kafka
from tests.kafka.broker import KafkaBroker

COUNT, SIZE = 6_000, 1_000
PIECE = 64 << 10


@pytest.fixture
def tapped(kafka: KafkaBroker) -> Iterator[Kafka]:
    """A broker of our own behind a counter of bytes; asks for the shared one only to be skipped where there is none."""
    with Kafka(tapped=True) as own:
        yield own


@pytest.mark.timeout(60)
async def test_a_scan_in_small_pieces_does_not_fetch_everything_again_and_again(tapped: Kafka) -> None:
    log = KafkaLog(Connection(tapped.endpoint))
    await log.start()
    try:
        await log.ensure_topics([TopicSpec("scanned")])
        for first in range(0, COUNT, 1_000):
            values = [b"%08d" % number + os.urandom(SIZE // 2).hex().encode() for number in range(first, first + 1_000)]
            assert not any(await log.append([Append("scanned", b"k", value) for value in values]))
        written = (await asyncio.to_thread(tapped.counts))["produce"]["sent"]
        before = (await asyncio.to_thread(tapped.counts)).get("fetch", {}).get("received", 0)
        seen: list[int] = []
        while len(seen) < COUNT:
            chunk = await log.read(("scanned", 0), len(seen), PIECE)
            assert sum(len(record.value or b"") for record in chunk.records) <= PIECE
            seen += [int((record.value or b"")[:8]) for record in chunk.records]
        assert seen == list(range(COUNT))
        fetched = (await asyncio.to_thread(tapped.counts))["fetch"]["received"] - before
        assert fetched < 2.5 * written, "brokers send whole batches, and the last one cut: twice is what that costs"
    finally:
        await log.close()
