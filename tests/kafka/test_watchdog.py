"""What the watchdog sees of real clients, and that it ends only those that hang."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.watchdog import Watchdog
from tests.kafka.broker import KafkaBroker

pytestmark = pytest.mark.timeout(90)

PATIENCE = 5.0
APPENDS, READS = "answers to appends", "answers to reads"


@pytest.fixture
async def log(fragile: KafkaBroker, prefix: str) -> AsyncIterator[KafkaLog]:
    await asyncio.to_thread(fragile.start)
    log = KafkaLog(Connection(fragile.endpoint), prefix=prefix, seconds=2)
    await log.start()
    await log.ensure_topics([TopicSpec(prefix + "t")])
    yield log
    await log.close()


def silence(log: KafkaLog, name: str) -> float:
    return log.probes()[name]() or 0.0


async def append(log: KafkaLog, prefix: str) -> Exception | None:
    (outcome,) = await log.append([Append(prefix + "t", b"k", b"v")])
    return outcome


@contextlib.asynccontextmanager
async def busy(log: KafkaLog, prefix: str) -> AsyncIterator[None]:
    """Somebody reads, and somebody appends, one after the other."""
    tail = await log.tail({(prefix + "t", 0): 0})

    async def reading() -> None:
        while True:
            await tail.next()

    async def appending() -> None:
        while True:
            await append(log, prefix)

    tasks = [asyncio.create_task(reading()), asyncio.create_task(appending())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@contextlib.asynccontextmanager
async def watched(log: KafkaLog, fresh: KafkaLog) -> AsyncIterator[list[str]]:
    """What the watchdog of `log` says, which asks afresh as `fresh` does."""
    told: list[str] = []
    watchdog = Watchdog(log.probes(), fresh.ask_afresh, told.append, patience=PATIENCE, look_seconds=PATIENCE / 10)
    watchdog.start()
    try:
        yield told
    finally:
        await watchdog.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_log_that_works_is_never_silent(log: KafkaLog, prefix: str) -> None:
    probes = log.probes()
    assert probes[READS]() is None, "nobody reads"
    assert probes[APPENDS]() == 0
    tail = await log.tail({(prefix + "t", 0): 0})
    assert await append(log, prefix) is None
    await tail.next()
    assert probes[READS]() is None, "nobody waits for more"
    reading = asyncio.create_task(tail.next())
    await log.ask_afresh()
    assert silence(log, READS) < 5
    assert probes[APPENDS]() == 0
    reading.cancel()


async def test_a_broker_that_hangs_makes_everything_silent_and_asking_afresh_says_so(
    log: KafkaLog, prefix: str, fragile: KafkaBroker
) -> None:
    tail = await log.tail({(prefix + "t", 0): 0})
    reading = asyncio.create_task(tail.next())
    fragile.hang()
    try:
        assert isinstance(await append(log, prefix), LogUnavailable)
        again = asyncio.create_task(append(log, prefix))
        await _until(lambda: silence(log, APPENDS) > 2 and silence(log, READS) > 2)
        with pytest.raises((LogUnavailable, TimeoutError)):
            async with asyncio.timeout(3):
                await log.ask_afresh()
        assert isinstance(await again, LogUnavailable)
    finally:
        fragile.go_on()
    await _until(lambda: silence(log, READS) < 1)
    assert await append(log, prefix) is None
    assert log.probes()[APPENDS]() == 0
    reading.cancel()


async def test_who_appends_no_more_is_not_silent_after_an_outage(
    log: KafkaLog, prefix: str, fragile: KafkaBroker
) -> None:
    """The caller went away, or was refused, and nobody has come since."""
    fragile.hang()
    try:
        given_up = asyncio.create_task(append(log, prefix))
        assert isinstance(await append(log, prefix), LogUnavailable)
        given_up.cancel()
    finally:
        fragile.go_on()
    await _until(lambda: silence(log, APPENDS) == 0)
    assert await append(log, prefix) is None
    assert log.probes()[APPENDS]() == 0


async def test_brokers_that_were_away_for_long_end_nobody(log: KafkaLog, prefix: str, fragile: KafkaBroker) -> None:
    async with busy(log, prefix), watched(log, log) as told:
        await asyncio.to_thread(fragile.kill9)
        await _until(lambda: silence(log, READS) > PATIENCE and silence(log, APPENDS) > PATIENCE)
        await asyncio.to_thread(fragile.start)
        await _until(lambda: silence(log, READS) < 1 and silence(log, APPENDS) < 1)
        assert not told


async def test_clients_that_hang_although_kafka_answers_are_ended(
    log: KafkaLog, prefix: str, fragile: KafkaBroker, kafka: KafkaBroker
) -> None:
    """For this, the broker that answers is another one than the broker that they wait for."""
    healthy = KafkaLog(Connection(kafka.endpoint), prefix=prefix)
    await healthy.start()
    async with busy(log, prefix), watched(log, healthy) as told:
        fragile.hang()
        try:
            await _until(lambda: bool(told))
        finally:
            fragile.go_on()
    await healthy.close()
    assert "Kafka answers, but not us: no answers to" in told[0]
    assert len(told) == 1
