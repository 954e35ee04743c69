"""Hostile requests on every endpoint: a clear 4xx in the contract's shape, and a server that is well afterwards."""

import asyncio
import io
import json
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from dispatcher_sdk.models import MODELS
from yarl import URL

from dispatcher.testing import LocalDispatcher

EVENT = "/api/v2/event"
STREAM = "/api/v3/stream/lab/content"
SHA = "a" * 64

DEEP = 100_000
BODIES = {
    "nothing": b"",
    "rubbish": b"\x00\x01\xff rubbish",
    "half an object": b'{"model_version": 6, "author": {',
    "not UTF-8": b'{"model_version": 6, "kafka_key": "\xff\xfe"}',
    "lone surrogate": b'{"model_version": 6, "kafka_key": "\\ud800"}',
    "NUL": b'{"model_version": 6, "kafka_key": "\x00"}',
    "a number": b"1" * 1000,
    "a huge number": b'{"model_version": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"model_version": 1e999999}',
    "a negative version": b'{"model_version": -6}',
    "NaN": b'{"model_version": NaN}',
    "wrong types": b'{"model_version": 6, "author": [], "timestamp": 5, "source": "x", "entity": 7}',
    "naive time": b'{"model_version": 6, "timestamp": "2024-05-01T10:00:00"}',
    "no such day": b'{"model_version": 6, "timestamp": "2024-02-31T10:00:00Z"}',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"entity":' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b'[{"entity":' + b"[" * DEEP,
    "list of everything": b'[1, null, "x", [], {}, true]',
    "two documents": b'{"model_version": 6} {"model_version": 6}',
    "trailing comma": b'[{"model_version": 6},]',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "form": b"a=b&c=d",
}


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[aiohttp.ClientSession]:
    async with LocalDispatcher(folder, **settings) as server, aiohttp.ClientSession(server.url) as http:
        yield http
        async with http.get("/") as response:
            assert response.status == 200
        async with http.get("/metrics") as response:
            text = await response.text()
        assert 'code="5' not in text


@pytest.fixture(scope="module")
def topic_prefix() -> str:
    """What is refused leaves nothing behind, so all these tests may share topics: making them is what takes time."""
    return f"bad{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def http(tmp_path: Path, log: dict[str, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client; the server is checked to be well afterwards, and never to have answered 5xx."""
    async with serving(tmp_path, **log) as session:
        yield session


async def error_of(response: aiohttp.ClientResponse, head: bool = False) -> int:
    raw = await response.read()
    assert 400 <= response.status < 500, raw
    assert b"Traceback" not in raw
    if not head and response.content_type != "application/octet-stream":
        body = json.loads(raw)
        assert list(body) == ["status", "title", "detail", "error_enum"]
        assert body["status"] == str(response.status)
        assert len(raw) < 5000
    return response.status


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
async def test_bodies(http: aiohttp.ClientSession, body: bytes) -> None:
    queries = [f"?model={model}" for model in MODELS] + ["", "?model=nonsense", "?model=binary&avro-format=true"]
    for path in [EVENT + query for query in queries] + [EVENT + "/simulate"]:
        async with http.post(path, data=io.BytesIO(body)) as response:
            assert await error_of(response) in (400, 413, 422, 425), path
    async with http.get("/api/v2/event/binary/passive?name=x&count=10&timeout=0") as response:
        assert (await response.json())["events"] == []


@pytest.mark.parametrize("seed", range(20))
async def test_random_avro(http: aiohttp.ClientSession, seed: int) -> None:
    source = random.Random(seed)
    for _ in range(10):
        body = source.choice([b"\x0c", b"\x0a", b"", b"\x0c\x02"]) + source.randbytes(source.randrange(3, 300))
        for model in MODELS:
            async with http.post(f"{EVENT}?model={model}&avro-format=true", data=body) as response:
                assert response.status == 200 or await error_of(response) in (413, 422, 425)


HOSTILE = [
    "%00",
    "a%0d%0aX-Injected:%20yes",
    "%ff",
    "-1",
    "9" * 400,
    "x" * 9000,
    "%F0%9F%92%A9",
    "'%22%3C",
    "..%2f..",
    "1e9",
]
NUMBERS = ["count", "deadline", "timeout", "lease", "r-under-content-size", "r-over-content-size", "f-max-content-size"]
FLAGS = [
    "r-live",
    "r-historic",
    "r-expedite",
    "r-content",
    "d-self",
    "debug",
    "reset",
    "avro-format",
    "ignore-historic",
]
TEXTS = ["name", "version", "deployment_key", "max-security", "r-source", "r-action", "d-action", "r-streams", "filter"]


@pytest.mark.parametrize("value", HOSTILE)
async def test_parameters(http: aiohttp.ClientSession, value: str) -> None:
    for key in NUMBERS + FLAGS + TEXTS:
        for base in ("r-live=true&deadline=0", "timeout=0"):
            url = URL(f"/api/v2/event/binary/active?{key}={value}&{base}", encoded=True)
            async with http.get(url) as response:
                assert "X-Injected" not in response.headers
                assert response.status == 200 or await error_of(response) == 422


async def test_queries_of_hostile_size(http: aiohttp.ClientSession) -> None:
    for query in (
        "r-source=a&" * 700,
        "a" * 20_000,
        "&" * 16_000,
        "r-live=true&deadline=0&" + "%" * 5000,
        "x=%zz&r-live=1&deadline=0",
    ):
        async with http.get(URL(f"/api/v2/event/binary/passive?{query}", encoded=True)) as response:
            assert response.status == 200 or await error_of(response) == 422
    async with http.get(URL("/api/v2/event/binary/passive?" + "a" * 100_000, encoded=True)) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "model", ["nonsense", "Binary", "%00", "a%0d%0ab", "..", "x" * 3000, "%F0%9F%92%A9", "binary%2f"]
)
async def test_models(http: aiohttp.ClientSession, model: str) -> None:
    for path in (f"/api/v2/event/{model}/passive", f"/api/v2/event/{model}/active", f"/api/v1/events/{model}"):
        async with http.get(URL(path + "?r-live=true", encoded=True)) as response:
            assert await error_of(response) in (404, 422)
    async with http.post(URL(f"{EVENT}?model={model}", encoded=True), data=b"{}") as response:
        assert await error_of(response) in (400, 422)


async def test_methods_and_paths(http: aiohttp.ClientSession) -> None:
    for path in (
        EVENT,
        EVENT + "/simulate",
        "/api/v2/event/binary/passive",
        "/api/v2/lease/x/release",
        "/",
        "/metrics",
    ):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            async with http.request(method, path) as response:
                assert await error_of(response) == 405
    for path in ("/nothing", "/api", "/api/v2", "/api/v2/event/binary", "/api/v9/event", "/debug/pprof/heap"):
        async with http.get(path) as response:
            assert await error_of(response) == 404


ADDRESSES = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "a%00b",
    "a%0d%0ab",
    "%F0%9F%92%A9",
    "x" * 200,
    "a%5cb",
    "%20",
]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_stream_addresses(http: aiohttp.ClientSession, address: str) -> None:
    for path in (f"/api/v3/stream/{address}/content", f"/api/v3/stream/lab/{address}"):
        async with http.post(URL(path, encoded=True), data=b"x") as response:
            assert await error_of(response) in (400, 404, 405)
        for method in ("GET", "HEAD", "DELETE"):
            async with http.request(method, URL(f"{path}/{SHA}", encoded=True)) as response:
                assert await error_of(response, head=method == "HEAD") in (400, 404, 405)
        async with http.patch(URL(f"/api/v3/stream/{address}/lab/content/{SHA}", encoded=True)) as response:
            assert await error_of(response) in (400, 404)


@pytest.mark.parametrize("sha", ["a", "a" * 63, "g" * 64, "..", "%00" * 64, "a" * 65, "A" * 64, "x" * 5000])
async def test_stream_hashes(http: aiohttp.ClientSession, sha: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        async with http.request(method, URL(f"{STREAM}/{sha}", encoded=True)) as response:
            assert await error_of(response, head=method == "HEAD") in (400, 404, 405)


async def test_uploads(http: aiohttp.ClientSession) -> None:
    async with http.post(STREAM, data=b"") as response:
        assert await error_of(response) == 400
    for query in ("skip-identify=maybe", "skip-identify=true", f"expected-sha256={SHA}", "expected-sha256=%00"):
        async with http.post(f"{STREAM}?{query}", data=b"x") as response:
            assert await error_of(response) == 400


@pytest.mark.parametrize(
    "header", ["bytes=5-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=" + "9" * 400 + "-"]
)
async def test_ranges(http: aiohttp.ClientSession, header: str) -> None:
    async with http.post(STREAM, data=b"hello") as response:
        sha = (await response.json())["data"]["sha256"]
    async with http.get(f"{STREAM}/{sha}", headers={"Range": header}) as response:
        assert await error_of(response) in (400, 416)


async def test_bodies_over_their_limit(tmp_path: Path, log: dict[str, str]) -> None:
    async with serving(tmp_path, **log, post_max_bytes=1_000_000, upload_max_bytes=1_000_000) as http:
        for path in (f"{EVENT}?model=binary", STREAM):
            async with http.post(path, data=io.BytesIO(b"x" * 1_500_000)) as response:
                assert await error_of(response) == 413


async def test_clients_that_leave_in_the_middle(http: aiohttp.ClientSession) -> None:
    port = http._base_url.port  # type: ignore[union-attr]
    for path in (f"{EVENT}?model=binary", EVENT + "/simulate", STREAM, "/api/v1/data"):
        for sent in (b"", b"x", b"x" * 300_000, b"x" * 3_000_000):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".encode() + sent)
            await writer.drain()
            writer.transport.abort()
    async with http.get("/api/v2/event/binary/passive?name=x&timeout=0") as response:
        assert (await response.json())["events"] == []


async def test_many_at_once(http: aiohttp.ClientSession) -> None:
    """A flood of bad requests beside good ones: the good ones are served."""

    async def bad(number: int) -> None:
        body = list(BODIES.values())[number % len(BODIES)]
        async with http.post(f"{EVENT}?model=binary", data=io.BytesIO(body)) as response:
            await error_of(response)

    async def good() -> None:
        async with http.get("/api/v2/event/plugin/passive?name=x&timeout=0") as response:
            assert response.status == 200

    await asyncio.gather(*(bad(number) for number in range(100)), *(good() for _ in range(20)))


@pytest.mark.parametrize("origin", ["../../etc", "a/b", "a\nb\x1b[31m", "x" * 100_000])
async def test_an_insert_with_a_hostile_origin(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    author = {"name": "tester", "version": "1"}
    moment = "2024-05-01T10:00:00Z"
    hashes = {"sha512": "", "sha256": SHA, "sha1": "", "md5": "", "mime": "", "magic": ""}
    entity = {"sha256": SHA, "datastreams": [{"label": "content", "size": 5, **hashes}]}
    node = {"author": author, "action": "extracted", "sha256": SHA, "timestamp": moment}
    head = {"model_version": 6, "kafka_key": "", "timestamp": moment, "author": author}
    history = {**node, "sha256": "b" * 64}
    child = {**entity, "sha256": "b" * 64}
    insert = {"original_source": origin, "parent_sha256": SHA, "child": child, "child_history": history}
    source = {"name": "lab", "path": [node], "timestamp": moment}
    parent = {**head, "source": source, "entity": entity, "action": "extracted", "flags": {}}
    for model, event in (("insert", {**head, "entity": insert}), ("binary", parent)):
        async with http.post(f"{EVENT}?model={model}", json=event) as response:
            assert response.status == 200, await response.text()
    async with http.get("/api/v2/event/binary/passive?name=x&count=2&timeout=5") as response:
        assert len((await response.json())["events"]) == 2
    assert "was not copied" in caplog.text
    assert "Traceback" not in caplog.text
    assert max(len(line) for line in caplog.text.splitlines()) < 1000
