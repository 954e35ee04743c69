"""Asking a log again until it answers, or until somebody stops us."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.reprocess.tally import Tally

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0

T = TypeVar("T")


class Stopped(Exception):
    """The operator wants an end."""


class Insistence:
    """`stop` is set by whoever wants an end; `tally` shows what is waited for."""

    def __init__(self, stop: asyncio.Event, tally: Tally, first_pause: float = FIRST_PAUSE) -> None:
        self._stop = stop
        self._tally = tally
        self._first_pause = first_pause
        self._waiting: dict[object, str] = {}
        """Why, of everybody who waits now."""

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    async def on(self, action: Callable[[], Awaitable[T]]) -> T:
        """What the action gives, however often it takes. Raises Stopped when it fails and we are to end."""
        pause, me = self._first_pause, object()
        try:
            while True:
                try:
                    return await action()
                except LogUnavailable as problem:
                    self._waits(me, str(problem))
                if await self.sleep(pause):
                    raise Stopped
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._waits(me, "")

    async def sleep(self, seconds: float) -> bool:
        """Whether we are to end."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _waits(self, who: object, why: str) -> None:
        self._waiting.pop(who, None)
        if why:
            self._waiting[who] = why
        self._tally.waiting_for = next(iter(self._waiting.values()), "")
