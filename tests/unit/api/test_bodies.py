"""Senders that are slow, leave, or do not keep to their own framing."""

import io
from typing import Any

import pytest

from dispatcher.api.bodies import SMALL

HEAD = b"POST /api/v2/event?model=binary HTTP/1.1\r\nHost: x\r\n"


async def healthy(api: Any) -> bool:
    async with api.http.get("/") as response:
        return bool(response.status == 200)


@pytest.mark.parametrize("sent", [b"", b"[{", b"x" * (SMALL + 1)])
async def test_a_sender_that_stops_is_408(start: Any, sent: bytes) -> None:
    api = await start(body_timeout=0.1)
    async with api.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 5000000\r\n\r\n" + sent)
        answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"title":"request timeout"' in answer
    assert api.publisher.calls == []


async def test_a_body_that_will_be_too_large_is_refused_before_it_is_sent(start: Any) -> None:
    api = await start(post_max_bytes=1000)
    async with api.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 1001\r\n\r\n")
        assert b" 413 " in await reader.readline()


async def test_a_slow_but_steady_sender_is_served(start: Any) -> None:
    api = await start(body_timeout=0.5)
    async with api.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 6\r\n\r\n")
        for _ in range(6):
            assert await healthy(api)
            writer.write(b" ")
        assert b" 422 " in await reader.readline()


@pytest.mark.parametrize("sent", [0, 10, SMALL + 1])
async def test_an_aborted_post_publishes_nothing(api: Any, sent: int, tmp_path: Any) -> None:
    async with api.connection() as (_, writer):
        writer.write(HEAD + b"Content-Length: 5000000\r\n\r\n" + b"[" * sent)
        await writer.drain()
        writer.transport.abort()
    assert await healthy(api)
    assert api.publisher.calls == []


BROKEN = [b"zz\r\nabc\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n"]


@pytest.mark.parametrize("framing", BROKEN)
async def test_broken_chunks_are_400(api: Any, framing: bytes) -> None:
    async with api.connection() as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framing)
        assert b" 400 " in await reader.readline()
    assert await healthy(api)
    assert api.publisher.calls == []


@pytest.mark.parametrize("framing", BROKEN)
async def test_chunks_that_break_later_end_in_a_4xx_too(start: Any, framing: bytes) -> None:
    """aiohttp's parser does not tell a reader that waits, so it is the body's timeout that ends it."""
    api = await start(body_timeout=0.1)
    async with api.connection() as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[{\r\n")
        assert await healthy(api)  # by now the request is being read
        writer.write(framing)
        assert (await reader.readline()).split(b" ")[1] in (b"400", b"408")
    assert api.publisher.calls == []


async def test_compressed_bodies_are_not_unpacked(api: Any) -> None:
    async with api.http.post(
        "/api/v2/event?model=binary", data=b"\x1f\x8b\x08\x00" + b"\x00" * 50, headers={"Content-Encoding": "gzip"}
    ) as response:
        assert (await api.error(response))[0] == 422


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"entity":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 99_999 + b"1" + b"}" * 99_999,
    ],
)
@pytest.mark.parametrize("path", ["/api/v2/event?model=binary", "/api/v2/event", "/api/v2/event/simulate"])
async def test_deep_nesting(api: Any, path: str, body: bytes) -> None:
    async with api.http.post(path, data=body) as response:
        assert (await api.error(response))[0] == 422
    assert await healthy(api)


async def test_deep_nesting_in_a_large_body(api: Any) -> None:
    for body in (b"[" + b"[" * SMALL, b"[{}," + b'{"a":' * SMALL):
        async with api.http.post("/api/v2/event?model=binary", data=io.BytesIO(body)) as response:
            assert (await api.error(response))[0] in (413, 422)
    assert await healthy(api)
