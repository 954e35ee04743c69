"""The stream endpoints over real HTTP, on a real folder, with real worker processes.

This room knows no log, so these tests run once; `test_files_http.py` has the whole server, on each log."""

import asyncio
import hashlib
import io
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from dispatcher.api.middleware import error_middleware
from dispatcher.api.streams import stream_routes
from dispatcher.hooks.types import Upload, WorkerEnricher
from dispatcher.metrics import Metrics
from dispatcher.streams.identify import builtin_enrichers
from dispatcher.streams.service import Streams
from dispatcher.streams.store import open_local
from dispatcher.streams.workers import WorkerPool

BODY = Path(os.__file__).read_bytes()
SHA = hashlib.sha256(BODY).hexdigest()
EXECUTABLE = Path(sys.executable).read_bytes()
BIG = (EXECUTABLE * (1 + 10_000_000 // len(EXECUTABLE)))[: 9 * 1024 * 1024 + 17]
BIG_SHA = hashlib.sha256(BIG).hexdigest()
OTHER_SHA = hashlib.sha256(b"other").hexdigest()
FUNCTIONS = Path(__file__).parents[1] / "unit" / "streams" / "functions"


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    worker_enrichers: Sequence[WorkerEnricher] | None = None,
    upload_enrichers=(),
    allow_delete: bool = True,
    max_upload_bytes: int | None = None,
    idle_seconds: float = 60.0,
) -> AsyncIterator[SimpleNamespace]:
    """A server on port 0, a client, the metrics, and `left()`: files of uploads that wait on disk."""
    metrics = Metrics()
    store = await open_local(f"file://{folder}/objects")
    enrichers = builtin_enrichers() if worker_enrichers is None else worker_enrichers
    async with (
        WorkerPool(1) as pool,
        Streams(
            store,
            pool=pool,
            worker_enrichers=enrichers,
            upload_enrichers=upload_enrichers,
            spool_dir=folder / "spool",
            metrics=metrics,
        ) as streams,
    ):
        app = web.Application(
            middlewares=[error_middleware],
            handler_args={"handler_cancellation": True, "auto_decompress": False},
        )
        app.add_routes(
            stream_routes(
                streams, allow_delete=allow_delete, max_upload_bytes=max_upload_bytes, idle_seconds=idle_seconds
            )
        )
        async with (
            TestServer(app) as server,
            aiohttp.ClientSession(server.make_url("/"), auto_decompress=False) as web_,
        ):
            yield SimpleNamespace(
                http=web_,
                port=server.port,
                metrics=metrics,
                objects=folder / "objects",
                left=lambda: [
                    path for path in (folder / "spool").rglob("*") if path.is_file() and path.name != ".lock"
                ],
            )
    await store.close()


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path) as it:
        yield it


@pytest.fixture
async def bare(tmp_path):
    """Without enrichers: no worker process is started."""
    async with serving(tmp_path, worker_enrichers=()) as it:
        yield it


async def error(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """Status and title; checks the contract's shape of an error."""
    answer = await response.json()
    assert response.content_type == "application/json"
    assert answer["status"] == str(response.status)
    assert answer["error_enum"] == "ErrorStringEnumUnset"
    return response.status, answer["title"]


async def put(server, body: bytes = BODY, where: str = "web/content", **query: str) -> aiohttp.ClientResponse:
    return await server.http.post(f"/api/v3/stream/{where}", data=io.BytesIO(body), params=query)


async def test_an_upload_is_described(server):
    response = await put(server)
    assert response.status == 200
    data = (await response.json())["data"]
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        assert data[algorithm] == hashlib.new(algorithm, BODY).hexdigest()
    assert (data["size"], data["label"], data["identify_version"]) == (len(BODY), "content", 2)
    assert (data["file_format"], data["file_extension"]) == ("code/python", "py")
    assert data["mime"].startswith("text/")
    assert data["magic"].startswith("Python script")
    assert data["ssdeep"]
    stored = server.objects / "web" / "content" / SHA[0] / SHA[1] / SHA
    assert stored.read_bytes() == BODY
    assert server.left() == []
    assert server.metrics.registry.get_sample_value("dispatcher_data_upload_requests_total") == 1
    assert server.metrics.registry.get_sample_value("dispatcher_data_uploaded_bytes_total") == len(BODY)


async def test_a_large_upload_is_described_by_several_workers_alike(server):
    data = (await (await put(server, BIG)).json())["data"]
    assert data["sha256"] == BIG_SHA
    assert data["file_format"].startswith("executable/")
    assert data["ssdeep"]


@pytest.mark.parametrize(
    ("label", "answered"), [("safe_png", "safe_png"), ("content", "content"), ("my-own", "content")]
)
async def test_the_label_of_the_reply(bare, label, answered):
    data = (await (await put(bare, where=f"web/{label}")).json())["data"]
    assert data["label"] == answered
    assert (await bare.http.head(f"/api/v3/stream/web/{label}/{SHA}")).status == 200


@pytest.mark.parametrize("sent", [SHA, SHA.upper()])
async def test_skip_identify_gives_size_and_sha256_alone(server, sent):
    response = await put(server, **{"skip-identify": "true", "expected-sha256": sent})
    data = (await response.json())["data"]
    assert {name: value for name, value in data.items() if value} == {
        "label": "content",
        "size": len(BODY),
        "sha256": SHA,
    }
    assert None not in data.values()


@pytest.mark.parametrize(
    ("body", "query", "title"),
    [
        (b"", {}, "no content in request body"),
        (BODY, {"skip-identify": "true"}, "must supply sha256 when skipping identify"),
        (BODY, {"skip-identify": "yes"}, "bad param skip identify"),
        (BODY, {"expected-sha256": OTHER_SHA}, "sha256 mismatch"),
        (BODY, {"expected-sha256": "x" * 5000}, "sha256 mismatch"),
    ],
)
async def test_uploads_that_are_refused_store_nothing(bare, body, query, title):
    assert await error(await put(bare, body, **query)) == (400, title)
    assert bare.left() == []
    assert not any(path.is_file() for path in bare.objects.rglob("*"))


async def test_a_form_is_stored_as_it_came(bare):
    """curl -d says that it sends a form."""
    response = await bare.http.post(
        "/api/v1/data", data=b"a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    sha256 = (await response.json())["data"]["sha256"]
    assert sha256 == hashlib.sha256(b"a=1&b=2").hexdigest()
    assert (bare.objects / sha256[0] / sha256[1] / sha256).read_bytes() == b"a=1&b=2"


async def test_a_body_that_says_it_is_compressed_is_stored_as_it_came(bare):
    response = await bare.http.post(
        "/api/v3/stream/web/content", data=b"not gzip", headers={"Content-Encoding": "gzip"}
    )
    assert (await response.json())["data"]["sha256"] == hashlib.sha256(b"not gzip").hexdigest()


async def test_many_uploads_of_the_same_bytes_at_once(server):
    answers = await asyncio.gather(*(put(server) for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert [path.name for path in server.objects.rglob("*") if path.is_file()] == [SHA]
    assert server.left() == []


@pytest.mark.parametrize("body", [BODY, BIG], ids=["small", "big"])
async def test_a_download_whole(bare, body):
    sha256 = hashlib.sha256(body).hexdigest()
    await put(bare, body)
    response = await bare.http.get(f"/api/v3/stream/web/content/{sha256.upper()}")
    assert response.status == 200
    assert await response.read() == body
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Length"] == str(len(body))
    assert "Content-Range" not in response.headers
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, len(BIG)),
        ("bytes=0-1048575", 0, 1 << 20),
        ("bytes=0-1048576", 0, (1 << 20) + 1),
        ("bytes=-1048576", len(BIG) - (1 << 20), len(BIG)),
        ("bytes=7-7", 7, 8),
        ("bytes=2000000-9999999999999999999999", 2_000_000, len(BIG)),
        ("bytes=-99999999999", 0, len(BIG)),
        ("bytes=-0", 0, len(BIG)),
        (f"bytes={len(BIG) - 1}-", len(BIG) - 1, len(BIG)),
    ],
)
async def test_a_range(bare, asked, start, end):
    await put(bare, BIG)
    response = await bare.http.get(f"/api/v3/stream/web/content/{BIG_SHA}", headers={"Range": asked})
    assert response.status == 206
    assert await response.read() == BIG[start:end]
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(BIG)}"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert "Accept-Ranges" not in response.headers


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes",
        "",
        "bytes=--5",
        "bytes=1_0-",
        "bytes=" + "9" * 5000 + "-",
    ],
)
async def test_a_range_that_is_none(bare, asked):
    await put(bare)
    response = await bare.http.get(f"/api/v3/stream/web/content/{SHA}", headers={"Range": asked})
    assert await error(response) == (400, "invalid range provided")


@pytest.mark.parametrize(
    "asked", [f"bytes={len(BODY)}-", f"bytes={len(BODY) + 5}-{len(BODY) + 9}", "bytes=99999999999999999999-"]
)
async def test_a_range_past_the_end_as_unmodified_runners_know_it(bare, asked):
    await put(bare)
    response = await bare.http.get(f"/api/v3/stream/web/content/{SHA}", headers={"Range": asked})
    assert response.status == 416
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Range"] == f"bytes */{len(BODY)}"
    assert await response.read() == b""


async def test_head_tells_existence_and_length(bare):
    await put(bare)
    response = await bare.http.head(f"/api/v3/stream/web/content/{SHA}")
    assert response.status == 200
    assert response.headers["Content-Length"] == str(len(BODY))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert await response.read() == b""
    assert (await bare.http.head(f"/api/v3/stream/web/content/{OTHER_SHA}")).status == 404


async def test_what_is_not_there(bare):
    path = f"/api/v3/stream/web/content/{OTHER_SHA}"
    assert await error(await bare.http.get(path)) == (404, "not found")
    assert await error(await bare.http.delete(path)) == (404, "not found")
    assert await error(await bare.http.patch(f"/api/v3/stream/web/mail/content/{OTHER_SHA}")) == (404, "not found")


async def test_objects_of_the_root_are_found_under_any_source(bare):
    await bare.http.post("/api/v1/data", data=BODY)
    path = f"/api/v3/stream/web/content/{SHA}"
    assert (await bare.http.head(path)).headers["Content-Length"] == str(len(BODY))
    assert await (await bare.http.get(path)).read() == BODY
    assert (await bare.http.patch(f"/api/v3/stream/web/mail/content/{SHA}")).status == 200
    assert (bare.objects / "mail" / "content" / SHA[0] / SHA[1] / SHA).read_bytes() == BODY
    assert await (await bare.http.delete(path)).json() == {"deleted": True}
    assert (await bare.http.head(path)).status == 404


async def test_a_copy(bare):
    await put(bare)
    response = await bare.http.patch(f"/api/v3/stream/web/mail/content/{SHA}")
    assert (response.status, await response.read()) == (200, b"")
    assert (await bare.http.delete(f"/api/v3/stream/web/content/{SHA}")).status == 200
    assert await (await bare.http.get(f"/api/v3/stream/mail/content/{SHA}")).read() == BODY


async def test_delete_only_what_is_old_enough(bare):
    await put(bare)
    path = f"/api/v3/stream/web/content/{SHA}"
    response = await bare.http.delete(path, params={"ifOlderThan": str(int(time.time()) - 100)})
    assert (response.status, await response.json()) == (200, {"deleted": False})
    assert await error(await bare.http.delete(path, params={"ifOlderThan": "soon"})) == (400, "ifOlderThan error")
    assert await error(await bare.http.delete(path, params={"ifOlderThan": "9" * 5000})) == (400, "ifOlderThan error")
    response = await bare.http.delete(path, params={"ifOlderThan": str(int(time.time()) + 100)})
    assert await response.json() == {"deleted": True}
    assert await error(await bare.http.get(path)) == (404, "not found")


async def test_an_upload_after_a_clean_up_began_survives_it(bare):
    """The bytes were there before: what counts is when they were last sent."""
    await put(bare)
    stored = bare.objects / "web" / "content" / SHA[0] / SHA[1] / SHA
    os.utime(stored, (1, 1))
    began = int(time.time())
    await put(bare)
    response = await bare.http.delete(f"/api/v3/stream/web/content/{SHA}", params={"ifOlderThan": str(began)})
    assert await response.json() == {"deleted": False}


async def test_deletes_are_off(tmp_path):
    async with serving(tmp_path, worker_enrichers=(), allow_delete=False) as bare:
        await put(bare)
        path = f"/api/v3/stream/web/content/{SHA}"
        assert await error(await bare.http.delete(path)) == (404, "not found")
        assert (await bare.http.head(path)).status == 200


BAD_SEGMENTS = ["..", "%2e%2e", "a%2fb", "a%5cb", "a%00b", "a%0d%0ab", "w" * 129, "%c3%a4", "a%20b", "a%25"]


@pytest.mark.parametrize("bad", BAD_SEGMENTS)
async def test_paths_that_are_no_address(bare, bad):
    base = f"http://127.0.0.1:{bare.port}/api/v3/stream"
    for method, path, status in [
        ("GET", f"{bad}/content/{SHA}", 404),
        ("HEAD", f"web/{bad}/{SHA}", 404),
        ("GET", f"web/content/{bad}", 404),
        ("POST", f"{bad}/content", 400),
        ("POST", f"web/{bad}", 400),
        ("PATCH", f"web/{bad}/content/{SHA}", 400),
        ("DELETE", f"{bad}/content/{SHA}", 400),
    ]:
        response = await bare.http.request(method, URL(f"{base}/{path}", encoded=True), data=b"x" * (method == "POST"))
        expected = {status, 404} if bad in ("..", "%2e%2e") else {status}  # a client may resolve dots itself
        assert response.status in expected, (method, path)
    assert not any(path.is_file() for path in bare.objects.parent.rglob("*") if path.name != ".lock")


async def test_an_upload_over_the_bound(tmp_path):
    async with serving(tmp_path, worker_enrichers=(), max_upload_bytes=1000) as bare:
        assert (await put(bare, b"x" * 1000)).status == 200
        assert (await error(await put(bare, b"x" * 1001)))[0] == 413

        async def chunked():
            for _ in range(11):
                yield b"x" * 100

        response = await bare.http.post("/api/v3/stream/web/content", data=chunked())
        assert (await error(response))[0] == 413
        assert bare.left() == []


async def test_chunked_uploads(bare):
    async def chunked():
        for start in range(0, len(BIG), 77_777):
            yield BIG[start : start + 77_777]

    response = await bare.http.post("/api/v3/stream/web/content", data=chunked())
    assert (await response.json())["data"]["sha256"] == BIG_SHA


async def until(condition) -> None:
    """Wait for something that the server does after the client has gone; pytest's timeout is the bound."""
    while not condition():
        await asyncio.to_thread(time.sleep, 0.005)


@pytest.mark.parametrize("sent", [10, 2_000_000])
async def test_a_sender_that_goes_away_leaves_nothing(bare, sent):
    _, writer = await asyncio.open_connection("127.0.0.1", bare.port)
    writer.write(b"POST /api/v3/stream/web/content HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
    writer.write(b"x" * sent)
    await writer.drain()
    if sent > 1 << 20:
        await until(lambda: bare.left())
    writer.transport.abort()
    await until(lambda: not bare.left())
    assert not any(path.is_file() for path in bare.objects.rglob("*"))
    assert (await put(bare)).status == 200


async def test_a_silent_sender_is_given_up(tmp_path):
    async with serving(tmp_path, worker_enrichers=(), idle_seconds=0.2) as bare:
        reader, writer = await asyncio.open_connection("127.0.0.1", bare.port)
        writer.write(b"POST /api/v3/stream/web/content HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nabc")
        assert b" 408 " in await reader.readline()
        writer.close()
        assert bare.left() == []


@pytest.mark.parametrize("body", [b"5\r\nhelloX", b"zz\r\n", b"5\r\nhello\r\nFFFFFFFFFFFFFFFFFF\r\n"])
async def test_a_chunked_body_that_is_nonsense(bare, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", bare.port)
    writer.write(b"POST /api/v3/stream/web/content HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert b" 400 " in await reader.readline()
    writer.close()
    assert bare.left() == []
    assert not any(path.is_file() for path in bare.objects.rglob("*"))


async def test_a_failing_store_is_a_5xx_and_leaves_nothing(bare):
    (bare.objects / "web").write_text("a file where a folder should be")
    assert await error(await put(bare)) == (500, "store error in PutData")
    assert bare.left() == []
    assert await error(await bare.http.get(f"/api/v3/stream/web/content/{SHA}")) == (500, "store error in GetData")


def hostile(function: str, timeout: float = 10.0) -> WorkerEnricher:
    return WorkerEnricher(function, f"hostile_enrichers:{function}", timeout=timeout)


@pytest.mark.parametrize(
    ("culprit", "seconds", "cause"),
    [
        ("aborts", 10.0, "crash"),
        ("segfaults", 10.0, "crash"),
        ("hangs", 0.3, "timeout"),
        ("spins", 0.3, "timeout"),
        ("hogs", 10.0, "memory"),
        ("changes_hash", 10.0, "garbage"),
        ("speaks_out_of_turn", 10.0, "garbage"),
    ],
)
async def test_an_enricher_of_a_hook_package_that_fails(tmp_path, monkeypatch, culprit, seconds, cause):
    """The upload is answered without its fields, the failure is counted, and the next upload is fine."""
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    enrichers = [*builtin_enrichers(), hostile(culprit, seconds), hostile("good")]
    async with serving(tmp_path, worker_enrichers=enrichers) as server:
        for _ in range(2):
            data = (await (await put(server)).json())["data"]
            assert data["sha256"] == SHA
            assert data["file_format"] == "code/python"
            assert data["language"] == f"{len(BODY)} bytes"
        labels = {"parser": culprit, "cause": cause}
        assert server.metrics.registry.get_sample_value("dispatcher_parser_failures_total", labels) == 2
        assert (await server.http.get(f"/api/v3/stream/web/content/{SHA}")).status == 200
        assert server.left() == []


class Tag:
    name = "tag"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []

    async def enrich(self, upload: Upload) -> None:
        self.seen.append((upload.source, upload.label, upload.path.read_bytes()))
        upload.data.language = "tagged"


class Broken:
    name = "broken"

    async def enrich(self, upload: Upload) -> None:
        upload.data.language = "half done"
        raise RuntimeError("no")


class Wrong:
    name = "wrong"

    async def enrich(self, upload: Upload) -> None:
        upload.data.mime = None  # type: ignore[assignment]


async def test_upload_enrichers_add_and_those_that_fail_cost_their_addition(tmp_path):
    tag = Tag()
    async with serving(tmp_path, worker_enrichers=(), upload_enrichers=[tag, Broken(), Wrong()]) as server:
        data = (await (await put(server)).json())["data"]
        assert data["language"] == "tagged"
        assert data["mime"] == ""
        assert tag.seen == [("web", "content", BODY)]
        for name in ("broken", "wrong"):
            labels = {"pipeline": name}
            errors = server.metrics.registry.get_sample_value("dispatcher_events_produce_pipelines_error_total", labels)
            assert errors == 1


async def test_unknown_files_are_counted_with_bounded_labels(server):
    body = b"\xfe\xed\x00\x01" + hashlib.sha512(b"seed").digest() * 40
    assert (await (await put(server, body)).json())["data"]["file_format"] == "unknown"
    labels = {"mime": "application/octet-stream", "magic": "data"}
    assert server.metrics.registry.get_sample_value("dispatcher_identify_fail_total", labels) == 1


async def test_an_upload_that_has_arrived_is_finished_though_its_sender_left(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    async with serving(tmp_path, worker_enrichers=[hostile("hangs", 1.0)]) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /api/v3/stream/web/content HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        stored = server.objects / "web" / "content" / "2" / "c" / hashlib.sha256(b"hello").hexdigest()
        await until(stored.exists)
        writer.transport.abort()
        await until(lambda: not server.left())
        assert stored.read_bytes() == b"hello"
        labels = {"parser": "hangs", "cause": "timeout"}
        assert server.metrics.registry.get_sample_value("dispatcher_parser_failures_total", labels) == 1
