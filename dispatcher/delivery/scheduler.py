"""Every step that may change who still has to see what.

Pure logic: no I/O, no clock of its own (`now` is unix seconds), no tasks. `service.py` reads the log for it and
writes its snapshots to the journal; the tests crash it between any two steps.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dispatcher_sdk.models import FINAL_STATUSES

from dispatcher.delivery.cursors import HISTORIC, LANES, Cursor, Lane
from dispatcher.delivery.expiry import Expiry
from dispatcher.delivery.judging import Judge
from dispatcher.delivery.leases import Lease, Token, parse_token, render_token
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.matching import rejection
from dispatcher.delivery.roster import Bounds, Roster
from dispatcher.delivery.scanning import Scan, Scanning
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.delivery.undecodable import Unreadable, read_header
from dispatcher.eventlog.base import Chunk, Record, TopicPartition
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import HeaderFilter, Subscription
from dispatcher.metrics import Metrics

IDLE_SECONDS = 30.0
LONGEST_WAIT = 86_400.0
"""Seconds that an event waits for its next attempt at most."""
SOON = 1e-6


class Item(NamedTuple):
    """An event taken from a subscriber's queues, on its way to a client."""

    subscriber: Subscriber
    cursor: Cursor
    offset: int
    attempt: int


class Scheduler:
    """Roster + tail positions + leases in time."""

    def __init__(
        self,
        *,
        names: TopicNames,
        filters: Sequence[HeaderFilter],
        limits: Limits,
        metrics: Metrics,
        serving_since: float,
    ) -> None:
        self.roster = Roster(names, filters, metrics)
        self.limits = limits
        self.unreadable = Unreadable(metrics)
        self.position: dict[TopicPartition, int] = {}
        """Next offset that the tail gives, of the partitions that it follows."""
        self.known_end: dict[TopicPartition, int] = {}
        """High watermarks of partitions that the tail does not follow, when somebody last looked."""
        self.statuses: frozenset[TopicPartition] = frozenset()
        """Partitions of the status topic, which the tail always follows."""
        self.serving_since = serving_since
        self._filters = filters
        self._metrics = metrics
        self._judge = Judge(self.roster, self.unreadable)
        self._scanning = Scanning(self._judge, self.position.get, limits.ready, metrics.dropped.labels("aged-off").inc)
        self._expiry = Expiry(serving_since)
        self._lost: list[Item] = []

    # ---- coming and going

    def touch(self, subscriber: Subscriber, now: float) -> None:
        """It polls."""
        subscriber.seen_at = now
        subscriber.idle = False

    def detach_idle(self, now: float) -> bool:
        """Nothing is scanned or decided for a subscriber that is away; tells whether anyone left."""
        left = False
        for subscriber in self.roster.subscribers.values():
            if subscriber.idle or subscriber.polls or now - subscriber.seen_at < IDLE_SECONDS:
                continue
            left = True
            subscriber.leave()
            for partition, cursor in subscriber.cursors.items():
                if cursor.attached:
                    cursor.detach(self.position[partition])
        return left

    def watch_leases(self, subscriber: Subscriber) -> None:
        """Keep the time of leases that a snapshot brought back. A clock that was ahead then must not hold them."""
        for cursor in subscriber.cursors.values():
            for offset, lease in cursor.leases.items():
                lease.renewed_at = min(lease.renewed_at, self.serving_since)
                lease.due_at = min(lease.due_at, self.serving_since + LONGEST_WAIT)
                if lease.ending:
                    self._lost.append(Item(subscriber, cursor, offset, lease.attempt))
                elif lease.due_at:
                    subscriber.push_due(lease.due_at, cursor, offset)
                else:
                    self._expiry.watch(subscriber, cursor, offset, lease)

    def skip_to_end(self, subscriber: Subscriber, bounds: Bounds) -> None:
        """After a pause: what piled up is not for this subscriber (wire contract 6). Jobs handed out before go on."""
        subscriber.clear_ready()
        skipped = 0
        for partition, cursor in subscriber.cursors.items():
            if partition in bounds:
                skipped += cursor.skip_to(bounds[partition][1], self.position.get(partition))
        self._metrics.dropped.labels("pause").inc(skipped)

    # ---- the tail

    def wanted_by_tail(self) -> set[TopicPartition]:
        """Partitions that some subscriber with recent polls reads."""
        return {
            partition
            for subscriber in self.roster.subscribers.values()
            if not subscriber.idle
            for partition in subscriber.cursors
        }

    def follow(self, partition: TopicPartition, offset: int) -> None:
        """The tail reads this partition from `offset` on."""
        self.position[partition] = offset
        for subscriber, cursor in self.roster.readers(partition):
            if not subscriber.idle:
                cursor.lag()

    def unfollow(self, partition: TopicPartition) -> None:
        position = self.known_end[partition] = self.position.pop(partition)
        for _, cursor in self.roster.readers(partition):
            cursor.detach(position)

    def end_of(self, partition: TopicPartition) -> int:
        """One past the last offset that this process knows of."""
        return max(self.known_end.get(partition, 0), self.position.get(partition, 0))

    def unfollowed(self) -> list[TopicPartition]:
        """Partitions that only subscribers which are away would read."""
        wanted = {p for subscriber in self.roster.subscribers.values() for p in subscriber.cursors}
        return sorted(wanted - self.position.keys())

    def absorb_tail(self, chunk: Chunk) -> None:
        """Hand the news of one partition to every attached subscriber that wants them."""
        partition, start = chunk.partition, self.position[chunk.partition]
        sharing: dict[Subscriber, Cursor] = {}
        for subscriber, cursor in self.roster.readers(partition):
            if cursor.attached:
                sharing[subscriber] = cursor
        if sharing:
            news = [record for record in chunk.records if record.offset >= start]
            self._share(partition, news, sharing)
        self._advance(chunk)

    def pass_over(self, chunk: Chunk) -> None:
        """Nobody could make sense of these news: each subscriber reads them for itself later."""
        start = self.position[chunk.partition]
        for _, cursor in self.roster.readers(chunk.partition):
            cursor.detach(start)
        self._advance(chunk)

    def _advance(self, chunk: Chunk) -> None:
        partition = chunk.partition
        self.position[partition] = max(chunk.next_offset, self.position[partition])
        for subscriber, cursor in self.roster.readers(partition):
            if not cursor.attached and not subscriber.idle:
                cursor.lag()
                subscriber.wake()  # there is something to scan

    def _share(self, partition: TopicPartition, news: Iterable[Record], sharing: dict[Subscriber, Cursor]) -> None:
        found: dict[Subscriber, list[int]] = {}
        doubtful: dict[Subscriber, list[int]] = {}
        refused: dict[Subscriber, dict[str, int]] = {}
        for verdict, offsets in self._judge.verdicts(partition, news):
            for subscriber in verdict.accepted:
                found.setdefault(subscriber, []).extend(offsets)
            for subscriber in verdict.doubtful:
                found.setdefault(subscriber, []).extend(offsets)
                doubtful.setdefault(subscriber, []).extend(offsets)
            for subscriber, reason in verdict.rejected.items():
                counts = refused.setdefault(subscriber, {})
                counts[reason] = counts.get(reason, 0) + len(offsets)
        for subscriber, cursor in sharing.items():
            accepted = found.get(subscriber)
            if accepted and not self._push(subscriber, cursor, sorted(accepted)):
                continue  # a laggard counts when it scans
            cursor.doubtful.update(doubtful.get(subscriber, ()))
            for reason, times in refused.get(subscriber, {}).items():
                subscriber.count_rejected(reason, times)

    def _push(self, subscriber: Subscriber, cursor: Cursor, offsets: list[int]) -> bool:
        """False when there is no room: it becomes a laggard, and nobody else notices."""
        queue = subscriber.lanes[cursor.lane(offsets[0])]
        if len(queue) + len(offsets) > self.limits.ready:
            cursor.detach(self.position[cursor.partition])
            return False
        for offset in offsets:
            subscriber.push(cursor, offset)
        subscriber.wake(len(offsets))
        return True

    # ---- laggards

    def next_scan(self, subscriber: Subscriber) -> Scan | None:
        """What is to be read next for this subscriber: expedite before live before historic."""
        return self._scanning.next(subscriber)

    def absorb_scan(self, scan: Scan, chunk: Chunk) -> bool:
        """Take over what a read found; False when it brought nothing on."""
        return self._scanning.absorb(scan, chunk)

    def give_way(self, scan: Scan) -> None:
        """The partition of this scan is not there: go on with others."""
        self._scanning.give_way(scan)

    # ---- handing out

    def take(self, subscriber: Subscriber, count: int, now: float, upto: Lane = HISTORIC) -> list[Item]:
        """Up to `count` events, held until the caller decides: due again, then those of the lanes up to `upto`."""
        items: list[Item] = []
        while len(items) < count and (again := self._take_due(subscriber, now)):
            items.append(again)
        room = count - len(items)
        if subscriber.leases or subscriber.due:
            room = min(room, self.limits.leases - subscriber.out_count())
        for lane in LANES[: upto + 1]:
            if room <= 0:
                break
            taken = self._take_ready(subscriber, lane, room)
            items += taken
            room -= len(taken)
        return items

    def _take_ready(self, subscriber: Subscriber, lane: Lane, count: int) -> list[Item]:
        taken: list[Item] = []
        full: list[tuple[Cursor, int]] = []
        bounded = subscriber.leases
        while len(taken) < count and (found := subscriber.pop_ready(lane)):
            cursor, offset = found
            if bounded and len(cursor.leases) + len(cursor.held) >= self.limits.partition_leases:
                full.append(found)
                continue
            cursor.hold(offset)
            taken.append(Item(subscriber, cursor, offset, 1))
        for cursor, offset in reversed(full):
            subscriber.push_front(cursor, offset)
        return taken

    def _take_due(self, subscriber: Subscriber, now: float) -> Item | None:
        while (entry := subscriber.pop_due(now)) is not None:
            when, cursor, offset = entry
            lease = cursor.leases.get(offset)
            if lease is not None and lease.due_at == when and not lease.ending and offset not in cursor.held:
                cursor.hold(offset)
                return Item(subscriber, cursor, offset, lease.attempt)
        return None

    def next_due(self, subscriber: Subscriber) -> float | None:
        """When the next waiting redelivery falls due."""
        return subscriber.due[0][0] if subscriber.due else None

    def wake_due(self, now: float) -> None:
        """Wake a poll of each subscriber that has a redelivery due."""
        for subscriber in self.roster.subscribers.values():
            if subscriber.waiters and subscriber.due and subscriber.due[0][0] <= now:
                subscriber.wake()

    def is_current(self, item: Item) -> bool:
        """Not of before a reset."""
        return item.subscriber.cursors.get(item.cursor.partition) is item.cursor

    def is_held(self, item: Item) -> bool:
        """Still ours to hand out: no status or reset took it while the caller was away."""
        return item.offset in item.cursor.held and self.is_current(item)

    def rejection(self, item: Item, record: Record, wanted: Subscription) -> str | None:
        """Ask the header filters again, where they raised or may have changed. Raises FilterRaised."""
        if item.attempt == 1 and item.offset not in item.cursor.doubtful:
            return None
        header = read_header(self.roster.topic_name(item.cursor.partition[0]), record)
        return None if header is None else rejection(self._filters, header, wanted)

    def finalise(self, item: Item, cause: str | None = None) -> None:
        """The event is done for this subscriber: delivered (passive), filtered, or gone from the log."""
        if item.cursor.finalise(item.offset) and cause is not None and self.is_current(item):
            self._metrics.dropped.labels(cause).inc()

    def put_back(self, item: Item, now: float) -> None:
        """The client never got it: first in line again, and no attempt is counted."""
        cursor, offset = item.cursor, item.offset
        lease = cursor.leases.get(offset)
        if not self.is_current(item) or (lease is None and offset not in cursor.held):
            return
        cursor.held.discard(offset)
        if lease is None:
            item.subscriber.push_front(cursor, offset)
        elif lease.attempt != item.attempt or lease.ending:
            return  # it was handed out again meanwhile, or given up on
        elif lease.attempt > 1:
            self._wait(item, lease, now)
        else:
            del cursor.leases[offset]
            item.subscriber.push_front(cursor, offset)
        item.subscriber.wake()

    def lease(self, item: Item, *, key: str, now: float, seconds: float | None) -> str:
        """Give the event to a client; returns the token that it will answer with."""
        subscriber, cursor = item.subscriber, item.cursor
        lease = Lease(item.attempt, seconds or self.limits.lease_seconds, renewed_at=now, failed=self._failed(item))
        self._set(item, lease)
        self._expiry.watch(subscriber, cursor, item.offset, lease)
        if item.attempt > 1:
            self._metrics.redelivered.labels(self._metrics.plugins(subscriber.wanted.name)).inc()
        return self.token(item, key, now)

    def token(self, item: Item, key: str, now: float) -> str:
        subscriber, cursor = item.subscriber, item.cursor
        token = Token(subscriber.sid, cursor.topic_id, cursor.partition[1], item.offset, item.attempt, subscriber.epoch)
        wanted = subscriber.wanted
        return render_token(token, subscriber.secret, key=key, name=wanted.name, version=wanted.version, now=now)

    def hold_back(self, item: Item, *, now: float, reason: str) -> None:
        """A filter raised: try again later, or give up when the attempts are used up."""
        if self.is_held(item):
            lease = Lease(item.attempt, self.limits.lease_seconds, renewed_at=now, failed=self._failed(item))
            self._set(item, lease)
            pause = 2.0 ** min(lease.failed + 1, 10)
            self._fail(item, lease, due=now + pause, reason=reason, ended=reason)

    def _failed(self, item: Item) -> int:
        before = item.cursor.leases.get(item.offset)
        return before.failed if before is not None else 0

    def _set(self, item: Item, lease: Lease) -> None:
        cursor = item.cursor
        cursor.held.discard(item.offset)
        cursor.doubtful.discard(item.offset)
        cursor.leases[item.offset] = lease
        cursor.agenda.leased[cursor] = None
        cursor.changed()

    # ---- statuses

    def find(self, text: str) -> Item | None:
        """The place that a token speaks of, if we gave it out and no reset came since."""
        parsed = parse_token(text)
        if parsed is None:
            return None
        token, seal = parsed
        subscriber = self.roster.subscribers.get(token.sid)
        if subscriber is None or subscriber.epoch != token.epoch or token.seal(subscriber.secret) != seal:
            return None
        cursor = subscriber.places.get((token.topic_id, token.partition))
        return None if cursor is None else Item(subscriber, cursor, token.offset, token.attempt)

    def on_status(self, token: str, status: str, when: float) -> None:
        """A durable status came by on the status tail: any attempt's final status ends the job."""
        item = self.find(token)
        if item is None:
            return
        if status in FINAL_STATUSES:
            if item.cursor.finalise(item.offset):
                self._metrics.finished.labels(self._metrics.plugins(item.subscriber.wanted.name), status).inc()
                item.subscriber.wake()
        elif status == "heartbeat" and (lease := self._current_lease(item)):
            lease.renewed_at = max(lease.renewed_at, when)
            item.cursor.changed()

    def on_release(self, token: str, due: float) -> None:
        """A client gave its lease back: the event is due again at `due`, with the next attempt."""
        item = self.find(token)
        if item is None or not (lease := self._current_lease(item)):
            return
        if lease.attempt >= self.limits.hand_outs:
            self._lose(item, lease, f"given back by the plugin {lease.attempt} times")
        else:
            self._again(item, lease, due=due, reason="given back by the plugin")

    def _current_lease(self, item: Item) -> Lease | None:
        lease = item.cursor.leases.get(item.offset)
        return lease if lease is not None and lease.out and lease.attempt == item.attempt else None

    # ---- time

    def expire(self, now: float, proven: float) -> list[Item]:
        """Leases that ran out go back in line; gives everything that is to be given up on.

        `proven` is the time up to which all statuses have been seen: no lease expires on ignorance.
        """
        for subscriber, cursor, offset, lease in self._expiry.expired(min(now, proven)):
            item = Item(subscriber, cursor, offset, lease.attempt)
            times = lease.failed + 1
            self._fail(item, lease, due=now, reason="lease expired", ended=f"lease expired {times} times")
        lost, self._lost = self._lost, []
        return lost

    def _fail(self, item: Item, lease: Lease, *, due: float, reason: str, ended: str) -> None:
        lease.failed += 1
        if lease.failed >= self.limits.attempts:
            self._lose(item, lease, ended)
        else:
            self._again(item, lease, due=due, reason=reason)

    def _lose(self, item: Item, lease: Lease, reason: str) -> None:
        lease.ending = True
        lease.due_at = 0.0
        lease.reason = reason
        item.cursor.changed()
        self._lost.append(item)

    def _again(self, item: Item, lease: Lease, *, due: float, reason: str) -> None:
        lease.attempt += 1
        lease.reason = reason
        self._wait(item, lease, due)

    def _wait(self, item: Item, lease: Lease, due: float) -> None:
        lease.due_at = max(due, SOON)
        item.cursor.changed()
        item.subscriber.push_due(lease.due_at, item.cursor, item.offset)
        item.subscriber.wake()
