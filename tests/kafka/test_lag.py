"""The broker's own tool shows how far plugins are behind; what Kafka does meanwhile disturbs nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from dispatcher.delivery.marks import Marks
from dispatcher.eventlog.base import LogUnavailable, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.lag import AGAIN_SECONDS, REST, LagMirror
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.testing import LocalDispatcher
from tests.kafka.broker import KafkaBroker, free_ports
from tests.kafka.jars import tool_jars
from tests.shapes import JsonDict, binary, status_of

pytestmark = pytest.mark.timeout(120)

QUERY = "name=plug&version=1.0&r-live=true&r-historic=true&deadline=0"


class Row(NamedTuple):
    """What `kafka-consumer-groups --describe` says of one partition."""

    current: int
    end: int
    lag: int


async def described(kafka: KafkaBroker, group: str) -> dict[str, Row]:
    process = await asyncio.create_subprocess_exec(
        "java",
        *("-cp", f"{await asyncio.to_thread(tool_jars)}/*"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", kafka.endpoint, "--describe", "--group", group),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    rows = [line.split() for line in said.decode().splitlines() if line.startswith(group)]
    return {f"{row[1]}/{row[2]}": Row(int(row[3]), int(row[4]), int(row[5])) for row in rows}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_stock_tool_shows_what_a_plugin_has_not_finished(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    log = {"kafka_endpoint": kafka.endpoint, "kafka_topic_prefix": topic_prefix, "kafka_lag_seconds": 0.2}
    group = f"{topic_prefix}-azul-plug-1.0-binary-allsrc-alltype-LH"
    topic = f"azul.{topic_prefix}.lab.binary.sourced/0"

    async with LocalDispatcher(tmp_path / "hub", sources_strict=False, **log) as hub:

        async def fetch(count: int) -> list[dict[str, Any]]:
            path = f"{hub.url}/api/v2/event/binary/active?{QUERY}&count={count}"
            async with http.get(path, headers={"Accept": "application/json"}) as response:
                return list((await response.json())["events"])

        async def post(model: str, events: list[JsonDict]) -> None:
            async with http.post(f"{hub.url}/api/v2/event?model={model}&sync=true", json=events) as answer:
                assert (await answer.json())["total_ok"] == len(events), await answer.text()

        async def until(wanted: Row) -> None:
            seen: dict[str, Row] = {}
            async with asyncio.timeout(30):
                while seen.get(topic) != wanted:
                    seen = await described(kafka, group)

        await post("binary", [binary(f"{number:064x}") for number in range(10)])
        jobs: list[JsonDict] = []
        while len(jobs) < 4:
            jobs += await fetch(4 - len(jobs))
        await until(Row(current=0, end=10, lag=10))
        await post("status", [status_of(job) for job in jobs[:2]])
        await until(Row(current=2, end=10, lag=8))
        while len(jobs) < 10:
            jobs += await fetch(100)
        await post("status", [status_of(job) for job in jobs[2:]])
        await until(Row(current=10, end=10, lag=0))


class Mirrored:
    """A mirror of marks that the test makes up, on a topic of two partitions, and what Kafka has of it."""

    def __init__(self, endpoint: str, prefix: str, topic: str) -> None:
        self.endpoint = endpoint
        self.prefix = prefix
        self.topic = topic
        self.low: dict[str, int] = {}
        """Low mark per plugin, of both partitions."""
        self.asked: list[str] = []
        self.now = 0.0

    def mirror(self, endpoint: str = "") -> LagMirror:
        connection = Connection(endpoint or self.endpoint)
        return LagMirror(connection, self.prefix, self.read, self.exists, 60.0, clock=lambda: self.now)

    def read(self) -> Iterator[Marks]:
        for key in list(self.low):
            if key in self.low:
                self.asked.append(key)
                places = [(self.topic, 0), (self.topic, 1), ("deleted", 0)]
                yield Marks(f"{key:0<16}", key, dict.fromkeys(places, self.low[key]))

    def exists(self, place: tuple[str, int]) -> bool:
        return place[0] == self.topic

    def group(self, key: str) -> str:
        return f"{self.prefix}-azul-{key}"

    async def committed(self, key: str) -> list[int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.endpoint)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.group(key))
        finally:
            await admin.close()
        return [found[place].offset for place in sorted(found)]

    @asynccontextmanager
    async def stranger(self, key: str) -> AsyncIterator[AIOKafkaConsumer]:
        """Somebody else who uses the name of a group of ours, without being a member of it."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.endpoint, group_id=self.group(key), enable_auto_commit=False)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def overwrite(self, key: str, offset: int) -> None:
        async with self.stranger(key) as consumer:
            places = [TopicPartition(self.topic, number) for number in range(2)]
            consumer.assign(places)
            await consumer.commit(dict.fromkeys(places, offset))


@pytest.fixture
async def mirrored(kafka: KafkaBroker, log: KafkaLog, prefix: str, topic_prefix: str) -> Mirrored:
    topic = f"{prefix}lab.binary.sourced"
    await log.ensure_topics([TopicSpec(topic, partitions=2)])
    return Mirrored(kafka.endpoint, topic_prefix, topic)


async def test_only_what_has_changed_is_committed_and_the_rest_before_kafka_forgets_it(mirrored: Mirrored) -> None:
    mirror = mirrored.mirror()
    mirrored.low = {"still": 5, "moving": 5}
    await mirror.mirror()
    assert (await mirrored.committed("still"), await mirrored.committed("moving")) == ([5, 5], [5, 5])
    for key in ("still", "moving"):
        await mirrored.overwrite(key, 1)
    mirrored.low["moving"] = 6
    await mirror.mirror()
    assert (await mirrored.committed("still"), await mirrored.committed("moving")) == ([1, 1], [6, 6])
    mirrored.now += AGAIN_SECONDS
    await mirror.mirror()
    assert await mirrored.committed("still") == [5, 5]


async def test_who_comes_back_is_mirrored_anew(mirrored: Mirrored) -> None:
    mirror = mirrored.mirror()
    mirrored.low = {"plug": 5}
    await mirror.mirror()
    mirrored.low = {}  # another dispatcher has it
    await mirror.mirror()
    await mirrored.overwrite("plug", 7)
    mirrored.low = {"plug": 5}
    await mirror.mirror()
    assert await mirrored.committed("plug") == [5, 5]


async def test_a_group_that_somebody_else_uses_is_left_alone_and_said_once(
    mirrored: Mirrored, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = mirrored.mirror()
    mirrored.low = {"taken": 5, "ours": 5}
    async with mirrored.stranger("taken") as member:
        member.subscribe([mirrored.topic])
        while not member.assignment():  # it is a member now
            await member.getmany(timeout_ms=50)
        for mark in (5, 6, 7):
            mirrored.low["taken"] = mark
            await mirror.mirror()
    assert await mirrored.committed("taken") == []
    assert await mirrored.committed("ours") == [5, 5]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("dispatcher")]
    assert len(said) == 1
    assert f"refuses offsets of group {mirrored.group('taken')}" in said[0]
    await mirror.mirror()
    assert await mirrored.committed("taken") == [7, 7]


async def test_who_is_lost_in_the_middle_of_a_round_is_not_overwritten(mirrored: Mirrored) -> None:
    mirrored.low = {"first": 5, "lost": 5}
    mirror = mirrored.mirror()
    running = asyncio.create_task(mirror.mirror())
    while not mirrored.asked:  # noqa: ASYNC110
        await asyncio.sleep(0)
    del mirrored.low["lost"]
    await running
    assert await mirrored.committed("first") == [5, 5]
    assert await mirrored.committed("lost") == []


async def test_without_kafka_a_round_ends_soon(mirrored: Mirrored) -> None:
    mirrored.low = {f"plug{number}": 5 for number in range(50)}
    mirror = mirrored.mirror(f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(LogUnavailable):
        await mirror.mirror()
    assert len(mirrored.asked) == 2


async def test_it_can_be_stopped_at_any_moment(mirrored: Mirrored) -> None:
    """What it leaves open, pytest would find: warnings are errors."""
    mirrored.low = {"plug": 5}
    await mirrored.mirror().mirror()  # from now on Kafka knows where groups are kept
    began = asyncio.get_running_loop().time()
    await mirrored.mirror().mirror()
    busy = (asyncio.get_running_loop().time() - began) / (1 + REST)
    for moment in range(60):
        running = asyncio.create_task(mirrored.mirror().mirror())
        await asyncio.wait([running], timeout=busy * moment / 60)
        running.cancel()
        await asyncio.wait([running])
    gc.collect()
