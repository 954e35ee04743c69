"""A broker that stops, dies and hangs: nothing acknowledged is lost, and everybody recovers by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.journal import KafkaJournal, journal_spec
from dispatcher.eventlog.kafka.log import KafkaLog
from tests.kafka.broker import KafkaBroker

pytestmark = pytest.mark.timeout(120)
PATIENCE = 2.0


@pytest.fixture
async def log(fragile: KafkaBroker, prefix: str) -> AsyncIterator[KafkaLog]:
    await asyncio.to_thread(fragile.start)
    log = KafkaLog(Connection(fragile.endpoint), prefix=prefix, seconds=PATIENCE)
    await log.start()
    await log.ensure_topics([TopicSpec(prefix + "t", partitions=3)])
    yield log
    await log.close()


def items(prefix: str, start: int, count: int) -> list[Append]:
    return [Append(prefix + "t", b"%d" % n, b"v" * 500, b"tag") for n in range(start, start + count)]


async def keys(log: KafkaLog, prefix: str) -> list[int]:
    found: list[int] = []
    for partition, (start, high) in (await log.bounds([(prefix + "t", n) for n in range(3)])).items():
        while start < high:
            chunk = await log.read(partition, start, 1 << 20)
            found += [int(record.key or b"") for record in chunk.records]
            start = chunk.next_offset
    return found


async def test_what_was_acknowledged_survives_kill_9_under_load(
    log: KafkaLog, fragile: KafkaBroker, prefix: str
) -> None:
    acknowledged: set[int] = set()
    ended = asyncio.Event()
    progress = asyncio.Condition()

    async def load(first: int) -> None:
        number = first
        while not ended.is_set():
            outcomes = await log.append(items(prefix, number, 20))
            acknowledged.update(number + n for n, outcome in enumerate(outcomes) if outcome is None)
            number += 20
            async with progress:
                progress.notify_all()

    async def a_thousand_more() -> None:
        goal = len(acknowledged) + 1000
        async with progress:
            await progress.wait_for(lambda: len(acknowledged) >= goal)

    loads = [asyncio.create_task(load(first)) for first in (0, 10_000_000, 20_000_000)]
    for _ in range(2):
        await a_thousand_more()
        await asyncio.to_thread(fragile.kill9)
        await asyncio.to_thread(fragile.start)
    await a_thousand_more()
    ended.set()
    await asyncio.gather(*loads)
    found = await keys(log, prefix)
    assert acknowledged <= set(found)


async def test_without_a_broker_every_call_ends_in_time_and_says_why(
    log: KafkaLog, fragile: KafkaBroker, prefix: str
) -> None:
    assert await log.append(items(prefix, 0, 10)) == [None] * 10
    tail = await log.tail({(prefix + "t", n): 0 for n in range(3)})
    seen = [record for chunk in await tail.next() for record in chunk.records]
    while len(seen) < 10:
        seen += [record for chunk in await tail.next() for record in chunk.records]
    await asyncio.to_thread(fragile.stop)
    stopped = time.time()

    began = time.monotonic()
    small, bulk, read = await asyncio.gather(
        log.append(items(prefix, 10, 5)),
        log.append(items(prefix, 100, 500)),
        asyncio.gather(log.read((prefix + "t", 0), 0, 100), log.bounds([(prefix + "t", 0)]), return_exceptions=True),
    )
    assert {type(outcome) for outcome in small + bulk} == {LogUnavailable}
    assert [type(problem) for problem in read] == [LogUnavailable, LogUnavailable]
    assert time.monotonic() - began < PATIENCE + 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tail.next(), 0.5)
    assert tail.caught_up_at() < stopped + 0.1, "nobody knows what has been written since"

    await asyncio.to_thread(fragile.start)
    while set(await log.append(items(prefix, 1000, 5))) != {None}:
        pass
    while not any(record.key == b"1004" for chunk in await tail.next() for record in chunk.records):
        pass
    while tail.caught_up_at() < stopped + 1:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(tail.next(), 0.1)
    assert {*range(10), *range(1000, 1005)} <= set(await keys(log, prefix))


async def test_a_broker_that_hangs_is_as_good_as_away(log: KafkaLog, fragile: KafkaBroker, prefix: str) -> None:
    fragile.hang()
    try:
        began = time.monotonic()
        assert {type(outcome) for outcome in await log.append(items(prefix, 0, 3))} == {LogUnavailable}
        with pytest.raises(LogUnavailable):
            await log.read((prefix + "t", 0), 0, 100)
        assert time.monotonic() - began < 2 * PATIENCE + 1
    finally:
        fragile.go_on()
    while set(await log.append(items(prefix, 10, 3))) != {None}:
        pass


async def test_closing_does_not_wait_for_a_broker_that_is_away(
    log: KafkaLog, fragile: KafkaBroker, prefix: str
) -> None:
    tail = await log.tail({(prefix + "t", 0): 0})
    waiting = asyncio.ensure_future(tail.next())
    await log.read((prefix + "t", 0), 0, 100)
    await asyncio.to_thread(fragile.stop)
    began = time.monotonic()
    await log.append(items(prefix, 0, 1))
    await log.close()
    assert time.monotonic() - began < 15
    with pytest.raises(LogUnavailable):
        await waiting


async def test_starting_without_a_broker_tries_again_and_then_names_the_endpoint(fragile: KafkaBroker) -> None:
    await asyncio.to_thread(fragile.stop)
    with pytest.raises(StartupError, match=f"no Kafka answers at {fragile.endpoint}"):
        await KafkaLog(Connection(fragile.endpoint), connect_retries=1).start()
    late = KafkaLog(Connection(fragile.endpoint), connect_retries=20)
    starting = asyncio.ensure_future(late.start())
    await asyncio.to_thread(fragile.start)
    await starting
    await late.close()


async def test_the_journal_goes_on_after_an_outage(log: KafkaLog, fragile: KafkaBroker, prefix: str) -> None:
    journal = KafkaJournal(log, journal_spec(prefix + "system.dispatch"))
    log.close_first(journal.close)
    fence, _ = await journal.open(5)
    await journal.put(5, fence, {b"a": b"1"})
    await asyncio.to_thread(fragile.kill9)
    with pytest.raises(LogUnavailable):
        await journal.put(5, fence, {b"a": b"2", b"b": b"2"})
    await asyncio.to_thread(fragile.start)
    while True:
        try:
            await journal.put(5, fence, {b"a": b"3"})
            break
        except LogUnavailable:
            pass
    _, state = await journal.open(5)
    assert state[b"a"] == b"3"
