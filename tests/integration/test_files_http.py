"""Files and their events through one whole server: where bytes and the log meet, on each log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dispatcher.testing import LocalDispatcher
from tests.shapes import JsonDict, binary

PARENT, CHILD = b"the parent", b"a child that somebody found in it"
ALL = "/api/v2/event/binary/passive?name=reader&version=1&r-live=true&r-historic=true&deadline=5"


class Client:
    """Speaks plain HTTP; replies as Python values."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def upload(self, source: str, content: bytes) -> str:
        async with self.http.post(f"/api/v3/stream/{source}/content", data=content) as reply:
            assert reply.status == 200
            sha: str = (await reply.json())["data"]["sha256"]
            return sha

    async def download(self, source: str, sha: str, **headers: str) -> tuple[int, bytes]:
        async with self.http.get(f"/api/v3/stream/{source}/content/{sha}", headers=headers) as reply:
            return reply.status, await reply.read()

    async def post(self, model: str, event: JsonDict) -> aiohttp.ClientResponse:
        async with self.http.post(f"/api/v2/event?model={model}", json=event) as reply:
            await reply.read()
            return reply

    async def events(self, count: int) -> list[JsonDict]:
        async with self.http.get(f"{ALL}&count={count}", headers={"Accept": "application/json"}) as reply:
            return list((await reply.json())["events"])


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    async with LocalDispatcher(folder, **settings) as server, aiohttp.ClientSession(server.url) as http:
        yield Client(http)


@pytest.fixture
def lasting(log: dict[str, str]) -> dict[str, str]:
    """Settings of a log and a store that a restart leaves as they are."""
    return {**(log or {"event_log": "sqlite"}), "store": ""}


def insert(parent: str, child: str, origin: str) -> JsonDict:
    event = binary(child, origin, len(CHILD))
    head = {name: event[name] for name in ("model_version", "kafka_key", "timestamp", "author")}
    history = {**event["source"]["path"][0], "action": "extracted"}
    entity = {"original_source": origin, "parent_sha256": parent, "child": event["entity"], "child_history": history}
    return {**head, "entity": entity}


def deletion(*keys: str) -> JsonDict:
    head = {name: value for name, value in binary().items() if name in ("model_version", "kafka_key", "author")}
    entity = {"reason": "asked for", "ids": {"ids": list(keys)}}
    return {**head, "timestamp": "2024-05-01T10:00:00Z", "action": "ids", "entity": entity}


async def test_a_file_from_upload_to_deletion(tmp_path: Path, log: dict[str, str]) -> None:
    async with serving(tmp_path, allow_stream_delete=True, **log) as client:
        sha = await client.upload("lab", PARENT)
        await client.post("binary", binary(sha))
        (event,) = await client.events(1)
        address = event["source"]["name"], event["entity"]["sha256"]
        assert await client.download(*address) == (200, PARENT)
        assert await client.download(*address, Range="bytes=4-9") == (206, b"parent")
        async with client.http.patch(f"/api/v3/stream/lab/archive/content/{sha}") as reply:
            assert reply.status == 200
        async with client.http.delete(f"/api/v3/stream/lab/content/{sha}") as reply:
            assert await reply.json() == {"deleted": True}
        assert (await client.download("lab", sha))[0] == 404
        assert await client.download("archive", sha) == (200, PARENT)


async def test_an_insert_brings_its_file_to_wherever_its_parent_turns_up_also_after_a_restart(
    tmp_path: Path, lasting: dict[str, str]
) -> None:
    parent, child = sha256(PARENT).hexdigest(), sha256(CHILD).hexdigest()
    async with serving(tmp_path, **lasting) as client:
        await client.upload("desk", CHILD)
        await client.post("insert", insert(parent, child, "desk"))
        await client.post("binary", binary(parent, "lab"))
        assert {event["entity"]["sha256"] for event in await client.events(2)} == {parent, child}
        assert await client.download("lab", child) == (200, CHILD)
    async with serving(tmp_path, **lasting) as client:
        await client.post("binary", binary(parent, "mail"))
        assert {event["entity"]["sha256"] for event in await client.events(2)} == {parent, child}
        assert await client.download("mail", child) == (200, CHILD)


async def test_what_was_deleted_stays_so_after_a_restart(tmp_path: Path, lasting: dict[str, str]) -> None:
    async with serving(tmp_path, **lasting) as client:
        assert (await client.post("binary", binary())).status == 200
        (event,) = await client.events(1)
        assert (await client.post("delete", deletion(event["kafka_key"]))).status == 200
    async with serving(tmp_path, **lasting) as client:
        await client.post("binary", binary())
        await client.post("binary", binary("b" * 64))
        assert [event["entity"]["sha256"] for event in await client.events(1)] == ["b" * 64]
