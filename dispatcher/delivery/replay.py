"""Statuses that were posted while a slot was in nobody's hands, read again for who takes it over."""

import asyncio
from collections.abc import Mapping
from typing import Final

from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.statuses import Statuses
from dispatcher.eventlog.base import EventLog, LogUnavailable, TopicPartition

READ_BYTES: Final = 1024 * 1024


class Replay:
    def __init__(self, log: EventLog, scheduler: Scheduler, statuses: Statuses) -> None:
        self._log = log
        self._scheduler = scheduler
        self._statuses = statuses

    async def run(self, since: Mapping[TopicPartition, int]) -> None:
        """Obey what lies between `since` and the end of the log; what comes later the tail sees itself.

        The tail may not be there yet: what was finished before must not be handed out because of that, and to obey a
        record twice changes nothing. Raises LogUnavailable.
        """
        position = self._scheduler.position
        ends = await self._log.bounds([partition for partition in since if partition in position])
        stretches = [
            (partition, since[partition], max(end, position[partition])) for partition, (_, end) in ends.items()
        ]
        await asyncio.gather(*(self._read(*stretch) for stretch in stretches))

    async def catch_up(self, partition: TopicPartition, offset: int) -> None:
        """Obey everything from `offset` on, until the tail is not ahead. Raises LogUnavailable."""
        while offset < (stop := self._scheduler.position[partition]):
            await self._read(partition, offset, stop)
            offset = stop

    async def _read(self, partition: TopicPartition, offset: int, stop: int) -> None:
        while offset < stop:
            chunk = await self._log.read(partition, offset, READ_BYTES)
            for record in chunk.records:
                if record.offset < stop:
                    self._statuses.obey(record)
            if chunk.next_offset <= offset:
                raise LogUnavailable(f"{partition[0]}, partition {partition[1]} ends at {offset}, before {stop}")
            offset = chunk.next_offset
            await asyncio.sleep(0)  # polls go on meanwhile
