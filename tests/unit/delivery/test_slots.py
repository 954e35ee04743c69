"""Several processes share one log: slots move between them, and no event is lost or handed out twice on the way."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.delivery.service import Delivery
from dispatcher.delivery.subscribers import slot_of, subscriber_id
from dispatcher.errors import NotFound, NotServedHere
from dispatcher.eventlog.base import SLOTS, TopicSpec
from dispatcher.eventlog.membership import ALL_SLOTS, Keeper
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import Subscription

NAMES = TopicNames("t")
PLUG = Subscription("plug", "1", "binary", expedite=True, live=True, historic=True, task=True)
READER = replace(PLUG, task=False, name="reader")
SLOT = slot_of(subscriber_id(PLUG))


class Member:
    """Implements membership.Membership; the test deals."""

    shared = True
    url = "http://test"

    def __init__(self) -> None:
        self.keeper: Keeper
        self.sure = True

    async def start(self, keeper: Keeper) -> None:
        self.keeper = keeper

    async def close(self) -> None:
        pass

    def proven(self) -> bool:
        return self.sure

    async def owners(self) -> Mapping[int, str]:
        return {}


class Shared:
    """Processes on one log, by number."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.members: list[Member] = []
        self.processes: list[Delivery] = []

    async def join(self, count: int = 1) -> None:
        for _ in range(count):
            member = Member()
            process = self.hub.new_delivery(member)
            await process.start()
            self.members.append(member)
            self.processes.append(process)

    async def deal(self, *hands: frozenset[int], away: frozenset[int] = frozenset()) -> None:
        """As a group does: all are suspended, then all are told. Who is `away` hears nothing of it."""
        there = [number for number in range(len(self.members)) if number not in away]
        for number, member in enumerate(self.members):
            member.sure = number in there
        for number in there:
            await self.members[number].keeper.suspend()
        for number in there:
            self.members[number].keeper.dealt(hands[number])

    async def all_to(self, number: int, away: frozenset[int] = frozenset()) -> None:
        hands = [frozenset[int]()] * len(self.members)
        hands[number] = ALL_SLOTS
        await self.deal(*hands, away=away)
        await self.processes[number].slots.settled(5.0)

    async def fetch(self, number: int, wanted: Subscription, count: int = 100, deadline: float = 0.0) -> list[Any]:
        batch = await self.processes[number].poll(wanted, count=count, deadline=deadline)
        batch.delivered()
        return [json.loads(event) for event in batch.events]

    async def hashes(self, number: int, wanted: Subscription, count: int = 100, deadline: float = 0.0) -> list[str]:
        return [event["entity"]["sha256"] for event in await self.fetch(number, wanted, count, deadline)]

    async def written(self, number: int) -> None:
        """Until the journal has all that this process knows."""
        subscribers = self.processes[number].scheduler.roster.subscribers
        await self.hub.until(lambda: not any(subscriber.agenda.changed for subscriber in subscribers.values()))

    async def close(self) -> None:
        for process in self.processes:
            await process.close()


@pytest.fixture
async def shared(hub: Any) -> AsyncIterator[Shared]:
    await hub.delivery.close()
    made = Shared(hub)
    await made.join(2)
    await made.all_to(0)
    yield made
    await made.close()


# ---- a slot moves


async def test_jobs_and_what_is_left_to_do_move_with_the_slot(shared: Shared) -> None:
    posted = await shared.hub.post(5)
    first, second = await shared.fetch(0, PLUG, 2)
    await shared.all_to(1)
    assert await shared.hashes(1, PLUG) == posted[2:]
    await shared.hub.status(first)
    await shared.processes[1].release(second["dequeued"], 0.0)
    (again,) = await shared.fetch(1, PLUG, 1, 5.0)
    assert again["entity"] == second["entity"]
    with pytest.raises(NotServedHere) as refused:
        await shared.fetch(0, PLUG)
    assert refused.value.slot == SLOT


async def test_a_status_that_comes_while_nobody_serves_the_slot_counts(shared: Shared) -> None:
    posted = await shared.hub.post(3)
    first, second, _ = await shared.fetch(0, PLUG)
    await shared.deal(frozenset(), frozenset())
    await shared.hub.status(first)
    await shared.all_to(1)
    shared.hub.clock.now += 1_801
    got: list[str] = []
    async with asyncio.timeout(10):
        while len(got) < 2:
            got += await shared.hashes(1, PLUG, 9, 0.2)
    assert sorted(got) == posted[1:]
    assert await shared.hashes(1, PLUG) == []
    await shared.hub.status(second)


async def test_a_status_that_comes_while_the_slot_is_taken_over_counts(shared: Shared) -> None:
    """Between the replay's reads the tail goes on."""
    posted = await shared.hub.post(2)
    first, second = await shared.fetch(0, PLUG)
    await shared.hub.status(first)

    async def meanwhile() -> None:
        await shared.hub.status(second)

    shared.hub.faults.hooks["read"] = meanwhile
    await shared.all_to(1)
    later = await shared.hub.post(1)
    shared.hub.clock.now += 1_801
    assert posted[0] not in later
    assert await shared.hashes(1, PLUG, 1, 5.0) == later
    await shared.hub.until(lambda: not shared.processes[1].scheduler.roster.subscribers[subscriber_id(PLUG)].due)
    assert await shared.hashes(1, PLUG) == []


async def test_a_status_that_the_tail_of_the_next_owner_has_not_come_to_counts(shared: Shared) -> None:
    """The former owner died before it could write that the job was out: only the status says so."""
    hub, position = shared.hub, shared.processes[1].scheduler.position
    await shared.hashes(0, PLUG)
    hub.faults.failing |= {"put", "next"}
    posted = await hub.post(2)
    first, _ = await shared.fetch(0, PLUG, 2, 5.0)
    await hub.status(first, "heartbeat")
    await hub.until(lambda: position[NAMES.system("status"), 0] == 1)
    await hub.status(first)
    await shared.all_to(1, away=frozenset((0,)))
    assert position[NAMES.system("status"), 0] == 1
    assert await shared.hashes(1, PLUG) == posted[1:]


async def test_a_waiting_poll_ends_when_its_slot_goes_and_takes_nothing_with_it(shared: Shared) -> None:
    await shared.hashes(0, PLUG)
    posted = await shared.hub.post(1)
    poll = asyncio.create_task(shared.fetch(0, PLUG, 2, 20.0))
    subscribers = shared.processes[0].scheduler.roster.subscribers
    await shared.hub.until(lambda: any(subscriber.waiters for subscriber in subscribers.values()))
    await shared.all_to(1)
    async with asyncio.timeout(2):
        with pytest.raises(NotServedHere):
            await poll
    assert await shared.hashes(1, PLUG, 1, 5.0) == posted


async def test_a_poll_waits_for_a_slot_that_is_on_its_way(shared: Shared) -> None:
    posted = await shared.hub.post(1)
    await shared.hashes(0, READER)
    shared.hub.faults.steps = 20
    await shared.members[0].keeper.suspend()
    shared.members[0].keeper.dealt(frozenset())
    shared.members[1].keeper.dealt(ALL_SLOTS)
    assert await shared.hashes(1, PLUG, 1, 5.0) == posted


async def test_a_slot_that_cannot_be_read_is_taken_over_later(shared: Shared) -> None:
    posted = await shared.hub.post(2)
    (event,) = await shared.fetch(0, PLUG, 1)
    await shared.deal(frozenset(), frozenset())
    await shared.hub.status(event)
    shared.hub.faults.failing.add("read")
    await shared.deal(frozenset(), ALL_SLOTS)
    with pytest.raises(NotServedHere):
        await shared.processes[1].poll(PLUG, count=1, deadline=0.1)
    shared.hub.faults.failing.clear()
    assert await shared.hashes(1, PLUG, 1, 5.0) == posted[1:]
    assert SLOT not in shared.processes[0].slots.served


# ---- a slot comes back


async def test_what_is_in_memory_stays_when_the_slot_is_dealt_to_us_again(shared: Shared) -> None:
    posted = await shared.hub.post(3)
    under_way = await shared.processes[0].poll(READER, count=1, deadline=0.0)
    await shared.all_to(0)
    under_way.delivered()
    assert await shared.hashes(0, READER, 2, 5.0) == posted[1:]
    assert [json.loads(event)["entity"]["sha256"] for event in under_way.events] == posted[:1]


async def test_a_reply_under_way_when_the_slot_goes_is_sent_again_by_the_next_owner(shared: Shared) -> None:
    """Whether the client got it, the next owner cannot know."""
    posted = await shared.hub.post(2)
    under_way = await shared.processes[0].poll(READER, count=1, deadline=0.0)
    await shared.all_to(1)
    under_way.delivered()
    assert await shared.hashes(1, READER, 2, 5.0) == posted
    await shared.all_to(0)
    assert await shared.hashes(0, READER) == []


async def test_a_reply_that_ends_while_the_slots_are_dealt_is_not_sent_again(shared: Shared) -> None:
    posted = await shared.hub.post(2)
    under_way = await shared.processes[0].poll(READER, count=1, deadline=0.0)
    moving = asyncio.create_task(shared.all_to(1))
    await shared.hub.until(lambda: not shared.processes[0].slots.served)
    under_way.delivered()
    await moving
    assert await shared.hashes(1, READER, 1, 5.0) == posted[1:]


async def test_a_slot_that_somebody_else_had_meanwhile_is_read_anew(shared: Shared) -> None:
    """We slept through two dealings: what we remember is old."""
    posted = await shared.hub.post(4)
    await shared.fetch(0, PLUG, 1)
    await shared.written(0)
    await shared.all_to(1, away=frozenset({0}))
    (done,) = await shared.fetch(1, PLUG, 1)
    await shared.hub.status(done)
    await shared.all_to(0)
    assert await shared.hashes(0, PLUG, 9) == posted[2:]


async def test_a_registration_that_was_overtaken_loses_nothing(shared: Shared) -> None:
    """While a first poll looks at the log its slot goes away, is registered there, and comes back with work."""
    live = replace(PLUG, historic=False)
    posted: list[str] = []

    async def meanwhile() -> None:
        await shared.all_to(1)
        await shared.hashes(1, live)
        posted.extend(await shared.hub.post(2))
        await shared.all_to(0)

    shared.hub.faults.hooks["bounds"] = meanwhile
    seen = await shared.hashes(0, live, 2, 2.0)
    assert seen == posted
    assert len(posted) == 2


async def test_a_reset_that_was_overtaken_resets_nothing(shared: Shared) -> None:
    posted = await shared.hub.post(3)
    (job,) = await shared.fetch(0, PLUG, 1)

    async def meanwhile() -> None:
        await shared.all_to(1)
        await shared.fetch(1, PLUG, 1)
        await shared.all_to(0)

    shared.hub.faults.hooks["bounds"] = meanwhile
    with pytest.raises(NotServedHere):
        await shared.processes[0].poll(PLUG, count=1, deadline=0.0, reset=True)
    assert await shared.hashes(0, PLUG, 1, 5.0) == posted[2:]
    await shared.hub.status(job)


# ---- who is not sure


async def test_who_cannot_prove_its_membership_hands_out_nothing_and_ends_no_job(shared: Shared) -> None:
    await shared.hub.post(2)
    await shared.fetch(0, PLUG, 1)
    shared.members[0].sure = False
    with pytest.raises(NotServedHere):
        await shared.fetch(0, PLUG)
    latest = shared.processes[0].scheduler.jobs._latest
    shared.hub.clock.now += 10_000
    looks = len(shared.hub.faults.seen)
    await shared.hub.post(1)
    await shared.hub.until(lambda: len(shared.hub.faults.seen) > looks)  # it goes on ticking
    assert shared.processes[0].scheduler.jobs._latest == latest
    shared.members[0].sure = True
    assert len(await shared.hashes(0, PLUG, 2, 5.0)) == 2


async def test_a_zombie_undoes_nothing(shared: Shared) -> None:
    """It knows of no dealing and believes in its membership: its writes are refused, what it remembers is dropped."""
    posted = await shared.hub.post(3)
    await shared.fetch(0, PLUG, 1)
    await shared.written(0)
    await shared.all_to(1, away=frozenset({0}))
    shared.members[0].sure = True
    events = await shared.fetch(1, PLUG, 2)
    await shared.hub.status(events[0])
    await shared.fetch(0, PLUG, 1)  # the zombie hands out something, which its journal will not take
    await shared.hub.until(lambda: SLOT not in shared.processes[0].slots.served)
    await shared.all_to(1)
    shared.hub.clock.now += 1_801
    got: list[str] = []
    async with asyncio.timeout(10):
        while len(got) < 2:
            got += await shared.hashes(1, PLUG, 9, 0.2)
    assert sorted(got) == [posted[0], posted[2]]


async def test_a_claim_that_came_too_late_is_answered_with_a_new_one(shared: Shared) -> None:
    """A former owner's claim was under way when the slot was dealt to us: ours has to be the last."""
    posted = await shared.hub.post(2)
    (event,) = await shared.fetch(0, PLUG, 1)
    await shared.written(0)
    for slot in range(SLOTS):
        await shared.hub.journal.open(slot)
    await shared.hub.status(event)
    await shared.hub.until(lambda: SLOT not in shared.processes[0].slots.served)
    assert await shared.hashes(0, PLUG, 1, 5.0) == posted[1:]
    await shared.all_to(1)
    assert await shared.hashes(1, PLUG) == []


# ---- what all have to know


async def test_a_process_without_slots_knows_of_a_pause(shared: Shared) -> None:
    await shared.processes[0].pause()
    await shared.join()
    batch = await shared.processes[2].poll(PLUG, count=1, deadline=0.0)
    assert batch.info.paused
    await shared.hub.until(lambda: shared.processes[1]._pause.began_at > 0)
    assert (await shared.processes[1].poll(PLUG, count=1, deadline=0.0)).info.paused


async def test_statuses_in_partitions_made_while_we_run_count(shared: Shared) -> None:
    posted = await shared.hub.post(9)
    events = await shared.fetch(0, PLUG)
    status = Subscription("metastore", "1", "status", historic=True)
    await shared.fetch(0, status)
    await shared.hub.log.ensure_topics([TopicSpec(NAMES.system("status"), 4)])
    for event in events[:6]:
        await shared.hub.status(event, key=event["entity"]["sha256"])
    await shared.hub.until(lambda: len(shared.processes[0].scheduler.statuses) == 4)
    (subscriber,) = (s for s in shared.processes[0].scheduler.roster.subscribers.values() if s.leases)
    await shared.hub.until(lambda: subscriber.lease_count() == 3)
    assert len(await shared.fetch(0, status, 6, 5.0)) == 6
    assert len(posted) == 9


async def test_releases_of_slots_elsewhere_are_refused_and_of_nobody_unknown(shared: Shared) -> None:
    await shared.hub.post(1)
    (event,) = await shared.fetch(0, PLUG)
    with pytest.raises(NotServedHere):
        await shared.processes[1].release(event["dequeued"], 0.0)
    with pytest.raises(NotFound):
        await shared.processes[1].release("some.thing.else", 0.0)


async def test_who_leaves_has_written_everything(shared: Shared) -> None:
    posted = await shared.hub.post(4)
    await shared.fetch(0, PLUG, 3)
    await shared.processes[0].leave()
    with pytest.raises(NotServedHere):
        await shared.fetch(0, PLUG)
    await shared.all_to(1, away=frozenset({0}))
    assert await shared.hashes(1, PLUG, 9) == posted[3:]


# ---- all together


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_everything_is_done_in_the_end(new_hub: Any, seed: int) -> None:
    """Three processes, random dealings, sleepers, crashes, jobs that end anywhere; then peace, and all jobs end."""
    async with new_hub(attempts=1_000) as hub:
        await hub.delivery.close()
        await turmoil(hub, random.Random(seed))


async def turmoil(hub: Any, chance: random.Random) -> None:
    shared = Shared(hub)
    await shared.join(3)
    plugins = [replace(PLUG, name=f"plug{number}") for number in range(6)]
    owed: set[tuple[str, str]] = set()
    ended: Counter[tuple[str, str]] = Counter()
    posted: list[str] = []

    async def work(number: int, wanted: Subscription, share: float, count: int = 1_000) -> None:
        try:
            events = await shared.fetch(number, wanted, count)
        except NotServedHere:
            return
        for event in events:
            if chance.random() < share:
                await hub.status(event)
                ended[wanted.name, event["entity"]["sha256"]] += 1

    async def redeal(away: frozenset[int] = frozenset()) -> None:
        there = [number for number in range(len(shared.members)) if number not in away]
        hands: list[set[int]] = [set() for _ in shared.members]
        for slot in range(SLOTS):
            hands[chance.choice(there)].add(slot)
        await shared.deal(*map(frozenset, hands), away=away)

    await redeal()
    for wanted in plugins:  # registered before anything is posted
        for number in range(3):
            await work(number, wanted, 1.0)
    for _ in range(60):
        step = chance.random()
        if step < 0.25:
            posted += await hub.post(chance.randrange(1, 6))
        elif step < 0.75:
            await work(chance.randrange(3), chance.choice(plugins), 0.7, chance.randrange(1, 5))
        elif step < 0.85:
            await redeal()
        elif step < 0.92:
            await redeal(away=frozenset({chance.randrange(3)}))
        elif step < 0.97:
            victim = chance.randrange(3)
            await kill(shared.processes[victim])
            member = Member()
            shared.members[victim] = member
            shared.processes[victim] = hub.new_delivery(member)
            await shared.processes[victim].start()
        else:
            hub.clock.now += 700
    await redeal()
    for process in shared.processes:
        await process.slots.settled(5.0)
    owed = {(wanted.name, sha) for wanted in plugins for sha in posted}
    async with asyncio.timeout(20):
        while owed - ended.keys():
            hub.clock.now += 1_801
            for wanted in plugins:
                for number in range(3):
                    await work(number, wanted, 1.0)
            await expired(shared)
    assert owed == ended.keys()
    await shared.close()


async def expired(shared: Shared) -> None:
    """Until each process has seen what time it is."""
    now = shared.hub.clock.now
    for process in shared.processes:
        await shared.hub.until(lambda process=process: process.scheduler.jobs._latest >= now)


async def kill(process: Delivery) -> None:
    """Nothing is written any more."""
    for task in (process._ticking, process.slots, process._following):
        await task.close()
