"""The end of an event that cannot be delivered: a final status with an honest cause, and a dead letter."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

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

from dispatcher.delivery.deadletters import DeadLetter, DeadLetters
from dispatcher.delivery.jobs import Item
from dispatcher.delivery.leases import Lease
from dispatcher.delivery.notices import Notices
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.undecodable import model_of
from dispatcher.errors import DispatcherError
from dispatcher.eventlog.base import LogUnavailable, Record, TopicPartition
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

AT_ONCE: Final = 16
PER_TICK: Final = 256
RETRY_SECONDS: Final = 5.0
MOST_PLACES: Final = 100_000
"""Unreadable records whose dead letters wait for the log; more are only counted."""


class PublishOutcome(Protocol):
    @property
    def published(self) -> int: ...


class StatusPublisher(Protocol):
    """The one thing that delivery needs of publishing."""

    async def publish(self, model: str, events: Sequence[AnyEvent]) -> PublishOutcome: ...


class GiveUp:
    """Works off a list of lost causes; what cannot be written now is tried again some seconds later."""

    def __init__(
        self,
        scheduler: Scheduler,
        reader: Reader,
        letters: DeadLetters,
        publisher: StatusPublisher,
        notices: Notices,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._notices = notices
        self._scheduler = scheduler
        self._reader = reader
        self._letters = letters
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._items: deque[Item] = deque()
        self._places: deque[tuple[TopicPartition, int]] = deque(maxlen=MOST_PLACES)
        self._not_before = 0.0

    def add(self, items: Sequence[Item], undecodable: Sequence[tuple[TopicPartition, int]] = ()) -> None:
        self._items.extend(items)
        self._places.extend(undecodable)

    async def work_off(self) -> None:
        """Write some of what there is to write; what fails stays for later."""
        now = asyncio.get_running_loop().time()
        if now < self._not_before:
            return
        for _ in range(min(len(self._places), PER_TICK)):
            try:
                await self._letters.undecodable(self._places[0])
            except LogUnavailable as problem:
                return self._wait(problem)
            self._places.popleft()
        for _ in range(PER_TICK // AT_ONCE):
            group = [self._items.popleft() for _ in range(min(len(self._items), AT_ONCE))]
            outcomes = await asyncio.gather(*map(self._end, group), return_exceptions=True)
            failed = [(item, why) for item, why in zip(group, outcomes, strict=True) if why is not None]
            self._items.extend(item for item, _ in failed)
            for _, why in failed:
                self._wait(why)
            if failed or not self._items:
                return

    def _wait(self, problem: BaseException) -> None:
        self._not_before = asyncio.get_running_loop().time() + RETRY_SECONDS
        known = isinstance(problem, LogUnavailable | DispatcherError)
        log.warning(
            "giving up must wait: %s", problem, exc_info=None if known else problem, extra={"action": "give-up"}
        )

    async def _end(self, item: Item) -> None:
        lease = item.cursor.leases.get(item.offset)
        if lease is None or not lease.ending or not self._scheduler.jobs.is_current(item):
            return  # a status came after all, or a reset
        record = await self._reader.record(item.cursor.partition, item.offset)
        if record is None or record.value is None:
            self._scheduler.finalise(item, "aged-off")
            return
        token = self._scheduler.jobs.token(item, (record.key or b"").decode("utf-8", "replace"), self._clock())
        await self._bury(item, record, token, lease)
        event = self._job(item, record)
        if event is not None:
            outcome = await self._publisher.publish("status", [self._status(item, event, token, lease.reason)])
        if event is None or not outcome.published:
            self._scheduler.finalise(item)  # no status will end it: none is due, or its source has aged off
        self._metrics.dead_letters.labels(lease.reason.split(" ")[0]).inc()
        self._notices.given_up(item, token, lease.reason)
        log.warning(
            "gave up on an event: %s",
            lease.reason,
            extra={"action": "give-up", "plugin": item.subscriber.wanted.name, "event_id": token},
        )

    async def _bury(self, item: Item, record: Record, token: str, lease: Lease) -> None:
        topic, partition = item.cursor.partition
        subscriber, wanted = item.subscriber, item.subscriber.wanted
        letter = DeadLetter(
            lease.reason,
            topic,
            partition,
            item.offset,
            self._clock(),
            name=wanted.name,
            version=wanted.version,
            sid=subscriber.sid,
            attempts=lease.attempt,
            dequeued=token,
            event=msgspec.Raw(record.value or b"{}"),
        )
        await self._letters.write(f"{subscriber.sid}/{subscriber.epoch}/{topic}/{partition}/{item.offset}", letter)

    def _job(self, item: Item, record: Record) -> BinaryEvent | None:
        """The event of a plugin's job: only a job has statuses, what a reader fetches passively has none."""
        if not item.subscriber.leases:
            return None
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
