"""Appends: small groups share the producer's batches, bulk makes batches of its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    InvalidTimestampError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    RecordTooLargeError,
    RequestTimedOutError,
)

from dispatcher.eventlog.base import Append, LogUnavailable, RecordTooLarge, TopicPartition, UnknownTopic
from dispatcher.eventlog.kafka.clients import METADATA_MS, Failures, away, started, stop
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.records import Headers, headers_of
from dispatcher.eventlog.kafka.silence import Silence
from dispatcher.eventlog.partitioning import partition_of
from dispatcher.eventlog.room import Room

BATCH_BYTES = 1 << 20
RECORD_ROOM = 1 << 20
"""What key, headers and framing may add to the largest value."""
BULK_ITEMS = 50
BULK_BYTES = 256 << 10
OVERHEAD = 256
SECONDS = 10.0

TooLarge = (MessageSizeTooLargeError, RecordTooLargeError)
Unheard = (RequestTimedOutError, NotLeaderForPartitionError, LeaderNotAvailableError)
"""The client says these by itself, too, when it has heard nothing."""


def record_limit(message_max_bytes: int) -> int:
    """`max.message.bytes` of a topic whose values may be as long as this."""
    return message_max_bytes + RECORD_ROOM


class Row(NamedTuple):
    """One record for a partition that is already chosen."""

    number: int
    """Of the item it was made from."""
    key: bytes
    value: bytes | None
    headers: Headers

    @property
    def weight(self) -> int:
        return OVERHEAD + len(self.key) + len(self.value or b"")


class Written(NamedTuple):
    """Where a batch lies."""

    offset: int
    rows: int


Groups = Mapping[TopicPartition, list[Row]]
Sent = dict[int, "asyncio.Future[Any]"]
"""Index of an item → its acknowledgement, perhaps shared with others."""


class Writer:
    """One producer: acks=all, lz4, no lingering, one batch of a partition in flight at a time, so order is kept."""

    def __init__(
        self,
        connection: Connection,
        counts: Callable[[], Mapping[str, int]],
        *,
        message_max_bytes: int,
        queue_bytes: int,
        clock: Callable[[], float],
        compression: str | None = "lz4",
        seconds: float = SECONDS,
    ) -> None:
        self._connection = connection
        self._counts = counts
        self._max_bytes = message_max_bytes
        self._room = Room(queue_bytes)
        self._clock = clock
        self._compression = compression
        self._seconds = seconds
        self._known: dict[str, int] = {}
        self._silence = Silence()
        self._producer: AIOKafkaProducer

    async def start(self) -> None:
        """Raises LogUnavailable."""
        self._producer = await started(
            AIOKafkaProducer(
                acks="all",
                compression_type=self._compression,
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                max_request_size=record_limit(self._max_bytes),
                request_timeout_ms=int(self._seconds * 1000),
                metadata_max_age_ms=METADATA_MS,
                **self._connection.options(),
            )
        )

    async def close(self) -> None:
        await stop(self._producer)

    def silence(self) -> float | None:
        """Seconds for which records have waited without a single answer; None when none is on its way now."""
        return self._silence.seconds

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        """See base.EventLog: what has no answer within `seconds` counts as not written, though it may yet be."""
        outcomes: list[Exception | None] = [self._refusal(item) for item in items]
        groups: dict[TopicPartition, list[Row]] = {}
        for index, (item, refused) in enumerate(zip(items, outcomes, strict=True)):
            if refused is None:
                partition = (item.topic, partition_of(item.key, self._counts()[item.topic]))
                groups.setdefault(partition, []).append(Row(index, item.key, item.value, headers_of(item.tag)))
        sent = await self._acknowledged(groups, self._hand_over)
        alone = [(partition, row) for partition, rows in groups.items() for row in rows if _is_too_large(sent, row)]
        for partition, row in alone:  # its batch was too large for the topic, which says nothing about itself
            sent |= await self._acknowledged({partition: [row]}, self._send_batches)
        for rows in groups.values():
            for row in rows:
                outcomes[row.number] = _outcome(sent.get(row.number))
        return outcomes

    async def write(self, partition: TopicPartition, rows: Sequence[Row]) -> list[Written]:
        """Write rows in order, those that fit into one batch together; tells where each batch lies.

        Raises LogUnavailable, RecordTooLarge, UnknownTopic; some of the rows may be written then.
        """
        if partition[1] >= self._counts().get(partition[0], 0):
            raise UnknownTopic(partition[0])
        sent = await self._acknowledged({partition: list(rows)}, self._send_batches)
        for row in rows:
            problem = _outcome(sent.get(row.number))
            if problem is not None:
                raise problem
        batches = Counter(sent[row.number] for row in rows)
        return [Written(future.result().offset, count) for future, count in batches.items()]

    def _refusal(self, item: Append) -> Exception | None:
        if item.topic not in self._counts():
            return UnknownTopic(item.topic)
        if item.value is not None and len(item.value) > self._max_bytes:
            return RecordTooLarge(f"{len(item.value)} bytes; the limit is {self._max_bytes}")
        return None

    async def _acknowledged(self, groups: Groups, hand_over: Callable[[Groups, Sent], Awaitable[None]]) -> Sent:
        """Everything handed to the producer and, as far as time allows, answered by the brokers."""
        sent: Sent = {}
        if not groups:
            return sent
        weight = sum(row.weight for rows in groups.values() for row in rows)
        holds = False
        self._silence.asked()
        try:
            async with asyncio.timeout(self._seconds):
                await self._room.take(weight)
                holds = True
                await hand_over(groups, sent)
                if sent:
                    await asyncio.wait(set(sent.values()))
        except TimeoutError:
            pass
        except Failures as problem:
            _fail(groups.values(), problem, sent)
        finally:
            futures = set(sent.values())
            _when_all_done(futures, lambda: self._over(futures, weight if holds else 0))
        return sent

    def _over(self, futures: "set[asyncio.Future[Any]]", weight: int) -> None:
        """Of one append nothing is on its way any more; its caller may have gone long ago."""
        self._room.give(weight)
        self._silence.over(answered=any(map(_is_answer, futures)))

    async def _hand_over(self, groups: Groups, sent: Sent) -> None:
        bulk = {partition: rows for partition, rows in groups.items() if _is_bulk(rows)}
        for (topic, number), rows in groups.items():
            if (topic, number) in bulk:
                continue
            await self._know(topic)
            now_ms = int(self._clock() * 1000)
            for row in rows:
                sent[row.number] = await self._producer.send(
                    topic, row.value, row.key, number, timestamp_ms=now_ms, headers=row.headers
                )
        if bulk:
            await self._send_batches(bulk, sent)

    async def _send_batches(self, groups: Groups, sent: Sent) -> None:
        for topic in {topic for topic, _ in groups}:
            await self._know(topic)
        async with asyncio.TaskGroup() as group:
            for partition, rows in groups.items():
                group.create_task(self._try_partition(partition, rows, sent))

    async def _try_partition(self, partition: TopicPartition, rows: list[Row], sent: Sent) -> None:
        try:
            await self._send_partition(partition, rows, sent)
        except Failures as problem:
            _fail([rows], problem, sent)

    async def _send_partition(self, partition: TopicPartition, rows: Iterable[Row], sent: Sent) -> None:
        now_ms = int(self._clock() * 1000)
        batch, inside = self._producer.create_batch(), list[int]()
        for row in rows:
            while batch.append(timestamp=now_ms, key=row.key, value=row.value, headers=row.headers) is None:
                await self._submit(partition, batch, inside, sent)
                batch, inside = self._producer.create_batch(), []
            inside.append(row.number)
        await self._submit(partition, batch, inside, sent)

    async def _submit(self, partition: TopicPartition, batch: Any, inside: list[int], sent: Sent) -> None:
        batch.close()
        future = await self._producer.send_batch(batch, partition[0], partition=partition[1])
        sent.update(dict.fromkeys(inside, future))

    async def _know(self, topic: str) -> None:
        """The producer has seen as many partitions as the catalog."""
        wanted = self._counts().get(topic, 0)
        while self._known.get(topic, 0) < wanted:
            seen = len(await self._producer.partitions_for(topic))
            if seen < wanted:
                await self._producer.client.force_metadata_update()
                seen = len(await self._producer.partitions_for(topic))
            if seen < wanted:
                await asyncio.sleep(0.05)
            self._known[topic] = seen


def _is_answer(future: "asyncio.Future[Any]") -> bool:
    """A broker said something, be it no."""
    if future.cancelled():
        return False
    problem = future.exception()
    return problem is None or (isinstance(problem, BrokerResponseError) and not isinstance(problem, Unheard))


def _is_bulk(rows: Sequence[Row]) -> bool:
    return len(rows) >= BULK_ITEMS or sum(row.weight for row in rows) >= BULK_BYTES


def _is_too_large(sent: Sent, row: Row) -> bool:
    future = sent.get(row.number)
    return future is not None and future.done() and isinstance(future.exception(), TooLarge)


def _outcome(future: "asyncio.Future[Any] | None") -> Exception | None:
    if future is None or not future.done():
        return LogUnavailable("Kafka did not answer in time")
    problem = future.exception()
    if problem is None:
        return None
    if isinstance(problem, TooLarge):
        return RecordTooLarge("the topic's max.message.bytes is smaller than this event")
    if isinstance(problem, InvalidTimestampError):
        return LogUnavailable("Kafka refuses our timestamps: this machine's clock is far from the broker's")
    return away(problem)


def _fail(groups: Iterable[list[Row]], problem: BaseException, sent: Sent) -> None:
    """What has not been handed over gets the problem as its answer."""
    failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    failed.set_exception(problem)
    failed.exception()
    for rows in groups:
        for row in rows:
            sent.setdefault(row.number, failed)


def _when_all_done(futures: "set[asyncio.Future[Any]]", then: Callable[[], None]) -> None:
    """Call `then` when all are answered, and look at what nobody may wait for any more."""
    left = {future for future in futures if not future.done()}
    if not left:
        then()
        return

    def done(future: "asyncio.Future[Any]") -> None:
        if not future.cancelled():
            future.exception()
        left.discard(future)
        if not left:
            then()

    for future in list(left):
        future.add_done_callback(done)
