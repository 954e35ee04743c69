"""Writes changed cursors to the journal and reads them back.

Cursor records come first and positions after them, so positions never run ahead of cursors: a crash may repeat
what was handed out since the last checkpoint, and loses nothing.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.snapshots import (
    POSITIONS_KEY,
    Positions,
    cursor_key,
    pack_cursor,
    pack_subscriber,
    subscriber_key,
    unpack_slot,
)
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import SLOTS, Journal, TopicPartition

SEEN_SECONDS: Final = 600.0
"""How stale the stored moment of a subscriber's last poll may be."""
PAUSE_SLOT: Final = 0
"""Its positions are written even when nobody is registered: a pause must not be forgotten."""


class Restored(NamedTuple):
    """What all slots together knew of the tail when this process took them over."""

    oldest: dict[TopicPartition, int]
    """Least stored position per partition: statuses are replayed from there."""
    paused_at: float


class Checkpoint:
    def __init__(self, journal: Journal, scheduler: Scheduler) -> None:
        self._journal = journal
        self._scheduler = scheduler
        self._fences: dict[int, int] = {}
        self._last_positions: dict[int, bytes] = {}

    async def restore(self, slots: Iterable[int] = range(SLOTS)) -> Restored:
        """Claim the slots and take up their subscribers."""
        oldest: dict[TopicPartition, int] = {}
        paused_at = 0.0
        for slot, (fence, state) in (await self._journal.open_many(list(slots))).items():
            self._fences[slot] = fence
            subscribers, positions = unpack_slot(state)
            for subscriber in subscribers:
                self._scheduler.roster.adopt(subscriber)
                self._scheduler.jobs.restore(subscriber)
            paused_at = max(paused_at, positions.paused_at)
            if subscribers or slot == PAUSE_SLOT:  # what nobody needs any more is not kept up to date
                for partition, offset in positions.offsets().items():
                    oldest[partition] = min(offset, oldest.get(partition, offset))
        return Restored(oldest, paused_at)

    async def write(self, paused_at: float, *, positions: bool) -> None:
        """Write everything that changed. Raises LogUnavailable or Fenced; then all of it counts as changed still.

        Positions may be written less often: older ones only mean that a crash replays a little more.
        """
        by_slot: dict[int, list[Subscriber]] = {PAUSE_SLOT: []}
        for subscriber in self._scheduler.roster.subscribers.values():
            by_slot.setdefault(subscriber.slot, []).append(subscriber)
        for slot, subscribers in by_slot.items():
            await self._write_slot(slot, subscribers, self._positions(subscribers, paused_at) if positions else None)

    async def write_with(self, subscriber: Subscriber, paused_at: float) -> None:
        """Write a subscriber's whole slot now (registration, reset): its statuses count from here on."""
        slot = subscriber.slot
        subscribers = [other for other in self._scheduler.roster.subscribers.values() if other.slot == slot]
        await self._write_slot(slot, subscribers, self._positions(subscribers, paused_at))

    async def forget(self, subscriber: Subscriber) -> None:
        keys = [cursor_key(subscriber.sid, partition) for partition in subscriber.cursors]
        gone = dict.fromkeys([*keys, subscriber_key(subscriber.sid)])
        await self._journal.put(subscriber.slot, self._fences[subscriber.slot], gone)

    def _positions(self, subscribers: list[Subscriber], paused_at: float) -> bytes:
        known = self._scheduler.position
        needed = {
            partition
            for subscriber in subscribers
            for partition, cursor in subscriber.cursors.items()
            if cursor.attached
        }
        rows = [
            (topic, number, known[topic, number])
            for topic, number in sorted(needed | self._scheduler.statuses)
            if (topic, number) in known
        ]
        return msgspec.json.encode(Positions(rows, paused_at))

    async def _write_slot(self, slot: int, subscribers: list[Subscriber], positions: bytes | None) -> None:
        items, changed = self._changes(subscribers)
        if positions is not None and self._last_positions.get(slot) != positions:
            items[POSITIONS_KEY] = positions
        if items:
            await self._put(slot, items, changed)
        if positions is not None:
            self._last_positions[slot] = positions

    def _changes(self, subscribers: list[Subscriber]) -> tuple[dict[bytes, bytes | None], list[Subscriber | Cursor]]:
        """What is to be written; from now on it counts as written."""
        items: dict[bytes, bytes | None] = {}
        changed: list[Subscriber | Cursor] = []
        for subscriber in subscribers:
            if subscriber.dirty or subscriber.seen_at - subscriber.written_seen_at > SEEN_SECONDS:
                items[subscriber_key(subscriber.sid)] = pack_subscriber(subscriber)
                subscriber.dirty = False
                subscriber.written_seen_at = subscriber.seen_at
                changed.append(subscriber)
            for cursor in subscriber.agenda.changed:
                position = self._scheduler.position.get(cursor.partition)
                items[cursor_key(subscriber.sid, cursor.partition)] = pack_cursor(cursor, subscriber.epoch, position)
                changed.append(cursor)
            subscriber.agenda.changed.clear()
        return items, changed

    async def _put(self, slot: int, items: dict[bytes, bytes | None], changed: list[Subscriber | Cursor]) -> None:
        try:
            await self._journal.put(slot, self._fences[slot], items)
        except BaseException:
            for thing in changed:
                if isinstance(thing, Cursor):
                    thing.changed()
                else:
                    thing.dirty = True
            raise
