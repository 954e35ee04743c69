"""Answering one poll: gather, filter, wait, lease."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
from dispatcher_sdk.models import FetchInfo

from dispatcher.delivery.giveup import GiveUp
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.scheduler import Item, Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.delivery.views import RecordView
from dispatcher.eventlog.base import Record
from dispatcher.hooks.types import EventFilter
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)


class Found(NamedTuple):
    item: Item
    record: Record


class Batch:
    """Events for one reply. Until the caller says `delivered` or `give_back` they belong to nobody else."""

    def __init__(
        self, events: list[bytes], info: FetchInfo, found: Sequence[Found] = (), handout: "Handout | None" = None
    ):
        self.events = events
        self.info = info
        self._found = found
        self._handout = handout

    @classmethod
    def paused(cls) -> "Batch":
        return cls([], FetchInfo(paused=True))

    def delivered(self) -> None:
        """The reply was written completely."""
        if self._handout is not None:
            self._handout.delivered(self._found)
            self._handout = None

    def give_back(self) -> None:
        """The client never got it: everything, counts too, is as if nobody had asked."""
        if self._handout is not None:
            self._handout.give_back(self._found, self.info)
            self._handout = None


class Handout:
    def __init__(
        self,
        scheduler: Scheduler,
        reader: Reader,
        event_filters: Sequence[EventFilter],
        give_up: GiveUp,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._filters = event_filters
        self._give_up = give_up
        self._metrics = metrics
        self._clock = clock
        self._draining = False
        self._filter_seconds = metrics.consume_duration.labels("run_pipelines")

    def drain(self) -> None:
        self._draining = True

    async def collect(self, subscriber: Subscriber, count: int, deadline: float, lease_seconds: float | None) -> Batch:
        """Gather until `count` events are there or `deadline` seconds have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        found: list[Found] = []
        filters = [rule for rule in self._filters if rule.applies(subscriber.wanted)]
        try:
            while True:
                await self._gather(subscriber, count, found, filters)
                remaining = end - loop.time()
                if len(found) >= count or remaining <= 0 or self._draining:
                    break
                await self._wait(subscriber, remaining)
        except BaseException:
            self._put_back(found)
            raise
        return self._batch(subscriber, found, lease_seconds)

    async def _gather(
        self, subscriber: Subscriber, count: int, found: list[Found], filters: Sequence[EventFilter]
    ) -> None:
        """Take what is ready; read on for a laggard; return when nothing more can be had without waiting."""
        while len(found) < count:
            items = deque(self._scheduler.take(subscriber, count - len(found), self._clock()))
            if not items:
                if not await self._read_on(subscriber):
                    return
                continue
            try:
                while items:
                    await self._admit(items[0], found, filters)
                    items.popleft()
            except BaseException:
                now = self._clock()
                for item in reversed(items):
                    self._scheduler.put_back(item, now)
                raise

    async def _read_on(self, subscriber: Subscriber) -> bool:
        scan = self._scheduler.next_scan(subscriber)
        if scan is None:
            return False
        chunk = await self._reader.chunk(scan.cursor.partition, scan.start)
        if self._scheduler.absorb_scan(scan, chunk):
            return True
        return self._scheduler.next_scan(subscriber) not in (None, scan) or subscriber.ready_count() > 0

    async def _admit(self, item: Item, found: list[Found], filters: Sequence[EventFilter]) -> None:
        """Add one event to the reply, unless it is gone or a filter keeps it out."""
        partition = item.cursor.partition
        record = self._reader.cached(partition, item.offset) or await self._reader.record(partition, item.offset)
        if record is None or record.value is None:
            self._scheduler.finalise(item, "aged-off" if record is None else "tombstone")
        elif not filters or await self._timed(self._passes(item, record, filters)):
            found.append(Found(item, record))

    async def _timed(self, verdict: Awaitable[bool]) -> bool:
        began = time.perf_counter()
        try:
            return await verdict
        finally:
            self._filter_seconds.observe(time.perf_counter() - began)

    async def _passes(self, item: Item, record: Record, filters: Sequence[EventFilter]) -> bool:
        topic = item.cursor.partition[0]
        view = RecordView(topic, self._scheduler.roster.topic_name(topic), record)
        for rule in filters:
            try:
                reason = await rule.reject(view, item.subscriber.wanted)
            except Exception:
                log.exception("filter failed", extra={"action": "filter", "filter": rule.name})
                self._metrics.consume_error.labels(rule.name).inc()
                if not self._scheduler.hold_back(item, now=self._clock(), reason=f"filter {rule.name} raised"):
                    self._give_up.add([item])
                return False
            if reason is not None:
                item.subscriber.count_rejected(f"{rule.name}-{reason}")
                self._metrics.consume_removed.labels(rule.name).inc()
                self._scheduler.finalise(item)
                return False
        return True

    async def _wait(self, subscriber: Subscriber, seconds: float) -> None:
        """Until there is news for this subscriber, a redelivery falls due, or time is up."""
        due = self._scheduler.next_due(subscriber)
        if due is not None:
            seconds = min(seconds, max(due - self._clock(), 0.001))
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        subscriber.waiters.append(waiter)
        timer = loop.call_later(seconds, _finish, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                subscriber.wake()  # this news was for somebody who is still here
            raise
        finally:
            timer.cancel()
            if waiter in subscriber.waiters:
                subscriber.waiters.remove(waiter)

    def _batch(self, subscriber: Subscriber, found: list[Found], lease_seconds: float | None) -> Batch:
        found = [entry for entry in found if self._scheduler.is_held(entry.item)]
        now = self._clock()
        if subscriber.leases:
            events = [self._leased(entry, now, lease_seconds) for entry in found]
        else:
            events = [entry.record.value or b"" for entry in found]
        filters = subscriber.take_filtered()
        missing = list(subscriber.missing_lanes())
        filtered = sum(filters.values())
        plugin, model = self._metrics.plugins(subscriber.wanted.name), subscriber.wanted.model
        self._metrics.fetch_requests.labels(plugin, model).inc()
        self._metrics.events_fetched.labels(plugin, model).inc(len(events))
        if filtered:
            self._metrics.events_filtered.labels(plugin, model).inc(filtered)
        info = FetchInfo(
            filtered=filtered,
            fetched=len(events),
            ready=not missing,
            consumers_not_ready=",".join(missing),
            filters=filters,
        )
        return Batch(events, info, found, self)

    def _leased(self, entry: Found, now: float, seconds: float | None) -> bytes:
        key = (entry.record.key or b"").decode("utf-8", "replace")
        token = self._scheduler.lease(entry.item, key=key, now=now, seconds=seconds)
        return with_token(entry.record.value or b"{}", token)

    def delivered(self, found: Sequence[Found]) -> None:
        for entry in found:
            if not entry.item.subscriber.leases:
                self._scheduler.finalise(entry.item)

    def give_back(self, found: Sequence[Found], info: FetchInfo) -> None:
        self._put_back(found)
        if found:
            for reason, times in info.filters.items():
                found[0].item.subscriber.count_rejected(reason, times)

    def _put_back(self, found: Sequence[Found]) -> None:
        now = self._clock()
        for entry in reversed(found):
            self._scheduler.put_back(entry.item, now)


def with_token(value: bytes, token: str) -> bytes:
    """Set `dequeued` in the JSON of a stored event (our own compact form, which never holds one)."""
    return b'%s,"dequeued":%s}' % (value[:-1], msgspec.json.encode(token))


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
