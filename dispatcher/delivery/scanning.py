"""Laggards: what is older than the tail, read for one subscriber at a time, most urgent lane first."""

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from dispatcher.delivery.cursors import LANES, Cursor, Lane, Stretch
from dispatcher.delivery.judging import Judge
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import Chunk, Record, TopicPartition


class Scan(NamedTuple):
    """What a laggard needs read."""

    subscriber: Subscriber
    cursor: Cursor
    lane: Lane
    stretch: Stretch

    @property
    def start(self) -> int:
        return self.stretch.start


class Found(NamedTuple):
    """What a scan brought for its subscriber, offsets in order."""

    accepted: list[int]
    doubtful: set[int]
    rejected: list[tuple[str, list[int]]]


class Scanning:
    """`position` gives where the tail is; `aged_off` is told of offsets that retention took unseen."""

    def __init__(
        self,
        judge: Judge,
        position: Callable[[TopicPartition], int | None],
        ready: int,
        aged_off: Callable[[int], None],
    ) -> None:
        self._judge = judge
        self._position = position
        self._ready = ready
        self._aged_off = aged_off

    def next(self, subscriber: Subscriber) -> Scan | None:
        """What is to be read next: expedite before live before historic; nothing of a lane that is full."""
        for lane in LANES:
            if len(subscriber.lanes[lane]) >= self._ready:
                continue
            behind = subscriber.agenda.behind[lane]
            while behind:
                cursor = next(iter(behind))
                stretch = self._stretch(cursor, lane)
                if stretch is not None:
                    return Scan(subscriber, cursor, lane, stretch)
                del behind[cursor]
        return None

    def absorb(self, scan: Scan, chunk: Chunk) -> bool:
        """Take over what a read found; False when it brought nothing on (the state moved, or nothing is there)."""
        subscriber, cursor, lane, _ = scan
        if subscriber.cursors.get(cursor.partition) is not cursor:
            return False
        stretch = self._stretch(cursor, lane)
        if stretch is None or (stretch.start, stretch.open_ended) != (scan.start, scan.stretch.open_ended):
            return False
        end = min(max(chunk.next_offset, chunk.start_offset), stretch.stop)
        room = self._ready - len(subscriber.lanes[lane])
        if end <= stretch.start or room <= 0:
            return False
        found = self._found(scan, [record for record in chunk.records if stretch.start <= record.offset < end])
        if len(found.accepted) > room:
            end = found.accepted[room]
        self._take_over(scan, found, end)
        if chunk.start_offset > stretch.start:
            self._aged_off(cursor.scanned(stretch, min(chunk.start_offset, end)))
            stretch = stretch._replace(start=min(chunk.start_offset, end))
        cursor.scanned(stretch, end)
        self._turn_to_next(scan)
        return True

    def give_way(self, scan: Scan) -> None:
        """Its partition cannot be read: others go first, and it waits until something is new there."""
        scan.subscriber.agenda.behind[scan.lane].pop(scan.cursor, None)

    def _stretch(self, cursor: Cursor, lane: Lane) -> Stretch | None:
        position = self._position(cursor.partition)
        cursor.attach_at(position)
        return cursor.stretch(lane, position)

    def _turn_to_next(self, scan: Scan) -> None:
        """Partitions of one lane take turns."""
        behind = scan.subscriber.agenda.behind[scan.lane]
        if self._stretch(scan.cursor, scan.lane) is None:
            behind.pop(scan.cursor, None)
        elif scan.cursor in behind:
            behind.move_to_end(scan.cursor)

    def _found(self, scan: Scan, records: list[Record]) -> Found:
        cursor, spans = scan.cursor, scan.cursor.spans
        if not scan.stretch.open_ended:
            records = [record for record in records if record.offset in spans]
        found = Found([], set(), [])
        for verdict, offsets in self._judge.verdicts(cursor.partition, records):
            reason = verdict.rejected.get(scan.subscriber)
            if reason is not None:
                found.rejected.append((reason, offsets))
            elif scan.subscriber in verdict.accepted:
                found.accepted.extend(offsets)
            elif scan.subscriber in verdict.doubtful:
                found.accepted.extend(offsets)
                found.doubtful.update(offsets)
        found.accepted.sort()
        return found

    def _take_over(self, scan: Scan, found: Found, end: int) -> None:
        scan.subscriber.push(scan.cursor, found.accepted[: bisect_left(found.accepted, end)])
        scan.cursor.doubtful.update(offset for offset in found.doubtful if offset < end)
        for reason, offsets in found.rejected:
            times = sum(offset < end for offset in offsets)
            if times:
                scan.subscriber.count_rejected(reason, times)
