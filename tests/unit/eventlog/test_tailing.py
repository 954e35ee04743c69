"""A tail over a log whose reads take their time or fail."""

import asyncio

import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.eventlog.tailing import LogTail, Tails

A, B = ("a", 0), ("b", 0)


class SlowLog:
    """A real log; reads of `held` wait for `go_on`, reads of `broken` fail."""

    def __init__(self, log):
        self.log = log
        self.high_watermark = log.high_watermark
        self.held = self.broken = None
        self.reading, self.go_on = asyncio.Event(), asyncio.Event()

    async def read(self, partition, offset, max_bytes):
        if partition == self.broken:
            raise LogUnavailable("away")
        if partition == self.held:
            self.reading.set()
            await self.go_on.wait()
        return await self.log.read(partition, offset, max_bytes)


@pytest.fixture
async def slow():
    log = MemoryLog()
    await log.ensure_topics([TopicSpec("a"), TopicSpec("b")])
    await log.append([Append("a", b"1", b"v"), Append("b", b"2", b"v")])
    yield SlowLog(log)
    await log.close()


@pytest.fixture
async def tail(slow):
    tail = LogTail(slow, Tails(), lambda: 1e9)
    await tail.retarget({A: 0, B: 0})
    return tail


async def test_what_is_dropped_while_it_is_read_is_not_given(slow, tail):
    slow.held = A
    waiting = asyncio.ensure_future(tail.next())
    await slow.reading.wait()
    await tail.retarget({B: 0})
    slow.go_on.set()
    assert [chunk.partition for chunk in await waiting] == [B]


async def test_what_is_followed_anew_while_it_is_read_starts_where_asked(slow, tail):
    await slow.log.append([Append("a", b"3", b"v")])
    slow.held = A
    waiting = asyncio.ensure_future(tail.next())
    await slow.reading.wait()
    await tail.retarget({B: 0})
    await tail.retarget({A: 1, B: 0})
    slow.go_on.set()
    chunks = [*await waiting, *await tail.next()]
    assert [(chunk.partition, [r.key for r in chunk.records]) for chunk in chunks] == [(B, [b"2"]), (A, [b"3"])]


async def test_a_read_that_fails_loses_nothing(slow, tail):
    slow.broken = B
    with pytest.raises(LogUnavailable):
        await tail.next()
    slow.broken = None
    assert {chunk.partition for chunk in await tail.next()} == {A, B}


async def test_a_cancelled_read_loses_nothing(slow, tail):
    slow.held = B
    waiting = asyncio.ensure_future(tail.next())
    await slow.reading.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    slow.go_on.set()
    assert {chunk.partition for chunk in await tail.next()} == {A, B}
