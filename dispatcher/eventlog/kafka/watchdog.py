"""Ends a process whose Kafka clients hang although Kafka answers: its peers, or whoever restarts it, do better."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dispatcher.eventlog.base import LogUnavailable

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0

Probe = Callable[[], float | None]
"""Seconds for which something that is waited for has not come; None when nothing is waited for."""


class Watchdog:
    """`fresh` asks Kafka through a client of its own; it raises LogUnavailable when the fault may be Kafka's.

    Twice in a row something must be late: a process that was stopped for a while, or a machine that slept, sees great
    ages at its first look.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        fresh: Callable[[], Awaitable[None]],
        on_wedged: Callable[[str], None],
        *,
        patience: float = PATIENCE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._probes = probes
        self._fresh = fresh
        self._on_wedged = on_wedged
        self._patience = patience
        self._look_seconds = look_seconds
        self._late_before: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="watchdog of the Kafka clients")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> bool:
        """Tells whether a client hangs; `on_wedged` has been told then."""
        late = {name for name, probe in self._probes.items() if (probe() or 0.0) > self._patience}
        hanging = late & self._late_before
        self._late_before = late
        if not hanging or not await self._kafka_answers():
            return False
        self._on_wedged(
            f"Kafka answers, but not us: no {' and no '.join(sorted(hanging))} for {self._patience:g} s; start again"
        )
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                if await self.look():
                    return
            except Exception:
                logger.exception("the watchdog stumbled", extra={"action": "watchdog"})

    async def _kafka_answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._fresh()
        except (LogUnavailable, TimeoutError):
            return False
        return True
