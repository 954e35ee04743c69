"""A mirror of how far subscribers have come: committed offsets, so that the usual tools show their lag.

Nothing ever reads them back: what is delivered is for the journal to say.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned
from aiokafka.errors import KafkaError

from dispatcher.eventlog.base import LogUnavailable, TopicPartition
from dispatcher.eventlog.kafka.clients import away, started, stop
from dispatcher.eventlog.kafka.connection import Connection

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 3600.0
"""Offsets that are not committed again are forgotten by Kafka after some days."""
GROUP_SECONDS: Final = 10.0
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
LONGEST_NAME: Final = 240


class Marks(Protocol):
    """Of one subscriber: see delivery.marks."""

    @property
    def key(self) -> str: ...
    @property
    def low(self) -> Mapping[TopicPartition, int]: ...


class _Committed(NamedTuple):
    low: Mapping[TopicPartition, int]
    at: float


class LagMirror:
    """Commits the marks that `read` gives, each `seconds`, one group after the other. Failures disturb nothing."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        read: Callable[[], Iterable[Marks]],
        exists: Callable[[TopicPartition], bool],
        seconds: float,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._read = read
        self._exists = exists
        self._seconds = seconds
        self._committed: dict[str, _Committed] = {}
        self._complained: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lag mirror")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def group(self, marks: Marks) -> str:
        """`PREFIX-azul-KEY`, cut to what Kafka takes as a name."""
        return f"{self._prefix}-azul-{_ILLEGAL.sub('_', marks.key)}"[:LONGEST_NAME]

    async def mirror(self) -> None:
        """Commit what has changed since the last time, and what Kafka would forget otherwise."""
        groups = {self.group(marks): marks for marks in self._read()}
        self._committed = {group: known for group, known in self._committed.items() if group in groups}
        for group, marks in groups.items():
            low = {place: mark for place, mark in marks.low.items() if self._exists(place)}
            known = self._committed.get(group)
            if not low or (known and known.low == low and time.monotonic() - known.at < AGAIN_SECONDS):
                continue
            await self._commit(group, low)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.mirror()
            except LogUnavailable as problem:
                logger.info("lag is not mirrored now: %s", problem, extra={"action": "lag"})
            except Exception:
                logger.exception("lag could not be mirrored", extra={"action": "lag"})

    async def _commit(self, group: str, low: Mapping[TopicPartition, int]) -> None:
        """Raises LogUnavailable; a refusal concerns this group only."""
        try:
            async with asyncio.timeout(GROUP_SECONDS):
                await self._commit_as(group, low)
        except TimeoutError:
            raise LogUnavailable("Kafka did not answer in time") from None
        except KafkaError as problem:
            if problem.retriable:
                raise away(problem) from None
            if group not in self._complained:
                self._complained.add(group)
                logger.warning("Kafka refuses offsets of group %s: %s", group, problem, extra={"action": "lag"})
            return
        self._complained.discard(group)
        self._committed[group] = _Committed(low, time.monotonic())

    async def _commit_as(self, group: str, low: Mapping[TopicPartition, int]) -> None:
        consumer = await started(
            AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **self._connection.options())
        )
        try:
            places = {Assigned(*place): mark for place, mark in low.items()}
            consumer.assign(list(places))
            consumer.pause(*places)
            await consumer.commit({place: (mark, "azul") for place, mark in places.items()})
        finally:
            await stop(consumer)
