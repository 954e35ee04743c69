"""A mirror of how far subscribers have come: committed offsets, so that the usual tools show their lag.

Nothing ever reads them back: what is delivered is for the journal to say.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned
from aiokafka.errors import KafkaError

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import LogUnavailable, TopicPartition
from dispatcher.eventlog.kafka.clients import REQUEST_MS, away, started, stop, uncut
from dispatcher.eventlog.kafka.connection import Connection

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 3600.0
"""Offsets that are not committed again are forgotten by Kafka after some days."""
GROUP_SECONDS: Final = 10.0
REST: Final = 4.0
"""Times as long as a commit took: what the mirror leaves to others. So it spreads its work over the round."""
LONGEST_REST: Final = 1.0
PATIENCE: Final = 2
"""Groups without an answer, one after the other, that end a round: Kafka is away."""
LONGEST_NAME: Final = 240
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]")


class Marks(Protocol):
    """Of one subscriber: see delivery.marks."""

    @property
    def sid(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def low(self) -> Mapping[TopicPartition, int]: ...


class _Committed(NamedTuple):
    low: Mapping[TopicPartition, int]
    at: float


def group_name(prefix: str, marks: Marks) -> str:
    """`PREFIX-azul-KEY`. Characters that tools stumble over are replaced, and what is too long is cut; such a name
    ends in the start of the subscriber's id, for others may have become the same."""
    wanted = f"{prefix}-azul-{marks.key}"
    plain = _UNUSUAL.sub("_", wanted)
    if plain == wanted and len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[: LONGEST_NAME - 9]}-{marks.sid[:8]}"


class LagMirror:
    """Commits the marks that `read` gives, about each `seconds`, one group after the other. Failures disturb nothing.

    `read` is asked for the next subscriber just before its commit: whoever has lost a subscriber meanwhile must not
    overwrite what its new owner says. `exists` tells whether a partition's topic is there: others must not be named.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        read: Callable[[], Iterable[Marks]],
        exists: Callable[[TopicPartition], bool],
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._read = read
        self._exists = exists
        self._seconds = seconds
        self._clock = clock
        self._committed: dict[str, _Committed] = {}
        self._refused: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lag mirror")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def mirror(self) -> None:
        """One round: commit what has changed since the last, and what Kafka would forget otherwise.

        Raises LogUnavailable when Kafka is away, StartupError when a certificate cannot be read.
        """
        options = await asyncio.to_thread(self._connection.options)  # once a round: certificates take time to read
        seen: set[str] = set()
        silent = 0
        for marks in self._read():
            group = group_name(self._prefix, marks)
            seen.add(group)
            low = {place: mark for place, mark in marks.low.items() if self._exists(place)}
            if not low or self._is_known(group, low):
                await asyncio.sleep(0)
                continue
            began = time.monotonic()
            try:
                await self._commit(group, low, options)
                silent = 0
            except LogUnavailable:
                silent += 1
                if silent == PATIENCE:
                    raise
            await asyncio.sleep(min(REST * (time.monotonic() - began), LONGEST_REST))
        self._forget_others(seen)

    async def _run(self) -> None:
        pause = self._seconds
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self.mirror()
            except (LogUnavailable, StartupError) as problem:
                logger.info("lag is not mirrored now: %s", problem, extra={"action": "lag"})
            except Exception:
                logger.exception("lag could not be mirrored", extra={"action": "lag"})
            pause = max(self._seconds - (time.monotonic() - began), 0.0)

    def _is_known(self, group: str, low: Mapping[TopicPartition, int]) -> bool:
        known = self._committed.get(group)
        return known is not None and known.low == low and self._clock() - known.at < AGAIN_SECONDS

    def _forget_others(self, groups: set[str]) -> None:
        """Of those that are served elsewhere now, others may say what they like."""
        self._committed = {group: known for group, known in self._committed.items() if group in groups}
        self._refused &= groups

    async def _commit(self, group: str, low: Mapping[TopicPartition, int], options: Mapping[str, Any]) -> None:
        """Raises LogUnavailable; a refusal concerns this group only."""
        try:
            async with asyncio.timeout(GROUP_SECONDS):
                await uncut(_commit_as(group, low, options))
        except TimeoutError:
            raise LogUnavailable("Kafka did not answer in time") from None
        except KafkaError as problem:
            if problem.retriable:
                raise away(problem) from None
            self._complain(group, problem)
        else:
            self._refused.discard(group)
            self._committed[group] = _Committed(low, self._clock())

    def _complain(self, group: str, problem: KafkaError) -> None:
        if group not in self._refused:
            self._refused.add(group)
            logger.warning("Kafka refuses offsets of group %s: %r", group, problem, extra={"action": "lag"})


async def _commit_as(group: str, low: Mapping[TopicPartition, int], options: Mapping[str, Any]) -> None:
    consumer = await started(
        AIOKafkaConsumer(group_id=group, enable_auto_commit=False, request_timeout_ms=REQUEST_MS, **options)
    )
    try:
        places = {Assigned(*place): mark for place, mark in low.items()}
        consumer.assign(list(places))
        for place, mark in places.items():
            consumer.seek(place, mark)  # else it asks Kafka where it is
        consumer.pause(*places)
        await consumer.commit({place: (mark, "azul") for place, mark in places.items()})
    finally:
        await stop(consumer)
