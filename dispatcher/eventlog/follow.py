"""Follows one whole topic from its start: for what must be known in full, such as deletes and inserts."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from dispatcher.eventlog.base import Chunk, EventLog, LogUnavailable, Record, Tail, TopicPartition

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
REFRESH_SECONDS = 30.0


class Follower:
    """Calls `on_record` for every record of a topic, from its first on, in the order of each partition.

    An `on_record` that raises is logged and the record passed over. While the log is away the follower asks again,
    first after `first_pause` seconds and then less often. Partitions added later are seen within `refresh_seconds`.
    """

    def __init__(
        self,
        log: EventLog,
        topic: str,
        on_record: Callable[[Record], None],
        *,
        first_pause: float = FIRST_PAUSE,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._log = log
        self._topic = topic
        self._on_record = on_record
        self._first_pause = first_pause
        self._pause = first_pause
        self._refresh_seconds = refresh_seconds
        self._positions: dict[TopicPartition, int] = {}
        self._tail: Tail | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when everything that the topic held at this moment has been given to `on_record`."""
        goal = await self._high_watermarks()
        while any(self._positions.get(partition, 0) < high for partition, high in goal.items()):
            await self._step()
        self._task = asyncio.create_task(self._run(), name=f"follow {self._topic}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._drop_tail()

    async def _run(self) -> None:
        while True:
            await self._step()

    async def _step(self) -> None:
        try:
            for chunk in await self._next():
                self._take(chunk)
            self._pause = self._first_pause
        except LogUnavailable as error:
            await self._recover(error)

    async def _high_watermarks(self) -> dict[TopicPartition, int]:
        while True:
            try:
                bounds = await self._log.bounds(self._partitions())
            except LogUnavailable as error:
                await self._recover(error)
            else:
                return {partition: high for partition, (_, high) in bounds.items()}

    async def _next(self) -> Sequence[Chunk]:
        want = {partition: self._positions.get(partition, 0) for partition in self._partitions()}
        if self._tail is None:
            self._tail = await self._log.tail(want)
        elif want.keys() != self._positions.keys():
            await self._tail.retarget(want)
        self._positions = want
        try:
            return await asyncio.wait_for(self._tail.next(), self._refresh_seconds)
        except TimeoutError:
            return ()

    def _take(self, chunk: Chunk) -> None:
        for record in chunk.records:
            try:
                self._on_record(record)
            except Exception:
                logger.exception("record not taken", extra={"action": "follow", "topic": self._topic})
        self._positions[chunk.partition] = chunk.next_offset

    async def _recover(self, error: LogUnavailable) -> None:
        logger.warning("cannot follow %s: %s", self._topic, error, extra={"action": "follow"})
        await self._drop_tail()
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _drop_tail(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            await tail.close()

    def _partitions(self) -> list[TopicPartition]:
        return [(self._topic, number) for number in range(self._log.topics().get(self._topic, 0))]
