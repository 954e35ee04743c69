"""Delivery: polls in, events out, statuses followed, nothing lost.

Ties the pure scheduler to a log, a journal and a clock. Start and stop with `start()` and `close()`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dispatcher_sdk.models import BinaryEvent, SimulatedConsumer

from dispatcher.delivery.batches import Batch
from dispatcher.delivery.blocks import BlockCache
from dispatcher.delivery.checkpoint import Checkpoint
from dispatcher.delivery.deadletters import DeadLetters
from dispatcher.delivery.figures import export
from dispatcher.delivery.following import Following
from dispatcher.delivery.giveup import GiveUp, StatusPublisher
from dispatcher.delivery.handout import Handout
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.registry import Registry
from dispatcher.delivery.rules import first_rejection
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.signals import Signals
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.delivery.ticking import Ticking
from dispatcher.errors import NotFound, Unavailable
from dispatcher.eventlog.base import EventLog, Fenced, Journal, LogUnavailable, UnknownTopic
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of
from dispatcher.hooks.types import EventFilter, HeaderFilter, Subscription
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

SIMULATED_SECONDS = 24 * 3600.0
SIMULATED_FILTERS = ("FilterTooDeep", "FilterConsumerRules")
FORGET_SECONDS = 30 * 24 * 3600.0


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
        self._status_topic = names.system("status")
        self._clock = clock
        self._header_filters = header_filters
        self.scheduler = scheduler = Scheduler(
            names=names,
            filters=header_filters,
            limits=limits or Limits(),
            metrics=metrics,
            serving_since=clock(),
        )
        export(scheduler, metrics)
        cache = BlockCache(cache_bytes)
        self._reader = Reader(log, cache, metrics)
        self._signals = Signals(log, names, clock)
        self._pause = Pause(self._wake_tasks)
        self._checkpoint = Checkpoint(journal, scheduler)
        self._following = Following(log, scheduler, cache, self._pause, metrics, clock)
        self._registry = Registry(log, names, scheduler, self._checkpoint, self._pause, clock, forget_seconds)
        letters = DeadLetters(log, names, clock)
        self._ticking = Ticking(
            log,
            scheduler,
            self._registry,
            self._following,
            self._checkpoint,
            GiveUp(scheduler, self._reader, letters, publisher, metrics, clock),
            self._pause,
            clock,
        )
        self._handout = Handout(scheduler, self._reader, event_filters, self._pause, self._make_ready, metrics, clock)

    # ---- life

    async def start(self) -> None:
        """Take over what the journal knows, catch up with statuses, then serve."""
        count = self._log.topics().get(self._status_topic, 0)
        self.scheduler.statuses = frozenset((self._status_topic, number) for number in range(count))
        restored = await self._checkpoint.restore()
        self._pause.begin(restored.paused_at)
        await self._registry.discover()
        await self._following.start(restored.oldest)
        self._ticking.start()

    def drain(self) -> None:
        """Let every waiting poll answer with what it has; later ones do not wait."""
        self._handout.drain()
        for subscriber in self.scheduler.roster.subscribers.values():
            subscriber.wake_all()

    async def close(self) -> None:
        """Write the last checkpoint."""
        self.drain()
        served = await self._ticking.close()
        await self._following.close()
        await self._reader.close()
        if served:
            try:
                await self._checkpoint.write(self._pause.began_at, positions=True)
            except (LogUnavailable, Fenced):
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
        if wanted.task and self._pause.is_on(self._clock()):
            return Batch.paused()
        if self._ticking.fenced:
            raise Unavailable("another dispatcher serves these subscribers now")
        try:
            subscriber = await self._registry.subscriber(wanted, reset)
            subscriber.polls += 1
            try:
                return await self._handout.collect(subscriber, wanted, count, deadline, lease_seconds)
            finally:
                subscriber.polls -= 1
                subscriber.seen_at = self._clock()
        except (LogUnavailable, UnknownTopic) as problem:
            raise Unavailable(f"the event log cannot be read now: {problem}") from problem
        except Fenced as problem:
            raise Unavailable("another dispatcher serves these subscribers now") from problem

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
        if self.scheduler.jobs.find(token) is None:
            raise NotFound("no such lease: the token is not one that this dispatcher gave out")
        await self._signals.release(token, after)

    async def pause(self) -> None:
        """Stop handing out jobs for ten minutes; durable when this returns. Raises Unavailable."""
        self._pause.begin(await self._signals.pause())

    # ---- what a poll needs before it looks

    async def _make_ready(self, subscriber: Subscriber, wanted: Subscription) -> None:
        """The tail reads for it, and what a pause let pile up is skipped."""
        now = self._clock()
        self.scheduler.touch(subscriber, now)
        await self._following.follow(subscriber)
        if wanted.task and self._pause.is_skipped(now, subscriber.skipped_pause):
            bounds = await self._log.bounds(list(subscriber.cursors))
            if self._pause.is_skipped(now, subscriber.skipped_pause):  # once, however many polls ask
                self.scheduler.skip_to_end(subscriber, bounds)
                subscriber.skipped_pause = self._pause.began_at
                subscriber.dirty = True

    def _wake_tasks(self) -> None:
        """Polls for jobs end when a pause begins."""
        for subscriber in self.scheduler.roster.subscribers.values():
            if subscriber.wanted.task:
                subscriber.wake_all()
