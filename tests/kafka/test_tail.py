"""What the tail knows of time, and what it does with places that are not there any more."""

import asyncio
import contextlib
import time

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as Place
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from dispatcher.eventlog.base import Append, Record, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.tail import KafkaTail
from tests.kafka.broker import KafkaBroker


async def caught_up(tail: KafkaTail, moment: float) -> None:
    while tail.caught_up_at() < moment:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(tail.next(), 0.1)


async def records(tail: KafkaTail, count: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < count:
        found += [record for chunk in await tail.next() for record in chunk.records]
    return found


async def test_it_is_caught_up_once_everything_was_given_out(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic)])
    await log.append([Append(topic, b"a", b"1")])
    tail = await log.tail({(topic, 0): 0})
    assert tail.caught_up_at() == 0.0, "nothing is known yet"
    await caught_up(tail, time.time())
    given = await log.append([Append(topic, b"b", b"2")])
    appended = time.time()
    assert given == [None]
    assert tail.caught_up_at() < appended
    await records(tail, 1)
    await caught_up(tail, appended)
    assert tail.caught_up_at() <= time.time()


async def test_what_is_fetched_but_not_given_out_counts_as_behind(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic)])
    await log.append([Append(topic, b"%d" % n, b"v" * 1_000_000) for n in range(40)])
    began = time.time()
    tail = await log.tail({(topic, 0): 0})
    first = await tail.next()
    assert sum(len(record.value or b"") for chunk in first for record in chunk.records) <= 17 << 20
    assert tail.caught_up_at() < began
    await records(tail, 40 - sum(len(chunk.records) for chunk in first))
    await caught_up(tail, began)


async def test_it_is_caught_up_under_steady_load(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic)])
    tail = await log.tail({(topic, 0): 0})
    ended = asyncio.Event()

    async def load() -> None:
        while not ended.is_set():
            await log.append([Append(topic, b"k", b"v" * 100)] * 20)

    loading = asyncio.create_task(load())
    moment = time.time() + 1
    while tail.caught_up_at() < moment:
        await tail.next()
    ended.set()
    await loading


async def test_nothing_to_follow_is_always_caught_up(log: KafkaLog) -> None:
    tail = await log.tail({})
    assert abs(tail.caught_up_at() - time.time()) < 1


async def test_what_retention_took_is_stepped_over(kafka: KafkaBroker, log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic, cleanup="delete")])
    await log.append([Append(topic, b"%d" % n, b"v") for n in range(10)])
    tail = await log.tail({(topic, 0): 0})
    assert len(await records(tail, 10)) == 10
    behind = await log.tail({(topic, 0): 3})
    await delete_before(kafka, topic, 7)
    [chunk] = await (await log.tail({(topic, 0): 3})).next()
    assert ([r.offset for r in chunk.records], chunk.start_offset) == ([7, 8, 9], 7)
    assert (await records(behind, 3))[-1].offset == 9
    chunk = await log.read((topic, 0), 3, 1000)
    assert ([r.offset for r in chunk.records], chunk.start_offset, chunk.next_offset) == ([7, 8, 9], 7, 10)
    assert await log.bounds([(topic, 0)]) == {(topic, 0): (7, 10)}

    await delete_before(kafka, topic, 10)
    [chunk] = await (await log.tail({(topic, 0): 3})).next()
    assert (list(chunk.records), chunk.start_offset, chunk.next_offset) == ([], 10, 10)
    chunk = await log.read((topic, 0), 3, 1000)
    assert (list(chunk.records), chunk.start_offset, chunk.next_offset) == ([], 10, 10)


async def test_offsets_without_records_at_the_end_are_passed(kafka: KafkaBroker, log: KafkaLog, prefix: str) -> None:
    """Somebody who writes in transactions leaves a marker behind each, which has an offset and is no record."""
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka.endpoint, transactional_id=prefix)
    async with producer, producer.transaction():
        await producer.send(topic, b"v", b"k")
    tail = await log.tail({(topic, 0): 0})
    chunks = list(await tail.next())
    while chunks[-1].next_offset < 2:
        chunks += await tail.next()
    assert [record.offset for chunk in chunks for record in chunk.records] == [0]
    await caught_up(tail, time.time())
    chunk = await log.read((topic, 0), 1, 100)
    assert (list(chunk.records), chunk.next_offset, chunk.high_watermark) == ([], 2, 2)


async def test_a_place_past_the_end_is_the_end(log: KafkaLog, prefix: str) -> None:
    topic = prefix + "t"
    await log.ensure_topics([TopicSpec(topic)])
    await log.append([Append(topic, b"a", b"1")])
    tail = await log.tail({(topic, 0): 1000})
    await tail.next()
    await log.append([Append(topic, b"b", b"2")])
    assert [record.key for record in await records(tail, 1)] == [b"b"]


async def test_a_deleted_topic_is_followed_no_more_and_the_others_go_on(kafka: KafkaBroker, prefix: str) -> None:
    log = KafkaLog(Connection(kafka.endpoint), prefix=prefix, look_seconds=0.1)
    await log.start()
    try:
        await log.ensure_topics([TopicSpec(prefix + "gone"), TopicSpec(prefix + "stays")])
        tail = await log.tail({(prefix + "gone", 0): 0, (prefix + "stays", 0): 0})
        admin = await administrator(kafka)
        await admin.delete_topics([prefix + "gone"])
        await admin.close()
        while prefix + "gone" in log.topics():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tail.next(), 0.1)
        await log.append([Append(prefix + "stays", b"a", b"1")])
        assert len(await records(tail, 1)) == 1
        await caught_up(tail, time.time())
    finally:
        await log.close()


async def test_partitions_added_by_somebody_else_are_seen_and_written_to(kafka: KafkaBroker, prefix: str) -> None:
    topic = prefix + "t"
    ours, theirs = (KafkaLog(Connection(kafka.endpoint), prefix=prefix, look_seconds=0.1) for _ in range(2))
    await asyncio.gather(ours.start(), theirs.start())
    try:
        await ours.ensure_topics([TopicSpec(topic)])
        assert await ours.append([Append(topic, b"a", b"1")]) == [None]
        await theirs.ensure_topics([TopicSpec(topic, partitions=5)])
        tail = await theirs.tail({(topic, n): 0 for n in range(5)})
        while ours.topics() != {topic: 5}:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tail.next(), 0.1)
        assert await ours.append([Append(topic, b"%d" % n, b"1") for n in range(40)]) == [None] * 40
        highs = [high for _, high in (await ours.bounds([(topic, n) for n in range(5)])).values()]
        assert sum(highs) == 41
        assert all(highs)
    finally:
        await asyncio.gather(ours.close(), theirs.close())


async def administrator(kafka: KafkaBroker) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.endpoint)
    await admin.start()
    return admin


async def delete_before(kafka: KafkaBroker, topic: str, offset: int) -> None:
    admin = await administrator(kafka)
    await admin.delete_records({Place(topic, 0): RecordsToDelete(offset)})
    await admin.close()
