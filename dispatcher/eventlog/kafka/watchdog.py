"""Ends a process whose Kafka clients hang although Kafka answers: its peers, or whoever restarts it, do better."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dispatcher.eventlog.base import LogUnavailable

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0

Probe = Callable[[], float | None]
"""Seconds since something that is asked for came last; None when it is not asked for now, which says nothing."""


class Watchdog:
    """`fresh` asks Kafka through a client of its own; it raises LogUnavailable when the fault may be Kafka's.

    A client hangs when nothing came for `patience` seconds and Kafka answered `fresh` at each look for as long. So a
    client has that much time to recover after Kafka was away or this process was stopped: until its requests into the
    void have timed out, that may take a while. Looks are counted rather than seconds: a process that is stopped
    between two looks has not looked.
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
        self._unheard: Counter[str] = Counter()
        """Looks at which Kafka answered and this was silent, since it was heard of or Kafka was away."""
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
        if not self._silent():
            return False
        if not await self._kafka_answers():
            self._unheard.clear()
            return False
        silent = self._silent()  # asking took its time
        self._unheard.update(silent.keys())
        hanging = sorted(name for name, seconds in silent.items() if self._is_hanging(name, seconds))
        if hanging:
            self._on_wedged(
                f"Kafka answers, but not us: no {' and no '.join(hanging)} for {self._patience:g} s; start again"
            )
        return bool(hanging)

    def _silent(self) -> dict[str, float]:
        """Seconds of each that is asked for and does not come; what did come is forgiven."""
        silent: dict[str, float] = {}
        for name, probe in self._probes.items():
            seconds = probe()
            if seconds is None:
                continue
            if seconds > self._look_seconds:
                silent[name] = seconds
            else:
                del self._unheard[name]
        return silent

    def _is_hanging(self, name: str, seconds: float) -> bool:
        return seconds > self._patience and self._unheard[name] * self._look_seconds >= self._patience

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
