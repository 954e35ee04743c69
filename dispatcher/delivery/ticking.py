"""What has to be done without anybody asking: look for topics, expire leases, give up, write the journal."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from dispatcher.delivery.checkpoint import Checkpoint
from dispatcher.delivery.following import Following
from dispatcher.delivery.giveup import GiveUp
from dispatcher.delivery.hearing import Hearing
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.registry import Registry
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.slots import Slots
from dispatcher.eventlog.base import EventLog, LogUnavailable

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 1.0
POSITION_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 10.0


class Ticking:
    """One task. A step that fails costs no other step; it is done again at the next tick.

    How often is measured by the loop's clock, which never goes back; leases are measured by `clock`.
    """

    def __init__(
        self,
        log: EventLog,
        scheduler: Scheduler,
        registry: Registry,
        following: Following,
        checkpoint: Checkpoint,
        give_up: GiveUp,
        pause: Pause,
        slots: Slots,
        status_topic: str,
        clock: Callable[[], float],
    ) -> None:
        self._log = log
        self._scheduler = scheduler
        self._registry = registry
        self._following = following
        self._checkpoint = checkpoint
        self._give_up = give_up
        self._pause = pause
        self._slots = slots
        self._status_topic = status_topic
        self._clock = clock
        self._hearing = Hearing()
        self._task: asyncio.Task[None] | None = None
        self._next_write = self._next_positions = self._next_look = 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="delivery tick")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        steps: list[Callable[[], Awaitable[None]]] = [
            self._follow_statuses,
            self._registry.discover,
            self._end_jobs,
            self._detach,
            self._look,
            self._write,
        ]
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for step in steps:
                await self._do(step)

    async def _do(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except LogUnavailable as problem:
            log.warning("the log is away: %s", problem, extra={"action": "tick"})
        except Exception:
            log.exception("delivery tick failed", extra={"action": "tick"})

    async def _follow_statuses(self) -> None:
        await self._following.follow_statuses(self._status_topic)

    async def _end_jobs(self) -> None:
        """That a job is lost is for its owner to say: not while somebody else may be that by now."""
        now = self._clock()
        if self._hearing.regained(self._following.caught_up_at(), now, asyncio.get_running_loop().time()):
            self._scheduler.jobs.hear_again(now)
        if self._slots.steady():
            self._expire()
            await self._give_up.work_off()

    def _expire(self) -> None:
        now = self._clock()
        lost = self._scheduler.jobs.expire(now, self._following.caught_up_at())
        self._give_up.add(lost, self._scheduler.unreadable.take())
        self._scheduler.wake_due(now)

    async def _detach(self) -> None:
        if self._scheduler.detach_idle(self._clock()) or not self._following.aimed:
            await self._following.drop_unwanted()

    async def _look(self) -> None:
        """Slow matters: who is gone for good, and how much waits for plugins that are away."""
        now = asyncio.get_running_loop().time()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        await self._registry.forget_lost()
        unfollowed = self._scheduler.unfollowed()
        if unfollowed:
            for partition, (_, high) in (await self._log.bounds(unfollowed)).items():
                self._scheduler.known_end[partition] = high

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_write:
            return
        self._next_write = now + CHECKPOINT_SECONDS
        positions = now >= self._next_positions
        if positions:
            self._next_positions = now + POSITION_SECONDS
        for slot in await self._checkpoint.write(self._pause.began_at, positions=positions):
            self._slots.fenced(slot)
