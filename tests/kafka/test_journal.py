"""Owners, zombies and what compaction must not do for them."""

import asyncio
from collections.abc import Callable

import pytest

from dispatcher.eventlog.base import Fenced
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.folding import fence_tag, item_key
from dispatcher.eventlog.kafka.journal import KafkaJournal, journal_spec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.records import headers_of
from dispatcher.eventlog.kafka.writing import Row
from tests.kafka.broker import KafkaBroker

SLOT = 3
Owner = Callable[[], KafkaJournal]


@pytest.fixture
async def owner(kafka: KafkaBroker, prefix: str):
    """Makes journals as separate processes have them; `lost` of each has the slots it was told about."""
    logs: list[KafkaLog] = []

    async def make() -> KafkaJournal:
        log = KafkaLog(Connection(kafka.endpoint), prefix=prefix)
        await log.start()
        logs.append(log)
        lost: list[int] = []
        journal = KafkaJournal(log, journal_spec(prefix + "system.dispatch"), on_lost=lost.append, watch_seconds=0.1)
        journal.lost = lost
        log.close_first(journal.close)
        return journal

    yield make
    for log in logs:
        await log.close()


async def stale_write(log: KafkaLog, prefix: str, fence: int, key: bytes, value: bytes | None) -> None:
    """What an owner writes that has not noticed yet."""
    row = Row(0, item_key(key), value, headers_of(fence_tag(fence)))
    await log.write((prefix + "system.dispatch", SLOT), [row])


async def test_the_first_owner_is_refused_and_told(owner) -> None:
    old, new = await owner(), await owner()
    old_fence, _ = await old.open(SLOT)
    await old.put(SLOT, old_fence, {b"a": b"old"})
    new_fence, state = await new.open(SLOT)
    assert state == {b"a": b"old"}
    assert new_fence > old_fence
    with pytest.raises(Fenced):
        await old.put(SLOT, old_fence, {b"a": b"zombie"})
    assert old.lost == [SLOT]
    await new.put(SLOT, new_fence, {b"b": b"new"})
    assert (await new.open(SLOT))[1] == {b"a": b"old", b"b": b"new"}


async def test_an_owner_that_writes_nothing_is_told_too(owner) -> None:
    told = asyncio.Event()
    old, new = await owner(), await owner()
    old._on_lost = lambda slot: told.set()
    await old.open(SLOT)
    await new.open(SLOT)
    await asyncio.wait_for(told.wait(), 5)


async def test_what_a_zombie_overwrote_is_written_again_by_the_owner(owner, log: KafkaLog, prefix: str) -> None:
    old, new = await owner(), await owner()
    old_fence, _ = await old.open(SLOT)
    new_fence, _ = await new.open(SLOT)
    await new.put(SLOT, new_fence, {b"a": b"new", b"gone": b"x"})
    await new.put(SLOT, new_fence, {b"gone": None})
    await log.ensure_topics([journal_spec(prefix + "system.dispatch")])
    await stale_write(log, prefix, old_fence, b"a", b"zombie")
    await stale_write(log, prefix, old_fence, b"gone", b"zombie")
    await new.put(SLOT, new_fence, {b"other": b"1"})
    newest = await newest_of_each_key(log, prefix)
    assert newest == {b"a": b"new", b"gone": None, b"other": b"1"}, "compaction would keep exactly these"


async def test_a_new_owner_repairs_what_nobody_else_did(owner, log: KafkaLog, prefix: str) -> None:
    old, new = await owner(), await owner()
    old_fence, _ = await old.open(SLOT)
    new_fence, _ = await new.open(SLOT)
    await new.put(SLOT, new_fence, {b"a": b"new"})
    await new.close()
    await log.ensure_topics([journal_spec(prefix + "system.dispatch")])
    await stale_write(log, prefix, old_fence, b"a", b"zombie")
    _, state = await (await owner()).open(SLOT)
    assert state == {b"a": b"new"}
    assert await newest_of_each_key(log, prefix) == {b"a": b"new"}


async def test_state_larger_than_a_batch(owner) -> None:
    journal = await owner()
    fence, _ = await journal.open(SLOT)
    big = {b"%d" % n: b"%d" % n * 100_000 for n in range(10, 60)}
    await journal.put(SLOT, fence, big)
    await journal.put(SLOT, fence, {b"10": None})
    _, state = await journal.open(SLOT)
    assert state == {key: value for key, value in big.items() if key != b"10"}
    assert not journal.lost


async def test_many_writers_of_one_owner_are_no_strangers(owner) -> None:
    journal = await owner()
    fence, _ = await journal.open(SLOT)
    await asyncio.gather(*(journal.put(SLOT, fence, {b"%d" % n: b"v"}) for n in range(100)))
    assert not journal.lost
    assert len((await journal.open(SLOT))[1]) == 100


async def newest_of_each_key(log: KafkaLog, prefix: str) -> dict[bytes, bytes | None]:
    chunk = await log.read((prefix + "system.dispatch", SLOT), 0, 1 << 20)
    return {r.key[1:]: r.value for r in chunk.records if r.key and r.key.startswith(item_key(b""))}
