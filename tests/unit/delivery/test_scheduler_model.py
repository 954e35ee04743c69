"""The scheduler against a plain-set model, with a crash possible between any two steps (delivery.md section 6).

The model knows only what was appended, what each subscriber may see, and what was finalised. After every step:
each matching, not finalised event is pending in exactly one place; none is pending that was finalised by a status.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatcher.delivery.checkpoint import Checkpoint
from dispatcher.delivery.cursors import LANES, Cursor
from dispatcher.delivery.jobs import Item
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.matching import FilterRaised
from dispatcher.delivery.rules import FilterConsumerRules
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import SLOTS, Chunk, Record
from dispatcher.eventlog.memory import MemoryJournal
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import Header, pack
from dispatcher.hooks.types import Subscription
from dispatcher.metrics import Metrics

Partition = tuple[str, int]
Place = tuple[Partition, int]

NAMES = TopicNames("t")
SOURCES = ("alpha", "beta")
ACTIONS = ("sourced", "extracted")
TOPICS = [NAMES.binary(s, a) for s in SOURCES for a in ACTIONS]
EXPEDITE = NAMES.system("expedite")
STATUS = (NAMES.system("status"), 0)
LIMITS = Limits(ready=4, leases=6, partition_leases=3, attempts=3, hand_outs=5, lease_seconds=100.0)

WANTED = (
    Subscription("all", "1", "binary", expedite=True, live=True, historic=True, task=True),
    Subscription("live", "1", "binary", live=True, task=True, deny_actions=("extracted",)),
    Subscription("past", "1", "binary", historic=True),
    Subscription("picky", "1", "binary", sources=("alpha",), live=True, historic=True, task=True, deny_self=True),
)
A_NAME = st.sampled_from([wanted.name for wanted in WANTED])


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing but its own parts."""
    with asyncio.Runner() as runner:
        return runner.run(work)


class Log:
    """The least that can be called a log: lists, with heads that can be cut off and gaps."""

    def __init__(self) -> None:
        self.records: dict[Partition, dict[int, Record]] = {}
        self.high: dict[Partition, int] = {}
        self.start: dict[Partition, int] = {}

    def make(self, topic: str) -> Partition:
        partition = (topic, 0)
        if partition not in self.high:
            self.records[partition], self.high[partition], self.start[partition] = {}, 0, 0
        return partition

    def bounds(self) -> dict[Partition, tuple[int, int]]:
        return {p: (self.start[p], high) for p, high in self.high.items()}

    def read(self, partition: Partition, offset: int, count: int) -> Chunk:
        offset = max(offset, self.start[partition])
        found = [r for o, r in sorted(self.records[partition].items()) if o >= offset][:count]
        high = self.high[partition]
        following = found[-1].offset + 1 if len(found) == count else max(high, offset)
        return Chunk(partition, found, following, self.start[partition], high)


class Breakable:
    """The rules of subscribers, which can be made to raise."""

    name = "FilterConsumerRules"

    def __init__(self) -> None:
        self.broken = False
        self._rules = FilterConsumerRules()

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        if self.broken:
            raise RuntimeError("broken")
        return self._rules.reject(header, subscription)


class DeliveryMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now = 1_000.0
        self.log = Log()
        self.filter = Breakable()
        for topic in (TOPICS[0], EXPEDITE):
            self.log.make(topic)
        self.authors: dict[Place, str] = {}
        self.journal = MemoryJournal()
        self.statuses: list[tuple[str, str, float]] = []
        self.expected: dict[str, set[Place]] = {}
        self.gone: set[Place] = set()
        """Taken by retention or compaction: may be seen, need not be."""
        self.done: dict[str, set[Place]] = {}
        self.unwritten: dict[str, set[Place]] = {}
        """Done, but neither the journal nor a status says so yet."""
        self.out: dict[str, list[tuple[Place, str]]] = {}
        self.stale: list[str] = []
        self.start_process()

    # -- the world around the scheduler

    def start_process(self) -> None:
        self.held: list[tuple[Item, bool]] = []
        self.scheduler = Scheduler(
            names=NAMES, filters=[self.filter], limits=LIMITS, metrics=Metrics(), serving_since=self.now
        )
        self.scheduler.statuses = frozenset([STATUS])
        self.checkpoint = Checkpoint(self.journal, self.scheduler)
        opened = run(self.checkpoint.open(range(SLOTS)))
        for subscriber in opened.subscribers:
            self.scheduler.roster.adopt(subscriber)
        self.discover()
        for token, status, when in self.statuses[opened.oldest.get(STATUS, len(self.statuses)) :]:
            self.scheduler.jobs.on_status(token, status, when)
        for subscriber in opened.subscribers:
            self.scheduler.jobs.restore(subscriber, self.now)
        self.checkpoint.own(opened)
        self.scheduler.follow(STATUS, len(self.statuses))

    def discover(self) -> None:
        for partition in self.log.high:
            self.scheduler.roster.discover(partition, self.log.start[partition])

    def by_name(self, name: str) -> Subscriber | None:
        for subscriber in self.scheduler.roster.subscribers.values():
            if subscriber.wanted.name == name:
                return subscriber
        return None

    def wants(self, wanted: Subscription, partition: Partition, offset: int) -> bool:
        """The model's own words for who gets what."""
        topic = partition[0]
        if topic == EXPEDITE:
            if not wanted.expedite:
                return False
        else:
            source, action = topic.removeprefix("azul.t.").split(".binary.")
            if wanted.sources and source not in wanted.sources:
                return False
            if action in wanted.deny_actions:
                return False
        return not (wanted.deny_self and self.authors[partition, offset] == wanted.name)

    def status(self, token: str, status: str) -> None:
        self.statuses.append((token, status, self.now))
        self.scheduler.jobs.on_status(token, status, self.now)
        self.scheduler.position[STATUS] = len(self.statuses)

    def older_than(self, wanted: Subscription) -> set[Place]:
        return {
            (partition, offset)
            for partition, records in self.log.records.items()
            for offset in records
            if wanted.historic and partition[0] != EXPEDITE and self.wants(wanted, partition, offset)
        }

    # -- steps

    @rule(
        topic=st.sampled_from([*TOPICS, EXPEDITE]),
        authors=st.lists(st.sampled_from(("person", "picky")), min_size=1, max_size=6),
        gap=st.integers(0, 2),
    )
    def append(self, topic: str, authors: list[str], gap: int) -> None:
        partition = self.log.make(topic)
        self.log.high[partition] += gap
        name = NAMES.parse(topic)
        assert name is not None
        for author in authors:
            offset = self.log.high[partition]
            header = Header(source=name.source or "alpha", action=name.action or "sourced", author=author)
            self.log.records[partition][offset] = Record(offset, 0, b"k", b"{}", pack(header))
            self.log.high[partition] += 1
            self.authors[partition, offset] = author
            for wanted in WANTED:
                if self.by_name(wanted.name) is not None and self.wants(wanted, partition, offset):
                    self.expected[wanted.name].add((partition, offset))

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 3))
    def retention(self, topic: str, count: int) -> None:
        """The oldest records of a partition go."""
        partition = self.log.make(topic)
        for offset in sorted(self.log.records[partition])[:count]:
            self.remove((partition, offset))
            self.log.start[partition] = offset + 1

    @rule(topic=st.sampled_from([*TOPICS, EXPEDITE]), data=st.data())
    def compaction(self, topic: str, data: st.DataObject) -> None:
        """A record within a partition goes."""
        partition = self.log.make(topic)
        if self.log.records[partition]:
            self.remove((partition, data.draw(st.sampled_from(sorted(self.log.records[partition])))))

    def remove(self, place: Place) -> None:
        del self.log.records[place[0]][place[1]]
        self.gone.add(place)

    @rule(wanted=st.sampled_from(WANTED))
    def poll_begins(self, wanted: Subscription) -> None:
        """Register on the first poll; journal before the answer; follow and attach."""
        subscriber = self.by_name(wanted.name)
        if subscriber is None:
            subscriber = self.scheduler.roster.register(wanted, self.log.bounds(), self.now)
            self.done[wanted.name], self.unwritten[wanted.name], self.out[wanted.name] = set(), set(), []
            self.expected[wanted.name] = self.older_than(wanted)
            self.write_with(subscriber)
        self.discover()
        self.scheduler.touch(subscriber, self.now)
        for partition in subscriber.cursors:
            if partition not in self.scheduler.position:
                self.scheduler.follow(partition, self.log.high[partition])

    @rule(name=A_NAME)
    def reset(self, name: str) -> None:
        subscriber = self.by_name(name)
        if subscriber is None:
            return
        self.scheduler.roster.reset(subscriber, self.log.bounds())
        self.stale += [token for _, token in self.out[name]]
        self.out[name], self.done[name] = [], set()
        self.expected[name] = self.older_than(subscriber.wanted)
        self.write_with(subscriber)

    @rule(count=st.integers(1, 5), stumble=st.booleans())
    def tail_moves(self, count: int, stumble: bool) -> None:
        for partition, position in list(self.scheduler.position.items()):
            if partition != STATUS and position < self.log.high[partition]:
                chunk = self.log.read(partition, position, count)
                (self.scheduler.pass_over if stumble else self.scheduler.absorb_tail)(chunk)

    @rule(data=st.data())
    def unfollow(self, data: st.DataObject) -> None:
        followed = sorted(self.scheduler.position.keys() - {STATUS})
        if followed:
            self.scheduler.unfollow(data.draw(st.sampled_from(followed)))

    @rule(name=A_NAME, count=st.integers(1, 5), size=st.integers(1, 4))
    def scan(self, name: str, count: int, size: int) -> None:
        subscriber = self.by_name(name)
        for _ in range(count):
            found = self.scheduler.next_scan(subscriber) if subscriber else None
            if found is None:
                return
            self.scheduler.absorb_scan(found, self.log.read(found.cursor.partition, found.start, size))

    @rule(name=A_NAME, count=st.integers(1, 4), end=st.sampled_from(("reply", "gone", "gone while writing", "hold")))
    def take(self, name: str, count: int, end: str) -> None:
        """Hand out; the client may leave before or while the reply is written, or take its time."""
        subscriber = self.by_name(name)
        if subscriber is None:
            return
        items = [item for item in self.scheduler.take(subscriber, count, self.now) if self.passes(item)]
        for item in items:
            place = (item.cursor.partition, item.offset)
            assert place in self.expected[name] | self.gone, "delivered to somebody who did not ask for it"
            assert place not in self.done[name], "delivered after it was finished"
            if end == "hold":
                self.held.append((item, subscriber.leases))
            elif end == "gone":
                self.scheduler.put_back(item, self.now)
            else:
                self.reply(item, subscriber.leases, gone=end != "reply")

    def passes(self, item: Item) -> bool:
        place = (item.cursor.partition, item.offset)
        record = self.log.records[place[0]].get(item.offset)
        if record is None:
            self.scheduler.finalise(item, "aged-off")
            return False
        try:
            reason = self.scheduler.rejection(item, record, item.subscriber.wanted)
        except FilterRaised:
            self.scheduler.jobs.hold_back(item, now=self.now, reason="filter raised")
            return False
        if reason is not None:
            self.scheduler.finalise(item)
            assert not self.wants(item.subscriber.wanted, *place)
        return reason is None

    def reply(self, item: Item, leased: bool, gone: bool = False) -> None:
        name, place = item.subscriber.wanted.name, (item.cursor.partition, item.offset)
        if not self.scheduler.jobs.is_held(item):
            return
        if leased:
            token = self.scheduler.jobs.lease(item, key="k", now=self.now, seconds=None)
            if not gone:
                self.out[name].append((place, token))
        if gone:
            self.scheduler.put_back(item, self.now)
        elif not leased:
            self.scheduler.finalise(item)
            self.done[name].add(place)
            self.unwritten[name].add(place)

    @precondition(lambda self: self.held)
    @rule(gone=st.booleans())
    def slow_reply_ends(self, gone: bool) -> None:
        item, leased = self.held.pop(0)
        if gone:
            self.scheduler.put_back(item, self.now)
        else:
            self.reply(item, leased)

    @precondition(lambda self: any(self.out.values()))
    @rule(data=st.data(), status=st.sampled_from(("completed", "error-exception", "heartbeat")))
    def post_status(self, data: st.DataObject, status: str) -> None:
        """A status becomes durable, then the tail shows it. Also late ones, of attempts long past."""
        name = data.draw(st.sampled_from([n for n, items in self.out.items() if items]))
        place, token = data.draw(st.sampled_from(self.out[name]))
        self.status(token, status)
        if status != "heartbeat":
            self.end(name, place)

    def end(self, name: str, place: Place) -> None:
        self.done[name].add(place)
        self.unwritten[name].discard(place)

    @precondition(lambda self: any(self.out.values()))
    @rule(data=st.data(), after=st.sampled_from((0.0, 60.0)))
    def release(self, data: st.DataObject, after: float) -> None:
        name = data.draw(st.sampled_from([n for n, items in self.out.items() if items]))
        _, token = data.draw(st.sampled_from(self.out[name]))
        self.scheduler.jobs.on_release(token, self.now + after)

    @rule()
    def old_and_forged_statuses(self) -> None:
        """Statuses of before a reset, and for other offsets than the token was made for, end nothing."""
        before = self.picture()
        for token in self.stale:
            self.status(token, "completed")
        for _, token in [entry for items in self.out.values() for entry in items]:
            head, place, tail = token.rsplit(".", 2)
            pieces = place.split("-")
            for offset in range(0, 9):
                if str(offset) != pieces[3]:
                    forged = "-".join([*pieces[:3], str(offset), *pieces[4:]])
                    self.scheduler.jobs.on_status(f"{head}.{forged}.{tail}", "completed", self.now)
        assert self.picture() == before

    @rule()
    def replay_statuses(self) -> None:
        """Seeing statuses again, from earlier, changes nothing (invariant 6)."""
        before = self.picture()
        for token, status, when in self.statuses:
            if status != "heartbeat":
                self.scheduler.jobs.on_status(token, status, when)
        assert self.picture() == before

    @rule(seconds=st.sampled_from((1.0, 50.0, 150.0)), blind=st.booleans())
    def time_passes(self, seconds: float, blind: bool) -> None:
        self.now += seconds
        proven = self.now - seconds if blind else self.now
        ends = {id(lease): lease.renewed_at + lease.seconds for lease in self.leases() if lease.out}
        lost = self.scheduler.jobs.expire(self.now, proven)
        for lease in self.leases():
            if not lease.out and id(lease) in ends:
                assert ends[id(lease)] <= proven + 1e-6, "expired on ignorance"
        for item in lost:
            if self.scheduler.jobs.is_current(item):
                self.status(self.scheduler.jobs.token(item, "k", self.now), "error-runner")
                self.end(item.subscriber.wanted.name, (item.cursor.partition, item.offset))
        self.scheduler.detach_idle(self.now)

    @rule(name=A_NAME)
    def skip_after_a_pause(self, name: str) -> None:
        subscriber = self.by_name(name)
        if subscriber is None:
            return
        self.scheduler.skip_to_end(subscriber, self.log.bounds())
        for partition, offset in self.expected[name]:
            cursor = subscriber.cursors.get(partition)
            if cursor is not None and offset not in cursor.leases and offset not in cursor.held:
                if (partition, offset) not in self.done[name]:
                    self.unwritten[name].add((partition, offset))
                self.done[name].add((partition, offset))

    @rule(positions=st.booleans())
    def write(self, positions: bool) -> None:
        run(self.checkpoint.write(0.0, positions=positions))
        for places in self.unwritten.values():
            places.clear()

    def write_with(self, subscriber: Subscriber) -> None:
        run(self.checkpoint.write_with(subscriber, 0.0))
        for other in self.scheduler.roster.subscribers.values():
            if other.slot == subscriber.slot:
                self.unwritten[other.wanted.name].clear()

    @rule()
    def crash(self) -> None:
        """kill -9: memory is gone, the journal and the log are not."""
        for name, places in self.unwritten.items():
            self.done[name] -= places
            places.clear()
        self.start_process()

    @rule(name=A_NAME, task=st.booleans())
    def filters_change(self, name: str, task: bool) -> None:
        """The same filters under another deployment key: all that was decided is decided again."""
        subscriber = self.by_name(name)
        if subscriber is not None:
            changed = replace(subscriber.wanted, deployment_key=subscriber.wanted.deployment_key + "x", task=task)
            self.scheduler.roster.change_filters(subscriber, changed)

    @rule(broken=st.booleans())
    def filter_breaks(self, broken: bool) -> None:
        self.filter.broken = broken

    # -- what must hold after every step

    def leases(self):
        for subscriber in self.scheduler.roster.subscribers.values():
            for cursor in subscriber.cursors.values():
                yield from cursor.leases.values()

    def picture(self):
        return {
            (s.wanted.name, p): (list(c.unseen()), c.open_from, c.attached, sorted(c.leases))
            for s in self.scheduler.roster.subscribers.values()
            for p, c in s.cursors.items()
        }

    @invariant()
    def nothing_is_lost(self) -> None:
        for wanted in WANTED:
            subscriber = self.by_name(wanted.name)
            for partition, offset in self.expected.get(wanted.name, ()):
                if (partition, offset) in self.done[wanted.name] | self.gone:
                    continue
                cursor = subscriber.cursors.get(partition)
                assert cursor is None or self.places(cursor, offset) == 1, (
                    f"{wanted.name} has {partition} at {offset} in {self.places(cursor, offset)} places: {cursor}"
                )

    def places(self, cursor: Cursor, offset: int) -> int:
        end = self.scheduler.position.get(cursor.partition) if cursor.attached else cursor.open_from
        return sum(
            (
                offset in cursor.spans,
                offset in cursor.ready,
                offset in cursor.held or offset in cursor.leases,
                end is not None and offset >= end,
            )
        )

    @invariant()
    def finished_stays_finished(self) -> None:
        """What a durable status ended is pending nowhere, crash or not."""
        for name, places in self.done.items():
            subscriber = self.by_name(name)
            for partition, offset in places:
                cursor = subscriber.cursors.get(partition)
                assert cursor is None or not self.places(cursor, offset), f"{name} sees {offset} again"

    @invariant()
    def bounded_and_noticed(self) -> None:
        for subscriber in self.scheduler.roster.subscribers.values():
            assert all(len(lane) <= LIMITS.ready + LIMITS.leases for lane in subscriber.lanes)
            assert subscriber.lease_count() <= LIMITS.leases + 4
            for cursor in subscriber.cursors.values():
                assert cursor.doubtful <= cursor.ready | cursor.held
                if cursor.leases or cursor.held:
                    assert cursor in subscriber.agenda.leased
                for lane in LANES:
                    if cursor.stretch(lane, self.scheduler.position.get(cursor.partition)) and not subscriber.idle:
                        assert cursor in subscriber.agenda.behind[lane], "nobody will ever scan this"

    def teardown(self) -> None:
        """Whatever happened: with polls and time everything ends."""
        if not self.expected:
            return
        self.filter.broken = False
        while self.held:
            self.slow_reply_ends(gone=True)
        for wanted in WANTED:
            if self.by_name(wanted.name) is not None:
                self.poll_begins(wanted)
        for _ in range(400):
            self.tail_moves(5, stumble=False)
            for wanted in WANTED:
                self.scan(wanted.name, 5, 4)
                subscriber = self.by_name(wanted.name)
                for item in self.scheduler.take(subscriber, 4, self.now) if subscriber else ():
                    if not self.passes(item):
                        continue
                    if subscriber.leases:
                        self.status(self.scheduler.jobs.lease(item, key="k", now=self.now, seconds=None), "completed")
                    else:
                        self.scheduler.finalise(item)
                    self.done[wanted.name].add((item.cursor.partition, item.offset))
            self.time_passes(50.0, False)
            for wanted in WANTED:
                if self.by_name(wanted.name) is not None:
                    self.poll_begins(wanted)
        for name, expected in self.expected.items():
            missing = expected - self.done[name] - self.gone
            assert not missing, f"{name} never saw {missing}"


DeliveryMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestDelivery = DeliveryMachine.TestCase
