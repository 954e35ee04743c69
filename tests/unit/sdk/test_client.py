"""The client against a real server: what it sends, what it believes, what it tries again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from dispatcher_sdk import DefinitionError
from dispatcher_sdk.client import DispatcherClient
from dispatcher_sdk.errors import BadReply, Refused, Unavailable
from dispatcher_sdk.multipart import parts
from dispatcher_sdk.results import bare_status
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
async def client(hub: Any) -> AsyncIterator[DispatcherClient]:
    async with DispatcherClient(hub.url, user="tester 1") as client:
        yield client


async def test_an_event_arrives_whole_and_its_status_goes_back(hub: Any, client: DispatcherClient) -> None:
    sha256 = hub.submit(b"data")
    fetched = await client.fetch("tester", "1", [("r-live", "true")], lease=33)
    (event,) = fetched.events
    assert (event.entity.sha256, event.source.name, fetched.info.fetched) == (sha256, "test", 1)
    assert event.dequeued in hub.leased
    assert dict(hub.polls[0])["lease"] == "33"
    reply = await client.post_statuses([bare_status(event, event.author, "completed-empty")])
    assert (reply.total_ok, reply.failures, hub.leased) == (1, [], {})


async def test_an_event_that_cannot_be_read_does_not_hide_the_others(hub: Any, client: DispatcherClient) -> None:
    hub.submit(b"bad")
    hub.waiting[0]["timestamp"] = "yesterday"
    hub.submit(b"good")
    fetched = await client.fetch("tester", "1", [], count=2)
    assert len(fetched.events) == 1


async def test_files_go_up_and_come_down_unchanged(hub: Any, client: DispatcherClient, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5_000
    stored = await client.upload("test", "content", lambda: BytesIO(data))
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert await client.exists("test", "content", stored.sha256)
    assert not await client.exists("test", "text", stored.sha256)
    target = tmp_path / "down"
    assert await client.download("test", "content", stored.sha256, target, most=len(data)) == len(data)
    assert target.read_bytes() == data
    assert await client.download_range("test", "content", stored.sha256, 10, 5) == data[10:15]
    assert await client.download_range("test", "content", stored.sha256, len(data), 5) == b""


async def test_a_file_of_another_size_or_hash_is_not_believed(
    hub: Any, client: DispatcherClient, tmp_path: Path
) -> None:
    sha256 = hub.submit(b"data")
    with pytest.raises(BadReply, match="larger than 3"):
        await client.download("test", "content", sha256, tmp_path / "x", most=3)
    hub.stored["test", "content", sha256] = b"else"
    with pytest.raises(BadReply, match="arrived with the hash"):
        await client.download("test", "content", sha256, tmp_path / "x", most=100)


async def test_what_is_transient_is_tried_again_and_what_is_not_is_not(hub: Any, client: DispatcherClient) -> None:
    hub.faults += [("upload", 503, {}), ("upload", 429, {"Retry-After": "0"})]
    assert (await client.upload("test", "content", b"data")).size == 4
    hub.faults += [("upload", 400, {}), ("upload", 500, {})]
    with pytest.raises(Refused, match="400: made to fail, upload") as refused:
        await client.upload("test", "content", b"data")
    assert refused.value.status == 400
    assert len(hub.faults) == 1, "asked once"


async def test_retry_after_is_kept(hub: Any, client: DispatcherClient) -> None:
    hub.faults.append(("upload", 429, {"Retry-After": "1"}))
    started = asyncio.get_running_loop().time()
    await client.upload("test", "content", b"data")
    assert asyncio.get_running_loop().time() - started >= 1.0


async def test_a_server_that_is_away_is_unavailable(hub: Any) -> None:
    await hub.stop()
    async with DispatcherClient(hub.url, attempts=2) as client:
        with pytest.raises(Unavailable):
            await client.fetch("tester", "1", [])


async def test_releasing_names_the_lease(hub: Any, client: DispatcherClient) -> None:
    hub.submit(b"x")
    (event,) = (await client.fetch("tester", "1", [])).events
    await client.release(event.dequeued, after=9)
    assert hub.released == [(event.dequeued, "9")]


async def test_names_cannot_leave_their_place_in_the_path(hub: Any, client: DispatcherClient) -> None:
    await client.upload("../../event?model=plugin", "content", b"x")
    assert [source for source, _, _ in hub.stored] == ["../../event?model=plugin"], (
        "one segment, for the server to judge"
    )


@pytest.mark.parametrize("url", ["localhost:8111", "ftp://host", "", "http://"])
def test_a_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(DefinitionError, match="http://localhost:8111"):
        DispatcherClient(url)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n{}"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="info"\r\n\r\n[]\r\n--b--'),
        ("multipart/form-data", b""),
    ],
)
async def test_replies_that_are_none_are_bad_replies(content_type: str, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with served(answer) as url, DispatcherClient(url) as client:
        with pytest.raises(BadReply):
            await client.fetch("tester", "1", [])


async def test_replies_are_bounded() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        try:
            while True:
                await reply.write(bytes(1 << 20))
        except ConnectionError:
            return reply

    async with served(flood) as url, DispatcherClient(url) as client:
        with pytest.raises(BadReply, match="larger than"):
            await client.post_statuses([])


@given(st.dictionaries(st.sampled_from(["info", "events"]), st.binary(max_size=60)))
def test_parts_come_out_as_they_went_in(bodies: dict[str, bytes]) -> None:
    boundary = b"x" * 60
    raw = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="f"\r\n\r\n%b\r\n'
        % (boundary, name.encode(), body)
        for name, body in bodies.items()
    )
    whole = raw + b"--" + boundary + b"--\r\n"
    assert parts(whole, f"multipart/form-data; boundary={boundary.decode()}") == bodies


@given(st.binary(max_size=200), st.text(max_size=60))
def test_any_reply_is_parts_or_a_bad_reply(body: bytes, content_type: str) -> None:
    for kind in (content_type, "multipart/form-data; boundary=a", f"multipart/form-data; boundary={content_type}"):
        try:
            found = parts(body, kind)
        except BadReply:
            continue
        assert all(isinstance(value, bytes) for value in found.values())


class served:
    """A server with one answer to everything."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()
