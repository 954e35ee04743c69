"""Every step that may change who still has to see what.

Pure logic: no I/O, no clock of its own (`now` is unix seconds), no tasks. `service.py` reads the log for it and
writes its snapshots to the journal; the tests crash it between any two steps.
"""

from collections.abc import Iterable, Sequence

from dispatcher.delivery.cursors import ENDLESS, HISTORIC, LANES, Cursor, Lane
from dispatcher.delivery.jobs import Item, Jobs
from dispatcher.delivery.judging import Judge
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
        self.jobs = Jobs(self.roster, limits, metrics, serving_since)

    # ---- coming and going

    def touch(self, subscriber: Subscriber, now: float) -> None:
        """It polls; after it was away, each of its cursors may be behind."""
        subscriber.seen_at = now
        if subscriber.idle:
            subscriber.idle = False
            for cursor in subscriber.cursors.values():
                cursor.lag()

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
        subscriber.push(cursor, offsets)
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
        bound = self.limits.partition_leases if subscriber.leases else ENDLESS
        queue = subscriber.lanes[lane]
        while queue and len(taken) < count:
            cursor, offset = queue.popleft()
            if offset not in cursor.ready:
                continue  # it was finalised meanwhile
            cursor.ready.remove(offset)
            if len(cursor.leases) + len(cursor.held) >= bound:
                full.append((cursor, offset))
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

    def rejection(self, item: Item, record: Record, wanted: Subscription) -> str | None:
        """Ask the header filters again, where they raised or may have changed. Raises FilterRaised."""
        if item.attempt == 1 and item.offset not in item.cursor.doubtful:
            return None
        header = read_header(self.roster.topic_name(item.cursor.partition[0]), record)
        return None if header is None else rejection(self._filters, header, wanted)

    def finalise(self, item: Item, cause: str | None = None) -> None:
        """The event is done for this subscriber: delivered (passive), filtered, or gone from the log."""
        if item.cursor.finalise(item.offset) and cause is not None and self.jobs.is_current(item):
            self._metrics.dropped.labels(cause).inc()

    def put_back(self, item: Item, now: float) -> None:
        """The client never got it: first in line again, and no attempt is counted."""
        cursor, offset = item.cursor, item.offset
        lease = cursor.leases.get(offset)
        if not self.jobs.is_current(item) or (lease is None and offset not in cursor.held):
            return
        cursor.held.discard(offset)
        if lease is None:
            item.subscriber.push_front(cursor, offset)
        elif lease.attempt != item.attempt or lease.ending:
            return  # it was handed out again meanwhile, or given up on
        elif lease.attempt > 1:
            self.jobs.wait(item, lease, now)
        else:
            del cursor.leases[offset]
            item.subscriber.push_front(cursor, offset)
        item.subscriber.wake()
