"""Answering one poll: gather, filter, wait, lease."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dispatcher_sdk.models import FetchInfo, InvalidMessage

from dispatcher.delivery.batches import Batch, Ending
from dispatcher.delivery.bodies import body_of, with_token
from dispatcher.delivery.cursors import HISTORIC
from dispatcher.delivery.jobs import Item
from dispatcher.delivery.matching import FilterRaised
from dispatcher.delivery.notices import Notices
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.delivery.views import RecordView
from dispatcher.errors import NotServedHere
from dispatcher.eventlog.base import Record, UnknownTopic
from dispatcher.hooks.types import EventFilter, Subscription
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

SCAN_SECONDS: Final = 0.25
"""A poll that does not wait still reads on for so long: else a backlog that its filters reject would never end."""


class Found(NamedTuple):
    """An event that will be in the reply."""

    item: Item
    key: bytes
    value: bytes


@dataclass(eq=False)
class Poll:
    """One request in progress. Times are the loop's."""

    subscriber: Subscriber
    wanted: Subscription
    """As this request has it: another may have brought other filters meanwhile."""
    count: int
    lease_seconds: float | None
    end: float
    scan_end: float
    filters: Sequence[EventFilter] = ()
    found: list[Found] = field(default_factory=list)
    size: int = 0
    """Bytes of what was found."""

    def add(self, found: Found) -> None:
        self.found.append(found)
        self.size += len(found.value)


class Handout:
    """`make_ready` sees to it that a subscriber is read for, under the filters of this poll; asked before each look.
    `serves` tells whether a slot's events may be handed out; asked once more before they are.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        reader: Reader,
        event_filters: Sequence[EventFilter],
        pause: Pause,
        make_ready: Callable[[Subscriber, Subscription], Awaitable[None]],
        serves: Callable[[int], bool],
        notices: Notices,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._filters = event_filters
        self._pause = pause
        self._make_ready = make_ready
        self._serves = serves
        self._notices = notices
        self._metrics = metrics
        self._clock = clock
        self._draining = False
        self._filter_seconds = metrics.consume_duration.labels("run_pipelines")

    def drain(self) -> None:
        self._draining = True

    async def collect(
        self, subscriber: Subscriber, wanted: Subscription, count: int, deadline: float, lease_seconds: float | None
    ) -> Batch:
        """Gather until `count` events are there or `deadline` seconds have passed. Raises NotServedHere."""
        now = asyncio.get_running_loop().time()
        poll = Poll(
            subscriber,
            wanted,
            count,
            lease_seconds,
            end=now + deadline,
            scan_end=now + max(deadline, SCAN_SECONDS),
        )
        try:
            return await self._collect(poll)
        except BaseException:
            self._put_back(poll)
            subscriber.wake()  # whatever this poll was woken for is for somebody who is still here
            raise

    async def _collect(self, poll: Poll) -> Batch:
        loop = asyncio.get_running_loop()
        while True:
            self._check_served(poll.subscriber)
            await self._make_ready(poll.subscriber, poll.wanted)
            if self._is_paused(poll):
                self._put_back(poll)
                return Batch.paused()
            poll.filters = [rule for rule in self._filters if rule.applies(poll.wanted)]
            await self._gather(poll)
            if self._is_full(poll) or loop.time() >= poll.end or self._draining:
                break
            if not self._is_overtaken(poll):
                await self._wait(poll)
        if self._is_paused(poll):
            self._put_back(poll)
            return Batch.paused()
        self._check_served(poll.subscriber)
        batch = self._batch(poll)
        self._pass_on(poll.subscriber)
        return batch

    def _check_served(self, subscriber: Subscriber) -> None:
        if not self._scheduler.roster.is_here(subscriber) or not self._serves(subscriber.slot):
            raise NotServedHere(subscriber.slot)

    def _is_paused(self, poll: Poll) -> bool:
        return poll.wanted.task and self._pause.is_on(self._clock())

    def _is_overtaken(self, poll: Poll) -> bool:
        """Something came up while this poll was looking, and woke those that were waiting already."""
        return poll.subscriber.followed != poll.subscriber.revision or self._is_paused(poll)

    def _is_full(self, poll: Poll) -> bool:
        return len(poll.found) >= poll.count or poll.size >= self._scheduler.limits.reply_bytes

    # ---- gathering

    async def _gather(self, poll: Poll) -> None:
        """Take what is ready; read on for a laggard; return when nothing more can be had without waiting."""
        subscriber = poll.subscriber
        while not self._is_full(poll):
            if subscriber.wanted is not poll.wanted and subscriber.wanted != poll.wanted:
                self._scheduler.roster.change_filters(subscriber, poll.wanted)
            scan = self._scheduler.next_scan(subscriber)
            urgent = scan.lane if scan is not None else HISTORIC
            items = self._scheduler.take(subscriber, poll.count - len(poll.found), self._clock(), urgent)
            if items:
                await self._admit_all(poll, items)
                continue
            out_of_time = asyncio.get_running_loop().time() >= poll.scan_end
            if scan is None or out_of_time or not await self._read_on(subscriber):
                return

    async def _read_on(self, subscriber: Subscriber) -> bool:
        """False when that brought nothing on: the log has less than it said."""
        scan = self._scheduler.next_scan(subscriber)
        if scan is None:
            return True
        try:
            chunk = await self._reader.chunk(scan.cursor.partition, scan.start)
        except UnknownTopic:
            self._scheduler.give_way(scan)
            return True
        await asyncio.sleep(0)  # what comes from the cache must not keep others waiting for long
        return self._scheduler.absorb_scan(scan, chunk) or self._scheduler.next_scan(subscriber) != scan

    async def _admit_all(self, poll: Poll, items: Sequence[Item]) -> None:
        waiting = deque(items)
        try:
            while waiting and not self._is_full(poll):
                if not self._admit_at_once(poll, waiting[0]):
                    await self._admit(poll, waiting[0])
                waiting.popleft()
        finally:
            now = self._clock()
            for item in reversed(waiting):
                self._scheduler.put_back(item, now)

    def _admit_at_once(self, poll: Poll, item: Item) -> bool:
        """Most events are in the cache, and no filter has to be asked."""
        if poll.filters or item.attempt > 1 or item.offset in item.cursor.doubtful:
            return False
        record = self._reader.cached(item.cursor.partition, item.offset)
        if record is None or record.value is None or record.tag is None:
            return False
        poll.add(Found(item, record.key or b"", record.value))
        return True

    async def _admit(self, poll: Poll, item: Item) -> None:
        """Add one event to the reply, unless it is gone or a filter keeps it out."""
        partition = item.cursor.partition
        record = self._reader.cached(partition, item.offset) or await self._reader.record(partition, item.offset)
        if record is None or record.value is None:
            self._scheduler.finalise(item, "aged-off" if record is None else "tombstone")
            return
        if not self._header_passes(poll, item, record):
            return
        if poll.filters and not await self._timed(self._passes(poll, item, record)):
            return
        try:
            value = body_of(self._scheduler.roster.topic_name(partition[0]), record)
        except InvalidMessage:
            self._scheduler.unreadable.report(partition, item.offset)
            self._scheduler.finalise(item)
            return
        poll.add(Found(item, record.key or b"", value))

    # ---- filters

    def _header_passes(self, poll: Poll, item: Item, record: Record) -> bool:
        try:
            reason = self._scheduler.rejection(item, record, poll.wanted)
        except FilterRaised as problem:
            self._hold_back(item, problem.name)
            return False
        if reason is not None:
            self._reject(item, reason)
        return reason is None

    async def _timed(self, verdict: Awaitable[bool]) -> bool:
        began = time.perf_counter()
        try:
            return await verdict
        finally:
            self._filter_seconds.observe(time.perf_counter() - began)

    async def _passes(self, poll: Poll, item: Item, record: Record) -> bool:
        topic = item.cursor.partition[0]
        view = RecordView(topic, self._scheduler.roster.topic_name(topic), record)
        for rule in poll.filters:
            try:
                reason = await rule.reject(view, poll.wanted)
            except Exception:
                log.exception("filter failed", extra={"action": "filter", "filter": rule.name})
                self._metrics.consume_error.labels(rule.name).inc()
                self._hold_back(item, rule.name)
                return False
            if reason is not None:
                self._metrics.consume_removed.labels(rule.name).inc()
                self._reject(item, f"{rule.name}-{reason}")
                return False
        return True

    def _hold_back(self, item: Item, name: str) -> None:
        self._scheduler.jobs.hold_back(item, now=self._clock(), reason=f"filter {name} raised")

    def _reject(self, item: Item, reason: str) -> None:
        if self._scheduler.jobs.is_held(item):
            item.subscriber.count_rejected(reason)
            self._scheduler.finalise(item)

    # ---- waiting

    async def _wait(self, poll: Poll) -> None:
        """Until there is news for this subscriber, a redelivery falls due, or time is up."""
        loop = asyncio.get_running_loop()
        seconds = poll.end - loop.time()
        due = self._scheduler.next_due(poll.subscriber)
        if due is not None:
            seconds = min(seconds, max(due - self._clock(), 0.001))
        waiter = loop.create_future()
        poll.subscriber.waiters.append(waiter)
        timer = loop.call_later(seconds, _finish, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in poll.subscriber.waiters:
                poll.subscriber.waiters.remove(waiter)

    def _pass_on(self, subscriber: Subscriber) -> None:
        """This poll ends; where more is to be had, or something falls due, another one has to look."""
        if subscriber.waiters and (
            subscriber.due or subscriber.has_ready() or self._scheduler.next_scan(subscriber) is not None
        ):
            subscriber.wake()

    # ---- the reply

    def _batch(self, poll: Poll) -> Batch:
        subscriber = poll.subscriber
        found = [entry for entry in poll.found if self._scheduler.jobs.is_held(entry.item)]
        now = self._clock()
        if poll.wanted.leases:
            events = [self._leased(entry, now, poll.lease_seconds) for entry in found]
        else:
            events = [entry.value for entry in found]
        filters = subscriber.take_filtered()
        missing = list(subscriber.missing_lanes())
        self._metrics.fetch_requests.labels(self._metrics.plugins(poll.wanted.name), poll.wanted.model).inc()
        info = FetchInfo(
            filtered=sum(filters.values()),
            fetched=len(events),
            ready=not missing,
            consumers_not_ready=",".join(missing),
            filters=filters,
        )
        items = [entry.item for entry in found]
        leased = poll.wanted.leases
        ending = Ending(self._scheduler, self._metrics, self._clock, subscriber, items, filters, leased, self._notices)
        return Batch(events, info, ending)

    def _leased(self, found: Found, now: float, seconds: float | None) -> bytes:
        token = self._scheduler.jobs.lease(
            found.item, key=found.key.decode("utf-8", "replace"), now=now, seconds=seconds
        )
        return with_token(found.value, token)

    def _put_back(self, poll: Poll) -> None:
        now = self._clock()
        for entry in reversed(poll.found):
            self._scheduler.put_back(entry.item, now)
        poll.found.clear()


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
