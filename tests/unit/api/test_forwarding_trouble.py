"""Forwarded polls when something goes wrong on the way: nobody waits for ever, and no event is lost."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.api.pairs import Pair, served_by, server

PASSIVE = "/api/v2/event/binary/passive?r-live=true&name=plug&version=1"
ACTIVE = "/api/v2/event/binary/active?r-live=true&name=plug&version=1"
JSON = {"Accept": "application/json"}
NOBODY = {"info": {"filtered": 0, "fetched": 0, "ready": False, "paused": False}, "events": []}
NAME = "ab" * 16
FORWARDED = {"X-Dispatcher-Forwarded": "1", "X-Dispatcher-Batch": NAME, **JSON}
ONE_EVENT = (
    b"HTTP/1.1 200 OK\r\nX-Dispatcher-Forwarded: 1\r\nX-Dispatcher-Batch: x\r\n"
    b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":1}'
)


async def nobody_is_ready(api: Any, query: str = "&deadline=0") -> None:
    async with asyncio.timeout(10), api.http.get(PASSIVE + query, headers=JSON) as response:
        assert (response.status, await response.json()) == (200, NOBODY)


# ---- the owner


async def test_an_owner_that_is_dead(pair: Pair, unused: str) -> None:
    pair.front.peers.known = served_by(unused)
    began = asyncio.get_running_loop().time()
    await nobody_is_ready(pair.front, "&deadline=2")
    assert 1.9 < asyncio.get_running_loop().time() - began < 5, "a client of the original waits 5 s more"
    assert 'forwarded_requests_total{outcome="unreachable"}' in pair.front.metrics.render().decode()


async def test_an_owner_that_hangs(start: Callable[..., Any]) -> None:
    """It takes the request and never answers."""
    told: list[bytes] = []

    async def answer(head: bytes) -> bytes:
        told.append(head)
        if head.startswith(b"GET"):
            await asyncio.Event().wait()
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    async with server(answer) as url:
        front = (await start(grace_seconds=0.1, late_seconds=0.2)).front_of(url)
        await nobody_is_ready(front)
        await front.stop()
    assert any(head.startswith(b"POST") and b"/returned " in head for head in told)


async def test_a_stranger_at_the_address_of_an_owner_that_died(start: Callable[..., Any]) -> None:
    """Its answers are not ours to give: plugins would take them for the dispatcher's."""
    for status in (b"200 OK", b"404 Not Found", b"502 Bad Gateway"):

        async def answer(_: bytes, status: bytes = status) -> bytes:
            return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status

        async with server(answer) as url:
            await nobody_is_ready((await start(grace_seconds=0.1)).front_of(url))


async def test_the_slot_moves_while_the_owner_waits_for_events(pair: Pair, start: Callable[..., Any]) -> None:
    """Nothing was handed out: the next owner is asked, for the rest of the time."""
    third = await start()
    third.delivery.waiting = [b'{"n":1}']
    pair.owner.delivery.hold = asyncio.Event()
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=20", headers=JSON))
    await pair.owner.delivery.polled.wait()
    pair.front.peers.known = served_by(third.url)
    pair.owner.delivery.elsewhere = True
    pair.owner.delivery.hold.set()
    async with asyncio.timeout(10), await poll as response:
        assert (await response.json())["events"] == [{"n": 1}]
    (_, how) = third.delivery.polls[0]
    assert how["deadline"] < 20
    assert not pair.owner.delivery.batches


async def test_the_slot_leaves_us_while_we_wait_for_events(pair: Pair) -> None:
    pair.front.delivery.elsewhere = False
    pair.front.delivery.hold = asyncio.Event()
    pair.owner.delivery.waiting = [b'{"n":1}']
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=20", headers=JSON))
    await pair.front.delivery.polled.wait()
    pair.front.delivery.elsewhere = True
    pair.front.delivery.hold.set()
    async with asyncio.timeout(10), await poll as response:
        assert (await response.json())["events"] == [{"n": 1}]
    assert await pair.fate() == "delivered"


# ---- the one that forwards


async def test_what_became_of_a_reply_is_told_until_it_is_heard(start: Callable[..., Any]) -> None:
    """The first attempt breaks off; stopping waits for the next one."""
    told: list[bytes] = []

    async def answer(head: bytes) -> bytes:
        if head.startswith(b"GET"):
            return ONE_EVENT
        told.append(head.split(b" ")[1])
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if len(told) > 1 else b""

    async with server(answer) as url:
        front = (await start()).front_of(url)
        async with front.http.get(PASSIVE, headers=JSON) as response:
            assert await response.read() == b'{"n":1}'
        await front.stop()
    assert len(told) == 2
    assert told[0] == told[1]
    assert told[0].startswith(b"/api/v2/forwarded/")
    assert told[0].endswith(b"/delivered")


async def test_who_stops_lets_its_clients_go(pair: Pair) -> None:
    """They would wait at the owner until they are cut off."""
    pair.owner.delivery.hold = asyncio.Event()
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=60", headers=JSON))
    await pair.owner.delivery.polled.wait()
    stopping = asyncio.create_task(pair.front.stop())
    async with asyncio.timeout(5), await poll as response:
        assert (response.status, await response.json()) == (200, NOBODY)
    async with asyncio.timeout(5):
        await pair.owner.delivery.cancelled.wait()
        await stopping


async def test_a_word_that_overtakes_the_reply(pair: Pair) -> None:
    """The one that asked gives up just when there are events: they are free at once, not after the holding time."""
    owner = pair.owner
    owner.delivery.hold = asyncio.Event()
    owner.delivery.waiting = [b'{"n":1}']
    async with owner.connection() as (reader, writer):
        head = "".join(f"{name}: {value}\r\n" for name, value in FORWARDED.items())
        writer.write(f"GET {PASSIVE} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        await owner.delivery.polled.wait()
        async with owner.http.post(f"/api/v2/forwarded/{NAME}/returned") as response:
            assert response.status == 200
        owner.delivery.hold.set()
        assert await pair.fate() == "given back"
        assert b'"n":1' not in await reader.read(65536)


async def test_each_word_counts_once(start: Callable[..., Any]) -> None:
    owner = await start()
    owner.delivery.waiting = [b'{"n":1}']
    async with owner.http.get(PASSIVE, headers=FORWARDED) as response:
        await response.read()
    for fate, status in (("delivered", 200), ("delivered", 404), ("returned", 404)):
        async with owner.http.post(f"/api/v2/forwarded/{NAME}/{fate}") as response:
            assert response.status == status
    assert owner.delivery.batches[0].fate == "delivered"


async def test_a_job_that_comes_back_is_given_back(start: Callable[..., Any]) -> None:
    owner = await start()
    owner.delivery.waiting = [b'{"n":1}']
    async with owner.http.get(ACTIVE, headers=FORWARDED) as response:
        await response.read()
    async with owner.http.post(f"/api/v2/forwarded/{NAME}/returned") as response:
        assert response.status == 200
    assert owner.delivery.batches[0].fate == "given back"


# ---- the client


async def test_a_slow_client_gets_a_large_reply(start: Callable[..., Any]) -> None:
    """It takes longer in all than `send_timeout`, but never so long for a piece."""
    pair = Pair(await start(send_buffer=4096, send_timeout=1.0), await start())
    pair.owner.delivery.waiting = [b'"%b"' % (b"x" * 1_000_000)] * 4
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", pair.front.port))
        await loop.sock_sendall(client, f"GET {PASSIVE}&count=4 HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        began, taken = loop.time(), 0
        while data := await loop.sock_recv(client, 65536):
            taken += len(data)
            await asyncio.sleep(len(data) / 3_000_000)  # the pace of this client
    assert loop.time() - began > 1.2
    assert taken > 4_000_000
    assert await pair.fate() == "delivered"


async def test_a_client_that_takes_nothing(start: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Its events go to others, and nothing alarms who reads the log."""
    pair = Pair(await start(send_buffer=4096, send_timeout=0.1), await start())
    pair.owner.delivery.waiting = [b'"%b"' % (b"x" * 8_000_000)]
    async with pair.front.connection() as (_, writer):
        writer.write(f"GET {PASSIVE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await pair.fate() == "given back"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
