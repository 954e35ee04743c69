"""The end of an event that cannot be delivered: a final status with an honest cause, and a dead letter."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from dispatcher_sdk.models import (
    AnyEvent,
    Author,
    BinaryEvent,
    InvalidMessage,
    StatusEntity,
    StatusEvent,
    decode,
)

from dispatcher.delivery.reading import Reader
from dispatcher.delivery.scheduler import Item, Scheduler
from dispatcher.delivery.undecodable import model_of
from dispatcher.errors import DispatcherError
from dispatcher.eventlog.base import Append, EventLog, LogUnavailable, Record, TopicPartition
from dispatcher.eventlog.topics import TopicNames
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)


class PublishOutcome(Protocol):
    @property
    def published(self) -> int: ...


class StatusPublisher(Protocol):
    """The one thing that delivery needs of publishing."""

    async def publish(self, model: str, events: Sequence[AnyEvent]) -> PublishOutcome: ...


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """Value of a record in `system.deadletter`. `time` is unix seconds; `event` as it was handed out."""

    reason: str
    topic: str
    partition: int
    offset: int
    time: float
    name: str = ""
    version: str = ""
    sid: str = ""
    attempts: int = 0
    dequeued: str = ""
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GiveUp:
    """Works off a list of lost causes; what cannot be written now is tried again at the next tick."""

    def __init__(
        self,
        log: EventLog,
        names: TopicNames,
        scheduler: Scheduler,
        reader: Reader,
        publisher: StatusPublisher,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._log = log
        self._names = names
        self._scheduler = scheduler
        self._reader = reader
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._items: list[Item] = []
        self._places: list[tuple[TopicPartition, int]] = []
        self._busy = asyncio.Lock()

    def add(self, items: Sequence[Item]) -> None:
        self._items.extend(items)

    async def work_off(self, undecodable: Sequence[tuple[TopicPartition, int]] = ()) -> None:
        """Write what there is to write; keeps for later what the log does not take."""
        self._places.extend(undecodable)
        async with self._busy:
            items, self._items = self._items, []
            places, self._places = self._places, []
            for position, place in enumerate(places):
                try:
                    await self._report(place)
                except LogUnavailable:
                    self._places.extend(places[position:])
                    break
            for position, item in enumerate(items):
                try:
                    await self._end(item)
                except (LogUnavailable, DispatcherError) as problem:
                    log.warning("giving up must wait: %s", problem, extra={"action": "give-up"})
                    self._items.extend(items[position:])
                    break
                except Exception:
                    log.exception("giving up failed", extra={"action": "give-up"})
                    self._items.append(item)

    async def _report(self, place: tuple[TopicPartition, int]) -> None:
        (topic, partition), offset = place
        await self._write(
            f"{topic}/{partition}/{offset}", DeadLetter("undecodable", topic, partition, offset, self._clock())
        )

    async def _end(self, item: Item) -> None:
        lease = item.cursor.leases.get(item.offset)
        if lease is None or not lease.ending:
            return  # a status came after all
        record = await self._reader.record(item.cursor.partition, item.offset)
        if record is None or record.value is None:
            self._scheduler.finalise(item, "aged-off")
            return
        token = self._scheduler.token(item, (record.key or b"").decode("utf-8", "replace"), self._clock())
        await self._bury(item, record, token, lease.reason, lease.attempt)
        log.warning(
            "gave up on an event: %s",
            lease.reason,
            extra={"action": "give-up", "plugin": item.subscriber.wanted.name, "event_id": token},
        )
        event = self._binary(item, record)
        if event is None:
            self._scheduler.finalise(item)  # only binary events have statuses
            return
        outcome = await self._publisher.publish("status", [self._status(item, event, token, lease.reason)])
        if not outcome.published:
            self._scheduler.finalise(item, "aged-off")  # nobody will ever read of it: its source aged off

    async def _bury(self, item: Item, record: Record, token: str, reason: str, attempts: int) -> None:
        topic, partition = item.cursor.partition
        wanted = item.subscriber.wanted
        letter = DeadLetter(
            reason,
            topic,
            partition,
            item.offset,
            self._clock(),
            name=wanted.name,
            version=wanted.version,
            sid=item.subscriber.sid,
            attempts=attempts,
            dequeued=token,
            event=msgspec.Raw(record.value or b"{}"),
        )
        key = f"{item.subscriber.sid}/{item.subscriber.epoch}/{topic}/{partition}/{item.offset}"
        await self._write(key, letter)
        self._metrics.dead_letters.labels(reason.split(" ")[0]).inc()

    def _binary(self, item: Item, record: Record) -> BinaryEvent | None:
        if model_of(self._scheduler.roster.topic_name(item.cursor.partition[0])) != "binary":
            return None
        try:
            event = decode("binary", record.value or b"")
        except InvalidMessage:
            return None
        return event if isinstance(event, BinaryEvent) else None

    def _status(self, item: Item, event: BinaryEvent, token: str, reason: str) -> StatusEvent:
        """The plugin is the author: it is its job that ended."""
        wanted = item.subscriber.wanted
        event.dequeued = token
        event.entity.features = []
        event.entity.datastreams = []
        event.entity.info = msgspec.UNSET
        now = datetime.fromtimestamp(self._clock(), UTC)
        entity = StatusEntity(
            input=event,
            status="error-runner",
            error=reason,
            message=f"{reason}: no final status came from {wanted.name} {wanted.version}".strip(),
        )
        author = Author(name=wanted.name or "unnamed", version=wanted.version, category="plugin")
        return StatusEvent(model_version=6, timestamp=now, author=author, entity=entity)

    async def _write(self, key: str, letter: DeadLetter) -> None:
        topic = self._names.system("deadletter")
        (problem,) = await self._log.append([Append(topic, key.encode(), msgspec.json.encode(letter))])
        if problem is not None:
            raise LogUnavailable(str(problem))
