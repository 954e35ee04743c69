"""Which slots this process serves: dealt by the membership, taken over in the background, let go at the next deal."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import Final

from dispatcher.delivery.takeover import Takeover
from dispatcher.errors import NotServedHere
from dispatcher.eventlog.base import Fenced, LogUnavailable
from dispatcher.eventlog.membership import Membership

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0


class Slots:
    """Implements membership.Keeper.

    A slot that was dealt to us is being taken over, then served. Before each new dealing all are suspended: they stay
    in memory, and nothing is handed out. What is dealt to us again is served as soon as the journal confirms that
    nobody else had it.
    """

    def __init__(self, membership: Membership, takeover: Takeover) -> None:
        self._membership = membership
        self._takeover = takeover
        self._dealt: frozenset[int] = frozenset()
        self._suspended: set[int] = set()
        self._served: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def served(self) -> Collection[int]:
        return self._served

    def serves(self, slot: int) -> bool:
        """Whether events of its subscribers may be handed out at this moment."""
        return slot in self._served and self._membership.proven()

    def steady(self) -> bool:
        """Whether this process may decide anything on its own, such as that a lease is over."""
        return not self._suspended and self._membership.proven()

    async def enter(self, slot: int, seconds: float) -> None:
        """Wait until the slot is served, while that may come within `seconds`. Raises NotServedHere."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._is_coming(slot):
                    await self._news.wait()
        if not self.serves(slot):
            raise NotServedHere(slot)

    async def settled(self, seconds: float) -> None:
        """Wait until everything that was dealt is served, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._dealt - self._served:
                    await self._news.wait()

    async def close(self) -> None:
        await self._stop()

    # ---- membership.Keeper

    async def suspend(self) -> None:
        self._suspend()
        await self._stop()
        await self._takeover.replies_end(self._suspended)
        try:
            await self._takeover.flush(self._suspended)
        except LogUnavailable as problem:
            log.warning("slots change hands without a last checkpoint: %s", problem, extra={"action": "slots"})
        except Exception:
            log.exception("the last checkpoint of slots failed", extra={"action": "slots"})

    def dealt(self, slots: frozenset[int]) -> None:
        self._suspend()
        self._drop(self._suspended - slots)
        log.info("%d slots dealt, %d of them ours before", len(slots), len(self._suspended), extra={"action": "slots"})
        self._dealt = slots
        self._tell()
        self._task = asyncio.create_task(self._settle(self._task), name="slots are taken over")

    def fenced(self, slot: int) -> None:
        """Somebody else has claimed this slot. If it is ours all the same, it is taken over once more."""
        if slot not in self._served and slot not in self._suspended:
            return
        log.warning("slot %d was claimed by another process", slot, extra={"action": "slots"})
        self._drop({slot})
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._settle(None, RETRY_SECONDS), name="slots are taken over")

    # ---- from one state to the next

    def _is_coming(self, slot: int) -> bool:
        near = slot in self._dealt or slot in self._suspended
        return near and slot not in self._served and self._membership.proven()

    def _suspend(self) -> None:
        self._suspended |= self._served
        self._served = set()
        self._takeover.interrupt(self._suspended)

    def _drop(self, slots: Collection[int]) -> None:
        self._served.difference_update(slots)
        self._suspended.difference_update(slots)
        self._takeover.drop(slots)

    def _serve(self, slots: Collection[int]) -> None:
        self._suspended.difference_update(slots)
        self._served.update(slots)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _settle(self, before: "asyncio.Task[None] | None", pause: float = 0.0) -> None:
        """Serve everything that was dealt."""
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        while missing := self._dealt - self._served:
            await asyncio.sleep(pause)
            if not self._membership.proven():
                pause = RETRY_SECONDS  # a claim of somebody who has lost the slot would only disturb its owner
                continue
            try:
                await self._take_up(missing & self._suspended)
                await self._take_over(missing - self._suspended - self._served)
                pause = 0.0
            except (LogUnavailable, Fenced) as problem:
                log.warning("slots are not taken over yet: %s", problem, extra={"action": "slots"})
                pause = RETRY_SECONDS
            except Exception:
                log.exception("slots could not be taken over", extra={"action": "slots"})
                pause = RETRY_SECONDS

    async def _take_up(self, slots: Collection[int]) -> None:
        if slots:
            confirmed = await self._takeover.confirm(slots)
            self._drop(set(slots) - confirmed)
            self._serve(confirmed & self._dealt)

    async def _take_over(self, slots: Collection[int]) -> None:
        if slots:
            await self._takeover.take(slots)
            self._serve(slots)
