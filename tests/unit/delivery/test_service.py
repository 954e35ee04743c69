"""What subscribers see of a Delivery: several pollers, changing minds, restarts, dead letters, pauses, bounds."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from dispatcher_sdk.models import decode

from dispatcher.errors import NotFound, Unavailable
from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import EventView, Subscription

NAMES = TopicNames("t")
PLUG = Subscription("plug", "1", "binary", expedite=True, live=True, historic=True, task=True)
READER = replace(PLUG, task=False)
LIVE = Subscription("live", "1", "binary", live=True)


def waiting(hub: Any) -> int:
    return sum(len(subscriber.waiters) for subscriber in hub.delivery.scheduler.roster.subscribers.values())


async def expire(hub: Any, seconds: float) -> None:
    """Time passes, and the server notices."""
    before = hub.delivery.scheduler.jobs._latest
    hub.clock.now += seconds
    await hub.until(lambda: hub.delivery.scheduler.jobs._latest >= before + seconds)


# ---- several pollers


async def test_two_pollers_never_get_the_same_event(hub: Any) -> None:
    await hub.hashes(PLUG)
    polls = [asyncio.create_task(hub.hashes(PLUG, 3, 5.0)) for _ in range(10)]
    await hub.until(lambda: waiting(hub) == 10)
    posted = await hub.post(30)
    assert sorted([sha for poll in polls for sha in await poll]) == posted


async def test_each_waiting_poll_is_woken_when_one_scan_finds_for_all(new_hub: Any) -> None:
    """A laggard is read for by one poll; what it leaves over is for the others, at once."""
    async with new_hub(ready=3) as hub:
        await hub.hashes(PLUG)
        polls = [asyncio.create_task(hub.hashes(PLUG, 1, 20.0)) for _ in range(8)]
        await hub.until(lambda: waiting(hub) == 8)
        posted = await hub.post(8)  # more than `ready`: the subscriber falls behind
        async with asyncio.timeout(3):
            assert sorted([sha for poll in polls for sha in await poll]) == posted


async def test_a_redelivery_reaches_whoever_waits_longest(hub: Any) -> None:
    """The poll that was told of the release ends before the event is due."""
    await hub.post(1)
    (event,) = await hub.fetch(PLUG, 1)
    await hub.delivery.release(event["dequeued"], 60.0)
    first = asyncio.create_task(hub.fetch(PLUG, 1, 1.0))
    second = asyncio.create_task(hub.fetch(PLUG, 1, 20.0))
    assert await first == []
    hub.clock.now += 60
    async with asyncio.timeout(3):
        (again,) = await second
    assert again["entity"] == event["entity"]
    assert again["dequeued"] != event["dequeued"]


async def test_a_poll_takes_what_is_there_when_its_time_is_up(hub: Any) -> None:
    posted = await hub.post(2)
    assert await hub.hashes(PLUG, 5, 0.05) == posted
    assert await hub.hashes(PLUG, 5, -3.0) == []


async def test_what_ends_while_a_poll_collects_is_not_in_its_reply(hub: Any) -> None:
    """A late status comes for an event that a waiting poll holds already."""
    posted = await hub.post(1)
    (event,) = await hub.fetch(PLUG, 1)
    await expire(hub, 1_801)
    poll = asyncio.create_task(hub.hashes(PLUG, 2, 20.0))
    await hub.until(lambda: waiting(hub) == 1)
    await hub.status(event)
    await hub.until(lambda: hub.sample("events_finished_total", plugin="plug", status="completed") == 1)
    later = await hub.post(2)
    assert posted[0] not in later
    assert (await poll)[0] in later


async def test_drain_ends_all_polls_with_what_they_have(hub: Any) -> None:
    await hub.hashes(PLUG)
    posted = await hub.post(2)
    poll = asyncio.create_task(hub.hashes(PLUG, 5, 20.0))
    await hub.until(lambda: waiting(hub) == 1)
    hub.delivery.drain()
    assert await poll == posted
    assert await hub.hashes(PLUG, 5, 20.0) == []


# ---- changing minds


async def test_a_poll_gets_only_what_its_own_filters_let_pass(hub: Any) -> None:
    """A rolling upgrade: old and new workers of one plugin ask with different filters at the same time."""
    small = replace(PLUG, under_size=10)
    first = asyncio.create_task(hub.fetch(small, 1, 3.0))
    await hub.until(lambda: waiting(hub) == 1)
    second = asyncio.create_task(hub.fetch(replace(PLUG, over_size=100), 1, 0.3))
    await hub.until(lambda: waiting(hub) == 2)
    posted = await hub.post(1)  # of 5 bytes
    both = [await first, await second]
    assert [[event["entity"]["sha256"] for event in events] for events in both] in ([posted, []], [[], []])


async def test_a_passive_poll_does_not_undo_a_lease(hub: Any) -> None:
    """An active and a passive poll share the subscriber: each reply is what its request asked for."""
    (first, second, third) = await hub.post(3)
    active = await hub.batch(PLUG, 1)
    passive = await hub.batch(READER, 1)
    active.delivered()
    passive.delivered()
    (job,), (seen,) = (list(map(json.loads, batch.events)) for batch in (active, passive))
    assert (job["entity"]["sha256"], seen["entity"]["sha256"]) == (first, second)
    assert "dequeued" not in seen
    await expire(hub, 1_801)
    assert sorted(await hub.hashes(PLUG, 9)) == sorted([first, third]), "the job, not what was read passively"


async def test_an_active_poll_that_waits_stays_active(hub: Any) -> None:
    await hub.hashes(PLUG)
    active = asyncio.create_task(hub.fetch(PLUG, 1, 5.0))
    await hub.until(lambda: waiting(hub) == 1)
    await hub.hashes(READER)
    await hub.post(1)
    (job,) = await active
    assert job["dequeued"]


async def test_a_passive_reply_that_is_slow_is_done_when_it_is_written(hub: Any) -> None:
    posted = await hub.post(2)
    slow = await hub.batch(READER, 1)
    await hub.fetch(PLUG, 1)
    slow.delivered()
    await hub.restart()
    await expire(hub, 1_801)
    assert await hub.hashes(PLUG, 9) == posted[1:]


async def test_counts_are_exact_across_replies_and_replies_that_fail(hub: Any) -> None:
    picky = replace(LIVE, under_size=3)
    await hub.hashes(picky)
    await hub.post(4)
    lost = await hub.batch(picky, 1, 0.3)
    assert lost.info.filters == {"FilterConsumerRules-reject_content_too_large": 4}
    lost.give_back()
    await hub.post(2)
    batch = await hub.batch(picky, 1, 0.3)
    assert (batch.info.filtered, batch.info.fetched) == (6, 0)
    batch.delivered()
    assert (await hub.batch(picky)).info.filters == {}
    assert hub.sample("events_filtered_total", plugin="live", entity="binary") == 6


async def test_what_its_filters_reject_never_ends_a_poll_early_but_time_does(new_hub: Any) -> None:
    """A poll without a deadline reads on for a moment only, and the next one goes on there."""

    class Wearing:
        name = "Wearing"

        def reject(self, header: Any, subscription: Subscription) -> str | None:
            return None

    async with new_hub(header_filters=[Wearing()], cache_bytes=0) as hub:
        await hub.source("lab", 40)
        await hub.post(200)
        seen: list[str] = []
        async with asyncio.timeout(20):
            while len(seen) < 200:
                seen += await hub.hashes(READER, 7)
        assert len(set(seen)) == 200


async def test_reset_while_another_poll_waits(hub: Any) -> None:
    posted = await hub.post(3)
    assert await hub.hashes(READER, 9) == posted
    other = asyncio.create_task(hub.hashes(READER, 1, 20.0))
    await hub.until(lambda: waiting(hub) == 1)
    batch = await hub.batch(READER, 1, reset=True)
    batch.delivered()
    seen = [json.loads(event)["entity"]["sha256"] for event in batch.events]
    async with asyncio.timeout(3):
        seen += await other
        seen += await hub.hashes(READER, 1, 2.0)
    assert sorted(seen) == posted


async def test_reset_forgets_what_is_in_a_reply(hub: Any) -> None:
    posted = await hub.post(2)
    leased = await hub.batch(PLUG, 1)
    again = await hub.fetch(PLUG, 9, reset=True)
    assert [event["entity"]["sha256"] for event in again] == posted
    leased.give_back()
    assert await hub.fetch(PLUG, 9) == []
    await hub.status(json.loads(leased.events[0]))
    await hub.restart()
    assert len(hub.delivery.scheduler.roster.subscribers) == 1
    await expire(hub, 1_801)
    assert await hub.hashes(PLUG, 9) == posted, "the old token ended nothing"


# ---- restarts


async def test_a_status_between_registration_and_the_first_checkpoint_counts(hub: Any) -> None:
    """The registration says from where statuses are to be seen again."""
    posted = await hub.post(2)
    events = await hub.fetch(PLUG, 2)
    await hub.status(events[0])
    await hub.take_over()
    assert await hub.hashes(PLUG, 9) == posted[1:]


async def test_statuses_in_a_partition_that_is_new_count(hub: Any) -> None:
    posted = await hub.post(9)
    events = await hub.fetch(PLUG, 9)
    await hub.log.ensure_topics([TopicSpec(NAMES.system("status"), 4)])
    for event in events[:6]:
        await hub.status(event, key=event["kafka_key"] + event["entity"]["sha256"])
    await hub.take_over()
    assert await hub.hashes(PLUG, 9) == posted[6:]


@pytest.mark.parametrize("clean", [True, False])
async def test_leases_outlive_a_restart(hub: Any, clean: bool) -> None:
    posted = await hub.post(4)
    first, second, _, _ = await hub.fetch(PLUG, 4)
    await hub.status(first)
    await hub.delivery.release(second["dequeued"], 100.0)
    await hub.until(
        lambda: (
            not hub.delivery.scheduler.roster.subscribers[first["dequeued"].split(".")[-2].split("-")[0]].agenda.changed
        )
    )
    await (hub.restart() if clean else hub.take_over())
    assert await hub.hashes(PLUG, 9) == []
    hub.clock.now += 101
    assert await hub.hashes(PLUG, 9) == [posted[1]]
    await expire(hub, 1_801)
    assert sorted(await hub.hashes(PLUG, 9)) == posted[1:]


async def test_a_plugin_that_polls_for_months_is_not_forgotten_at_a_restart(hub: Any) -> None:
    await hub.hashes(LIVE)
    for _ in range(40):
        hub.clock.now += 86_400
        await hub.hashes(LIVE)
    posted = await hub.post(1)
    await hub.restart()
    assert [s.seen_at for s in hub.delivery.scheduler.roster.subscribers.values()] == [hub.clock()]
    await hub.delivery._registry.forget_lost()
    assert await hub.hashes(LIVE, 1, 5.0) == posted


async def test_who_stays_away_for_weeks_is_forgotten_but_not_for_our_own_absence(hub: Any) -> None:
    await hub.hashes(LIVE)
    await hub.delivery.close()
    hub.clock.now += 90 * 86_400
    hub.delivery = hub.new_delivery()
    await hub.delivery.start()
    await hub.delivery._registry.forget_lost()
    assert hub.delivery.scheduler.roster.subscribers
    hub.clock.now += 31 * 86_400
    await hub.delivery._registry.forget_lost()
    assert not hub.delivery.scheduler.roster.subscribers
    await hub.restart()
    assert not hub.delivery.scheduler.roster.subscribers


async def test_a_pause_outlives_a_restart_without_any_subscriber(hub: Any) -> None:
    await hub.until(lambda: "put" in hub.faults.seen)
    await hub.delivery.pause()
    await hub.take_over()
    assert (await hub.batch(PLUG)).info.paused


# ---- pauses


async def test_a_pause_ends_polls_for_jobs_at_once(hub: Any) -> None:
    await hub.hashes(PLUG)
    poll = asyncio.create_task(hub.batch(PLUG, 5, 20.0))
    reader = asyncio.create_task(hub.hashes(LIVE, 1, 20.0))
    await hub.until(lambda: waiting(hub) == 2)
    await hub.delivery.pause()
    async with asyncio.timeout(2):
        batch = await poll
    assert (batch.info.paused, batch.info.ready, batch.events) == (True, False, [])
    posted = await hub.post(1)
    assert await reader == posted, "readers are not paused"


async def test_after_a_pause_what_piled_up_is_skipped_once(hub: Any) -> None:
    await hub.post(3)
    (job,) = await hub.fetch(PLUG, 1)
    await hub.delivery.pause()
    hub.clock.now += 599
    await hub.post(3)
    assert (await hub.batch(PLUG)).info.paused
    hub.clock.now += 2
    assert await hub.hashes(PLUG, 9) == []
    posted = await hub.post(2)
    assert await hub.hashes(PLUG, 2, 5.0) == posted
    await expire(hub, 1_900)
    assert await hub.hashes(PLUG, 9) == [job["entity"]["sha256"], *posted], "jobs handed out are not forgotten"


async def test_two_polls_after_a_pause_skip_once(hub: Any) -> None:
    await hub.hashes(PLUG)
    await hub.delivery.pause()
    hub.clock.now += 601

    async def overtaken() -> None:
        assert await hub.hashes(PLUG) == []
        hub.posted_there = await hub.post(1)

    (subscriber,) = hub.delivery.scheduler.roster.subscribers.values()
    await hub.delivery._following.follow(subscriber)
    hub.faults.hooks["bounds"] = overtaken
    assert await hub.hashes(PLUG, 1, 3.0) == hub.posted_there


async def test_an_old_pause_skips_nothing(hub: Any) -> None:
    posted = await hub.post(3)
    await hub.delivery.pause()
    hub.clock.now += 1_801
    assert await hub.hashes(PLUG, 9) == posted


async def test_a_pause_by_a_clock_that_was_ahead_does_not_last(hub: Any) -> None:
    posted = await hub.post(1)
    hub.clock.now += 86_400
    await hub.delivery.pause()
    hub.clock.now -= 86_400
    assert await hub.hashes(PLUG, 9) == posted


# ---- giving up


async def test_attempts_end_in_a_status_and_a_dead_letter(hub: Any) -> None:
    (sha,) = await hub.post(1)
    for attempt in (1, 2, 3):
        (event,) = await hub.fetch(PLUG, 1, 5.0)
        assert event["dequeued"].split(".")[-2].split("-")[4] == str(attempt)
        hub.clock.now += 1_801
    await hub.until(lambda: len(hub.statuses.published) == 1)
    (status,) = hub.statuses.published
    assert (status.entity.status, status.entity.error) == ("error-runner", "lease expired 3 times")
    assert (status.author.name, status.author.version) == ("plug", "1"), "it is the plugin's job that ended"
    (letter,) = await hub.dead_letters()
    assert (letter["reason"], letter["name"], letter["attempts"]) == ("lease expired 3 times", "plug", 3)
    assert letter["event"]["entity"]["sha256"] == sha
    assert decode("binary", json.dumps(letter["event"]).encode())
    await hub.until(lambda: hub.sample("dead_letters_total", reason="lease") == 1)
    await hub.until(lambda: hub.sample("events_finished_total", plugin="plug", status="error-runner") == 1)
    assert await hub.fetch(PLUG) == []


async def test_a_dead_letter_that_is_too_large_stops_no_other(new_hub: Any) -> None:
    async with new_hub(attempts=1, message_max_bytes=1_900) as hub:
        await hub.post(1, author={"name": "n" * 800, "version": "1", "category": "user"})
        await hub.post(1)
        assert len(await hub.fetch(PLUG, 2)) == 2
        hub.clock.now += 1_801
        await hub.until(lambda: len(hub.statuses.published) == 2)
        large, small = sorted(await hub.dead_letters(), key=lambda letter: letter["offset"])
        assert "event" not in large
        assert "event" in small


async def test_giving_up_waits_for_the_log(new_hub: Any) -> None:
    async with new_hub(attempts=1) as hub:
        await hub.post(2)
        await hub.fetch(PLUG, 2)
        hub.faults.failing.add("append")
        await expire(hub, 1_801)
        await hub.until(lambda: "append" in hub.faults.seen)
        for _ in range(6):
            await expire(hub, 1)
        assert hub.faults.seen.count("append") <= 2, "not at every tick"
        await hub.restart()  # what was given up on is known to the next process
        hub.faults.failing.clear()
        await hub.until(lambda: len(hub.statuses.published) == 2)
        assert {letter["offset"] for letter in await hub.dead_letters()} == {0, 1}
        assert await hub.fetch(PLUG) == []


async def test_giving_up_on_an_event_whose_source_aged_off(new_hub: Any) -> None:
    async with new_hub(attempts=1) as hub:
        hub.statuses.refuses = True
        await hub.post(1)
        await hub.fetch(PLUG, 1)
        hub.clock.now += 1_801
        await hub.until(lambda: hub.sample("dead_letters_total", reason="lease") == 1)
        (subscriber,) = hub.delivery.scheduler.roster.subscribers.values()
        assert subscriber.lease_count() == 0


async def test_many_that_end_at_once_delay_no_checkpoint(new_hub: Any) -> None:
    """A plugin with thousands of jobs dies."""
    async with new_hub(attempts=1) as hub:
        await hub.post(600)
        assert len(await hub.fetch(PLUG, 600)) == 600
        hub.clock.now += 1_801
        await hub.until(lambda: len(hub.statuses.published) == 600)
        assert len({letter["offset"] for letter in await hub.dead_letters()}) == 600


async def test_an_event_filter_that_raises_is_asked_again_and_then_the_event_is_buried(new_hub: Any) -> None:
    class Broken:
        name = "Broken"

        def applies(self, subscription: Subscription) -> bool:
            return True

        async def reject(self, view: EventView, subscription: Subscription) -> str | None:
            raise OSError("its database is away")

    async with new_hub(event_filters=[Broken()]) as hub:
        await hub.post(1)
        for wanted in (PLUG, LIVE):
            await hub.hashes(wanted)
        await hub.post(1)
        for _ in range(3):
            for wanted in (PLUG, LIVE):
                assert await hub.hashes(wanted, 9, 0.1) == []
            await expire(hub, 10)
        await hub.until(lambda: hub.sample("dead_letters_total", reason="filter") == 3)
        assert {letter["reason"] for letter in await hub.dead_letters()} == {"filter Broken raised"}
        assert len(hub.statuses.published) == 2, "a reader that fetches passively has no job that could end"
        assert hub.sample("events_consume_pipelines_error_total", pipeline="Broken") == 9


async def test_records_that_nobody_can_read_become_dead_letters(hub: Any) -> None:
    topic = NAMES.binary("lab", "sourced")
    await hub.hashes(LIVE)
    await hub.log.inner.append([Append(topic, b"k", b"\x00garbage"), Append(topic, b"k", b"[]", b"\xc1")])
    posted = await hub.post(1)
    assert await hub.hashes(LIVE, 1, 5.0) == posted
    assert await hub.hashes(READER, 9) == posted
    await hub.until(lambda: hub.faults.seen.count("append") >= 2)
    letters = await hub.dead_letters()
    assert [(x["reason"], x["topic"], x["partition"], x["offset"]) for x in letters] == [
        ("undecodable", topic, 0, 0),
        ("undecodable", topic, 0, 1),
    ]
    assert hub.sample("events_dropped_total", cause="undecodable") == 2


async def test_events_that_others_wrote_are_brought_into_form(hub: Any) -> None:
    """Spaces around it, somebody's token in it, no tag: a reply must still be valid JSON, with our token only."""
    (sha,) = await hub.post(1)
    ((key, value),) = [
        (r.key, r.value) for r in (await hub.log.inner.read((NAMES.binary("lab", "sourced"), 0), 0, 1)).records
    ]
    foreign = b" " + value[:-1] + b',"dequeued":"a.b.1.2"}\n'
    await hub.log.inner.append([Append(NAMES.binary("lab", "sourced"), key, foreign)])
    _, job = await hub.fetch(PLUG, 2)
    assert job["entity"]["sha256"] == sha
    assert job["dequeued"].startswith(f"{sha}.plug.1.")
    seen = await hub.fetch(replace(READER, name="other"), 2)
    assert "dequeued" not in seen[1]


# ---- tokens


async def test_release_knows_its_tokens(hub: Any) -> None:
    await hub.post(1)
    (event,) = await hub.fetch(PLUG, 1)
    head, place, tail = event["dequeued"].rsplit(".", 2)
    forged = place.rpartition("-")[0] + "-" + "0" * 16
    for text in ("", "k.plug.1.17", f"{head}.{forged}.{tail}", "x" * 10_000):
        with pytest.raises(NotFound):
            await hub.delivery.release(text, 0)
    await hub.delivery.release(event["dequeued"], 0)
    assert len(await hub.fetch(PLUG, 1, 5.0)) == 1


async def test_release_says_when_the_log_is_away(hub: Any) -> None:
    await hub.post(1)
    (event,) = await hub.fetch(PLUG, 1)
    hub.faults.failing.add("append")
    with pytest.raises(Unavailable):
        await hub.delivery.release(event["dequeued"], 0)


# ---- bounds


async def test_replies_are_bounded_in_bytes(new_hub: Any) -> None:
    async with new_hub(reply_bytes=3_000) as hub:
        posted = await hub.post(9)
        seen: list[str] = []
        polls = 0
        while len(seen) < 9:
            found = await hub.hashes(PLUG, 1_000, 0.0)
            assert 1 <= len(found) <= 4
            seen += found
            polls += 1
        assert seen == posted
        assert polls >= 3


async def test_one_event_larger_than_a_reply_still_arrives(new_hub: Any) -> None:
    async with new_hub(reply_bytes=10) as hub:
        posted = await hub.post(2)
        assert [await hub.hashes(PLUG, 9), await hub.hashes(PLUG, 9)] == [posted[:1], posted[1:]]


async def test_subscribers_are_bounded(new_hub: Any) -> None:
    async with new_hub(subscribers=2) as hub:
        await hub.hashes(PLUG)
        await hub.hashes(LIVE)
        with pytest.raises(Unavailable, match="2 subscribers"):
            await hub.hashes(replace(LIVE, name="one too many"))
        posted = await hub.post(1)
        assert await hub.hashes(LIVE, 1, 5.0) == posted, "those that are there go on"


async def test_what_is_slow_is_away_and_what_is_away_costs_nothing(hub: Any) -> None:
    await hub.hashes(LIVE)
    topic = (NAMES.binary("lab", "sourced"), 0)
    assert topic in hub.delivery.scheduler.position
    hub.clock.now += 31
    await hub.until(lambda: topic not in hub.delivery.scheduler.position)
    posted = await hub.post(2)
    changed = replace(LIVE, under_size=3)
    assert await hub.hashes(changed, 9, 0.1) == [], "judged by the filters that it has when it comes back"
    later = await hub.post(1)
    assert await hub.hashes(LIVE, 9, 0.3) == later, posted


async def test_the_backlog_of_who_is_away_can_be_seen(hub: Any) -> None:
    """What scales plugins from zero looks at it."""
    await hub.hashes(LIVE)
    hub.clock.now += 31
    await hub.until(lambda: (NAMES.binary("lab", "sourced"), 0) not in hub.delivery.scheduler.position)
    await hub.post(7)
    hub.delivery._ticking._next_look = 0.0
    await hub.until(lambda: hub.sample("backlog", plugin="live") == 7)


async def test_nothing_is_left_running(new_hub: Any) -> None:
    before = asyncio.all_tasks()
    async with new_hub() as hub:
        await hub.post(3)
        await hub.hashes(PLUG)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_start_that_is_cancelled_leaves_nothing_running(new_hub: Any) -> None:
    before = asyncio.all_tasks()
    for turns in range(12):
        hub = new_hub()
        hub.faults.steps = 1
        task = asyncio.create_task(hub.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.delivery.close()
        await hub.log.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
