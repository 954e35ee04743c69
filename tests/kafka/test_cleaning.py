"""What the broker's own compaction leaves, read and followed."""

import asyncio

from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.kafka.log import KafkaLog

SOON = {"segment.ms": "500", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"}
PIECE = 1 << 20


async def offsets(log: KafkaLog, topic: str, start: int = 0) -> list[int]:
    found: list[int] = []
    while True:
        chunk = await log.read((topic, 0), start, PIECE)
        found += [record.offset for record in chunk.records]
        start = chunk.next_offset
        if start >= chunk.high_watermark:
            return found


async def compacted(log: KafkaLog, topic: str, gone: int) -> list[int]:
    """Give the broker reasons to close segments, until this offset is gone; what is left."""
    number = 0
    while gone in (left := await offsets(log, topic)):
        number += 1
        assert await log.append([Append(topic, b"more-%d" % number, b"v")]) == [None]
        await asyncio.wait([asyncio.ensure_future(log.read((topic, 0), 0, 1))], timeout=0.1)
    return left


async def test_gaps_are_read_over_and_followed_over(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic, config=SOON)])
    for key in (b"a", b"a", b"a", b"b", b"c", b"c", b"b", b"b"):
        assert await log.append([Append(topic, key, b"v")]) == [None]
    left = await compacted(log, topic, gone=0)
    assert left[:3] == [2, 5, 7]
    chunk = await log.read((topic, 0), 0, 1)
    assert ([r.offset for r in chunk.records], chunk.next_offset, chunk.start_offset) == ([2], 3, 0)
    chunk = await log.read((topic, 0), 3, 1)
    assert [r.offset for r in chunk.records] == [5]
    high = (await log.bounds([(topic, 0)]))[(topic, 0)][1]
    tail = await log.tail({(topic, 0): 0})
    followed, next_offset = [], 0
    while next_offset < high:
        for chunk in await tail.next():
            followed += [record.offset for record in chunk.records]
            next_offset = chunk.next_offset
    assert followed == left


async def test_a_tombstone_and_what_it_buried_go(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic, config=SOON)])
    await log.append([Append(topic, b"a", b"v"), Append(topic, b"b", b"v"), Append(topic, b"a", None)])
    left = await compacted(log, topic, gone=2)
    assert left[0] == 1, "b is there, and neither a nor its tombstone"
