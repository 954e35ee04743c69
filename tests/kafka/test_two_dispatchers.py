"""Two servers on one Kafka share the subscribers, and a client may ask either of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from dispatcher.testing import LocalDispatcher
from tests.kafka.broker import KafkaBroker

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def log(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "kafka_endpoint": kafka.endpoint,
        "kafka_topic_prefix": topic_prefix,
        "kafka_session_seconds": 2,
        "store": f"file://{tmp_path}/store",
    }


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def fetch(http: ClientSession, hub: LocalDispatcher, name: str, deadline: int = 0) -> list[str]:
    query = f"name={name}&version=1&r-live=true&r-historic=true&count=1000&deadline={deadline}"
    async with http.get(f"{hub.url}/api/v2/event/plugin/passive?{query}", headers={"Accept": "application/json"}) as r:
        assert r.status == 200
        return [event["entity"]["name"] for event in (await r.json())["events"]]


async def post(http: ClientSession, hub: LocalDispatcher, *names: str) -> list[str]:
    author = {"name": "tester", "version": "1", "category": "user"}
    events = [
        {
            "model_version": 6,
            "kafka_key": name,
            "timestamp": "2024-05-01T10:00:00Z",
            "author": {**author, "name": name},
            "entity": {"name": name, "version": "1", "category": "plugin", "features": []},
        }
        for name in names
    ]
    async with http.post(f"{hub.url}/api/v2/event?model=plugin&sync=true", data=json.dumps(events)) as response:
        assert (await response.json())["total_ok"] == len(names), await response.text()
    return list(names)


async def shared(*hubs: LocalDispatcher) -> None:
    """Until every slot is served by one of them."""
    async with asyncio.timeout(20):
        while sum(len(hub.app.delivery.slots.served) for hub in hubs) < 64:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_both_serve_all_subscribers_between_them(
    log: dict[str, Any], http: ClientSession, tmp_path: Path
) -> None:
    names = [f"reader{n}" for n in range(8)]
    async with LocalDispatcher(tmp_path / "a", **log) as a, LocalDispatcher(tmp_path / "b", **log) as b:
        await shared(a, b)
        for name in names:
            assert await fetch(http, a, name) == []
        assert [len(hub.app.delivery.slots.served) for hub in (a, b)] == [32, 32]
        posted = await post(http, b, *(f"plug{n}" for n in range(30)))
        for name in names:
            seen = [*await fetch(http, b, name, 1), *await fetch(http, a, name), *await fetch(http, b, name)]
            assert sorted(seen) == sorted(posted), "each event once, whoever is asked"
        async with http.get(f"{a.url}/metrics") as response:
            assert 'dispatcher_forwarded_requests_total{outcome="answered"}' in await response.text()


async def test_who_stops_hands_everything_to_the_other(
    log: dict[str, Any], http: ClientSession, tmp_path: Path
) -> None:
    names = [f"reader{n}" for n in range(8)]
    async with LocalDispatcher(tmp_path / "a", **log) as a:
        async with LocalDispatcher(tmp_path / "b", **log) as b:
            await shared(a, b)
            first = await post(http, a, "one", "two")
            for name in names:
                assert sorted(await fetch(http, b, name, 1)) == sorted(first)
        await shared(a)
        later = await post(http, a, "three")
        for name in names:
            assert await fetch(http, a, name, 1) == later, "and nothing of what the other one has delivered"
