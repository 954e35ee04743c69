"""Delivery: polls in, events out, statuses followed, nothing lost.

Ties the pure scheduler to a log, a journal and a clock. Start and stop with `start()` and `close()`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dispatcher_sdk.models import BinaryEvent, SimulatedConsumer

from dispatcher.delivery.blocks import BlockCache
from dispatcher.delivery.checkpoint import Checkpoint
from dispatcher.delivery.figures import export
from dispatcher.delivery.following import Following
from dispatcher.delivery.giveup import GiveUp, StatusPublisher
from dispatcher.delivery.handout import Batch, Handout
from dispatcher.delivery.leases import parse_token
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.rules import first_rejection
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.signals import Signals
from dispatcher.delivery.subscribers import Subscriber, subscriber_id, wants_topic
from dispatcher.errors import NotFound, Unavailable
from dispatcher.eventlog.base import EventLog, Journal, LogUnavailable, TopicPartition, UnknownTopic
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of
from dispatcher.hooks.types import EventFilter, HeaderFilter, Subscription
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
CHECKPOINT_SECONDS = 1.0
POSITION_SECONDS = 5.0
SIMULATED_SECONDS = 24 * 3600.0
FORGET_SECONDS = 30 * 24 * 3600.0
SIMULATED_FILTERS = ("FilterTooDeep", "FilterConsumerRules")


class Delivery:
    """Who still has to see what, and handing it out. Times are unix seconds of `clock`."""

    def __init__(
        self,
        *,
        log: EventLog,
        journal: Journal,
        names: TopicNames,
        header_filters: Sequence[HeaderFilter],
        event_filters: Sequence[EventFilter],
        publisher: StatusPublisher,
        metrics: Metrics,
        clock: Callable[[], float],
        limits: Limits | None = None,
        cache_bytes: int = 32 * 1024 * 1024,
        forget_seconds: float = FORGET_SECONDS,
    ) -> None:
        self._log = log
        self._names = names
        self._clock = clock
        self._header_filters = header_filters
        self._forget_seconds = forget_seconds
        self._known: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._tick_task: asyncio.Task[None] | None = None
        self._next_write = self._next_positions = 0.0
        self.scheduler = Scheduler(
            names=names,
            filters=header_filters,
            limits=limits or Limits(),
            metrics=metrics,
            serving_since=clock(),
        )
        export(self.scheduler, metrics)
        cache = BlockCache(cache_bytes)
        reader = Reader(log, cache, metrics)
        self._signals = Signals(log, names, clock)
        self._pause = Pause()
        self._checkpoint = Checkpoint(journal, self.scheduler)
        self._following = Following(log, self.scheduler, cache, self._signals, self._pause, metrics)
        self._give_up = GiveUp(log, names, self.scheduler, reader, publisher, metrics, clock)
        self._handout = Handout(self.scheduler, reader, event_filters, self._give_up, metrics, clock)

    # ---- life

    async def start(self) -> None:
        """Take over what the journal knows, catch up with statuses, then serve."""
        restored = await self._checkpoint.restore()
        self._pause.begin(restored.paused_at)
        statuses = self._partitions({self._names.system("status"): self._log.topics()})
        everything = [
            partition for subscriber in self.scheduler.roster.subscribers.values() for partition in subscriber.cursors
        ]
        for partition, (_, high) in (await self._log.bounds(list({*everything, *statuses}))).items():
            self.scheduler.known_end[partition] = high
        await self._discover()
        await self._following.start(statuses, restored.oldest)
        self._tick_task = asyncio.create_task(self._tick(), name="delivery tick")

    def drain(self) -> None:
        """Let every waiting poll answer with what it has; later ones do not wait."""
        self._handout.drain()
        for subscriber in self.scheduler.roster.subscribers.values():
            subscriber.wake(len(subscriber.waiters))

    async def close(self) -> None:
        """Write the last checkpoint."""
        self.drain()
        if self._tick_task is not None:
            self._tick_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tick_task
            self._tick_task = None
            await self._following.close()
            try:
                await self._checkpoint.write(self._pause.began_at, positions=True)
            except LogUnavailable:
                log.exception("the last checkpoint could not be written: a restart repeats a little")

    # ---- for the API

    async def poll(
        self,
        wanted: Subscription,
        *,
        count: int,
        deadline: float,
        lease_seconds: float | None = None,
        reset: bool = False,
    ) -> Batch:
        """Wait up to `deadline` seconds for `count` events. Raises Unavailable when the log is away.

        The caller must say what became of the batch: `delivered()` or `give_back()`.
        """
        now = self._clock()
        if wanted.task and self._pause.is_on(now):
            return Batch.paused()
        try:
            subscriber = await self._subscriber(wanted, reset)
            subscriber.polls += 1
            try:
                await self._ready_to_read(subscriber, now)
                return await self._handout.collect(subscriber, count, deadline, lease_seconds)
            finally:
                subscriber.polls -= 1
                subscriber.seen_at = self._clock()
        except (LogUnavailable, UnknownTopic) as problem:
            raise Unavailable(f"the event log cannot be read now: {problem}") from problem

    async def simulate(self, event: BinaryEvent) -> list[SimulatedConsumer]:
        """Which subscribers of the last 24 h would be given this event, and which filter says no."""
        rules = [rule for rule in self._header_filters if rule.name in SIMULATED_FILTERS]
        header = header_of(event)
        since = self._clock() - SIMULATED_SECONDS
        answers = []
        for subscriber in self.scheduler.roster.subscribers.values():
            if subscriber.seen_at < since and not subscriber.polls:
                continue
            wanted = subscriber.wanted
            # every subscriber is asked as if it fetched binary events passively (wire contract 1.5)
            reason = first_rejection(rules, header, replace(wanted, model="binary", task=False)) or ""
            answers.append(SimulatedConsumer(wanted.name, wanted.version, bool(reason), reason))
        return answers

    async def release(self, token: str, after: float) -> None:
        """Give a lease back: due again in `after` seconds. Raises NotFound, Unavailable."""
        if parse_token(token) is None:
            raise NotFound("no such lease: the token is not one that this dispatcher gave out")
        await self._signals.release(token, after)

    async def pause(self) -> None:
        """Stop handing out jobs for ten minutes; durable when this returns. Raises Unavailable."""
        self._pause.begin(await self._signals.pause())

    # ---- subscribers

    async def _subscriber(self, wanted: Subscription, reset: bool) -> Subscriber:
        sid = subscriber_id(wanted)
        subscriber = self.scheduler.roster.subscribers.get(sid)
        if subscriber is None or reset:
            async with self._locks.setdefault(sid, asyncio.Lock()):
                subscriber = self.scheduler.roster.subscribers.get(sid)
                if subscriber is None:
                    subscriber = await self._register(wanted)
                elif reset:
                    self.scheduler.roster.reset(subscriber, await self._bounds_for(wanted))
                    subscriber.idle = True
                    await self._checkpoint.write_one(subscriber)
            self._locks.pop(sid, None)
        if subscriber.wanted != wanted:
            self.scheduler.roster.change_filters(subscriber, wanted)
        return subscriber

    async def _register(self, wanted: Subscription) -> Subscriber:
        """The snapshot of what is older than this subscriber is durable before it is answered."""
        subscriber = self.scheduler.roster.register(wanted, await self._bounds_for(wanted), self._clock())
        try:
            await self._checkpoint.write_one(subscriber)
        except BaseException:
            self.scheduler.roster.forget(subscriber)
            raise
        log.info("subscriber registered", extra={"plugin": wanted.name, "action": "register", "sid": subscriber.sid})
        return subscriber

    async def _bounds_for(self, wanted: Subscription) -> dict[TopicPartition, tuple[int, int]]:
        topics = {
            topic: count
            for topic, count in self._log.topics().items()
            if (name := self._names.parse(topic)) is not None and wants_topic(wanted, name)
        }
        partitions = [(topic, number) for topic, count in topics.items() for number in range(count)]
        return dict(await self._log.bounds(partitions))

    async def _ready_to_read(self, subscriber: Subscriber, now: float) -> None:
        if subscriber.idle or not subscriber.cursors.keys() <= self.scheduler.position.keys():
            subscriber.idle = False
            await self._following.follow(subscriber.cursors)
        if subscriber.wanted.task and self._pause.is_skipped(now, subscriber.skipped_pause):
            bounds = await self._log.bounds(list(subscriber.cursors))
            self.scheduler.skip_to_end(subscriber, bounds)
            subscriber.skipped_pause = self._pause.began_at
            subscriber.dirty = True
        self.scheduler.touch(subscriber, now)

    # ---- time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self._step()
            except LogUnavailable as problem:
                log.warning("the log is away: %s", problem, extra={"action": "tick"})
            except Exception:
                log.exception("delivery tick failed", extra={"action": "tick"})

    async def _step(self) -> None:
        now = self._clock()
        if self._log.topics() != self._known:
            await self._discover()
        gone = self.scheduler.expire(now, self._following.caught_up_at())
        self._give_up.add(gone)
        await self._give_up.work_off(self.scheduler.unreadable.take())
        if self.scheduler.detach_idle(now):
            await self._following.drop_unwanted()
            await self._forget_lost(now)
        if now >= self._next_write:
            self._next_write = now + CHECKPOINT_SECONDS
            positions = now >= self._next_positions
            if positions:
                self._next_positions = now + POSITION_SECONDS
            await self._checkpoint.write(self._pause.began_at, positions=positions)

    async def _discover(self) -> None:
        """Partitions made since the last look: all of each is for every subscriber that wants its topic."""
        topics = dict(self._log.topics())
        fresh = [
            (topic, number) for topic, count in topics.items() for number in range(self._known.get(topic, 0), count)
        ]
        bounds = await self._log.bounds(fresh)
        for partition, (start, _) in bounds.items():
            for subscriber in self.scheduler.roster.discover(partition, start):
                if not subscriber.idle:
                    await self._following.follow([partition])
                    subscriber.wake(len(subscriber.waiters))
        self._known = topics

    async def _forget_lost(self, now: float) -> None:
        """Subscribers that nobody has asked for in weeks go, as old consumer groups do."""
        for subscriber in list(self.scheduler.roster.subscribers.values()):
            if subscriber.idle and not subscriber.polls and now - subscriber.seen_at > self._forget_seconds:
                await self._checkpoint.forget(subscriber)
                self.scheduler.roster.forget(subscriber)

    def _partitions(self, topics: dict[str, object]) -> list[TopicPartition]:
        known = self._log.topics()
        return [(topic, number) for topic in topics for number in range(known.get(topic, 0))]
