"""Runs a log's cleaning (retention, compaction) again and again in the background."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from dispatcher.eventlog.base import LogUnavailable

logger = logging.getLogger(__name__)


class Cleaner:
    """Calls `clean_once` every `interval` seconds until closed; a failed pass is logged and tried again next time."""

    def __init__(self, clean_once: Callable[[], Awaitable[None]], interval: float) -> None:
        self._clean_once = clean_once
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="log cleaner")

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._clean_once()
            except LogUnavailable as error:
                logger.warning("log not cleaned: %s", error, extra={"action": "log_clean"})
            except Exception:
                logger.exception("log not cleaned", extra={"action": "log_clean"})
