"""Slots change hands: their subscribers are taken over from the journal, confirmed, written, or let go."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Final

from dispatcher.delivery.checkpoint import Checkpoint, Opened
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.registry import Registry
from dispatcher.delivery.replay import Replay
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber

log = logging.getLogger(__name__)

REPLIES_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 0.01


class Takeover:
    """Each method takes any number of slots. What raises has changed nothing."""

    def __init__(
        self,
        scheduler: Scheduler,
        checkpoint: Checkpoint,
        registry: Registry,
        replay: Replay,
        pause: Pause,
        clock: Callable[[], float],
    ) -> None:
        self._scheduler = scheduler
        self._roster = scheduler.roster
        self._checkpoint = checkpoint
        self._registry = registry
        self._replay = replay
        self._pause = pause
        self._clock = clock

    async def take(self, slots: Collection[int]) -> None:
        """Claim them and take up their subscribers as they are now. Raises LogUnavailable."""
        opened = await self._checkpoint.open(slots)
        for subscriber in opened.subscribers:
            self._roster.adopt(subscriber)  # first of all: from now on the tail's statuses are for them, too
        try:
            await self._registry.complete(opened.subscribers)
            await self._replay.run(opened.oldest)
        except BaseException:
            self._forget(opened.subscribers)
            raise
        self._begin(opened)

    async def confirm(self, slots: Collection[int]) -> set[int]:
        """Those of these slots of ours that nobody else has claimed meanwhile. Raises LogUnavailable."""
        return set(slots) - await self._checkpoint.write(self._pause.began_at, slots=slots, confirm=True)

    async def flush(self, slots: Collection[int]) -> None:
        """Make durable what is not. Raises LogUnavailable."""
        await self._checkpoint.write(self._pause.began_at, slots=slots)

    async def replies_end(self, slots: Collection[int]) -> None:
        """Wait a moment for replies under way: what clients have by then the next owner need not send again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPLIES_SECONDS):
                while any(subscriber.replies for subscriber in self._of(slots)):  # noqa: ASYNC110 - replies stay cheap
                    await asyncio.sleep(LOOK_SECONDS)

    def drop(self, slots: Collection[int]) -> None:
        """They are somebody else's."""
        self._checkpoint.disown(slots)
        self._forget(self._of(slots))

    def interrupt(self, slots: Collection[int]) -> None:
        """Polls of their subscribers look up."""
        for subscriber in self._of(slots):
            subscriber.wake_all()

    def _begin(self, opened: Opened) -> None:
        """Without a pause: what the replay saw must not be older than what is served."""
        now = self._clock()
        self._pause.begin(opened.paused_at)
        for subscriber in opened.subscribers:
            subscriber.serving_since = now
            self._scheduler.jobs.restore(subscriber, now)
        self._checkpoint.own(opened)

    def _forget(self, subscribers: Collection[Subscriber]) -> None:
        for subscriber in subscribers:
            self._roster.forget(subscriber)
            subscriber.wake_all()

    def _of(self, slots: Collection[int]) -> list[Subscriber]:
        return [subscriber for subscriber in self._roster.subscribers.values() if subscriber.slot in slots]
