"""A subscriber: one logical consumer, its cursors and its queues."""

import hashlib
import heapq
import zlib
from asyncio import Future
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from dispatcher.delivery.cursors import LANES, Agenda, Cursor
from dispatcher.delivery.leases import new_secret
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


DUE_AT_LEAST = 1_000
"""Size of the heap of redeliveries below which nobody looks for entries that mean nothing any more."""


@dataclass(slots=True, eq=False)
class Subscriber:
    """In-memory state of one subscriber; everything that must survive is in the cursors and these few fields."""

    sid: str
    wanted: Subscription
    registered_at: float
    epoch: int = 0
    secret: str = field(default_factory=new_secret)
    """Seals its tokens."""
    seen_at: float = 0.0
    """Unix seconds of the last poll."""
    serving_since: float = 0.0
    """When this process took it over: leases of before count from there, for they could not be renewed meanwhile."""
    skipped_pause: float = 0.0
    """The pause whose events this subscriber has skipped already."""
    cursors: dict[TopicPartition, Cursor] = field(default_factory=dict)
    agenda: Agenda = field(default_factory=Agenda)
    lanes: tuple[deque[tuple[Cursor, int]], ...] = field(default_factory=lambda: (deque(), deque(), deque()))
    due: list[tuple[float, int, Cursor, int]] = field(default_factory=list)
    filtered: dict[str, int] = field(default_factory=dict)
    """Rejections per reason since the last reply."""
    waiters: deque[Future[None]] = field(default_factory=deque)
    polls: int = 0
    """Requests in progress."""
    replies: int = 0
    """Replies under way whose events are done when the client has them."""
    idle: bool = True
    """Nobody has asked for a while: nothing is read or decided for it."""
    dirty: bool = True
    """The registration itself must be written."""
    written_seen_at: float = 0.0
    revision: int = 0
    """Counts the moments at which the tail may have stopped to read what this subscriber wants."""
    followed: int = -1
    """The revision for which the tail was last told."""
    has_source: bool = False
    has_expedite: bool = False
    places: dict[tuple[str, int], Cursor] = field(default_factory=dict)
    """Cursors by (topic id, partition), as tokens name them."""
    slot: int = field(init=False)
    _turn: int = 0
    _due_limit: int = DUE_AT_LEAST

    def __post_init__(self) -> None:
        self.slot = slot_of(self.sid)

    @property
    def leases(self) -> bool:
        """Its events are leased until a final status (active fetch of binary events)."""
        return self.wanted.leases

    # ---- cursors

    def add(self, cursor: Cursor) -> None:
        cursor.agenda = self.agenda
        self.cursors[cursor.partition] = cursor
        self.places[cursor.topic_id, cursor.partition[1]] = cursor
        self.has_expedite |= cursor.expedite
        self.has_source |= not cursor.expedite
        self.revision += 1
        if cursor.leases:
            self.agenda.leased[cursor] = None
        cursor.lag()

    def clear(self) -> None:
        """Forget every cursor and queue."""
        self.clear_ready()
        self.cursors.clear()
        self.agenda = Agenda()  # what was handed out before keeps its cursor, and that must not be noticed here
        self.places.clear()
        self.due.clear()
        self.filtered.clear()
        self.has_source = self.has_expedite = False
        self.revision += 1

    def leave(self) -> None:
        """Nobody asks any more: what was decided is undecided again."""
        self.idle = True
        self.revision += 1
        self.clear_ready()

    def missing_lanes(self) -> Iterator[str]:
        """Subscriptions that have no partition to read yet."""
        if self.wanted.expedite and not self.has_expedite:
            yield "expedite"
        if self.wanted.live and not self.has_source:
            yield "live"
        if self.wanted.historic and not self.has_source:
            yield "historic"

    def lease_count(self) -> int:
        return sum(len(cursor.leases) for cursor in self.agenda.leased)

    def out_count(self) -> int:
        """Leases and events on their way to clients."""
        agenda = self.agenda
        for cursor in [cursor for cursor in agenda.leased if not cursor.leases and not cursor.held]:
            del agenda.leased[cursor]
        return sum(len(cursor.leases) + len(cursor.held) for cursor in agenda.leased)

    # ---- queues

    def has_ready(self) -> bool:
        return any(self.lanes)

    def push(self, cursor: Cursor, offsets: Sequence[int]) -> None:
        """All of one lane."""
        if offsets:
            cursor.ready.update(offsets)
            cursor.changed()
            self.lanes[cursor.lane(offsets[0])].extend([(cursor, offset) for offset in offsets])

    def push_front(self, cursor: Cursor, offset: int) -> None:
        cursor.ready.add(offset)
        cursor.changed()
        self.lanes[cursor.lane(offset)].appendleft((cursor, offset))

    def clear_ready(self) -> None:
        for lane in LANES:
            for cursor, _ in self.lanes[lane]:
                cursor.return_ready()
            self.lanes[lane].clear()

    def push_due(self, when: float, cursor: Cursor, offset: int) -> None:
        self._turn += 1
        heapq.heappush(self.due, (when, self._turn, cursor, offset))
        if len(self.due) > self._due_limit:
            self._forget_finished()

    def pop_due(self, now: float) -> tuple[float, Cursor, int] | None:
        """The next entry whose time has come; it may be about a lease that is finished."""
        if not self.due or self.due[0][0] > now:
            return None
        when, _, cursor, offset = heapq.heappop(self.due)
        return when, cursor, offset

    def _forget_finished(self) -> None:
        self.due = [entry for entry in self.due if _is_due(*entry)]
        heapq.heapify(self.due)
        self._due_limit = max(DUE_AT_LEAST, 2 * len(self.due))

    # ---- counts and waiters

    def count_rejected(self, reason: str, times: int = 1) -> None:
        self.filtered[reason] = self.filtered.get(reason, 0) + times

    def take_filtered(self) -> dict[str, int]:
        counts, self.filtered = self.filtered, {}
        return counts

    def wake(self, times: int = 1) -> None:
        while self.waiters and times > 0:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                times -= 1

    def wake_all(self) -> None:
        self.wake(len(self.waiters))


def _is_due(when: float, _: int, cursor: Cursor, offset: int) -> bool:
    lease = cursor.leases.get(offset)
    return lease is not None and lease.due_at == when
