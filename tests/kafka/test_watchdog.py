"""What the watchdog sees of a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from tests.kafka.broker import KafkaBroker

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def log(fragile: KafkaBroker, prefix: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(Connection(fragile.endpoint), prefix=prefix, seconds=2)
    await log.start()
    await log.ensure_topics([TopicSpec(prefix + "t")])
    yield log
    await log.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_log_that_works_is_never_silent(log: KafkaLog, prefix: str) -> None:
    probes = log.probes()
    assert [probe() for probe in probes.values()] == [None, None], "nothing is waited for"
    tail = await log.tail({(prefix + "t", 0): 0})
    assert await log.append([Append(prefix + "t", b"k", b"v")]) == [None]
    await tail.next()
    reading = asyncio.create_task(tail.next())
    await log.ask_afresh()
    assert (probes["answers to reads"]() or 0.0) < 5
    assert probes["answers to appends"]() is None
    reading.cancel()


async def test_a_broker_that_hangs_makes_everything_silent_and_asking_afresh_says_so(
    log: KafkaLog, prefix: str, fragile: KafkaBroker
) -> None:
    probes = log.probes()
    tail = await log.tail({(prefix + "t", 0): 0})
    reading = asyncio.create_task(tail.next())
    fragile.hang()
    try:
        (refused,) = await log.append([Append(prefix + "t", b"k", b"v")])
        assert isinstance(refused, LogUnavailable)
        assert (probes["answers to appends"]() or 0.0) >= 2
        await _until(lambda: (probes["answers to reads"]() or 0.0) > 2)
        with pytest.raises((LogUnavailable, TimeoutError)):
            async with asyncio.timeout(3):
                await log.ask_afresh()
    finally:
        fragile.go_on()
    await _until(lambda: (probes["answers to reads"]() or 0.0) < 1)
    assert await log.append([Append(prefix + "t", b"k", b"v")]) == [None]
    assert probes["answers to appends"]() is None
    reading.cancel()
