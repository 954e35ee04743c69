"""Delivery: polls in, events out, statuses followed, nothing lost.

Ties the pure scheduler to a log, a journal and a clock. Start and stop with `start()` and `close()`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from dispatcher.delivery.leases import parse_token
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.marks import Marks, low_marks
from dispatcher.delivery.notices import Notices
from dispatcher.delivery.pause import SKIP_SECONDS, Pause
from dispatcher.delivery.reading import Reader
from dispatcher.delivery.registry import Registry
from dispatcher.delivery.replay import Replay
from dispatcher.delivery.rules import first_rejection
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.signals import Signals
from dispatcher.delivery.slots import Slots
from dispatcher.delivery.statuses import Statuses
from dispatcher.delivery.subscribers import Subscriber, slot_of, subscriber_id
from dispatcher.delivery.takeover import Takeover
from dispatcher.delivery.ticking import Ticking
from dispatcher.errors import NotFound, NotServedHere, Unavailable
from dispatcher.eventlog.base import EventLog, Fenced, Journal, LogUnavailable, TopicPartition, UnknownTopic
from dispatcher.eventlog.membership import Alone, Membership
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of
from dispatcher.hooks.types import EventFilter, HeaderFilter, Notify, Subscription
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

SIMULATED_SECONDS = 24 * 3600.0
SIMULATED_FILTERS = ("FilterTooDeep", "FilterConsumerRules")
MOMENT_SECONDS = 2.0
"""A slot that is about to be served is worth this wait even to a poll that does not wait for events."""
SETTLE_SECONDS = 5.0
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
        membership: Membership | None = None,
        notify: Notify | None = None,
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
        self._pause = pause = Pause(self._wake_tasks)
        self._checkpoint = checkpoint = Checkpoint(journal, scheduler)
        statuses = Statuses(scheduler.jobs, pause, clock)
        self._replay = Replay(log, scheduler, statuses)
        self._following = Following(log, scheduler, cache, statuses, self._replay, metrics)
        self._registry = Registry(log, names, scheduler, checkpoint, pause, clock, forget_seconds)
        self._membership = membership = membership or Alone()
        takeover = Takeover(scheduler, checkpoint, self._registry, self._replay, pause, clock)
        self.slots = slots = Slots(membership, takeover)
        letters = DeadLetters(log, names, clock)
        notices = Notices(notify, clock)
        scheduler.jobs.on_finished = notices.finished
        self._ticking = Ticking(
            log,
            scheduler,
            self._registry,
            self._following,
            checkpoint,
            GiveUp(scheduler, self._reader, letters, publisher, notices, metrics, clock),
            pause,
            slots,
            self._status_topic,
            clock,
        )
        self._handout = Handout(
            scheduler, self._reader, event_filters, pause, self._make_ready, slots.serves, notices, metrics, clock
        )

    # ---- life

    async def start(self) -> None:
        """Follow the log, then take over the slots that are dealt to this process.

        With others about, that may take longer than this call. Raises LogUnavailable.
        """
        count = self._log.topics().get(self._status_topic, 0)
        self.scheduler.statuses = frozenset((self._status_topic, number) for number in range(count))
        await self._registry.discover()
        await self._following.start()
        await self._learn_of_pauses()
        await self._membership.start(self.slots)
        await self.slots.settled(SETTLE_SECONDS)
        self._ticking.start()

    async def _learn_of_pauses(self) -> None:
        """Who serves no subscriber at all pauses, too."""
        last = await self._checkpoint.last_pause()
        self._pause.begin(last.paused_at)
        await self._replay.run(last.oldest or await self._lately())

    async def _lately(self) -> Mapping[TopicPartition, int]:
        """Where statuses begin that may still pause. Nobody has ever served here, but a copy of an older installation
        pauses before the first dispatcher starts."""
        since = self._clock() - SKIP_SECONDS
        found = await self._log.offset_at(sorted(self.scheduler.statuses), int(since * 1000))
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def drain(self) -> None:
        """Let every waiting poll answer with what it has; later ones do not wait."""
        self._handout.drain()
        for subscriber in self.scheduler.roster.subscribers.values():
            subscriber.wake_all()

    async def leave(self) -> None:
        """End all polls, and let others have the slots at once, if there are any others."""
        self.drain()
        if self._membership.shared:
            await self.slots.suspend()
            await self._membership.close()
            self.slots.dealt(frozenset())

    async def close(self) -> None:
        """Write the last checkpoint."""
        await self.leave()
        await self._ticking.close()
        await self._membership.close()
        await self.slots.close()
        await self._following.close()
        await self._reader.close()
        try:
            await self._checkpoint.write(self._pause.began_at)
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
        """Wait up to `deadline` seconds for `count` events.

        Raises NotServedHere when another process serves this subscriber, or nobody at the moment; Unavailable when
        the log is away.
        The caller must say what became of the batch: `delivered()` or `give_back()`.
        """
        if wanted.task and self._pause.is_on(self._clock()):
            return Batch.paused()
        sid = subscriber_id(wanted)
        slot = slot_of(sid)
        try:
            if not self.slots.serves(slot):
                deadline -= await self._enter(slot, deadline)
            subscriber = await self._registry.subscriber(sid, wanted, reset)
            subscriber.polls += 1
            try:
                return await self._handout.collect(subscriber, wanted, count, deadline, lease_seconds)
            finally:
                subscriber.polls -= 1
                subscriber.seen_at = self._clock()
        except (LogUnavailable, UnknownTopic) as problem:
            raise Unavailable(f"the event log cannot be read now: {problem}") from problem
        except Fenced as problem:
            self.slots.fenced(slot)
            raise NotServedHere(slot) from problem

    async def simulate(self, event: BinaryEvent) -> list[SimulatedConsumer]:
        """Which subscribers of the last 24 h would be given this event, and which filter says no."""
        await self.slots.settled(MOMENT_SECONDS)
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

    def low_marks(self) -> Iterator[Marks]:
        """How far each subscriber that is served here has come."""
        return low_marks(self.scheduler, self.slots.serves)

    async def release(self, token: str, after: float) -> None:
        """Give a lease back: due again in `after` seconds. Raises NotFound, NotServedHere, Unavailable."""
        parsed = parse_token(token)
        if parsed is not None and not self.slots.serves(slot := slot_of(parsed[0].sid)):
            await self.slots.enter(slot, MOMENT_SECONDS)
        if self.scheduler.jobs.find(token) is None:
            raise NotFound("no such lease: the token is not one that this dispatcher gave out")
        await self._signals.release(token, after)

    async def pause(self) -> None:
        """Stop handing out jobs for ten minutes; durable when this returns. Raises Unavailable."""
        self._pause.begin(await self._signals.pause())

    # ---- what a poll needs before it looks

    async def _enter(self, slot: int, deadline: float) -> float:
        """Wait for a slot that is on its way to us; gives the seconds that this took. Raises NotServedHere."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.slots.enter(slot, min(max(deadline, MOMENT_SECONDS), SETTLE_SECONDS))
        return loop.time() - began

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
