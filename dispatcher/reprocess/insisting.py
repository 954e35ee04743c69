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

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    async def on(self, action: Callable[[], Awaitable[T]]) -> T:
        """What the action gives, however often it takes. Raises Stopped when it fails and we are to end."""
        pause = self._first_pause
        while True:
            try:
                result = await action()
            except LogUnavailable as problem:
                self._tally.waiting_for = str(problem)
                if await self.sleep(pause):
                    raise Stopped from None
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._tally.waiting_for = ""
                return result

    async def sleep(self, seconds: float) -> bool:
        """Whether we are to end."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True
