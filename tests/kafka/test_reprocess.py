"""An installation moves to another prefix, or from a laptop to a cluster: the real command on a real Kafka."""

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dispatcher_sdk.models import MODEL_NAMES, AnyEvent, decode, encode

from dispatcher.eventlog.base import Append, EventLog, Record, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.sqlite.log import SqliteLog
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.tracking import set_tracking
from dispatcher.testing import LocalDispatcher
from tests.bench.events import binary
from tests.kafka.broker import KafkaBroker
from tests.unit.avro.old import old_record

TOPIC = "bench.binary.extracted"
pytestmark = pytest.mark.timeout(90)


class Ended(NamedTuple):
    code: int
    said: str


class Move:
    """From `old` to `new` on one broker; each run of the command has a folder of its own, as on another machine."""

    def __init__(self, kafka: KafkaBroker, prefix: str, folder: Path) -> None:
        self.kafka = kafka
        self.old, self.new = f"{prefix}old", f"{prefix}new"
        self.folder = folder
        self._runs = 0

    async def start(self, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
        self._runs += 1
        return await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("dispatcher"),
            "reprocess",
            *arguments,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")},
                "DISPATCHER_KAFKA_ENDPOINT": self.kafka.endpoint,
                "DISPATCHER_KAFKA_TOPIC_PREFIX": self.new,
                "DISPATCHER_DATA_DIR": str(self.folder / f"machine-{self._runs}"),
                **environ,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *arguments: str, **environ: str) -> Ended:
        process = await self.start(*arguments, **environ)
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        assert b"Traceback" not in said, said.decode()
        assert process.returncode is not None
        return Ended(process.returncode, said.decode())

    async def open(self, prefix: str) -> KafkaLog:
        log = KafkaLog(Connection(self.kafka.endpoint), prefix=f"azul.{prefix}.", look_seconds=0.05)
        await log.start()
        return log

    async def fill(self, topics: dict[str, Sequence[Append]], partitions: int = 1) -> None:
        log = await self.open(self.old)
        await fill(log, self.old, topics, partitions)
        await log.close()

    async def records(self, topic: str) -> list[Record]:
        log = await self.open(self.new)
        try:
            return await everything(log, f"azul.{self.new}.{topic}")
        finally:
            await log.close()

    async def names(self, topic: str = TOPIC) -> list[str]:
        """Of the events of a topic, in order: what `binary` was called with."""
        return [seed_of(json.loads(record.value)) for record in await self.records(topic) if record.value]


async def fill(log: EventLog, prefix: str, topics: dict[str, Sequence[Append]], partitions: int = 1) -> None:
    await log.ensure_topics([TopicSpec(f"azul.{prefix}.{topic}", partitions) for topic in topics])
    for topic, items in topics.items():
        rows = [item._replace(topic=f"azul.{prefix}.{topic}") for item in items]
        for at in range(0, len(rows), 1000):
            assert not any(await log.append(rows[at : at + 1000]))


async def everything(log: EventLog, topic: str) -> list[Record]:
    found: list[Record] = []
    partitions = [(topic, number) for number in range(log.topics().get(topic, 0))]
    for partition, (offset, high) in (await log.bounds(partitions)).items():
        while offset < high:
            chunk = await log.read(partition, offset, 4 << 20)
            found += chunk.records
            offset = chunk.next_offset
    return found


def seed_of(stored: dict[str, Any]) -> str:
    name: str = stored["source"]["references"]["seed"]
    return name


def event(seed: str, **more: Any) -> AnyEvent:
    plain = binary(seed) | more
    plain["source"]["references"] = {"seed": seed}
    return decode("binary", json.dumps(plain).encode())


def original(event: AnyEvent, version: int = 6) -> Append:
    """A record as the original Go server keeps it; version 0 is JSON, as we keep it."""
    event.kafka_key = event.kafka_key or kafka_key(event)
    set_tracking(event)
    value = old_record(MODEL_NAMES[type(event)], version, event) if version else encode(event)
    return Append("", event.kafka_key.encode(), value)


def many(count: int) -> list[Append]:
    return [original(event(f"{number}")) for number in range(count)]


@pytest.fixture
def move(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Move:
    return Move(kafka, topic_prefix, tmp_path)


async def test_an_installation_of_the_original_moves(move: Move) -> None:
    events = {f"{version}-{number}": event(f"{version}-{number}") for version in (4, 5, 6, 0) for number in range(30)}
    gone = decode(
        "delete",
        json.dumps(
            {
                "model_version": 6,
                "author": {"name": "analyst"},
                "action": "ids",
                "entity": {"reason": "asked", "ids": {"ids": [kafka_key(events["4-7"])]}},
            }
        ).encode(),
    )
    urgent = event("urgent", flags={"expedite": True})
    await move.fill(
        {
            TOPIC: [original(one, int(name[0])) for name, one in events.items()] + [Append("", b"k", b"\x0cgarbage")],
            "system.delete": [original(gone)],
            "system.expedite": [original(urgent)],
            "system.report": [Append("", b"r", b"?")],
        },
        partitions=3,
    )
    planned = await move.run("--previous-prefix", move.old, "--plan")
    assert planned.code == 0
    assert re.search(rf"azul.{move.old}.{TOPIC} +121 +0 +121\n", planned.said)
    assert f"left out: azul.{move.old}.system.report: no model" in planned.said
    assert await move.records(TOPIC) == []

    moved = await move.run(DP__EVENTS__REPROCESS__PREVIOUS_PREFIX=move.old, DISPATCHER_GLOBAL_PARTITION_COUNT="2")
    assert moved.code == 3
    assert re.search(r"\nall +121 +1 +1\n", moved.said), moved.said
    assert f"1 record could not be copied and is kept in azul.{move.new}.system.deadletter" in moved.said
    assert re.search(rf"azul.{move.old}.{TOPIC}, partition \d, offset \d+: neither JSON nor Avro: not", moved.said)
    assert sorted(await move.names()) == sorted(set(events) - {"4-7"})
    assert await move.names("system.expedite") == ["urgent"]

    async with LocalDispatcher(
        move.folder / "server", kafka_endpoint=move.kafka.endpoint, kafka_topic_prefix=move.new
    ) as server:
        found = await fetch(server.url, "passive", name="metastore", count=1000)
        assert {seed_of(one) for one in found["events"]} == set(events) - {"4-7"}
        assert all(one["model_version"] == 6 for one in found["events"])
        assert found["info"]["paused"] is False
        assert (await fetch(server.url, "active", name="plugin"))["info"]["paused"] is True


async def fetch(url: str, way: str, *, name: str, count: int = 1) -> dict[str, Any]:
    query = f"name={name}&version=1&r-historic=true&count={count}&deadline=3"
    request = urllib.request.Request(f"{url}/api/v2/event/binary/{way}?{query}", headers={"Accept": "application/json"})

    def get() -> dict[str, Any]:
        with urllib.request.urlopen(request, timeout=20) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    return await asyncio.to_thread(get)


async def test_killed_it_goes_on_from_another_machine_without_a_loss(move: Move) -> None:
    total = 12_000
    await move.fill({TOPIC: many(total)}, partitions=4)
    kills = 0
    for at in (1500, 6000):
        process = await move.start("--previous-prefix", move.old)
        await until_copied(move, at)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        await process.wait()
    assert kills
    ended = await move.run("--previous-prefix", move.old)
    assert ended.code == 0, ended.said
    found = await move.names()
    assert set(found) == {f"{number}" for number in range(total)}
    assert len(found) < total * 1.9, "most of it was not copied again"
    again = await move.run("--previous-prefix", move.old)
    assert again.code == 0
    assert len(await move.names()) == len(found)


async def until_copied(move: Move, count: int) -> None:
    log = await move.open(move.new)
    topic = f"azul.{move.new}.{TOPIC}"
    try:
        async with asyncio.timeout(30):
            while True:
                partitions = [(topic, number) for number in range(log.topics().get(topic, 0))]
                if sum(high for _, high in (await log.bounds(partitions)).values()) >= count:
                    return
                await asyncio.sleep(0.02)
    finally:
        await log.close()


async def test_stopped_it_ends_at_once_and_repeats_nothing(move: Move) -> None:
    await move.fill({TOPIC: many(8000)})
    process = await move.start("--previous-prefix", move.old)
    await until_copied(move, 500)
    process.send_signal(signal.SIGINT)
    said, _ = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 130, said.decode()
    assert b"run the same command again to go on" in said
    assert (await move.run("--previous-prefix", move.old)).code == 0
    assert sorted(await move.names()) == sorted(f"{number}" for number in range(8000))


@pytest.mark.timeout(150)
async def test_a_broker_that_dies_meanwhile_costs_time_and_nothing_else(
    fragile: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    move = Move(fragile, topic_prefix, tmp_path)
    await move.fill({TOPIC: many(8000)}, partitions=2)
    process = await move.start("--previous-prefix", move.old)
    await until_copied(move, 500)
    await asyncio.to_thread(fragile.kill9)
    assert process.returncode is None
    await asyncio.to_thread(fragile.start)
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
    assert set(await move.names()) == {f"{number}" for number in range(8000)}


async def test_a_laptop_moves_to_the_cluster(move: Move) -> None:
    """Same topic names there and here."""
    laptop = SqliteLog(move.folder / "laptop")
    await laptop.start()
    items = {TOPIC: [original(event(f"{number}"), 0) for number in range(50)]}
    await fill(laptop, move.new, items)
    held = await move.run("--from", str(move.folder / "laptop"))
    assert (held.code, "is in use by another dispatcher" in held.said) == (1, True)
    await laptop.close()
    for _ in range(2):
        assert (await move.run("--from", str(move.folder / "laptop"))).code == 0
    assert await move.names() == [f"{number}" for number in range(50)]


async def test_who_follows_gets_what_is_published_meanwhile(move: Move) -> None:
    await move.fill({TOPIC: many(10)})
    process = await move.start("--previous-prefix", move.old, "--follow")
    await until_copied(move, 10)
    await move.fill({TOPIC: [original(event("late"))]})
    await until_copied(move, 11)
    process.send_signal(signal.SIGTERM)
    said, _ = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0, said.decode()
    assert (await move.names())[-1] == "late"


class TestRefused:
    async def test_a_prefix_that_is_not_there(self, move: Move) -> None:
        await move.fill({TOPIC: []})
        ended = await move.run("--previous-prefix", "nothing")
        assert ended.code == 1
        assert f"there are no topics of the prefix nothing in Kafka on {move.kafka.endpoint}; it has " in ended.said
        assert move.old in ended.said

    async def test_sources_that_the_settings_do_not_know(self, move: Move) -> None:
        await move.fill({TOPIC: many(3), "lab.binary.extracted": [original(event("l"))]})
        known = {"DISPATCHER_SOURCES_HELM": "sources: {bench: {}}"}
        ended = await move.run("--previous-prefix", move.old, **known)
        assert ended.code == 1
        assert "DISPATCHER_SOURCES_HELM does not name lab, so events of it would be refused" in ended.said
        assert await move.records(TOPIC) == []
        ended = await move.run("--previous-prefix", move.old, "--ignore-warning", **known)
        assert ended.code == 0
        assert f"left out: azul.{move.old}.lab.binary.extracted" in ended.said
        assert len(await move.names()) == 3
        assert (await move.run("--previous-prefix", move.old)).code == 0, "what was left is copied when it is known"
        assert "lab.binary.extracted" in ended.said
