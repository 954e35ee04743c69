"""The scheduler against a plain-set model, with a crash possible between any two steps (delivery.md section 6).

The model knows only what was appended, what each subscriber may see, and what was finalised. After every step:
each matching, not finalised event is pending in exactly one place; none is pending that was finalised by a status.
"""

from dataclasses import replace

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatcher.delivery.limits import Limits
from dispatcher.delivery.rules import FilterConsumerRules
from dispatcher.delivery.scheduler import Item, Scheduler
from dispatcher.delivery.snapshots import (
    POSITIONS_KEY,
    Positions,
    cursor_key,
    pack_cursor,
    pack_subscriber,
    subscriber_key,
    unpack_slot,
)
from dispatcher.eventlog.base import Chunk, Record
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import Header, pack
from dispatcher.hooks.types import Subscription
from dispatcher.metrics import Metrics

NAMES = TopicNames("t")
SOURCES = ("alpha", "beta")
ACTIONS = ("sourced", "extracted")
TOPICS = [NAMES.binary(s, a) for s in SOURCES for a in ACTIONS]
EXPEDITE = NAMES.system("expedite")
LIMITS = Limits(ready=4, leases=6, partition_leases=3, attempts=3, lease_seconds=100.0)

WANTED = (
    Subscription("all", "1", "binary", expedite=True, live=True, historic=True, task=True),
    Subscription("live", "1", "binary", live=True, task=True, deny_actions=("extracted",)),
    Subscription("past", "1", "binary", historic=True),
    Subscription("picky", "1", "binary", sources=("alpha",), live=True, historic=True, task=True, deny_self=True),
)


class Log:
    """The least that can be called a log: lists, with heads that can be cut off and gaps."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], dict[int, Record]] = {}
        self.high: dict[tuple[str, int], int] = {}
        self.start: dict[tuple[str, int], int] = {}

    def make(self, topic: str) -> tuple[str, int]:
        partition = (topic, 0)
        if partition not in self.high:
            self.records[partition], self.high[partition], self.start[partition] = {}, 0, 0
        return partition

    def bounds(self) -> dict[tuple[str, int], tuple[int, int]]:
        return {p: (self.start[p], high) for p, high in self.high.items()}

    def read(self, partition: tuple[str, int], offset: int, count: int) -> Chunk:
        offset = max(offset, self.start[partition])
        found = [r for o, r in sorted(self.records[partition].items()) if o >= offset][:count]
        high = self.high[partition]
        following = found[-1].offset + 1 if len(found) == count else max(high, offset)
        return Chunk(partition, found, following, self.start[partition], high)


class DeliveryMachine(RuleBasedStateMachine):
    events = Bundle("events")

    @initialize()
    def begin(self) -> None:
        self.now = 1_000.0
        self.log = Log()
        for topic in (TOPICS[0], EXPEDITE):
            self.log.make(topic)
        self.known: set[tuple[str, int]] = set(self.log.high)
        self.journal: dict[bytes, bytes] = {}
        self.statuses: list[tuple[str, str, float]] = []
        self.replayed_from = 0
        self.done: dict[str, set[tuple[tuple[str, int], int]]] = {}
        self.may_repeat: dict[str, set[tuple[tuple[str, int], int]]] = {}
        self.expected: dict[str, set[tuple[tuple[str, int], int]]] = {}
        self.out: dict[str, list[tuple[Item, str]]] = {}
        self.start_process()

    # -- the world around the scheduler

    def start_process(self) -> None:
        self.scheduler = Scheduler(
            names=NAMES,
            filters=[FilterConsumerRules()],
            limits=LIMITS,
            metrics=Metrics(),
            serving_since=self.now,
        )
        subscribers, positions = unpack_slot(dict(self.journal))
        for subscriber in subscribers:
            self.scheduler.roster.adopt(subscriber)
            self.scheduler.watch_leases(subscriber)
        self.scheduler.known_end = dict(self.log.high)
        self.discover(self.log.high)
        for token, status, when in self.statuses[positions.offsets().get(("statuses", 0), 0) :]:
            self.scheduler.on_status(token, status, when)

    def discover(self, partitions) -> None:
        for partition in partitions:
            self.scheduler.roster.discover(partition, self.log.start[partition])

    def by_name(self, name: str):
        for subscriber in self.scheduler.roster.subscribers.values():
            if subscriber.wanted.name == name:
                return subscriber
        return None

    def wants(self, wanted: Subscription, partition, offset: int) -> bool:
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
        author = self.authors[partition, offset]
        return not (wanted.deny_self and author == wanted.name)

    authors: dict = {}

    # -- steps

    @rule(
        topic=st.sampled_from([*TOPICS, EXPEDITE]),
        authors=st.lists(st.sampled_from(("person", "picky")), min_size=1, max_size=6),
        gap=st.integers(0, 2),
    )
    def append(self, topic, authors, gap) -> None:
        partition = self.log.make(topic)
        self.log.high[partition] += gap
        name = NAMES.parse(topic)
        for author in authors:
            offset = self.log.high[partition]
            header = Header(source=name.source or "alpha", action=name.action or "sourced", author=author)
            self.log.records[partition][offset] = Record(offset, 0, b"k", b"{}", pack(header))
            self.log.high[partition] += 1
            self.authors[partition, offset] = author
            for wanted in WANTED:
                subscriber = self.by_name(wanted.name)
                if subscriber is not None and self.wants(wanted, partition, offset):
                    if wanted.live or topic == EXPEDITE or wanted.historic:
                        self.expected[wanted.name].add((partition, offset))

    @rule(wanted=st.sampled_from(WANTED))
    def poll_begins(self, wanted) -> None:
        """Register on the first poll; journal before the answer; follow and attach."""
        subscriber = self.by_name(wanted.name)
        if subscriber is None:
            bounds = self.log.bounds()
            subscriber = self.scheduler.roster.register(wanted, bounds, self.now)
            self.write(only=subscriber)
            self.done[wanted.name] = set()
            self.may_repeat[wanted.name] = set()
            self.out[wanted.name] = []
            self.expected[wanted.name] = {
                (partition, offset)
                for partition, records in self.log.records.items()
                for offset in records
                if wanted.historic and partition[0] != EXPEDITE and self.wants(wanted, partition, offset)
            }
        self.discover(self.log.high)
        for partition in subscriber.cursors:
            if partition not in self.scheduler.position:
                self.scheduler.follow(partition, self.log.high[partition])
        self.scheduler.touch(subscriber, self.now)

    @rule(count=st.integers(1, 5))
    def tail_moves(self, count) -> None:
        for partition, position in list(self.scheduler.position.items()):
            if position < self.log.high[partition]:
                self.scheduler.absorb_tail(self.log.read(partition, position, count))

    @rule(name=st.sampled_from([w.name for w in WANTED]), count=st.integers(1, 5), size=st.integers(1, 4))
    def scan(self, name, count, size) -> None:
        subscriber = self.by_name(name)
        for _ in range(count):
            found = self.scheduler.next_scan(subscriber) if subscriber else None
            if found is None:
                return
            self.scheduler.absorb_scan(found, self.log.read(found.cursor.partition, found.start, size))

    @rule(name=st.sampled_from([w.name for w in WANTED]), count=st.integers(1, 4), gone=st.booleans())
    def take(self, name, count, gone) -> None:
        """Hand out; with `gone` the client left before the reply was written."""
        subscriber = self.by_name(name)
        if subscriber is None:
            return
        for item in self.scheduler.take(subscriber, count, self.now):
            place = (item.cursor.partition, item.offset)
            assert place in self.expected[name], "delivered to somebody who did not ask for it"
            assert place not in self.done[name] or place in self.may_repeat[name], "delivered after it was finished"
            if subscriber.leases:
                token = self.scheduler.lease(item, key="k", now=self.now, seconds=None)
                if gone:
                    self.scheduler.put_back(item, self.now)
                else:
                    self.out[name].append((item, token))
            elif gone:
                self.scheduler.put_back(item, self.now)
            else:
                self.scheduler.finalise(item)
                self.done[name].add(place)
                self.may_repeat[name].add(place)  # until a checkpoint says otherwise

    @precondition(lambda self: any(self.out.values()))
    @rule(data=st.data(), status=st.sampled_from(("completed", "error-exception", "heartbeat")))
    def post_status(self, data, status) -> None:
        """A status becomes durable, then the tail shows it. Also late ones, of attempts long past."""
        name = data.draw(st.sampled_from([n for n, items in self.out.items() if items]))
        item, token = data.draw(st.sampled_from(self.out[name]))
        self.statuses.append((token, status, self.now))
        self.scheduler.on_status(token, status, self.now)
        if status != "heartbeat":
            place = (item.cursor.partition, item.offset)
            self.done[name].add(place)
            self.may_repeat[name].discard(place)

    @rule()
    def replay_statuses(self) -> None:
        """Seeing statuses again, from earlier, changes nothing (invariant 6)."""
        before = self.picture()
        for token, status, when in self.statuses:
            if status != "heartbeat":
                self.scheduler.on_status(token, status, when)
        assert self.picture() == before

    @rule(seconds=st.sampled_from((1.0, 50.0, 150.0)), blind=st.booleans())
    def time_passes(self, seconds, blind) -> None:
        self.now += seconds
        proven = self.now - seconds if blind else self.now
        held = {id(lease): lease.renewed_at for lease in self.leases()}
        for item in self.scheduler.expire(self.now, proven):
            place = (item.cursor.partition, item.offset)
            name = item.subscriber.wanted.name
            token = self.scheduler.token(item, "k", self.now)
            self.statuses.append((token, "error-runner", self.now))
            self.scheduler.on_status(token, "error-runner", self.now)
            self.done[name].add(place)
        for lease in self.leases():
            if lease.due_at and id(lease) in held and lease.due_at == self.now:
                assert held[id(lease)] + lease.seconds <= proven + 1e-6, "expired on ignorance"
        self.scheduler.detach_idle(self.now)

    @rule(positions=st.booleans())
    def checkpoint(self, positions) -> None:
        self.write(positions=positions)

    def write(self, only=None, positions=False) -> None:
        for subscriber in [only] if only else self.scheduler.roster.subscribers.values():
            if subscriber.dirty:
                self.journal[subscriber_key(subscriber.sid)] = pack_subscriber(subscriber)
                subscriber.dirty = False
            for partition, cursor in subscriber.cursors.items():
                if cursor.dirty:
                    position = self.scheduler.position.get(partition)
                    packed = pack_cursor(cursor, subscriber.epoch, position)
                    self.journal[cursor_key(subscriber.sid, partition)] = packed
                    cursor.dirty = False
            if not subscriber.leases and subscriber.wanted.name in self.may_repeat:
                self.may_repeat[subscriber.wanted.name].clear()
        if positions:
            rows = [(t, n, o) for (t, n), o in self.scheduler.position.items()]
            rows.append(("statuses", 0, len(self.statuses)))
            self.journal[POSITIONS_KEY] = msgspec.json.encode(Positions(rows))

    @rule()
    def crash(self) -> None:
        """kill -9: memory is gone, the journal and the log are not."""
        self.start_process()

    @rule(name=st.sampled_from([w.name for w in WANTED]))
    def filters_change(self, name) -> None:
        """The same filters under another deployment key: all that was decided is decided again."""
        subscriber = self.by_name(name)
        if subscriber is not None:
            changed = replace(subscriber.wanted, deployment_key=subscriber.wanted.deployment_key + "x")
            self.scheduler.roster.change_filters(subscriber, changed)

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
                if (partition, offset) in self.done[wanted.name]:
                    continue
                cursor = subscriber.cursors.get(partition)
                assert cursor is None or self.pending(cursor, offset), (
                    f"{wanted.name} lost {partition} at {offset}: {cursor}"
                )

    def pending(self, cursor, offset) -> bool:
        end = self.scheduler.position.get(cursor.partition) if cursor.attached else cursor.open_from
        return (
            offset in cursor.spans
            or offset in cursor.ready
            or offset in cursor.held
            or offset in cursor.leases
            or (end is not None and offset >= end)
        )

    @invariant()
    def finished_stays_finished(self) -> None:
        """What a durable status ended is pending nowhere, crash or not."""
        for wanted in WANTED:
            subscriber = self.by_name(wanted.name)
            if subscriber is None or not subscriber.leases:
                continue
            for partition, offset in self.done[wanted.name]:
                cursor = subscriber.cursors.get(partition)
                assert cursor is None or not self.pending(cursor, offset), f"{wanted.name} sees {offset} again"

    @invariant()
    def in_one_place_and_bounded(self) -> None:
        for subscriber in self.scheduler.roster.subscribers.values():
            for cursor in subscriber.cursors.values():
                assert not cursor.ready & cursor.leases.keys()
                assert not any(offset in cursor.spans for offset in cursor.ready | cursor.leases.keys())
                if subscriber.leases:
                    assert len(cursor.leases) <= LIMITS.partition_leases + 4

    def teardown(self) -> None:
        """Whatever happened: with polls and time everything ends."""
        if not self.expected:
            return
        for wanted in WANTED:
            if self.by_name(wanted.name) is not None:
                self.poll_begins(wanted)
        for _ in range(400):
            self.tail_moves(5)
            for wanted in WANTED:
                self.scan(wanted.name, 5, 4)
                subscriber = self.by_name(wanted.name)
                for item in self.scheduler.take(subscriber, 4, self.now) if subscriber else ():
                    place = (item.cursor.partition, item.offset)
                    if subscriber.leases:
                        token = self.scheduler.lease(item, key="k", now=self.now, seconds=None)
                        self.scheduler.on_status(token, "completed", self.now)
                    else:
                        self.scheduler.finalise(item)
                    self.done[wanted.name].add(place)
            self.time_passes(50.0, False)
        for name, expected in self.expected.items():
            assert expected <= self.done[name], f"{name} never saw {expected - self.done[name]}"


DeliveryMachine.TestCase.settings = settings(max_examples=600, stateful_step_count=40, deadline=None)
TestDelivery = DeliveryMachine.TestCase
