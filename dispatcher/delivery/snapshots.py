"""What the journal holds of subscribers: registrations, cursors, positions.

Keys: `s/<sid>` a registration, `c/<sid>/<topic>/<partition>` a cursor, `p` the positions of this slot.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.leases import Lease, new_secret
from dispatcher.delivery.spans import Spans
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import TopicPartition
from dispatcher.hooks.types import StreamWant, Subscription

POSITIONS_KEY: Final = b"p"


@dataclass
class Registration:
    wanted: dict[str, Any]
    epoch: int
    registered_at: float
    seen_at: float
    skipped_pause: float
    secret: str = ""


class LeaseRecord(msgspec.Struct, array_like=True):
    offset: int
    attempt: int
    seconds: float
    renewed_at: float
    due_at: float
    reason: str
    failed: int = 0
    ending: bool = False

    @classmethod
    def of(cls, offset: int, lease: Lease) -> "LeaseRecord":
        return cls(
            offset,
            lease.attempt,
            lease.seconds,
            lease.renewed_at,
            lease.due_at,
            lease.reason,
            lease.failed,
            lease.ending,
        )

    def lease(self) -> Lease:
        return Lease(
            self.attempt,
            self.seconds,
            self.renewed_at,
            due_at=self.due_at,
            failed=self.failed,
            reason=self.reason,
            ending=self.ending,
        )


class CursorRecord(msgspec.Struct, array_like=True):
    epoch: int
    join: int
    expedite: bool
    live: bool
    attached: bool
    open_from: int
    """-1 = no open end."""
    spans: list[tuple[int, int]]
    leases: list[LeaseRecord]


class Positions(msgspec.Struct):
    """Where the tail was when the cursors of this slot were written. Rows of (topic, partition, offset): statuses,
    and what attached cursors read."""

    tail: list[tuple[str, int, int]] = []
    paused_at: float = 0.0

    def offsets(self) -> dict[TopicPartition, int]:
        return {(topic, partition): offset for topic, partition, offset in self.tail}


def subscriber_key(sid: str) -> bytes:
    return f"s/{sid}".encode()


def cursor_key(sid: str, partition: TopicPartition) -> bytes:
    return f"c/{sid}/{partition[0]}/{partition[1]}".encode()


def pack_subscriber(subscriber: Subscriber) -> bytes:
    return msgspec.json.encode(
        Registration(
            asdict(subscriber.wanted),
            subscriber.epoch,
            subscriber.registered_at,
            subscriber.seen_at,
            subscriber.skipped_pause,
            subscriber.secret,
        )
    )


def pack_cursor(cursor: Cursor, epoch: int, position: int | None) -> bytes:
    """`position` is the tail's, which stands for the open end of an attached cursor."""
    open_from = position if cursor.attached else cursor.open_from
    return msgspec.msgpack.encode(
        CursorRecord(
            epoch,
            cursor.join,
            cursor.expedite,
            cursor.live,
            cursor.attached,
            -1 if open_from is None else open_from,
            list(cursor.unseen()),
            [LeaseRecord.of(offset, lease) for offset, lease in sorted(cursor.leases.items())],
        )
    )


def unpack_slot(state: dict[bytes, bytes]) -> tuple[list[Subscriber], Positions]:
    """Rebuild the subscribers of a slot. An attached cursor goes on where the tail's position was written."""
    positions = msgspec.json.decode(state.get(POSITIONS_KEY, b"{}"), type=Positions)
    tail = positions.offsets()
    subscribers: dict[str, Subscriber] = {}
    for key, value in state.items():
        if key.startswith(b"s/"):
            sid = key[2:].decode()
            subscribers[sid] = _unpack_subscriber(sid, value)
    for key, value in state.items():
        if not key.startswith(b"c/"):
            continue
        _, sid, topic, number = key.decode().split("/")
        record = msgspec.msgpack.decode(value, type=CursorRecord)
        subscriber = subscribers.get(sid)
        if subscriber is not None and record.epoch == subscriber.epoch:
            cursor = _unpack_cursor((topic, int(number)), record, tail)
            subscriber.add(cursor)
            if record.attached:
                cursor.changed()  # it is attached no more: that must be written before positions move on
    return list(subscribers.values()), positions


def _unpack_subscriber(sid: str, value: bytes) -> Subscriber:
    record = msgspec.json.decode(value, type=Registration)
    fields: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item for name, item in record.wanted.items()
    }
    fields["streams"] = tuple(StreamWant(label, tuple(formats)) for label, formats in fields.get("streams", ()))
    known = Subscription.__dataclass_fields__.keys()
    return Subscriber(
        sid,
        Subscription(**{name: item for name, item in fields.items() if name in known}),
        registered_at=record.registered_at,
        seen_at=record.seen_at,
        epoch=record.epoch,
        secret=record.secret or new_secret(),
        skipped_pause=record.skipped_pause,
        dirty=not record.secret,
        written_seen_at=record.seen_at,
    )


def _unpack_cursor(partition: TopicPartition, record: CursorRecord, tail: dict[TopicPartition, int]) -> Cursor:
    open_from = None if record.open_from < 0 else record.open_from
    if open_from is not None and record.attached:
        open_from = max(open_from, tail.get(partition, 0))
    return Cursor(
        partition,
        join=record.join,
        expedite=record.expedite,
        live=record.live,
        spans=Spans(record.spans),
        open_from=open_from,
        leases={row.offset: row.lease() for row in record.leases},
    )
