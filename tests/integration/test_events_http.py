"""Events over real HTTP through every room: publish, log, delivery and back."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from dispatcher_sdk.models import BinaryEvent, StatusEntity, StatusEvent, decode

from dispatcher.avro import encode_bulk, iter_bulk
from dispatcher.testing import LocalDispatcher
from tests.shapes import JsonDict, binary, status_of

NAMED = "name=plug&version=1&"
ACTIVE = f"/api/v2/event/binary/active?{NAMED}r-live=true&r-historic=true&deadline=5"
PASSIVE = "/api/v2/event/{}/passive?r-historic=true&deadline=5&name=reader"
JSON_REPLY = {"Accept": "application/json"}


class Client:
    """Speaks plain HTTP; replies as Python values."""

    def __init__(self, http: aiohttp.ClientSession, server: LocalDispatcher) -> None:
        self.http = http
        self.server = server

    async def post(self, model: str, body: Any, query: str = "") -> JsonDict:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(f"/api/v2/event?model={model}{query}", data=io.BytesIO(data)) as response:
            assert response.status == 200, await response.text()
            reply: JsonDict = await response.json()
            return reply

    async def fetch(self, path: str) -> tuple[JsonDict, list[JsonDict]]:
        async with self.http.get(path, headers=JSON_REPLY) as response:
            assert response.status == 200, await response.text()
            reply = await response.json()
            return reply["info"], reply["events"]


@pytest.fixture
async def client(local_dispatcher: LocalDispatcher) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(local_dispatcher.url) as http:
        yield Client(http, local_dispatcher)


async def test_a_job_from_post_to_final_status(client: Client) -> None:
    assert await client.post("binary", binary()) == {"total_ok": 1, "total_failures": 0, "failures": []}
    info, (job,) = await client.fetch(ACTIVE)
    assert info == {"filtered": 0, "fetched": 1, "ready": True, "paused": False}
    assert job["dequeued"].startswith(job["kafka_key"] + ".plug.1.")
    assert job["dequeued"].rpartition(".")[2].isdigit(), "clients read the last piece as unix seconds"
    assert job["track_source_references"].startswith("lab.")

    child = binary("e" * 64, action="extracted")
    await client.post("status", status_of(job, "completed", results=[child], runtime=0.5))
    _, (status,) = await client.fetch(PASSIVE.format("status"))
    assert status["entity"]["status"] == "completed"
    assert "results" not in status["entity"]
    _, (next_job,) = await client.fetch(ACTIVE)
    assert next_job["entity"]["sha256"] == "e" * 64


async def test_a_released_job_comes_again(client: Client) -> None:
    await client.post("binary", binary())
    _, (job,) = await client.fetch(ACTIVE)
    async with client.http.post(f"/api/v2/lease/{job['dequeued']}/release?after=0") as response:
        assert response.status == 200
    _, (again,) = await client.fetch(ACTIVE)
    assert again["entity"] == job["entity"]


async def test_readme_dialect_end_to_end(client: Client) -> None:
    for body in (binary(), status_of(binary(dequeued="k.plug.1.17"))):
        async with client.http.post("/api/v2/event", json=body) as response:
            assert response.status == 200, await response.text()
    async with client.http.get("/api/v2/event/binary/passive?name=mytest&version=1.0&timeout=5") as response:
        assert response.content_type == "application/json"
        assert [event["action"] for event in (await response.json())["events"]] == ["sourced"]
    async with client.http.get("/api/v1/events/status?name=mytest&version=1.0") as response:
        assert len((await response.json())["events"]) == 1


async def test_filters_are_counted(client: Client) -> None:
    await client.post("binary", [binary(f"{n:064x}") for n in range(5)])
    info, events = await client.fetch(ACTIVE.replace("deadline=5", "deadline=1") + "&r-over-content-size=100&count=9")
    assert events == []
    assert info["filtered"] == 5
    assert info["filters"] == {"FilterConsumerRules-reject_content_too_small": 5}


async def test_gjson_filter(client: Client) -> None:
    await client.post("binary", [binary("a" * 64), binary("b" * 64, source="other")])
    path = '/api/v2/event/binary/passive?count=5&timeout=1&filter=source.path.%23(sha256%3D%3D"' + "b" * 64 + '")'
    _, events = await client.fetch(path)
    assert [event["source"]["name"] for event in events] == ["other"]


async def test_avro_both_ways(client: Client) -> None:
    event = decode("binary", json.dumps(binary()).encode())
    assert isinstance(event, BinaryEvent)
    reply = await client.post("binary", encode_bulk("binary", [event]), "&avro-format=true")
    assert reply == {"total_ok": 1, "total_failures": 0, "failures": []}
    async with client.http.get(ACTIVE + "&avro-format=true") as response:
        reader = aiohttp.MultipartReader.from_response(response)
        await reader.next()
        part = await reader.next()
        assert isinstance(part, aiohttp.BodyPartReader)
        assert part.filename == "events.json"
        (job,) = iter_bulk("binary", bytes(await part.read()))
    assert isinstance(job, BinaryEvent)
    assert job.dequeued.startswith(job.kafka_key + ".plug.1.")
    entity = StatusEntity(input=job, status="completed-empty")
    done = StatusEvent(model_version=6, author=event.author, timestamp=event.timestamp, entity=entity)
    await client.post("status", encode_bulk("status", [done]), "&avro-format=true")


async def test_an_empty_avro_reply_is_a_record_too(client: Client) -> None:
    async with client.http.get(
        PASSIVE.replace("deadline=5", "deadline=0").format("plugin") + "&avro-format=true"
    ) as response:
        reader = aiohttp.MultipartReader.from_response(response)
        await reader.next()
        part = await reader.next()
        assert isinstance(part, aiohttp.BodyPartReader)
        raw = bytes(await part.read())
    assert raw[:1] == b"\x0c", "model_version 6 as Avro writes it"
    assert list(iter_bulk("plugin", raw)) == []


async def test_a_restore_of_many_events(client: Client) -> None:
    filler = {"note": "x" * 1500}
    events = [binary(f"{n:064x}") for n in range(2500)]
    for event in events:
        event["entity"]["info"] = filler
    reply = await client.post("binary", events, "&sync=true")
    assert (reply["total_ok"], reply["total_failures"]) == (2500, 0)
    seen: set[str] = set()
    while len(seen) < 2500:
        _, batch = await client.fetch(PASSIVE.format("binary") + "&count=500")
        assert batch
        seen |= {event["entity"]["sha256"] for event in batch}


async def test_simulate_knows_who_polled(client: Client) -> None:
    await client.fetch(ACTIVE.replace("deadline=5", "deadline=0") + "&d-self=true")
    event = binary(author={"name": "plug", "version": "2"})
    async with client.http.post("/api/v2/event/simulate", json=event) as response:
        reply = await response.json()
    assert reply == {
        "consumers": [
            {
                "name": "plug",
                "version": "1",
                "filter_out": True,
                "filter_out_trigger": "FilterConsumerRules-reject_self",
            }
        ]
    }


async def test_pausing_stops_jobs_but_not_readers(client: Client) -> None:
    await client.post("binary", binary(), "&pause_plugins=true&sync=true")
    info, events = await client.fetch(ACTIVE)
    assert (info["paused"], info["ready"], events) == (True, False, [])
    _, events = await client.fetch(PASSIVE.format("binary"))
    assert len(events) == 1


async def test_a_client_that_leaves_loses_nothing(client: Client, local_dispatcher: LocalDispatcher) -> None:
    host, port = local_dispatcher.url.removeprefix("http://").split(":")
    for _ in range(5):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {ACTIVE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await client.fetch(ACTIVE.replace("plug", "other").replace("deadline=5", "deadline=0"))
        writer.close()
        await writer.wait_closed()
    await client.post("binary", binary())
    _, events = await client.fetch(ACTIVE)
    assert len(events) == 1


async def test_metrics_of_a_job(client: Client) -> None:
    await client.post("binary", binary())
    await client.fetch(ACTIVE)
    async with client.http.get("/metrics") as response:
        text = await response.text()
    assert 'dispatcher_events_published_total{entity="binary",plugin="tester"} 1.0' in text
    assert 'dispatcher_events_fetched_total{entity="binary",plugin="plug"} 1.0' in text
    assert 'dispatcher_restapi_response_codes{code="200",method="POST",path="/api/v2/event"} 1.0' in text


async def test_sources_decide_what_is_too_old_and_what_is_unknown(tmp_path: Path, log: dict[str, str]) -> None:
    sources = "sources:\n  lab:\n    expire_events_after: 1 days\n  keep: {}\n"
    async with (
        LocalDispatcher(tmp_path, sources_helm=sources, **log) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        client = Client(http, server)
        async with http.post("/api/v2/event?model=binary", json=binary()) as response:
            assert response.status == 425
            assert (await response.json())["error_enum"] == "ErrorStringEnumAllEventsAgedOffImmediately"
        reply = await client.post("binary", [binary(), binary(source="keep")])
        assert (reply["total_ok"], reply["total_failures"]) == (2, 0)
        reply = await client.post("status", status_of(binary(dequeued="k.plug.1.17")))
        assert reply["total_failures"] == 0, "an unmodified runner dies of anything else"
        async with http.post("/api/v2/event?model=binary", json=binary(source="nobody")) as response:
            assert response.status == 400
            assert "nobody" in (await response.json())["detail"]
