"""Writes changed cursors to the journal and reads them back.

Cursor records come first and positions after them, so positions never run ahead of cursors: a crash may repeat
what was handed out since the last checkpoint, and loses nothing.
"""

import asyncio
from collections.abc import Collection
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
from dispatcher.eventlog.base import Fenced, Journal, TopicPartition

SEEN_SECONDS: Final = 600.0
"""How stale the stored moment of a subscriber's last poll may be."""
PAUSE_SLOT: Final = 0
"""Its positions are written even when nobody is registered: a pause must not be forgotten."""


class Opened(NamedTuple):
    """What was claimed, as the journal has it."""

    fences: dict[int, int]
    subscribers: list[Subscriber]
    oldest: dict[TopicPartition, int]
    """Least stored position per partition of the status topic: statuses are replayed from there."""
    paused_at: float


class Checkpoint:
    """Writes the slots that are ours. A slot is ours from `own` to `disown`."""

    def __init__(self, journal: Journal, scheduler: Scheduler) -> None:
        self._journal = journal
        self._scheduler = scheduler
        self._fences: dict[int, int] = {}
        self._last_positions: dict[int, bytes] = {}

    async def open(self, slots: Collection[int]) -> Opened:
        """Claim these slots. Raises LogUnavailable."""
        opened = Opened({}, [], {}, 0.0)
        for slot, (fence, state) in (await self._journal.open_many(sorted(slots))).items():
            opened.fences[slot] = fence
            opened = self._unpacked(opened, slot, state)
        return opened

    def own(self, opened: Opened) -> None:
        self._fences.update(opened.fences)
        for slot in opened.fences:
            self._last_positions.pop(slot, None)

    def disown(self, slots: Collection[int]) -> None:
        for slot in slots:
            self._fences.pop(slot, None)

    def owns(self, slot: int) -> bool:
        return slot in self._fences

    async def last_pause(self) -> Opened:
        """What whoever serves slot PAUSE_SLOT has written of the last pause. Claims nothing. Raises LogUnavailable."""
        return self._unpacked(Opened({}, [], {}, 0.0), PAUSE_SLOT, await self._journal.peek(PAUSE_SLOT))

    def _unpacked(self, opened: Opened, slot: int, state: dict[bytes, bytes]) -> Opened:
        subscribers, positions = unpack_slot(state)
        if positions.tail and (subscribers or slot == PAUSE_SLOT):  # nobody's are not kept up to date
            known = positions.offsets()
            for partition in self._scheduler.statuses:  # one that is not known is newer
                offset = known.get(partition, 0)
                opened.oldest[partition] = min(offset, opened.oldest.get(partition, offset))
        return opened._replace(
            subscribers=opened.subscribers + subscribers, paused_at=max(opened.paused_at, positions.paused_at)
        )

    async def write(
        self, paused_at: float, *, slots: Collection[int] | None = None, positions: bool = True, confirm: bool = False
    ) -> set[int]:
        """Write everything that changed, in all slots or these; gives those that another process has claimed.

        Raises LogUnavailable; then all of it counts as changed still. Positions may be written less often: older ones
        only mean that a crash replays a little more. `confirm` writes to slots where nothing has changed, too.
        """
        by_slot: dict[int, list[Subscriber]] = {slot: [] for slot in self._fences if slots is None or slot in slots}
        for subscriber in self._scheduler.roster.subscribers.values():
            if subscriber.slot in by_slot:
                by_slot[subscriber.slot].append(subscriber)
        jobs = {
            slot: self._write_slot(
                slot, subscribers, self._positions(subscribers, paused_at) if positions else None, confirm=confirm
            )
            for slot, subscribers in by_slot.items()
            if subscribers or slot == PAUSE_SLOT or confirm
        }
        outcomes = dict(zip(jobs, await asyncio.gather(*jobs.values(), return_exceptions=True), strict=True))
        for problem in outcomes.values():
            if problem is not None and not isinstance(problem, Fenced):
                raise problem
        return {slot for slot, problem in outcomes.items() if problem is not None}

    async def write_with(self, subscriber: Subscriber, paused_at: float) -> None:
        """Write a subscriber's whole slot now (registration, reset): its statuses count from here on.

        Raises LogUnavailable, Fenced.
        """
        slot = subscriber.slot
        if not self._scheduler.roster.is_here(subscriber):
            raise Fenced(f"slot {slot} has changed hands")
        subscribers = [other for other in self._scheduler.roster.subscribers.values() if other.slot == slot]
        await self._write_slot(slot, subscribers, self._positions(subscribers, paused_at))

    async def forget(self, subscriber: Subscriber) -> None:
        keys = [cursor_key(subscriber.sid, partition) for partition in subscriber.cursors]
        gone = dict.fromkeys([*keys, subscriber_key(subscriber.sid)])
        await self._journal.put(subscriber.slot, self._fence(subscriber.slot), gone)

    def _fence(self, slot: int) -> int:
        if slot not in self._fences:
            raise Fenced(f"slot {slot} is not ours any more")
        return self._fences[slot]

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

    async def _write_slot(
        self, slot: int, subscribers: list[Subscriber], positions: bytes | None, *, confirm: bool = False
    ) -> None:
        items, changed = self._changes(subscribers)
        if positions is not None and (confirm or self._last_positions.get(slot) != positions):
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
            await self._journal.put(slot, self._fence(slot), items)
        except BaseException:
            for thing in changed:
                if isinstance(thing, Cursor):
                    thing.changed()
                else:
                    thing.dirty = True
            raise
