"""The broker's own tool shows how far plugins are behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from dispatcher.testing import LocalDispatcher
from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import tool_jars

pytestmark = pytest.mark.timeout(120)

QUERY = "name=Plug&version=1.0&r-live=true&r-historic=true&deadline=0"


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
    group = f"{topic_prefix}-azul-Plug-1.0-binary-allsrc-alltype-LH"
    topic = f"azul.{topic_prefix}.lab.binary.sourced/0"

    async with LocalDispatcher(tmp_path / "hub", sources_strict=False, **log) as hub:

        async def fetch(count: int) -> list[dict[str, Any]]:
            path = f"{hub.url}/api/v2/event/binary/active?{QUERY}&count={count}"
            async with http.get(path, headers={"Accept": "application/json"}) as response:
                return list((await response.json())["events"])

        async def post(model: str, events: list[dict[str, Any]]) -> None:
            async with http.post(f"{hub.url}/api/v2/event?model={model}&sync=true", data=json.dumps(events)) as answer:
                assert (await answer.json())["total_ok"] == len(events), await answer.text()

        async def until(wanted: Row) -> None:
            seen: dict[str, Row] = {}
            async with asyncio.timeout(30):
                while seen.get(topic) != wanted:
                    seen = await described(kafka, group)

        await post("binary", [binary(number) for number in range(10)])
        jobs = await fetch(4)
        assert len(jobs) == 4
        await until(Row(current=0, end=10, lag=10))
        await post("status", [status(job) for job in jobs[:2]])
        await until(Row(current=2, end=10, lag=8))
        jobs += await fetch(100)
        await post("status", [status(job) for job in jobs[2:]])
        await until(Row(current=10, end=10, lag=0))


def binary(number: int) -> dict[str, Any]:
    sha = f"{number:064x}"
    author = {"name": "tester", "version": "1", "category": "user"}
    node = {"author": author, "action": "sourced", "sha256": sha, "timestamp": "2024-05-01T10:00:00Z"}
    hashes = {"sha512": "b" * 128, "sha256": sha, "sha1": "c" * 40, "md5": "d" * 32}
    stream = {"label": "content", "size": 5, "mime": "text/plain", "magic": "ASCII text", **hashes}
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": author,
        "source": {"name": "lab", "path": [node], "timestamp": "2024-05-01T10:00:00Z"},
        "entity": {"sha256": sha, "datastreams": [stream]},
        "action": "sourced",
        "flags": {},
    }


def status(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": {"name": "Plug", "version": "1.0", "category": "plugin"},
        "entity": {"input": job, "status": "completed-empty"},
    }
