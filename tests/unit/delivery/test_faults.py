"""Delivery on a log that is slow, fails, repeats itself and changes under it: nothing is lost, nothing doubled.

Wherever a test says "at any point", it does so at every single one.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.errors import Unavailable
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import EventView, Subscription

NAMES = TopicNames("t")
PLUG = Subscription("plug", "1", "binary", expedite=True, live=True, historic=True, task=True)
READER = Subscription("reader", "1", "binary", live=True, historic=True)
LIVE = Subscription("live", "1", "binary", live=True)


class Slow:
    """An event filter that waits."""

    name = "Slow"

    def applies(self, subscription: Subscription) -> bool:
        return True

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        await asyncio.sleep(0)
        return None


async def cancelled_after(turns: int, work: Any) -> bool:
    """Cancel after so many turns of the loop; False when it had ended before."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        task.result().give_back()
        return False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True


# ---- cancellation


@pytest.mark.parametrize("wanted", [PLUG, READER], ids=["jobs", "passive"])
async def test_a_first_poll_may_be_cancelled_at_any_point(new_hub: Any, wanted: Subscription) -> None:
    turns = 0
    while True:
        async with new_hub(event_filters=[Slow()]) as hub:
            hub.faults.steps = 2
            posted = await hub.post(4)
            was_cancelled = await cancelled_after(turns, hub.batch(wanted, 4, 5.0))
            later = await hub.post(2)
            assert sorted(await hub.hashes(wanted, 6, 5.0)) == posted + later, turns
            assert await hub.post(1) == await hub.hashes(wanted, 1, 5.0), turns
        if not was_cancelled:
            break
        turns += 1
    assert turns > 15, "there were that many points"


async def test_a_poll_with_redeliveries_may_be_cancelled_at_any_point(new_hub: Any) -> None:
    """What comes again keeps its attempt, whoever goes away with it."""
    turns = 0
    while True:
        async with new_hub(event_filters=[Slow()]) as hub:
            await hub.post(3)
            for event in await hub.fetch(PLUG, 2):
                await hub.delivery.release(event["dequeued"], 0)
            (other,) = await hub.hashes(PLUG, 1)
            await hub.until(lambda: len(hub.delivery.scheduler.roster.subscribers) == 1)
            hub.faults.steps = 1
            was_cancelled = await cancelled_after(turns, hub.batch(PLUG, 3, 5.0))
            again = await hub.fetch(PLUG, 2, 5.0)
            assert sorted(event["dequeued"].split(".")[-2].split("-")[4] for event in again) == ["2", "2"], turns
            assert other not in [event["entity"]["sha256"] for event in again]
            assert await hub.fetch(PLUG) == []
        if not was_cancelled or turns > 60:
            break
        turns += 1


async def test_a_woken_poll_that_is_cancelled_passes_its_news_on(hub: Any) -> None:
    for turns in range(6):
        first = asyncio.create_task(hub.batch(PLUG, 1, 20.0))
        second = asyncio.create_task(hub.hashes(PLUG, 1, 20.0))
        await hub.until(lambda: _waiting(hub) == 2)
        posted = await hub.post(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        if first.done():
            first.result().give_back()
        first.cancel()
        async with asyncio.timeout(2):
            assert await second == posted
        assert _waiting(hub) == 0


def _waiting(hub: Any) -> int:
    return sum(len(subscriber.waiters) for subscriber in hub.delivery.scheduler.roster.subscribers.values())


@pytest.mark.parametrize("wanted", [PLUG, READER], ids=["jobs", "passive"])
async def test_a_batch_that_is_dropped_without_a_word_comes_again(hub: Any, wanted: Subscription) -> None:
    posted = await hub.post(3)
    batch = await hub.batch(wanted, 2)
    assert len(batch.events) == 2
    del batch
    assert sorted(await hub.hashes(wanted, 3, 5.0)) == posted


async def test_a_first_poll_that_is_cancelled_does_not_deafen_the_tail(new_hub: Any) -> None:
    """The tail was being pointed at its partitions; another subscriber relies on that, too."""
    for turns in range(40):
        async with new_hub() as hub:
            hub.faults.steps = 3
            await cancelled_after(turns, hub.batch(LIVE, 1, 5.0))
            waiting = asyncio.create_task(hub.hashes(replace(LIVE, name="other"), 1, 10.0))
            await hub.until(lambda: _waiting(hub) == 1)
            assert await hub.post(1) == await waiting, turns


# ---- failures


@pytest.mark.parametrize("wanted", [PLUG, READER], ids=["jobs", "passive"])
async def test_any_one_operation_may_fail(new_hub: Any, wanted: Subscription) -> None:
    """Registration, reads, following, journal: the poll says so, and the next one gets everything."""
    number = 0
    while True:
        number += 1
        async with new_hub() as hub:
            posted = await hub.post(3)
            hub.faults.fail_at = hub.faults.count + number
            try:
                seen = await hub.hashes(wanted, 5)
            except Unavailable:
                seen = []
            posted += await hub.post(2)
            failed = hub.faults.count >= hub.faults.fail_at
            hub.faults.fail_at = -1
            seen += await hub.hashes(wanted, 5 - len(seen), 5.0)
            assert sorted(seen) == posted, hub.faults.seen
            assert await hub.post(1) == await hub.hashes(wanted, 1, 5.0)
        if not failed:
            break
    assert number > 4


async def test_a_registration_that_is_not_durable_is_none(hub: Any) -> None:
    """Else a crash would move its beginning."""
    hub.faults.failing.add("put")
    with pytest.raises(Unavailable):
        await hub.batch(LIVE)
    assert not hub.delivery.scheduler.roster.subscribers
    between = await hub.post(1)
    hub.faults.failing.clear()
    await hub.batch(LIVE)
    after = await hub.post(1)
    await hub.take_over()
    assert await hub.hashes(LIVE, 9, 0.5) == after, between


async def test_nobody_is_answered_before_the_registration_is_durable(hub: Any) -> None:
    """Two workers of a new plugin start together."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await release.wait()

    hub.faults.hooks["put"] = hold
    await hub.post(2)
    first = asyncio.create_task(hub.hashes(READER, 1, 5.0))
    await entered.wait()
    second = asyncio.create_task(hub.hashes(READER, 1, 5.0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not second.done()
    release.set()
    assert len({*await first, *await second}) == 2
    assert len(hub.delivery._registry._locks) == 0


async def test_the_tail_survives_a_log_that_goes_away(hub: Any) -> None:
    await hub.hashes(LIVE)
    hub.faults.failing.add("next")
    first = await hub.post(1)  # wakes the tail up, which then fails
    assert await hub.hashes(LIVE, 1, 5.0) == first
    second = await hub.post(1)
    await hub.until(lambda: "next" in hub.faults.seen)
    hub.faults.failing.clear()
    assert await hub.hashes(LIVE, 1, 5.0) == second


async def test_news_that_come_twice_are_seen_once(hub: Any) -> None:
    hub.log.repeat_chunks = True
    await hub.hashes(LIVE)
    posted = await hub.post(5)
    assert await hub.hashes(LIVE, 5, 5.0) == posted
    assert await hub.hashes(LIVE, 5, 0.0) == []


async def test_a_header_filter_that_raises_stops_nobody(new_hub: Any) -> None:
    class Picky:
        name = "Picky"
        broken = True

        def reject(self, header: Any, subscription: Subscription) -> str | None:
            if self.broken and subscription.name == "live":
                raise ValueError("a bug in a hook")
            return None

    picky = Picky()
    async with new_hub(header_filters=[picky]) as hub:
        other = replace(LIVE, name="other")
        await hub.hashes(LIVE)
        await hub.hashes(other)
        posted = await hub.post(3)
        assert await hub.hashes(other, 3, 5.0) == posted
        assert await hub.hashes(LIVE, 3) == []
        picky.broken = False
        hub.clock.now += 3
        assert await hub.hashes(LIVE, 3, 5.0) == posted
        assert hub.sample("events_consume_pipelines_error_total", pipeline="Picky") >= 1


# ---- a log that changes


async def test_a_topic_made_by_the_event_itself_reaches_a_poll_that_waits(hub: Any) -> None:
    waiting = asyncio.create_task(hub.hashes(LIVE, 1, 10.0))
    await hub.until(lambda: _waiting(hub) == 1)
    await hub.source("new")
    posted = await hub.post(1, "new")
    async with asyncio.timeout(1):
        assert await waiting == posted


async def test_more_partitions_while_a_poll_waits(hub: Any) -> None:
    waiting = asyncio.create_task(hub.hashes(LIVE, 8, 10.0))
    await hub.until(lambda: _waiting(hub) == 1)
    await hub.source("lab", 3)
    posted = await hub.post(8)
    assert sorted(await waiting) == posted


@pytest.mark.parametrize("moment", ["bounds", "put"])
async def test_a_topic_that_is_made_while_somebody_registers(hub: Any, moment: str) -> None:
    """It is newer than the subscriber, so all of it is for it, whether the look around saw it or not."""

    async def make() -> None:
        await hub.source("new")
        hub.posted_there = await hub.post(2, "new")
        await hub.delivery._registry.discover()

    hub.faults.hooks[moment] = make
    assert await hub.hashes(LIVE, 2, 2.0) == hub.posted_there


async def test_a_topic_that_is_made_while_the_tail_is_pointed(hub: Any) -> None:
    async def make() -> None:
        await hub.source("new")
        hub.posted_there = await hub.post(1, "new")
        await hub.delivery._registry.discover()

    hub.faults.hooks["retarget"] = make
    assert await hub.hashes(LIVE, 1, 2.0) == hub.posted_there


async def test_unfollowing_and_following_cross(hub: Any) -> None:
    """One plugin leaves while another one comes, and events arrive in between: at each point of both."""
    for turns in range(12):
        hub.faults.steps = 2
        leaving, coming = replace(LIVE, name=f"leaving{turns}"), replace(LIVE, name=f"coming{turns}")
        await hub.hashes(leaving)
        hub.clock.now += 31
        hub.delivery.scheduler.detach_idle(hub.clock())
        dropping = asyncio.create_task(hub.delivery._following.drop_unwanted())
        for _ in range(turns):
            await asyncio.sleep(0)
        first = asyncio.create_task(hub.batch(coming, 3, 0.0))
        posted = []
        while not (dropping.done() and first.done()):
            await asyncio.sleep(0)
            if len(posted) < 20:
                posted += await hub.post(1)
        seen = list(first.result().events)
        first.result().delivered()
        posted += await hub.post(1)
        known = [h for h in posted if any(h.encode() in event for event in seen)]
        while posted[-1] not in known:
            known += await hub.hashes(coming, 1, 5.0)
        assert known == posted[-len(known) :], "from when it registered, without a hole"


async def test_a_tail_that_could_not_be_turned_away_skips_nothing_later(hub: Any) -> None:
    """It still reads what nobody wants, and moves on there. Then somebody wants it again."""
    lab = (NAMES.binary("lab", "sourced"), 0)
    await hub.hashes(LIVE)
    hub.faults.failing.add("retarget")
    hub.clock.now += 31
    await hub.until(lambda: lab not in hub.delivery.scheduler.position)

    async def meanwhile() -> None:
        hub.posted_there = await hub.post(2)
        for _ in range(20):
            await asyncio.sleep(0)

    hub.faults.failing.clear()
    hub.faults.after["bounds"] = meanwhile
    assert await hub.hashes(LIVE, 2, 2.0) == hub.posted_there


async def test_a_reader_that_follows_late_misses_nothing(hub: Any) -> None:
    """Events come between the look at the end of a partition and the tail's following it."""

    async def meanwhile() -> None:
        hub.posted_there = await hub.post(2)
        for _ in range(20):
            await asyncio.sleep(0)

    async def again() -> None:
        hub.faults.after["bounds"] = meanwhile

    hub.faults.hooks["put"] = again  # after registering, before following
    assert await hub.hashes(LIVE, 2, 2.0) == hub.posted_there


async def test_what_the_journal_did_not_take_is_written_again(hub: Any) -> None:
    posted = await hub.post(2)
    await hub.hashes(READER, 1)
    hub.faults.failing.add("put")
    assert await hub.hashes(READER, 1) == posted[1:]
    before = hub.faults.seen.count("put")
    await hub.until(lambda: hub.faults.seen.count("put") >= before + 2)
    hub.faults.failing.clear()
    (subscriber,) = hub.delivery.scheduler.roster.subscribers.values()
    await hub.until(lambda: not subscriber.agenda.changed)
    await hub.take_over()
    assert await hub.hashes(READER, 9) == []


async def test_retention_takes_the_head_of_a_backlog(new_hub: Any) -> None:
    async with new_hub(cache_bytes=0) as hub:
        await hub.source("short", cleanup="delete", retention_ms=60_000)
        await hub.post(5, "short")
        hub.clock.now += 31
        kept = await hub.post(3, "short")
        hub.clock.now += 40
        await hub.log.inner.clean_once()
        assert await hub.hashes(replace(READER, live=False), 9) == kept
        assert hub.sample("events_dropped_total", cause="aged-off") == 0, "it came after that"
        await hub.post(4, "short")
        hub.clock.now += 61
        kept = await hub.post(1, "short")
        await hub.log.inner.clean_once()
        assert await hub.hashes(READER, 9) == kept


async def test_retention_takes_what_is_ready(new_hub: Any) -> None:
    """Decided, and out of the cache, and then out of the log."""
    async with new_hub(cache_bytes=0) as hub:
        await hub.source("short", cleanup="delete", retention_ms=60_000)
        await hub.hashes(READER)
        await hub.post(5, "short")
        await hub.until(lambda: any(s.has_ready() for s in hub.delivery.scheduler.roster.subscribers.values()))
        hub.clock.now += 61
        await hub.log.inner.clean_once()
        assert await hub.hashes(READER, 9) == []
        assert hub.sample("events_dropped_total", cause="aged-off") == 5
        assert await hub.post(1, "short") == await hub.hashes(READER, 1, 5.0)


async def test_compaction_leaves_gaps(hub: Any) -> None:
    await hub.source("packed", cleanup="compact")
    posted = await hub.post(6, "packed")
    await hub.post_again([posted[1], posted[4]], "packed")
    await hub.log.inner.clean_once()
    kept = [posted[n] for n in (0, 2, 3, 5, 1, 4)]
    assert await hub.hashes(READER, 4) == kept[:4]
    assert await hub.hashes(READER, 9) == kept[4:]
    assert await hub.post(1, "packed") == await hub.hashes(READER, 1, 5.0)


async def test_a_deleted_topic_blocks_nobody(new_hub: Any) -> None:
    async with new_hub(cache_bytes=0) as hub:
        await delete_a_topic(hub)


async def delete_a_topic(hub: Any) -> None:
    await hub.source("doomed")
    await hub.post(3, "doomed")
    await hub.hashes(LIVE)
    assert len(await hub.hashes(PLUG, 1)) == 1, "the other two are ready"
    posted = await hub.post(3)
    del hub.log.inner._topics[NAMES.binary("doomed", "sourced")]
    assert await hub.hashes(PLUG, 3, 5.0) == posted
    assert await hub.hashes(READER, 9) == posted
    assert await hub.hashes(LIVE, 3, 5.0) == posted
    assert await hub.post(1) == await hub.hashes(LIVE, 1, 5.0)
    await hub.source("another")
    newcomer = replace(LIVE, name="newcomer")
    await hub.hashes(newcomer)
    assert await hub.post(1, "another") == await hub.hashes(newcomer, 1, 5.0)
