"""Following a whole topic."""

import asyncio

import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.follow import Follower
from dispatcher.eventlog.memory import MemoryLog


class FlakyLog:
    """A real log whose reads fail while `away`."""

    def __init__(self, log):
        self.log = log
        self.away = False
        self.refused = asyncio.Event()
        self.topics, self.append = log.topics, log.append

    def _check(self):
        if self.away:
            self.refused.set()
            raise LogUnavailable("away")

    async def bounds(self, partitions):
        self._check()
        return await self.log.bounds(partitions)

    async def tail(self, want):
        self._check()
        return FlakyTail(self, await self.log.tail(want))


class FlakyTail:
    def __init__(self, flaky, tail):
        self.flaky, self.tail = flaky, tail
        self.retarget, self.close = tail.retarget, tail.close

    async def next(self):
        self.flaky._check()
        chunks = await self.tail.next()
        self.flaky._check()
        return chunks


class Seen:
    def __init__(self):
        self.keys = []
        self._more = asyncio.Event()

    def __call__(self, record):
        self.keys.append(record.key.decode())
        self._more.set()

    async def until(self, count):
        while len(self.keys) < count:
            self._more.clear()
            await self._more.wait()


@pytest.fixture
async def log():
    log = MemoryLog()
    await log.ensure_topics([TopicSpec("t", partitions=2)])
    yield log
    await log.close()


@pytest.fixture
def seen():
    return Seen()


async def append(log, *keys):
    assert not any(await log.append([Append("t", key.encode(), b"v") for key in keys]))


async def test_start_gives_all_that_is_there_and_then_what_comes(log, seen):
    await append(log, *(str(n) for n in range(100)))
    follower = Follower(log, "t", seen)
    await follower.start()
    assert sorted(map(int, seen.keys)) == list(range(100))
    await append(log, "new")
    await seen.until(101)
    await follower.close()
    await append(log, "after")
    assert seen.keys[-1] == "new"


async def test_an_empty_topic_starts_at_once(log, seen):
    follower = Follower(log, "t", seen)
    await follower.start()
    await append(log, "a")
    await seen.until(1)
    await follower.close()


async def test_it_recovers_from_a_log_that_was_away(log, seen):
    flaky = FlakyLog(log)
    follower = Follower(flaky, "t", seen, first_pause=0.001)
    flaky.away = True
    await append(log, "a")
    starting = asyncio.ensure_future(follower.start())
    await flaky.refused.wait()
    flaky.away = False
    await starting
    assert seen.keys == ["a"]
    flaky.away = True
    flaky.refused.clear()
    await append(log, "b", "c")
    await flaky.refused.wait()
    flaky.away = False
    await seen.until(3)
    assert sorted(seen.keys) == ["a", "b", "c"]
    await follower.close()


async def test_a_record_that_cannot_be_taken_does_not_stop_the_rest(log, caplog):
    seen = Seen()

    def take(record):
        if record.key == b"bad":
            raise ValueError("hostile")
        seen(record)

    await append(log, "a", "bad", "b")
    follower = Follower(log, "t", take)
    await follower.start()
    assert sorted(seen.keys) == ["a", "b"]
    assert "record not taken" in caplog.text
    await follower.close()


async def test_partitions_and_topics_made_later_are_followed(log, seen):
    follower = Follower(log, "later", seen, refresh_seconds=0.01)
    await follower.start()
    await log.ensure_topics([TopicSpec("later")])
    await log.append([Append("later", b"a", b"v")])
    await seen.until(1)
    await log.ensure_topics([TopicSpec("later", partitions=8)])
    await log.append([Append("later", b"%d" % n, b"v") for n in range(30)])
    await seen.until(31)
    await follower.close()
