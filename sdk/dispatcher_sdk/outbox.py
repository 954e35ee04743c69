"""Finished jobs on their way to the dispatcher: kept and posted again until they are accepted, bounded."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from dispatcher_sdk.errors import BadReply, Refused, Unavailable
from dispatcher_sdk.models import PublishReply, StatusEvent, encode
from dispatcher_sdk.results import bare_status
from dispatcher_sdk.retry import Backoff

_log: Final = logging.getLogger(__name__)

_BATCH: Final = 50
_BATCH_BYTES: Final = 8 * 1024 * 1024

Post = Callable[[Sequence[StatusEvent]], Awaitable[PublishReply]]
Accepted = Callable[[str], None]


class Outbox:
    """`accepted` is called with the lease token of each status that needs no more care.

    Holds at most `most` statuses; `put` waits for room, so that a runner whose server is away stops taking jobs.
    """

    def __init__(self, post: Post, accepted: Accepted, most: int = 100) -> None:
        self._post = post
        self._accepted = accepted
        self._most = most
        self._waiting: deque[tuple[StatusEvent, int]] = deque()
        self._changed = asyncio.Condition()
        self._posting = 0

    async def put(self, status: StatusEvent) -> None:
        """Take over a status; returns once it has room here."""
        size = len(encode(status))
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < self._most)
            self._waiting.append((status, size))
            self._changed.notify_all()

    async def emptied(self) -> None:
        """Wait until everything has been accepted."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._posting)

    async def run(self) -> None:
        """Post for ever, all that waits at once."""
        while True:
            batch = await self._batch()
            await self._deliver(batch)
            async with self._changed:
                self._posting = 0
                self._changed.notify_all()

    async def _batch(self) -> list[StatusEvent]:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._waiting))
            batch: list[StatusEvent] = []
            size = 0
            while self._waiting and len(batch) < _BATCH and (not batch or size + self._waiting[0][1] <= _BATCH_BYTES):
                status, length = self._waiting.popleft()
                batch.append(status)
                size += length
            self._posting = len(batch)
            self._changed.notify_all()
            return batch

    async def _deliver(self, batch: list[StatusEvent]) -> None:
        refused = await self._posted(batch)
        if refused is not None and len(batch) > 1:
            for status in batch:
                await self._deliver([status])
            return
        if refused is not None:
            await self._replace(batch[0], refused)
        for status in batch:
            self._accepted(status.entity.input.dequeued)

    async def _posted(self, batch: list[StatusEvent]) -> str | None:
        """None when all were accepted, else why not. Does not return while the server is away."""
        backoff = Backoff()
        while True:
            try:
                reply = await self._post(batch)
            except (Unavailable, BadReply) as problem:
                _log.warning("statuses wait: %s", problem, extra={"action": "post-status"})
                await asyncio.sleep(backoff.next(getattr(problem, "retry_after", None)))
            except Refused as problem:
                if problem.status < 500:
                    return str(problem)
                _log.warning("statuses wait: %s", problem, extra={"action": "post-status"})
                await asyncio.sleep(backoff.next())
            else:
                return reply.failures[0].error if reply.failures else None

    async def _replace(self, status: StatusEvent, why: str) -> None:
        """The dispatcher will not have these results: say so in their place, so that the job ends all the same."""
        entity = status.entity
        details = {"action": "post-status", "event_id": entity.input.dequeued, "plugin": status.author.name}
        _log.error("the status of a job was refused: %s", why, extra=details)
        error = "the dispatcher refused the results"
        last = await self._posted(
            [bare_status(entity.input, status.author, "error-output", error, why, entity.runtime)]
        )
        if last is not None:
            _log.error("the job is given up, its lease will expire: %s", last, extra=details)
