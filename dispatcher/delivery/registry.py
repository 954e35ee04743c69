"""Registering, beginning anew, discovering partitions, forgetting: what must be durable before anyone relies on it."""

import logging
from collections.abc import Callable, Mapping, Sequence

from dispatcher.delivery.checkpoint import Checkpoint
from dispatcher.delivery.locks import NamedLocks
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber, slot_of, subscriber_id, wants_topic
from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import EventLog, Fenced, TopicPartition
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import Subscription

log = logging.getLogger(__name__)


class Registry:
    """`forget_seconds`: how long a subscriber may stay away, counted while we serve."""

    def __init__(
        self,
        log: EventLog,
        names: TopicNames,
        scheduler: Scheduler,
        checkpoint: Checkpoint,
        pause: Pause,
        clock: Callable[[], float],
        forget_seconds: float,
    ) -> None:
        self._log = log
        self._names = names
        self._scheduler = scheduler
        self._roster = scheduler.roster
        self._checkpoint = checkpoint
        self._pause = pause
        self._clock = clock
        self._forget_seconds = forget_seconds
        self._locks = NamedLocks()
        self._known: Mapping[str, int] = {}

    async def subscriber(self, sid: str, wanted: Subscription, reset: bool) -> Subscriber:
        """The subscriber of a poll, registered if need be. Raises LogUnavailable, Fenced, Unavailable."""
        subscriber = self._roster.subscribers.get(sid)
        if subscriber is not None and not reset and not self._locks.is_held(sid):
            return subscriber
        async with self._locks.hold(sid):
            subscriber = self._roster.subscribers.get(sid)
            if subscriber is None:
                return await self._register(wanted)
            if reset:
                await self._reset(subscriber)
            return subscriber

    async def _register(self, wanted: Subscription) -> Subscriber:
        """The snapshot of what is older than this subscriber is durable before it is answered."""
        self._check_room()
        sid = subscriber_id(wanted)
        bounds = await self._bounds_for(wanted)
        if (known := self._roster.subscribers.get(sid)) is not None:
            return known  # its slot was elsewhere for a moment, and it was registered there
        self._check_owned(slot_of(sid))
        subscriber = self._roster.register(wanted, bounds, self._clock())
        try:
            await self.complete([subscriber])
            await self._checkpoint.write_with(subscriber, self._pause.began_at)
        except BaseException:
            self._roster.forget(subscriber)
            raise
        log.info("subscriber registered", extra={"plugin": wanted.name, "action": "register", "sid": subscriber.sid})
        return subscriber

    async def _reset(self, subscriber: Subscriber) -> None:
        bounds = await self._bounds_for(subscriber.wanted)
        if not self._roster.is_here(subscriber):
            raise Fenced("its slot has changed hands")
        self._roster.reset(subscriber, bounds)
        subscriber.wake_all()  # who waits there waits for what is no more
        await self.complete([subscriber])
        await self._checkpoint.write_with(subscriber, self._pause.began_at)

    async def complete(self, subscribers: Sequence[Subscriber]) -> None:
        """Partitions made since these subscribers last looked; `discover` sees those that come later.

        Raises LogUnavailable.
        """
        missing = {p for s in subscribers for p in self._partitions_for(s.wanted) if p not in s.cursors}
        if missing:
            for partition, (start, _) in (await self._log.bounds(sorted(missing))).items():
                self._roster.discover(partition, start)

    async def discover(self) -> None:
        """Partitions made since the last look: all of each is for every subscriber that wants its topic."""
        topics = self._log.topics()
        if topics == self._known:
            return
        topics = dict(topics)
        fresh = [
            (topic, number) for topic, count in topics.items() for number in range(self._known.get(topic, 0), count)
        ]
        for partition, (start, high) in (await self._log.bounds(fresh)).items():
            self._scheduler.known_end[partition] = high
            for subscriber in self._roster.discover(partition, start):
                subscriber.wake_all()  # its polls have the tail read this, too
        self._known = topics

    async def forget_lost(self) -> None:
        """Subscribers that nobody has asked for in weeks go, as old consumer groups do."""
        for subscriber in list(self._roster.subscribers.values()):
            if self._is_lost(subscriber) and not self._locks.is_held(subscriber.sid):
                async with self._locks.hold(subscriber.sid):
                    await self._checkpoint.forget(subscriber)
                    self._roster.forget(subscriber)

    def _is_lost(self, subscriber: Subscriber) -> bool:
        since = max(subscriber.seen_at, subscriber.serving_since)
        if not self._checkpoint.owns(subscriber.slot):
            return False
        return subscriber.idle and not subscriber.polls and self._clock() - since > self._forget_seconds

    def _check_owned(self, slot: int) -> None:
        if not self._checkpoint.owns(slot):
            raise Fenced(f"slot {slot} is not ours any more")

    def _check_room(self) -> None:
        """What clients may make up has an end."""
        limits, there = self._scheduler.limits, len(self._roster.subscribers)
        if there >= limits.subscribers or self._roster.cursor_count() >= limits.cursors:
            raise Unavailable(
                f"there are {there} subscribers, which is as many as can be served; one that nobody has polled "
                f"as for {self._forget_seconds / 86_400:g} days is forgotten"
            )

    async def _bounds_for(self, wanted: Subscription) -> dict[TopicPartition, tuple[int, int]]:
        return dict(await self._log.bounds(self._partitions_for(wanted)))

    def _partitions_for(self, wanted: Subscription) -> list[TopicPartition]:
        return [
            (topic, number)
            for topic, count in self._log.topics().items()
            if (name := self._names.parse(topic)) is not None and wants_topic(wanted, name)
            for number in range(count)
        ]
