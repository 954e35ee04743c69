"""A Delivery on real memory backends that can be made slow, deaf and forgetful."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pytest
from dispatcher_sdk.models import AnyEvent, StatusEvent, decode, encode

from dispatcher.delivery.batches import Batch
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.rules import FilterConsumerRules, FilterTooDeep
from dispatcher.delivery.service import Delivery
from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import Append, Chunk, LogUnavailable, Tail, TopicPartition, TopicSpec
from dispatcher.eventlog.membership import Membership
from dispatcher.eventlog.memory import MemoryJournal, MemoryLog
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of, pack
from dispatcher.hooks.types import EventFilter, HeaderFilter, Subscription
from dispatcher.metrics import Metrics
from tests.shapes import binary

NAMES = TopicNames("t")
SYSTEM = ("status", "expedite", "deadletter", "plugin", "download")


class Clock:
    """Unix time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Faults:
    """What goes wrong, and when. Operations are append, read, bounds, next, retarget and put."""

    def __init__(self) -> None:
        self.steps = 0
        """How many turns of the event loop every operation takes."""
        self.failing: set[str] = set()
        """These fail until further notice."""
        self.fail_at = -1
        """The operation with this number fails; the count includes all but `next`."""
        self.count = 0
        self.hooks: dict[str, Callable[[], Awaitable[None]]] = {}
        """Called once, in the next such operation before it happens."""
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}
        """The same, after it happened and before the caller knows."""
        self.seen: list[str] = []

    async def pass_through(self, operation: str) -> None:
        self.seen.append(operation)
        self.count += 1
        for _ in range(self.steps):
            await asyncio.sleep(0)
        hook = self.hooks.pop(operation, None)
        if hook is not None:
            await hook()
        if operation in self.failing or self.count == self.fail_at:
            raise LogUnavailable(f"{operation} fails")

    async def happened(self, operation: str) -> None:
        hook = self.after.pop(operation, None)
        if hook is not None:
            await hook()


class FaultyLog:
    """Implements base.EventLog over a MemoryLog."""

    def __init__(self, inner: MemoryLog, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.repeat_chunks = False
        """The tail gives everything twice."""

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        try:
            await self.faults.pass_through("append")
        except LogUnavailable as problem:
            return [problem] * len(items)
        return await self.inner.append(items)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        await self.faults.pass_through("read")
        return await self.inner.read(partition, offset, max_bytes)

    async def tail(self, want: Mapping[TopicPartition, int]) -> Tail:
        return FaultyTail(await self.inner.tail(want), self)

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        await self.faults.pass_through("bounds")
        bounds = await self.inner.bounds(partitions)
        await self.faults.happened("bounds")
        return bounds

    async def offset_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> Mapping[Any, int | None]:
        return await self.inner.offset_at(partitions, timestamp_ms)

    def topics(self) -> Mapping[str, int]:
        return self.inner.topics()

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        await self.inner.ensure_topics(specs)

    async def close(self) -> None:
        await self.inner.close()


class FaultyTail:
    def __init__(self, inner: Tail, log: FaultyLog) -> None:
        self._inner = inner
        self._log = log

    async def next(self) -> Sequence[Chunk]:
        if "next" in self._log.faults.failing:
            await self._log.faults.pass_through("next")
        chunks = await self._inner.next()
        return [*chunks, *chunks] if self._log.repeat_chunks else chunks

    async def retarget(self, want: Mapping[TopicPartition, int]) -> None:
        await self._log.faults.pass_through("retarget")
        await self._inner.retarget(want)

    def caught_up_at(self) -> float:
        return self._inner.caught_up_at()

    async def close(self) -> None:
        await self._inner.close()


class FaultyJournal(MemoryJournal):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    async def put(self, slot: int, fence: int, items: Mapping[bytes, bytes | None]) -> None:
        await self._faults.pass_through("put")
        await super().put(slot, fence, items)


class Outcome:
    def __init__(self, published: int) -> None:
        self.published = published


class Statuses:
    """Publishes statuses as the dispatcher itself does; `refuses` = as if their source had aged off."""

    def __init__(self, log: FaultyLog) -> None:
        self._log = log
        self.refuses = False
        self.published: list[StatusEvent] = []

    async def publish(self, model: str, events: Sequence[AnyEvent]) -> Outcome:
        if self.refuses:
            return Outcome(0)
        items = [Append(NAMES.system(model), b"k", encode(event), pack(header_of(event))) for event in events]
        if any(await self._log.append(items)):
            raise Unavailable
        self.published += [event for event in events if isinstance(event, StatusEvent)]
        return Outcome(len(items))


class Hub:
    """`async with Hub() as hub`: a log, a journal, and one Delivery that can be replaced by the next."""

    def __init__(
        self,
        *,
        header_filters: Sequence[HeaderFilter] = (FilterTooDeep(), FilterConsumerRules()),
        event_filters: Sequence[EventFilter] = (),
        message_max_bytes: int = 3 << 20,
        cache_bytes: int = 1 << 20,
        **limits: float,
    ) -> None:
        self.clock = Clock()
        self.faults = Faults()
        self.log = FaultyLog(MemoryLog(clock=self.clock, message_max_bytes=message_max_bytes), self.faults)
        self.journal = FaultyJournal(self.faults)
        self.statuses = Statuses(self.log)
        self.posted = 0
        self._filters = header_filters, event_filters
        self._limits = Limits(**limits)  # type: ignore[arg-type]
        self._cache_bytes = cache_bytes
        self.delivery = self.new_delivery()

    def new_delivery(self, membership: Membership | None = None) -> Delivery:
        self.metrics = Metrics()
        header_filters, event_filters = self._filters
        return Delivery(
            log=self.log,
            journal=self.journal,
            names=NAMES,
            header_filters=header_filters,
            event_filters=event_filters,
            publisher=self.statuses,
            membership=membership,
            metrics=self.metrics,
            clock=self.clock,
            limits=self._limits,
            cache_bytes=self._cache_bytes,
        )

    async def __aenter__(self) -> Self:
        await self.log.ensure_topics([TopicSpec(NAMES.system(name)) for name in SYSTEM])
        await self.source("lab")
        await self.delivery.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.failing.clear()
        await self.delivery.close()
        await self.log.close()

    async def source(self, name: str, partitions: int = 1, **spec: Any) -> None:
        await self.log.ensure_topics([TopicSpec(NAMES.binary(name, "sourced"), partitions, **spec)])

    async def post(self, count: int = 1, source: str = "lab", *, expedite: bool = False, **changes: Any) -> list[str]:
        """Durable events; gives their hashes, which grow."""
        hashes = [f"{self.posted + n:064x}" for n in range(count)]
        self.posted += count
        await self.post_again(hashes, source, expedite=expedite, **changes)
        return hashes

    async def post_again(self, hashes: list[str], source: str, *, expedite: bool = False, **changes: Any) -> None:
        topic = NAMES.system("expedite") if expedite else NAMES.binary(source, "sourced")
        items = []
        for sha in hashes:
            event = decode("binary", json.dumps(binary(sha, source, **changes)).encode())
            items.append(Append(topic, sha.encode(), encode(event), pack(header_of(event))))
        assert await self.log.inner.append(items) == [None] * len(items)

    async def status(self, event: dict[str, Any], status: str = "completed", key: str = "k") -> None:
        """Durable, as a plugin posts it."""
        about = {**event, "entity": {**event["entity"], "datastreams": [], "features": []}}
        body = {**about, "author": {"name": "plug", "version": "1", "category": "plugin"}}
        body["entity"] = {"input": about, "status": status}
        for name in ("source", "action", "flags", "dequeued"):
            body.pop(name, None)
        decoded = decode("status", json.dumps(body).encode())
        item = Append(NAMES.system("status"), key.encode(), encode(decoded), pack(header_of(decoded)))
        assert await self.log.inner.append([item]) == [None]

    async def batch(self, wanted: Subscription, count: int = 100, deadline: float = 0.0, **more: Any) -> Batch:
        return await self.delivery.poll(wanted, count=count, deadline=deadline, **more)

    async def fetch(self, wanted: Subscription, count: int = 100, deadline: float = 0.0, **more: Any) -> list[Any]:
        """Events of one poll whose reply was written."""
        batch = await self.batch(wanted, count, deadline, **more)
        batch.delivered()
        return [json.loads(event) for event in batch.events]

    async def hashes(self, wanted: Subscription, count: int = 100, deadline: float = 0.0) -> list[str]:
        return [event["entity"]["sha256"] for event in await self.fetch(wanted, count, deadline)]

    async def take_over(self) -> None:
        """The next process starts while this one still runs, as after a `kill -9` that was only slow."""
        old, self.delivery = self.delivery, self.new_delivery()
        await self.delivery.start()
        await old.close()

    async def restart(self) -> None:
        await self.delivery.close()
        self.delivery = self.new_delivery()
        await self.delivery.start()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def dead_letters(self) -> list[dict[str, Any]]:
        chunk = await self.log.inner.read((NAMES.system("deadletter"), 0), 0, 1 << 30)
        return [json.loads(record.value or b"") for record in chunk.records]

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"dispatcher_{name}", labels) or 0.0


@pytest.fixture
def new_hub() -> type[Hub]:
    """Makes hubs with filters and limits of a test's own."""
    return Hub


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as running:
        yield running
