"""Work that ends although the request that asked for it went away.

When a client disconnects, its handler is cancelled. A publish must not stop in the middle then: a status whose
results are in the log but which is not itself there would be half a status.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class Completion:
    """Runs work in tasks of its own and keeps those whose request was cancelled until they end."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which runs to its end even when the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._left.add(task)
                task.add_done_callback(self._ended)
            raise

    async def drain(self) -> None:
        """Wait for what is left; nothing raises."""
        while self._left:
            await asyncio.wait(self._left)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._left.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a publish failed after its client went away: %s", task.exception())
