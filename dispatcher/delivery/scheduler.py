"""Every step that may change who still has to see what.

Pure logic: no I/O, no clock of its own (`now` is unix seconds), no tasks. `service.py` reads the log for it and
writes its snapshots to the journal; the tests crash it between any two steps.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dispatcher_sdk.models import FINAL_STATUSES

from dispatcher.delivery.cursors import EXPEDITE, HISTORIC, LIVE, Cursor
from dispatcher.delivery.leases import Lease, Token, parse_token, render_token
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.matching import Matcher, Verdict
from dispatcher.delivery.roster import Bounds, Roster
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.delivery.undecodable import Unreadable, read_header
from dispatcher.eventlog.base import Chunk, Record, TopicPartition
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import Header
from dispatcher.hooks.types import HeaderFilter
from dispatcher.metrics import Metrics

IDLE_SECONDS = 30.0


class Item(NamedTuple):
    """An event taken from a subscriber's queues, on its way to a client."""

    subscriber: Subscriber
    cursor: Cursor
    offset: int
    attempt: int


class Scan(NamedTuple):
    """What a laggard needs read: its partition from `start`, nothing at or past `stop`."""

    subscriber: Subscriber
    cursor: Cursor
    start: int
    stop: int
    open_ended: bool


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
        self.roster = Roster(names, filters)
        self.limits = limits
        self.unreadable = Unreadable(metrics)
        self.position: dict[TopicPartition, int] = {}
        """Next offset that the tail gives, of the partitions that it follows."""
        self._metrics = metrics
        self._serving_since = serving_since
        self._expiry: list[tuple[float, int, Subscriber, Cursor, int]] = []
        self._expiry_limit = 10_000
        self._turn = 0
        self.known_end: dict[TopicPartition, int] = {}
        """High watermarks seen at start: a status may speak of nothing past them or the tail."""

    # ---- coming and going

    def touch(self, subscriber: Subscriber, now: float) -> None:
        """It polls: its cursors share the tail again wherever they have reached it."""
        subscriber.seen_at = now
        subscriber.idle = False
        for cursor in subscriber.cursors.values():
            self._attach_if_there(cursor)

    def detach_idle(self, now: float) -> bool:
        """Nothing is scanned or decided for a subscriber that is away; tells whether anyone left."""
        left = False
        for subscriber in self.roster.subscribers.values():
            if subscriber.idle or subscriber.polls or now - subscriber.seen_at < IDLE_SECONDS:
                continue
            left = subscriber.idle = True
            subscriber.clear_ready()
            for partition, cursor in subscriber.cursors.items():
                if cursor.attached:
                    cursor.detach(self.position[partition])
        return left

    def watch_leases(self, subscriber: Subscriber) -> None:
        """Keep the time of leases that a snapshot brought back."""
        for cursor in subscriber.cursors.values():
            for offset, lease in cursor.leases.items():
                self._watch(subscriber, cursor, offset, lease)

    def skip_to_end(self, subscriber: Subscriber, bounds: Bounds) -> None:
        """After a pause: what piled up is not for this subscriber (wire contract 6)."""
        skipped = 0
        subscriber.clear_ready()
        subscriber.due.clear()
        for partition, cursor in subscriber.cursors.items():
            _, high = bounds.get(partition, (0, 0))
            skipped += len(cursor.spans) + len(cursor.leases)
            if cursor.open_from is not None and high > cursor.open_from:
                skipped += high - cursor.open_from
                cursor.open_from = high
            cursor.spans.remove(0, high)
            cursor.leases.clear()
            cursor.dirty = True
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
        for subscriber in self.roster.subscribers.values():
            cursor = subscriber.cursors.get(partition)
            if cursor is not None and not subscriber.idle:
                self._attach_if_there(cursor)

    def unfollow(self, partition: TopicPartition) -> None:
        position = self.position.pop(partition)
        for subscriber in self.roster.subscribers.values():
            cursor = subscriber.cursors.get(partition)
            if cursor is not None:
                cursor.detach(position)

    def absorb_tail(self, chunk: Chunk) -> None:
        """Hand the news of one partition to every attached subscriber that wants them."""
        partition = chunk.partition
        start = self.position[partition]
        found: dict[Subscriber, list[int]] = {}
        refused: dict[Subscriber, dict[str, int]] = {}
        news = [record for record in chunk.records if record.offset >= start]
        for verdict, offsets in self._judge(self.roster.matcher(partition[0]), partition, news):
            for subscriber in verdict.accepted:
                found.setdefault(subscriber, []).extend(offsets)
            for subscriber, reason in verdict.rejected.items():
                counts = refused.setdefault(subscriber, {})
                counts[reason] = counts.get(reason, 0) + len(offsets)
        for subscriber, offsets in found.items():
            self._push_from_tail(subscriber, partition, offsets, start)
        for subscriber, counts in refused.items():
            cursor = subscriber.cursors.get(partition)
            if cursor is not None and cursor.attached:
                for reason, times in counts.items():
                    subscriber.count_rejected(reason, times)
        self.position[partition] = max(chunk.next_offset, start)

    def _push_from_tail(
        self, subscriber: Subscriber, partition: TopicPartition, offsets: list[int], position: int
    ) -> None:
        cursor = subscriber.cursors.get(partition)
        if cursor is None:
            return
        if cursor.attached and subscriber.ready_count() + len(offsets) > self.limits.ready:
            cursor.detach(position)  # it becomes a laggard; nobody else notices
        if not cursor.attached:
            subscriber.wake()  # there is something to scan
            return
        for offset in sorted(offsets):
            subscriber.push(cursor, offset)
        subscriber.wake(len(offsets))

    def _judge(
        self, matcher: Matcher, partition: TopicPartition, records: Iterable[Record]
    ) -> Iterator[tuple[Verdict, list[int]]]:
        """Records grouped by verdict: one decision however many records share a header."""
        topic = self.roster.topic_name(partition[0])
        groups: dict[tuple[object, ...], tuple[Header, list[int]]] = {}
        for record in records:
            if record.value is None:
                continue  # a tombstone, or a record of ours that is for no client
            header = read_header(topic, record)
            if header is None:
                self.unreadable.report(partition, record.offset)
                continue
            groups.setdefault(matcher.key(header), (header, []))[1].append(record.offset)
        for key, (header, offsets) in groups.items():
            yield matcher.verdict(key, header), offsets

    def _attach_if_there(self, cursor: Cursor) -> None:
        if cursor.open_from is not None and cursor.open_from == self.position.get(cursor.partition):
            cursor.attach()

    # ---- laggards

    def next_scan(self, subscriber: Subscriber) -> Scan | None:
        """What is to be read next for this subscriber: expedite before live before historic."""
        if subscriber.ready_count() >= self.limits.ready:
            return None
        best: Scan | None = None
        best_lane = HISTORIC + 1
        for cursor in subscriber.cursors.values():
            if not cursor.spans and (cursor.attached or cursor.open_from is None):
                continue
            scan = self._scan_of(subscriber, cursor)
            if scan is not None and (lane := cursor.lane(scan.start)) < best_lane:
                best, best_lane = scan, lane
        if best is not None:
            # partitions of one lane take turns
            subscriber.cursors[best.cursor.partition] = subscriber.cursors.pop(best.cursor.partition)
        return best

    def _scan_of(self, subscriber: Subscriber, cursor: Cursor) -> Scan | None:
        position = self.position.get(cursor.partition, 0)
        open_from = cursor.open_from
        behind = open_from is not None and open_from < position
        if cursor.spans and not (behind and cursor.live):
            start, stop = cursor.spans.first()
            return Scan(subscriber, cursor, start, stop, open_ended=False)
        if open_from is not None and behind:
            return Scan(subscriber, cursor, open_from, position, open_ended=True)
        return None

    def absorb_scan(self, scan: Scan, chunk: Chunk) -> bool:
        """Take over what a read found; False when it brought nothing on (the state moved, or nothing is there)."""
        cursor = scan.cursor
        start = cursor.open_from if scan.open_ended else (cursor.spans.first()[0] if cursor.spans else None)
        if start != scan.start:
            return False
        end = min(max(chunk.next_offset, chunk.start_offset), scan.stop)
        if end <= scan.start:
            return False
        if chunk.start_offset > scan.start:
            self._metrics.dropped.labels("aged-off").inc(min(chunk.start_offset, scan.stop) - scan.start)
        records = [record for record in chunk.records if scan.start <= record.offset < end]
        for verdict, offsets in self._judge(self.roster.matcher(cursor.partition[0]), cursor.partition, records):
            self._take_over(scan.subscriber, cursor, verdict, offsets)
        if scan.open_ended:
            cursor.open_from = end
        else:
            cursor.spans.remove(scan.start, end)
        cursor.dirty = True
        self._attach_if_there(cursor)
        return True

    def _take_over(self, subscriber: Subscriber, cursor: Cursor, verdict: Verdict, offsets: list[int]) -> None:
        reason = verdict.rejected.get(subscriber)
        if reason is not None:
            subscriber.count_rejected(reason, len(offsets))
        elif subscriber in verdict.accepted:
            for offset in offsets:
                subscriber.push(cursor, offset)

    # ---- handing out

    def take(self, subscriber: Subscriber, count: int, now: float) -> list[Item]:
        """Up to `count` events: due again, then expedite, live, historic. They are held until the caller decides."""
        items: list[Item] = []
        while len(items) < count and (again := self._take_due(subscriber, now)):
            items.append(again)
        if subscriber.leases:
            count = min(count, len(items) + self.limits.leases - subscriber.lease_count())
        for lane in (EXPEDITE, LIVE, HISTORIC):
            full: list[Item] = []
            while len(items) < count and (found := subscriber.pop_ready(lane)):
                item = Item(subscriber, *found, 1)
                if subscriber.leases and len(item.cursor.leases) >= self.limits.partition_leases:
                    full.append(item)
                    continue
                item.cursor.held.add(item.offset)
                items.append(item)
            for item in reversed(full):
                subscriber.push_front(item.cursor, item.offset)
        return items

    def next_due(self, subscriber: Subscriber) -> float | None:
        """When the next waiting redelivery falls due."""
        return subscriber.due[0][0] if subscriber.due else None

    def is_held(self, item: Item) -> bool:
        """Still ours to hand out: no status, reset or pause took it while the caller was away."""
        subscriber = item.subscriber
        return item.offset in item.cursor.held and subscriber.cursors.get(item.cursor.partition) is item.cursor

    def finalise(self, item: Item, cause: str | None = None) -> None:
        """The event is done for this subscriber: delivered (passive), filtered, or gone from the log."""
        item.cursor.finalise(item.offset)
        if cause is not None:
            self._metrics.dropped.labels(cause).inc()

    def put_back(self, item: Item, now: float) -> None:
        """The client never got it: first in line again, and no attempt is counted."""
        cursor = item.cursor
        lease = cursor.leases.get(item.offset)
        if lease is None and item.offset not in cursor.held:
            return
        cursor.held.discard(item.offset)
        if lease is not None and item.attempt > 1:
            self._wait(item.subscriber, cursor, item.offset, lease, now)
            return
        cursor.leases.pop(item.offset, None)
        item.subscriber.push_front(cursor, item.offset)
        cursor.dirty = True
        item.subscriber.wake()

    def lease(self, item: Item, *, key: str, now: float, seconds: float | None) -> str:
        """Give the event to a client; returns the token that it will answer with."""
        subscriber, cursor = item.subscriber, item.cursor
        lease = Lease(item.attempt, seconds or self.limits.lease_seconds, renewed_at=now)
        cursor.held.discard(item.offset)
        cursor.leases[item.offset] = lease
        cursor.dirty = True
        self._watch(subscriber, cursor, item.offset, lease)
        if item.attempt > 1:
            self._metrics.redelivered.labels(self._metrics.plugins(subscriber.wanted.name)).inc()
        return self.token(item, key, now)

    def token(self, item: Item, key: str, now: float) -> str:
        wanted, cursor = item.subscriber.wanted, item.cursor
        place = Token(
            item.subscriber.sid,
            cursor.topic_id,
            cursor.partition[1],
            item.offset,
            item.attempt,
            item.subscriber.epoch,
        )
        return render_token(place, key=key, name=wanted.name, version=wanted.version, now=now)

    def hold_back(self, item: Item, *, now: float, reason: str) -> bool:
        """A filter raised: try again later. False when the attempts are used up (the caller gives up)."""
        last = item.attempt >= self.limits.attempts
        lease = Lease(item.attempt, self.limits.lease_seconds, renewed_at=now, reason=reason, ending=last)
        item.cursor.held.discard(item.offset)
        item.cursor.leases[item.offset] = lease
        if not last:
            self._again(item, lease, due=now + 2.0**item.attempt, reason=reason)
        return not last

    # ---- statuses

    def find(self, token_text: str) -> Item | None:
        """The place that a token speaks of, if it is one of ours and of this epoch."""
        token = parse_token(token_text)
        subscriber = self.roster.subscribers.get(token.sid) if token else None
        if token is None or subscriber is None or subscriber.epoch != token.epoch:
            return None
        cursor = subscriber.places.get((token.topic_id, token.partition))
        return None if cursor is None else Item(subscriber, cursor, token.offset, token.attempt)

    def on_status(self, token: str, status: str, when: float) -> None:
        """A durable status came by on the status tail: any attempt's final status ends the job."""
        item = self.find(token)
        if item is None:
            return
        if status in FINAL_STATUSES:
            if item.cursor.finalise(item.offset, below=self.end_of(item.cursor.partition)):
                self._metrics.finished.labels(self._metrics.plugins(item.subscriber.wanted.name), status).inc()
                item.subscriber.wake()
        elif status == "heartbeat" and (lease := self._current_lease(item)):
            lease.renewed_at = max(lease.renewed_at, when)
            item.cursor.dirty = True

    def on_release(self, token: str, due: float) -> None:
        """A client gave its lease back: the event is due again at `due`, with the next attempt."""
        item = self.find(token)
        if item is not None and (lease := self._current_lease(item)):
            self._again(item, lease, due=due, reason="released by the plugin")

    def end_of(self, partition: TopicPartition) -> int:
        """One past the last offset that this process knows of."""
        return max(self.known_end.get(partition, 0), self.position.get(partition, 0))

    def _current_lease(self, item: Item) -> Lease | None:
        lease = item.cursor.leases.get(item.offset)
        return lease if lease is not None and lease.out and lease.attempt == item.attempt else None

    # ---- time

    def expire(self, now: float, proven: float) -> list[Item]:
        """Leases that ran out go back in line; gives those whose attempts are used up.

        `proven` is the time up to which all statuses have been seen: no lease expires on ignorance.
        """
        gone = []
        horizon = min(now, proven)
        while self._expiry and self._expiry[0][0] <= horizon:
            _, _, subscriber, cursor, offset = heapq.heappop(self._expiry)
            lease = cursor.leases.get(offset)
            if lease is None or not lease.out or subscriber.cursors.get(cursor.partition) is not cursor:
                continue
            item = Item(subscriber, cursor, offset, lease.attempt)
            if self._expires_at(lease) > horizon:
                self._watch(subscriber, cursor, offset, lease)
            elif lease.attempt >= self.limits.attempts:
                lease.ending = True
                lease.reason = f"lease expired {lease.attempt} times"
                gone.append(item)
            else:
                self._again(item, lease, due=now, reason="lease expired")
        return gone

    def _again(self, item: Item, lease: Lease, *, due: float, reason: str) -> None:
        lease.attempt += 1
        lease.reason = reason
        self._wait(item.subscriber, item.cursor, item.offset, lease, due)

    def _wait(self, subscriber: Subscriber, cursor: Cursor, offset: int, lease: Lease, due: float) -> None:
        lease.due_at = max(due, 1e-6)
        cursor.dirty = True
        subscriber.push_due(lease.due_at, cursor, offset)
        subscriber.wake()

    def _take_due(self, subscriber: Subscriber, now: float) -> Item | None:
        while subscriber.due and subscriber.due[0][0] <= now:
            when, _, cursor, offset = heapq.heappop(subscriber.due)
            lease = cursor.leases.get(offset)
            if lease is not None and lease.due_at == when and not lease.ending and offset not in cursor.held:
                cursor.held.add(offset)
                return Item(subscriber, cursor, offset, lease.attempt)
        return None

    def _expires_at(self, lease: Lease) -> float:
        return max(lease.renewed_at, self._serving_since) + lease.seconds

    def _watch(self, subscriber: Subscriber, cursor: Cursor, offset: int, lease: Lease) -> None:
        self._turn += 1
        if lease.due_at:
            subscriber.push_due(lease.due_at, cursor, offset)
        else:
            heapq.heappush(self._expiry, (self._expires_at(lease), self._turn, subscriber, cursor, offset))
            if len(self._expiry) > self._expiry_limit:
                self._forget_finished()

    def _forget_finished(self) -> None:
        """Most leases end by a status long before their time: drop their entries once they outnumber the living."""
        alive = {}
        for entry in self._expiry:
            _, _, subscriber, cursor, offset = entry
            lease = cursor.leases.get(offset)
            if lease is not None and lease.out and subscriber.cursors.get(cursor.partition) is cursor:
                alive[id(cursor), offset] = entry
        self._expiry = sorted(alive.values(), key=lambda entry: entry[:2])
        self._expiry_limit = max(10_000, 2 * len(self._expiry))
