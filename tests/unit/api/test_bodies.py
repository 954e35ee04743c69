"""Senders that are slow, leave, or do not keep to their own framing."""

import asyncio
import io
import json
from contextlib import AsyncExitStack
from mmap import mmap
from typing import Any

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from dispatcher.api.bodies import CROWDED_SMALL, SMALL, Body, BodyReader, Memory
from dispatcher.api.events import HEAVY
from dispatcher.errors import TooLarge

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


async def test_a_crowd_of_bodies_goes_to_disk_and_arrives_all_the_same(start: Any, binary: Any, tmp_path: Any) -> None:
    """More memory than there is for bodies is wanted: everybody is served, and almost nothing is held."""
    api = await start(bodies_memory_bytes=1, spool_dir=tmp_path)
    body = json.dumps([binary()] * 200).encode()
    assert CROWDED_SMALL < len(body) < HEAVY
    async with AsyncExitStack() as stack:
        sent = [await stack.enter_async_context(api.connection()) for _ in range(20)]
        for _, writer in sent:
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
            await writer.drain()
        assert await healthy(api)
        for _, writer in sent:
            writer.write(body[-1:])
        for reader, _ in sent:
            assert b" 200 " in await reader.readline()
    assert len(api.publisher.events) == 20 * 200
    assert list(tmp_path.iterdir()) == []


async def test_what_bodies_hold_is_given_back(tmp_path: Any) -> None:
    memory = Memory(200_000)
    reader = BodyReader(max_bytes=400_000, stall_seconds=5, memory=memory, spool_dir=tmp_path)

    async def read(*pieces: bytes) -> Body:
        protocol = BaseProtocol(asyncio.get_running_loop())
        protocol.connection_made(asyncio.Transport())
        stream = StreamReader(protocol, 2**20, loop=asyncio.get_running_loop())
        reading = asyncio.create_task(reader.read(make_mocked_request("POST", "/", payload=stream)))
        await asyncio.sleep(0)
        for piece in pieces:
            stream.feed_data(piece)
        stream.feed_eof()
        return await reading

    first = await read(b"a" * 150_000)
    assert not memory.full
    second = await read(b"b" * 100_000)
    assert memory.full
    third = await read(b"c" * 100_000)
    assert [len(body) for body in (first, second, third)] == [150_000, 100_000, 100_000]
    assert [type(body.data) for body in (first, second, third)] == [bytes, bytes, mmap]
    with pytest.raises(TooLarge):
        await read(b"d" * 390_000, b"d" * 20_000)
    first.close()
    first.close()
    assert not memory.full
    second.close()
    third.close()
    memory.hold(199_999)
    assert not memory.full
    memory.hold(1)
    assert memory.full
