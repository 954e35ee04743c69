"""A subscriber: one logical consumer, its cursors and its queues."""

import hashlib
import heapq
import zlib
from asyncio import Future
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from dispatcher.delivery.cursors import Cursor, Lane
from dispatcher.eventlog.base import SLOTS, TopicPartition
from dispatcher.eventlog.topics import TopicName
from dispatcher.hooks.types import Subscription

SYSTEM_MODELS = ("delete", "download", "insert", "plugin", "retrohunt", "status")


def subscriber_id(wanted: Subscription) -> str:
    """16 hex digits of the identity (wire contract 5.1): what is not in it may change from poll to poll."""
    identity = (
        wanted.name,
        wanted.version,
        wanted.model,
        sorted(set(wanted.sources)),
        sorted(set(wanted.actions)),
        wanted.expedite,
        wanted.live,
        wanted.historic,
        wanted.debug,
    )
    return hashlib.sha256(msgspec.msgpack.encode(identity)).hexdigest()[:16]


def slot_of(sid: str) -> int:
    return zlib.crc32(sid.encode()) % SLOTS


def wants_topic(wanted: Subscription, topic: TopicName) -> bool:
    """Does this subscriber read this topic at all?"""
    if wanted.model != "binary":
        return topic.system == wanted.model
    if topic.system:
        return topic.system == "expedite" and wanted.expedite
    return (
        (wanted.live or wanted.historic)
        and (not wanted.sources or topic.source in wanted.sources)
        and (not wanted.actions or topic.action in wanted.actions)
    )


@dataclass(slots=True, eq=False)
class Subscriber:
    """In-memory state of one subscriber; everything that must survive is in the cursors and these few fields."""

    sid: str
    wanted: Subscription
    registered_at: float
    epoch: int = 0
    seen_at: float = 0.0
    """Unix seconds of the last poll."""
    skipped_pause: float = 0.0
    """The pause whose events this subscriber has skipped already."""
    cursors: dict[TopicPartition, Cursor] = field(default_factory=dict)
    lanes: tuple[deque[tuple[Cursor, int]], ...] = field(default_factory=lambda: (deque(), deque(), deque()))
    due: list[tuple[float, int, Cursor, int]] = field(default_factory=list)
    filtered: dict[str, int] = field(default_factory=dict)
    """Rejections per reason since the last reply."""
    waiters: deque[Future[None]] = field(default_factory=deque)
    polls: int = 0
    """Requests in progress."""
    idle: bool = True
    """Nobody has asked for a while: nothing is read or decided for it."""
    dirty: bool = True
    """The registration itself must be written."""
    turn: int = 0
    places: dict[tuple[str, int], Cursor] = field(default_factory=dict)
    """Cursors by (topic id, partition), as tokens name them."""

    @property
    def leases(self) -> bool:
        """Its events are leased until a final status (active fetch of binary events)."""
        return self.wanted.task and self.wanted.model == "binary"

    def add(self, cursor: Cursor) -> None:
        self.cursors[cursor.partition] = cursor
        self.places[cursor.topic_id, cursor.partition[1]] = cursor

    def clear(self) -> None:
        """Forget every cursor and queue."""
        self.clear_ready()
        self.cursors.clear()
        self.places.clear()
        self.due.clear()
        self.filtered.clear()

    @property
    def slot(self) -> int:
        return slot_of(self.sid)

    def ready_count(self) -> int:
        return sum(len(lane) for lane in self.lanes)

    def lease_count(self) -> int:
        return sum(len(cursor.leases) for cursor in self.cursors.values())

    def push(self, cursor: Cursor, offset: int) -> None:
        cursor.ready.add(offset)
        cursor.dirty = True
        self.lanes[cursor.lane(offset)].append((cursor, offset))

    def push_front(self, cursor: Cursor, offset: int) -> None:
        cursor.ready.add(offset)
        self.lanes[cursor.lane(offset)].appendleft((cursor, offset))

    def push_due(self, when: float, cursor: Cursor, offset: int) -> None:
        self.turn += 1
        heapq.heappush(self.due, (when, self.turn, cursor, offset))

    def pop_ready(self, lane: Lane) -> tuple[Cursor, int] | None:
        """Next ready offset; entries that were finalised meanwhile are passed over."""
        queue = self.lanes[lane]
        while queue:
            cursor, offset = queue.popleft()
            if offset in cursor.ready:
                cursor.ready.discard(offset)
                return cursor, offset
        return None

    def clear_ready(self) -> None:
        for cursor in self.cursors.values():
            cursor.return_ready()
        for lane in self.lanes:
            lane.clear()

    def count_rejected(self, reason: str, times: int = 1) -> None:
        self.filtered[reason] = self.filtered.get(reason, 0) + times

    def take_filtered(self) -> dict[str, int]:
        counts, self.filtered = self.filtered, {}
        return counts

    def missing_lanes(self) -> Iterator[str]:
        """Subscriptions that have no partition to read yet."""
        has_source = any(not cursor.expedite for cursor in self.cursors.values())
        has_expedite = any(cursor.expedite for cursor in self.cursors.values())
        if self.wanted.expedite and not has_expedite:
            yield "expedite"
        if self.wanted.live and not has_source:
            yield "live"
        if self.wanted.historic and not has_source:
            yield "historic"

    def wake(self, times: int = 1) -> None:
        while self.waiters and times > 0:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                times -= 1
