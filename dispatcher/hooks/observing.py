"""Observers: each has a queue and a task of its own, so that none slows the server or another observer."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from dispatcher.hooks.types import Notice, Observer
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
MOST_AT_ONCE: Final = 500
CLOSE_SECONDS: Final = 2.0


class Observing:
    """`async with`. `notify` is to be called from the event loop's thread only."""

    def __init__(self, observers: Sequence[Observer], metrics: Metrics, most_waiting: int = MOST_WAITING) -> None:
        self._queues = [_Queue(observer, metrics, most_waiting) for observer in observers]

    @property
    def active(self) -> bool:
        """Whether anybody listens at all."""
        return bool(self._queues)

    def notify(self, notice: Notice) -> None:
        for queue in self._queues:
            queue.put(notice)

    async def __aenter__(self) -> "Observing":
        for queue in self._queues:
            queue.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(queue.close() for queue in self._queues))


class _Queue:
    def __init__(self, observer: Observer, metrics: Metrics, most: int) -> None:
        self._observer = observer
        self._most = most
        self._waiting: deque[Notice] = deque()
        self._news = asyncio.Event()
        self._full = metrics.notices_dropped.labels(observer.name, "queue full")
        self._failed = metrics.notices_dropped.labels(observer.name, "observer raised")
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def put(self, notice: Notice) -> None:
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._full.inc()
        self._waiting.append(notice)
        self._news.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"observer {self._observer.name}")

    async def close(self) -> None:
        """What waits gets a moment; then it is dropped."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            notices = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
            try:
                await self._observer.observe(notices)
            except Exception:
                self._failed.inc(len(notices))
                fields = {"action": "observe", "observer": self._observer.name}
                log.exception("observer failed; it has lost %d notices", len(notices), extra=fields)
