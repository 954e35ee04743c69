"""The scheduler in situations that each have a name."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from dispatcher.delivery.cursors import EXPEDITE, LIVE
from dispatcher.delivery.jobs import Item
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.matching import FilterRaised
from dispatcher.delivery.rules import FilterConsumerRules, FilterTooDeep
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import Chunk, Record
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import Header, StreamHeader, pack
from dispatcher.hooks.types import HeaderFilter, Subscription
from dispatcher.metrics import Metrics

Partition = tuple[str, int]

NAMES = TopicNames("t")
LAB: Partition = (NAMES.binary("lab", "sourced"), 0)
LAB1: Partition = (LAB[0], 1)
URGENT: Partition = (NAMES.system("expedite"), 0)
PLUG = Subscription("plug", "1", "binary", live=True, historic=True, task=True)
READER = Subscription("reader", "1", "binary", live=True)


class World:
    """A scheduler, a log of lists, and a clock."""

    def __init__(self, filters: Sequence[HeaderFilter] = (), **limits: float) -> None:
        self.now = 1_000.0
        self.metrics = Metrics()
        self.log: dict[Partition, list[Record]] = {LAB: [], LAB1: [], URGENT: []}
        self.scheduler = Scheduler(
            names=NAMES,
            filters=filters or [FilterTooDeep(), FilterConsumerRules()],
            limits=Limits(**limits),  # type: ignore[arg-type]
            metrics=self.metrics,
            serving_since=self.now,
        )
        self.jobs = self.scheduler.jobs

    def append(self, partition: Partition, count: int = 1, **header: object) -> None:
        records = self.log[partition]
        tag = pack(Header(**{"source": "lab", "action": "sourced", **header}))  # type: ignore[arg-type]
        start = len(records)
        records.extend(Record(offset, 0, b"k", b"{}", tag) for offset in range(start, start + count))

    def chunk(self, partition: Partition, offset: int, count: int = 10_000, start: int = 0) -> Chunk:
        records = self.log[partition][max(offset, start) : max(offset, start) + count]
        following = records[-1].offset + 1 if records else max(offset, start)
        return Chunk(partition, records, following, start, len(self.log[partition]))

    def poll(self, wanted: Subscription = PLUG) -> Subscriber:
        """The subscriber, registered and followed."""
        for subscriber in self.scheduler.roster.subscribers.values():
            if subscriber.wanted.name == wanted.name:
                break
        else:
            bounds = {partition: (0, len(records)) for partition, records in self.log.items()}
            subscriber = self.scheduler.roster.register(wanted, bounds, self.now)
        self.scheduler.touch(subscriber, self.now)
        for partition in subscriber.cursors.keys() - self.scheduler.position.keys():
            self.scheduler.follow(partition, len(self.log[partition]))
        return subscriber

    def tail(self, partition: Partition = LAB) -> None:
        self.scheduler.absorb_tail(self.chunk(partition, self.scheduler.position[partition]))

    def scan(self, subscriber: Subscriber, count: int = 10_000, times: int = 100) -> list[tuple[Partition, int]]:
        """Which places were read."""
        read = []
        while len(read) < times and (found := self.scheduler.next_scan(subscriber)) is not None:
            read.append((found.cursor.partition, found.start))
            self.scheduler.absorb_scan(found, self.chunk(found.cursor.partition, found.start, count))
        return read

    def take(self, subscriber: Subscriber, count: int = 1) -> list[Item]:
        return self.scheduler.take(subscriber, count, self.now)

    def lease(self, subscriber: Subscriber, count: int = 1, seconds: float | None = None) -> list[str]:
        items = self.take(subscriber, count)
        return [self.jobs.lease(item, key="k", now=self.now, seconds=seconds) for item in items]

    def dropped(self, cause: str) -> float:
        return self.metrics.registry.get_sample_value("dispatcher_events_dropped_total", {"cause": cause}) or 0.0


def offsets(items: Sequence[Item]) -> list[int]:
    return [item.offset for item in items]


# ---- limits


def test_leases_of_a_partition_are_limited() -> None:
    """A partition whose jobs never end must not take everything; others go on."""
    world = World(partition_leases=3)
    world.append(LAB, 10)
    world.append(LAB1, 2)
    plug = world.poll()
    world.scan(plug)
    taken = world.take(plug, 9)
    assert [item.cursor.partition for item in taken].count(LAB) == 3, "also those that are not leased yet count"
    assert [item.cursor.partition for item in taken].count(LAB1) == 2
    tokens = [world.jobs.lease(item, key="k", now=world.now, seconds=None) for item in taken]
    assert world.take(plug, 9) == []
    world.jobs.on_status(tokens[0], "completed", world.now)
    (freed,) = world.take(plug, 9)
    assert freed.offset == 3, "in order, where it stopped"


def test_leases_of_a_subscriber_are_limited() -> None:
    world = World(leases=4)
    world.append(LAB, 10)
    plug = world.poll()
    world.scan(plug)
    tokens = world.lease(plug, 100)
    assert len(tokens) == 4
    assert world.lease(plug, 100) == []
    world.jobs.on_status(tokens[2], "opt-out", world.now)
    assert len(world.lease(plug, 100)) == 1


def test_passive_readers_have_no_lease_limits() -> None:
    world = World(leases=4, partition_leases=2)
    reader = world.poll(READER)
    world.append(LAB, 10)
    world.tail()
    world.scan(reader)
    assert len(world.take(reader, 100)) == 10


def test_ready_is_bounded_and_what_does_not_fit_is_read_later() -> None:
    world = World(ready=5)
    reader = world.poll(READER)
    world.scan(reader)
    world.append(LAB, 12)
    world.tail()
    seen = []
    for _ in range(10):
        world.scan(reader)
        assert sum(map(len, reader.lanes)) <= 5
        items = world.take(reader, 3)
        seen += offsets(items)
        for item in items:
            world.scheduler.finalise(item)
    assert seen == list(range(12)), "each once, in order"
    assert reader.cursors[LAB].attached, "it has caught up"


def test_one_scan_takes_no_more_than_there_is_room_for() -> None:
    world = World(ready=5)
    world.append(LAB, 12)
    plug = world.poll()
    world.scan(plug)
    assert len(plug.cursors[LAB].ready) == 5
    assert list(plug.cursors[LAB].spans) == [(5, 12)]


def test_rejections_are_counted_once_when_a_scan_stops_for_want_of_room() -> None:
    world = World(ready=2)
    for number in range(12):
        world.append(LAB, author="plug" if number % 2 else "other")
    plug = world.poll(replace(PLUG, deny_self=True))
    for _ in range(10):
        world.scan(plug)
        for item in world.take(plug, 2):
            world.scheduler.finalise(item)
    assert plug.take_filtered() == {"FilterConsumerRules-reject_self": 6}


# ---- order


def test_an_expedited_event_overtakes_everything_at_the_next_look() -> None:
    world = World(ready=4)
    world.append(LAB, 50)
    plug = world.poll(replace(PLUG, expedite=True))
    world.scan(plug)
    assert len(plug.lanes[2]) == 4, "historic is full"
    world.append(URGENT)
    world.tail(URGENT)
    world.scan(plug)
    (first,) = world.take(plug, 1)
    assert first.cursor.partition == URGENT


def test_nothing_less_urgent_is_taken_than_what_is_still_to_be_read() -> None:
    world = World()
    world.append(LAB, 5)
    plug = world.poll(replace(PLUG, expedite=True))
    world.scan(plug)
    plug.cursors[URGENT].detach(0)
    world.append(URGENT)
    world.tail(URGENT)
    scan = world.scheduler.next_scan(plug)
    assert scan is not None
    assert scan.lane == EXPEDITE
    assert world.scheduler.take(plug, 9, world.now, scan.lane) == []


def test_live_before_historic_also_when_live_came_back() -> None:
    """A live event that was ready when the server went down must not wait for the whole backlog."""
    world = World(ready=3)
    world.append(LAB, 30)
    plug = world.poll()
    world.scan(plug, times=1)
    world.append(LAB)
    world.tail()
    plug.clear_ready()  # as a restart does
    scan = world.scheduler.next_scan(plug)
    assert scan is not None
    assert (scan.lane, scan.start) == (LIVE, 30)


def test_partitions_of_one_lane_take_turns() -> None:
    world = World()
    world.append(LAB, 6)
    world.append(LAB1, 6)
    plug = world.poll()
    order = [partition for partition, _ in world.scan(plug, count=2)]
    assert order.count(LAB) == order.count(LAB1) == 3
    assert all(a != b for a, b in pairwise(order))


def test_events_that_came_back_are_first_again_in_their_order() -> None:
    world = World()
    world.append(LAB, 6)
    plug = world.poll()
    world.scan(plug)
    items = world.take(plug, 4)
    for item in reversed(items):
        world.scheduler.put_back(item, world.now)
    assert offsets(world.take(plug, 6)) == [0, 1, 2, 3, 4, 5]


def test_singles_that_came_back_are_read_together() -> None:
    world = World()
    for number in range(200):
        world.append(LAB, author="plug" if number % 2 else "other")
    plug = world.poll(replace(PLUG, deny_self=True))
    world.scan(plug)
    plug.clear_ready()
    assert len(list(plug.cursors[LAB].spans)) == 100
    assert len(world.scan(plug)) == 1


# ---- cost


def test_what_has_nothing_new_costs_nothing() -> None:
    """A poll of a subscriber with thousands of partitions looks at those that need something, and no other."""
    world = World()
    partitions = [(NAMES.binary(f"s{n}", "sourced"), 0) for n in range(3_000)]
    for partition in partitions:
        world.log[partition] = []
    plug = world.poll()
    world.scan(plug)
    assert all(cursor.attached for cursor in plug.cursors.values())
    assert not any(plug.agenda.behind)
    world.append(partitions[7])
    world.tail(partitions[7])
    (token,) = world.lease(plug, 5)
    assert len(plug.agenda.leased) == 1
    world.jobs.on_status(token, "completed", world.now)
    assert plug.out_count() == 0
    assert not plug.agenda.leased


# ---- leases and time


def test_no_lease_expires_while_the_statuses_are_behind() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    (token,) = world.lease(plug)
    world.now += 3_600
    world.jobs.expire(world.now, proven=1_059.0)
    assert world.take(plug) == [], "nobody knows yet whether it was finished"
    world.jobs.on_status(token, "completed", 1_030.0)
    world.jobs.expire(world.now, proven=world.now)
    assert world.take(plug) == []
    assert not plug.due


def test_leases_count_from_when_clients_can_be_heard_again() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    world.lease(plug)
    world.now += 300
    world.jobs.hear_again(world.now)
    world.jobs.expire(world.now, world.now)
    world.now += 59
    world.jobs.expire(world.now, world.now)
    assert world.take(plug) == []
    world.now += 2
    world.jobs.expire(world.now, world.now)
    assert [item.attempt for item in world.take(plug)] == [2]


def test_a_heartbeat_extends_and_its_absence_ends() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    (token,) = world.lease(plug)
    for _ in range(5):
        world.now += 50
        world.jobs.on_status(token, "heartbeat", world.now)
        world.jobs.expire(world.now, world.now)
    assert world.take(plug) == []
    world.now += 61
    world.jobs.expire(world.now, world.now)
    (again,) = world.take(plug)
    assert again.attempt == 2


def test_a_heartbeat_of_an_attempt_of_before_extends_nothing() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    (old,) = world.lease(plug)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    world.lease(plug)
    world.now += 61
    world.jobs.on_status(old, "heartbeat", world.now)
    world.jobs.expire(world.now, world.now)
    assert world.take(plug)[0].attempt == 3


def test_a_late_status_ends_the_job_of_whoever_has_it_now() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    (old,) = world.lease(plug)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    (new,) = world.lease(plug)
    world.jobs.on_status(old, "completed", world.now)
    world.jobs.on_status(new, "completed", world.now)
    world.now += 1_000
    assert world.jobs.expire(world.now, world.now) == []
    assert world.take(plug) == []


def test_attempts_are_bounded_by_failures_not_by_what_was_given_back() -> None:
    world = World(lease_seconds=60, attempts=2)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    for _ in range(5):  # five rolling restarts of its workers
        (token,) = world.lease(plug)
        world.jobs.on_release(token, world.now)
    for attempt in (6, 7):
        (item,) = world.take(plug)
        assert item.attempt == attempt
        world.jobs.lease(item, key="k", now=world.now, seconds=None)
        world.now += 61
        lost = world.jobs.expire(world.now, world.now)
    assert offsets(lost) == [0]
    lease = plug.cursors[LAB].leases[0]
    assert (lease.ending, lease.reason) == (True, "lease expired 2 times")
    assert world.jobs.expire(world.now + 999, world.now + 999) == [], "told once"
    assert world.take(plug) == []


def test_giving_back_for_ever_ends_too() -> None:
    world = World(hand_outs=4)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    for _ in range(4):
        (token,) = world.lease(plug)
        world.jobs.on_release(token, world.now)
    assert world.take(plug) == []
    assert offsets(world.jobs.expire(world.now, world.now)) == [0]
    assert plug.cursors[LAB].leases[0].reason == "given back by the plugin 4 times"


def test_a_released_job_waits_and_then_goes_first() -> None:
    world = World()
    world.append(LAB, 3)
    plug = world.poll()
    world.scan(plug)
    (token,) = world.lease(plug)
    world.jobs.on_release(token, world.now + 30)
    world.jobs.on_release(token, world.now + 10)  # a second time it is not out any more
    assert world.scheduler.next_due(plug) == world.now + 30
    (other,) = world.take(plug)
    assert other.offset == 1
    world.now += 30
    (again,) = world.take(plug)
    assert (again.offset, again.attempt) == (0, 2)


def test_an_old_reply_that_fails_takes_nothing_from_the_next_client() -> None:
    """Written so slowly that the lease expired and somebody else has the event: never two live leases."""
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    (slow,) = world.take(plug)
    world.jobs.lease(slow, key="k", now=world.now, seconds=None)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    world.lease(plug)
    world.scheduler.put_back(slow, world.now)
    assert world.take(plug) == []
    assert plug.cursors[LAB].leases[0].attempt == 2


def test_a_redelivery_that_comes_back_keeps_its_attempt() -> None:
    world = World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    world.lease(plug)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    (again,) = world.take(plug)
    world.jobs.lease(again, key="k", now=world.now, seconds=None)
    world.scheduler.put_back(again, world.now)
    assert [item.attempt for item in world.take(plug)] == [2]


def test_a_clock_that_was_ahead_does_not_hold_leases() -> None:
    world = World(lease_seconds=60)
    world.append(LAB, 2)
    plug = world.poll()
    world.scan(plug)
    world.now += 86_400 * 365
    world.jobs.expire(world.now, world.now)
    _, token = world.lease(plug, 2)
    world.jobs.on_release(token, world.now + 10)
    world.now = 2_000.0
    world.jobs.expire(world.now, world.now)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    assert offsets(world.take(plug, 2)) == [0]
    world.now += 86_400
    assert offsets(world.take(plug, 2)) == [1]


def test_entries_of_finished_leases_are_forgotten() -> None:
    """Jobs of milliseconds under leases of half an hour, and jobs given back for a day: neither may pile up."""
    world = World(leases=10_000)
    plug = world.poll()
    world.scan(plug)
    for _ in range(250):
        world.append(LAB, 100)
        world.tail()
        tokens = world.lease(plug, 100)
        for token in tokens[:50]:
            world.jobs.on_release(token, world.now + 86_400)
        for token in tokens:
            world.jobs.on_status(token, "completed", world.now)
    assert len(world.jobs._expiry) <= 10_001
    assert len(plug.due) <= 1_001


def test_forgetting_finished_leases_keeps_the_time_of_living_ones() -> None:
    world = World(lease_seconds=1_800)
    plug = world.poll()
    world.scan(plug)
    world.append(LAB)
    world.tail()
    world.lease(plug, seconds=60)
    for _ in range(120):
        world.append(LAB1, 100)
        world.tail(LAB1)
        for token in world.lease(plug, 100):
            world.jobs.on_status(token, "completed", world.now)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    assert offsets(world.take(plug)) == [0]


# ---- tokens


def test_a_status_for_what_was_never_handed_out_ends_nothing() -> None:
    world = World()
    world.append(LAB, 9)
    plug = world.poll()
    world.scan(plug)
    (token,) = world.lease(plug)
    head, place, tail = token.rsplit(".", 2)
    for at, value in ((3, "5"), (3, str(2**62)), (2, "1"), (4, "2"), (5, "9")):
        pieces = place.split("-")
        pieces[at] = value
        world.jobs.on_status(f"{head}.{'-'.join(pieces)}.{tail}", "completed", world.now)
    assert len(world.take(plug, 100)) == 8


def test_statuses_of_another_installation_end_nothing() -> None:
    """A backup is restored into a new installation with the same plugins: its old statuses come, too."""
    old, new = World(), World()
    for world in (old, new):
        world.append(LAB, 3)
        world.scan(world.poll())
    for token in old.lease(old.poll(), 3):
        new.jobs.on_status(token, "completed", new.now)
    assert len(new.take(new.poll(), 9)) == 3


def test_tokens_of_before_a_reset_end_nothing() -> None:
    world = World()
    world.append(LAB, 2)
    plug = world.poll()
    world.scan(plug)
    held, leased = world.take(plug, 2)
    token = world.jobs.lease(leased, key="k", now=world.now, seconds=None)
    world.scheduler.roster.reset(plug, {LAB: (0, 2)})
    world.jobs.on_status(token, "completed", world.now)
    world.scheduler.put_back(held, world.now)  # a poll of before ends
    world.scheduler.put_back(leased, world.now)
    assert not world.jobs.is_held(held)
    world.scan(plug)
    assert offsets(world.take(plug, 9)) == [0, 1]
    world.now += 10_000
    world.jobs.expire(world.now, world.now)
    assert world.take(plug, 9) == [], "leases of before are no more"


def test_a_scan_of_before_a_reset_brings_nothing() -> None:
    world = World()
    world.append(LAB, 2)
    plug = world.poll()
    old = world.scheduler.next_scan(plug)
    assert old is not None
    world.scheduler.roster.reset(plug, {LAB: (0, 2)})
    assert not world.scheduler.absorb_scan(old, world.chunk(LAB, 0))
    assert not plug.has_ready()


def test_leases_of_before_a_restart_count_from_when_we_serve_again() -> None:
    """Nobody could take a heartbeat while the server was down."""
    world, after = World(lease_seconds=60), World(lease_seconds=60)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    world.now -= 500
    world.lease(plug)
    after.scheduler.roster.adopt(plug)
    after.jobs.restore(plug, after.now)
    after.jobs.expire(after.now + 59, after.now + 59)
    assert not plug.due
    after.jobs.expire(after.now + 61, after.now + 61)
    assert plug.due


def test_what_was_given_up_on_before_a_restart_is_given_up_on_after_it() -> None:
    world, after = World(lease_seconds=60, attempts=1), World()
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    world.lease(plug)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    after.scheduler.roster.adopt(plug)
    after.jobs.restore(plug, after.now)
    assert offsets(after.jobs.expire(after.now, after.now)) == [0]


# ---- the tail


def test_a_scan_does_not_see_again_what_ended_between_its_ranges() -> None:
    """After a restart statuses end some of the backlog; what is around it is read in one go."""
    world = World()
    world.append(LAB, 9)
    plug = world.poll()
    for offset in (3, 5):
        plug.cursors[LAB].finalise(offset)
    assert len(world.scan(plug)) == 1
    assert offsets(world.take(plug, 9)) == [0, 1, 2, 4, 6, 7, 8]


def test_who_comes_back_is_read_for_although_others_kept_the_tail() -> None:
    world = World()
    world.append(LAB, 2)
    away = world.poll(Subscription("away", "1", "binary", historic=True))
    world.scheduler.unfollow(LAB)
    world.scan(away)  # nothing to be had: nobody knows how far the log goes
    away.leave()
    world.poll(READER)
    world.scan(world.poll(replace(READER, name="away")))
    assert offsets(world.take(away, 9)) == [0, 1]


def test_the_tail_shares_with_who_is_there_only() -> None:
    world = World()
    plug, reader = world.poll(), world.poll(READER)
    world.scan(plug)
    world.scan(reader)
    world.now += 31
    world.poll(READER)
    assert world.scheduler.detach_idle(world.now)
    world.append(LAB, 3)
    world.tail()
    assert len(world.take(reader, 9)) == 3
    assert not plug.has_ready(), "nothing is decided for who is away"
    plug = world.poll()
    world.scan(plug)
    assert len(world.take(plug, 9)) == 3


def test_news_that_nobody_could_share_are_read_by_each_for_itself() -> None:
    world = World()
    plug = world.poll()
    world.scan(plug)
    world.append(LAB, 3)
    world.scheduler.pass_over(world.chunk(LAB, 0))
    world.append(LAB, 2)
    world.tail()
    world.scan(plug)
    assert offsets(world.take(plug, 9)) == [0, 1, 2, 3, 4]


def test_news_given_twice_are_seen_once() -> None:
    world = World()
    plug = world.poll()
    world.scan(plug)
    world.append(LAB, 3)
    world.tail()
    world.scheduler.absorb_tail(world.chunk(LAB, 0))
    world.append(LAB)
    world.scheduler.absorb_tail(world.chunk(LAB, 1))
    assert offsets(world.take(plug, 9)) == [0, 1, 2, 3]


def test_a_subscriber_ahead_of_the_tail_misses_nothing() -> None:
    """It registered between an append and the tail's news of it."""
    world = World()
    world.scan(world.poll(READER))
    world.append(LAB, 2)
    live = world.poll(replace(READER, name="later"))
    world.scan(live)
    world.append(LAB, 2)
    world.tail()
    world.scan(live)
    assert offsets(world.take(live, 9)) == [2, 3]


def test_tombstones_are_for_nobody_and_gaps_are_passed() -> None:
    world = World()
    reader = world.poll(READER)
    world.scan(reader)
    world.append(LAB, 4)
    world.log[LAB][1] = world.log[LAB][1]._replace(value=None)
    chunk = world.chunk(LAB, 0)
    world.scheduler.absorb_tail(chunk._replace(records=[r for r in chunk.records if r.offset != 2]))
    assert offsets(world.take(reader, 9)) == [0, 3]


def test_what_retention_took_is_counted() -> None:
    world = World()
    world.append(LAB, 10)
    plug = world.poll()
    scan = world.scheduler.next_scan(plug)
    assert scan is not None
    world.scheduler.absorb_scan(scan, world.chunk(LAB, 0, start=4))
    assert world.dropped("aged-off") == 4
    assert offsets(world.take(plug, 99)) == [4, 5, 6, 7, 8, 9]


def test_retention_past_the_whole_backlog() -> None:
    world = World()
    world.append(LAB, 10)
    past = world.poll(Subscription("past", "1", "binary", historic=True))
    scan = world.scheduler.next_scan(past)
    assert scan is not None
    world.scheduler.absorb_scan(scan, Chunk(LAB, [], 10, 10, 10))
    assert world.dropped("aged-off") == 10
    assert world.scan(past) == []
    assert past.cursors[LAB].attached


def test_records_that_nobody_can_read_are_told_once() -> None:
    world = World()
    plug, reader = world.poll(), world.poll(READER)
    world.scan(plug)
    world.log[LAB] = [Record(0, 0, b"k", b"\xff not json", None), Record(1, 0, b"k", b"[]", b"\xc1")]
    world.append(LAB)
    world.tail()
    world.scan(reader)
    assert world.scheduler.unreadable.take() == [(LAB, 0), (LAB, 1)]
    assert world.scheduler.unreadable.take() == []
    assert world.dropped("undecodable") == 2
    assert offsets(world.take(plug, 9)) == offsets(world.take(reader, 9)) == [2]


# ---- filters


class Moody:
    """Raises while it is in the mood."""

    name = "Moody"

    def __init__(self) -> None:
        self.raises = True
        self.calls = 0

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        self.calls += 1
        if self.raises:
            raise RuntimeError("not today")
        return "no" if header.author == "bad" else None


@pytest.mark.parametrize("way", ["tail", "scan"])
def test_a_header_filter_that_raises_loses_nothing(way: str) -> None:
    """Its events are kept, and it is asked again when they are about to be handed out."""
    moody = Moody()
    world = World([moody])
    plug = world.poll()
    world.scan(plug)
    if way == "scan":
        plug.cursors[LAB].detach(0)
    world.append(LAB)
    world.append(LAB, author="bad")
    world.tail()
    world.scan(plug)
    for item in world.take(plug, 9):
        with pytest.raises(FilterRaised, match="Moody"):
            world.scheduler.rejection(item, world.log[LAB][item.offset], plug.wanted)
        world.jobs.hold_back(item, now=world.now, reason="filter Moody raised")
    assert world.take(plug, 9) == []
    assert world.metrics.registry.get_sample_value(
        "dispatcher_events_consume_pipelines_error_total", {"pipeline": "Moody"}
    )
    moody.raises = False
    world.now += 2.1
    items = world.take(plug, 9)
    assert [world.scheduler.rejection(i, world.log[LAB][i.offset], plug.wanted) for i in items] == [None, "Moody-no"]


def test_a_filter_that_never_recovers_ends_in_dead_letters() -> None:
    world = World([Moody()], attempts=3)
    world.append(LAB)
    plug = world.poll()
    world.scan(plug)
    waits = []
    while (found := world.take(plug)) or plug.due:
        for item in found:
            world.jobs.hold_back(item, now=world.now, reason="filter Moody raised")
        waits.append(world.scheduler.next_due(plug))
        world.now += 1
    assert world.now < 1_020
    assert offsets(world.jobs.expire(world.now, world.now)) == [0]
    assert plug.cursors[LAB].leases[0].reason == "filter Moody raised"


def test_what_a_broken_filter_holds_back_is_bounded() -> None:
    world = World([Moody()], leases=5)
    reader = world.poll(replace(READER, historic=True))
    world.scan(reader)
    world.append(LAB, 100)
    world.tail()
    for _ in range(20):
        for item in world.take(reader, 3):
            world.jobs.hold_back(item, now=world.now, reason="filter Moody raised")
    assert reader.lease_count() <= 6


def test_verdicts_of_a_healthy_filter_are_remembered() -> None:
    moody = Moody()
    moody.raises = False
    world = World([moody])
    world.scan(world.poll(READER))
    for _ in range(50):
        world.append(LAB, 10, source_time=len(world.log[LAB]))
        world.tail()
    assert moody.calls == 1


def test_sizes_are_told_apart_at_each_subscribers_own_bounds() -> None:
    """Verdicts are remembered per class of sizes: both edges of every bound must be in classes of their own."""
    world = World()
    wanted = {
        f"{under}-{over}": replace(READER, name=f"{under}-{over}", under_size=under, over_size=over)
        for under, over in ((10, 0), (0, 10), (11, 9), (20, 10), (10, 10))
    }
    readers = {name: world.poll(subscription) for name, subscription in wanted.items()}
    for reader in readers.values():
        world.scan(reader)
    for size in range(25):
        world.append(LAB, streams=(StreamHeader("content", "text", size),))
        world.tail()
    for name, reader in readers.items():
        under, over = map(int, name.split("-"))
        seen = offsets(world.take(reader, 99))
        assert seen == [size for size in range(25) if size >= over and (not under or size <= under)], name


def test_depths_beyond_every_limit_are_alike_and_those_below_are_not() -> None:
    world = World()
    reader, plug = world.poll(READER), world.poll()
    world.scan(reader)
    world.scan(plug)
    for depth in (9, 10, 11, 12, 100, 10_000):
        world.append(LAB, depth=depth)
    world.tail()
    assert offsets(world.take(plug, 9)) == [0, 1], "jobs: 10"
    assert offsets(world.take(reader, 9)) == [0, 1, 2], "readers: 11"


def test_other_filters_decide_again_what_waits() -> None:
    world = World()
    world.append(LAB, 2, author="plug")
    world.append(LAB, 2, author="other")
    plug = world.poll()
    world.scan(plug)
    world.scheduler.roster.change_filters(plug, replace(PLUG, deny_self=True))
    world.scan(plug)
    assert offsets(world.take(plug, 9)) == [2, 3]
    assert plug.take_filtered() == {"FilterConsumerRules-reject_self": 2}


def test_a_redelivery_is_judged_by_the_filters_of_now() -> None:
    world = World(lease_seconds=60)
    world.append(LAB, author="plug")
    plug = world.poll()
    world.scan(plug)
    world.lease(plug)
    world.now += 61
    world.jobs.expire(world.now, world.now)
    changed = replace(PLUG, deny_self=True)
    world.scheduler.roster.change_filters(plug, changed)
    (item,) = world.take(plug)
    assert world.scheduler.rejection(item, world.log[LAB][0], changed) == "FilterConsumerRules-reject_self"


def test_a_hundred_topics_remember_no_more_than_one() -> None:
    world = World()
    reader = world.poll(READER)
    world.scan(reader)
    memo = world.scheduler.roster._memo
    memo._remember = 50
    for number in range(200):
        world.append(LAB, author=f"a{number}")
    world.tail()
    assert len(memo) <= 50
    assert len(world.take(reader, 999)) == 200


@pytest.mark.parametrize("task", [True, False])
def test_a_pause_is_skipped_for_what_nobody_has(task: bool) -> None:
    world = World()
    world.append(LAB, 5)
    plug = world.poll(replace(PLUG, task=task))
    world.scan(plug)
    held, other = world.take(plug, 2)
    if task:
        world.jobs.lease(other, key="k", now=world.now, seconds=60)
    world.append(LAB, 5)
    bounds = {partition: (0, len(records)) for partition, records in world.log.items()}
    world.scheduler.skip_to_end(plug, bounds)
    world.tail()
    world.append(LAB, 1)
    world.tail()
    world.scan(plug)
    assert offsets(world.take(plug, 9)) == [10]
    assert world.jobs.is_held(held)
    assert world.dropped("pause") == 8
    if task:
        world.now += 61
        world.jobs.expire(world.now, world.now)
        assert offsets(world.take(plug, 9)) == [1], "a job handed out before the pause is not forgotten"
