"""Plugins get no jobs while a copy runs: the pause of a restore, said again before it ends."""

import asyncio
import contextlib
import logging
from typing import Final

from dispatcher.delivery.signals import Signals
from dispatcher.errors import StartupError, Unavailable

AGAIN_SECONDS: Final = 60.0
"""A pause lasts ten minutes; the original says it each minute, too."""

_log = logging.getLogger(__name__)


class Pausing:
    """`async with Pausing(signals):`; durable before the block begins. Raises StartupError.

    Ends by itself ten minutes after the last word; what piled up until then is skipped by plugins, as after any pause.
    """

    def __init__(self, signals: Signals, again_seconds: float = AGAIN_SECONDS) -> None:
        self._signals = signals
        self._again_seconds = again_seconds
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        try:
            await self._signals.pause()
        except Unavailable as why:
            raise StartupError(f"plugins cannot be paused: {why}") from None
        self._task = asyncio.create_task(self._renew(), name="pause of plugins")

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._again_seconds)
            try:
                await self._signals.pause()
            except Unavailable as why:
                _log.warning("the pause could not be renewed: %s", why, extra={"action": "pause"})
