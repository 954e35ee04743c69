"""Two dispatchers, one of which serves all subscribers: who asks the other one notices nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from dispatcher_sdk.models import SimulatedConsumer
from yarl import URL

from tests.unit.api.pairs import Pair, served_by, server

PASSIVE = "/api/v2/event/binary/passive?r-live=true&name=plug&version=1"
ACTIVE = "/api/v2/event/binary/active?r-live=true&name=plug&version=1"
JSON = {"Accept": "application/json"}
NOBODY = {"info": {"filtered": 0, "fetched": 0, "ready": False, "paused": False}, "events": []}


@pytest.mark.parametrize("query", ["", "&avro-format=true"])
@pytest.mark.parametrize("headers", [{}, JSON, {"Accept": "multipart/form-data"}])
async def test_the_reply_is_the_owners_own(
    pair: Pair, query: str, headers: dict[str, str], binary: Callable[..., dict[str, Any]]
) -> None:
    async def ask(api: Any) -> tuple[int, str, bytes]:
        pair.owner.delivery.waiting = [encoded(binary())]
        async with api.http.get(PASSIVE + query, headers=headers) as response:
            assert not [name for name in response.headers if name.startswith("X-Dispatcher")]
            kind, body = response.headers["Content-Type"], await response.read()
        boundary = kind.partition("boundary=")[2]
        if boundary:
            assert boundary.encode() in body
            kind, body = kind.replace(boundary, ""), body.replace(boundary.encode(), b"")
        return response.status, kind, body

    assert await ask(pair.front) == await ask(pair.owner)


async def test_a_delivered_batch_is_delivered_at_the_owner(pair: Pair) -> None:
    pair.owner.delivery.waiting = [b'{"n":1}']
    async with pair.front.http.get(PASSIVE, headers=JSON) as response:
        assert (await response.json())["events"] == [{"n": 1}]
    assert await pair.fate() == "delivered"


async def test_an_empty_reply_needs_no_word(pair: Pair) -> None:
    async with pair.front.http.get(PASSIVE, headers=JSON) as response:
        assert (await response.json())["info"]["ready"] is True
    assert pair.batch.fate == "delivered"
    assert 'forwarded_requests_total{outcome="answered"} 1.0' in pair.front.metrics.render().decode()


async def test_the_owner_waits_no_longer_than_the_client(pair: Pair) -> None:
    async with pair.front.http.get(PASSIVE + "&deadline=7", headers=JSON):
        pass
    (_, how) = pair.owner.delivery.polls[0]
    assert 6 < how["deadline"] <= 7


async def test_a_refusal_of_the_owner_is_the_answer(pair: Pair) -> None:
    pair.owner.delivery.broken = True
    async with pair.front.http.get(PASSIVE, headers=JSON) as response:
        assert (await pair.front.error(response))[0] == 500


async def test_a_client_that_goes_away_ends_the_poll_at_the_owner(pair: Pair) -> None:
    pair.owner.delivery.hold = asyncio.Event()
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=60", headers=JSON))
    await pair.owner.delivery.polled.wait()
    poll.cancel()
    async with asyncio.timeout(5):
        await pair.owner.delivery.cancelled.wait()


async def test_what_the_client_did_not_read_is_given_back(start: Callable[..., Any]) -> None:
    """It takes nothing of a large reply and hangs up."""
    pair = Pair(await start(send_buffer=4096), await start())
    pair.owner.delivery.waiting = [b'{"n":"%s"}' % (b"x" * 8_000_000)]
    async with pair.front.connection() as (_, writer):
        writer.write(f"GET {PASSIVE} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n".encode())
        await pair.owner.delivery.polled.wait()
        assert pair.owner.delivery.batches
    assert await pair.fate() == "given back"


@pytest.mark.parametrize(("path", "fate"), [(PASSIVE, "given back"), (ACTIVE, "delivered")])
async def test_a_forwarder_that_says_nothing(start: Callable[..., Any], path: str, fate: str) -> None:
    """It was killed: jobs have leases, which decide; everything else goes to the next who asks."""
    owner = await start(hold_seconds=0.05)
    owner.delivery.waiting = [b'{"n":1}']
    name = "ab" * 16
    headers = {"X-Dispatcher-Forwarded": "1", "X-Dispatcher-Batch": name, **JSON}
    async with owner.http.get(path, headers=headers) as response:
        assert response.headers["X-Dispatcher-Batch"] == name
        await response.read()
    (batch,) = owner.delivery.batches
    async with asyncio.timeout(5):
        await batch.decided.wait()
    assert batch.fate == fate
    async with owner.http.post(f"/api/v2/forwarded/{name}/delivered") as response:
        assert (await owner.error(response))[0] == 404


async def test_what_is_held_at_the_end_is_given_back(start: Callable[..., Any]) -> None:
    owner = await start()
    owner.delivery.waiting = [b'{"n":1}']
    headers = {"X-Dispatcher-Forwarded": "1", "X-Dispatcher-Batch": "ab" * 16}
    async with owner.http.get(PASSIVE, headers=headers) as response:
        await response.read()
    (batch,) = owner.delivery.batches
    assert not batch.fate
    assert not batch.events, "their bytes are of no use any more"
    await owner.stop()
    assert batch.fate == "given back"


async def test_nothing_is_forwarded_twice(pair: Pair) -> None:
    """Two dispatchers that each think the other one serves it: the client waits, and then nobody was ready."""
    pair.owner.delivery.elsewhere = True
    pair.owner.peers.known = {7: pair.front.url}
    async with pair.owner.http.get(PASSIVE, headers={"X-Dispatcher-Forwarded": "1"}) as response:
        assert response.headers["X-Dispatcher-Not-Here"]
        assert (await pair.owner.error(response))[0] == 503
    assert len(pair.front.delivery.polls) == 0


async def test_nobody_serves_it(pair: Pair) -> None:
    pair.front.peers.known = {}
    async with pair.front.http.get(PASSIVE + "&deadline=0", headers=JSON) as response:
        assert (response.status, await response.json()) == (200, NOBODY)


async def test_nobody_asks_itself(pair: Pair) -> None:
    """The group says that it is us, and we do not serve it yet, or any more."""
    pair.front.peers.known = served_by(pair.front.url)
    async with pair.front.http.get(PASSIVE + "&deadline=0", headers=JSON) as response:
        assert (response.status, await response.json()) == (200, NOBODY)
    assert "forwarded_requests_total{" not in pair.front.metrics.render().decode()


async def test_the_owner_is_gone_and_another_one_comes(pair: Pair, unused: str) -> None:
    pair.front.peers.known = {7: unused}
    pair.owner.delivery.waiting = [b'{"n":1}']
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=20", headers=JSON))
    await pair.front.delivery.polled.wait()
    pair.front.peers.known = {7: pair.owner.url}
    async with asyncio.timeout(10), await poll as response:
        assert (await response.json())["events"] == [{"n": 1}]


async def test_the_slot_comes_to_us_while_the_client_waits(pair: Pair, unused: str) -> None:
    pair.front.peers.known = {7: unused}
    pair.front.delivery.waiting = [b'{"n":1}']
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=20", headers=JSON))
    await pair.front.delivery.polled.wait()
    pair.front.delivery.elsewhere = False
    async with asyncio.timeout(10), await poll as response:
        assert (await response.json())["events"] == [{"n": 1}]
    assert pair.front.delivery.batches[0].fate == "delivered"


async def test_a_log_that_is_away_is_said(pair: Pair) -> None:
    pair.front.peers.away = True
    async with pair.front.http.get(PASSIVE + "&deadline=0", headers=JSON) as response:
        status, error = await pair.front.error(response)
    assert (status, error["detail"]) == (503, "no broker answers")


async def test_a_release_goes_to_the_owner(pair: Pair) -> None:
    async with pair.front.http.post("/api/v2/lease/key.plug.1.17/release?after=60") as response:
        assert (response.status, await response.json()) == (200, {"released": True})
    assert pair.owner.delivery.released == [("key.plug.1.17", 60.0)]
    async with pair.front.http.post("/api/v2/lease/unknown/release") as response:
        assert (await pair.front.error(response))[0] == 404


async def test_a_token_goes_to_the_owner_as_it_came(pair: Pair) -> None:
    """It may hold what looks like another path."""
    async with pair.front.http.post(URL(f"{pair.front.url}/api/v2/lease/%2e%2e/release", encoded=True)) as response:
        assert response.status == 200
    assert pair.owner.delivery.released == [("..", 0.0)]


async def test_a_release_that_nobody_can_take_is_to_be_asked_again(pair: Pair, unused: str) -> None:
    for owners in ({}, {7: unused}):
        pair.front.peers.known = owners
        async with pair.front.http.post("/api/v2/lease/key.plug.1.17/release") as response:
            assert (await pair.front.error(response))[0] == 503


async def test_simulate_names_the_subscribers_of_all(pair: Pair, binary: Callable[..., dict[str, Any]]) -> None:
    pair.front.delivery.consumers = [SimulatedConsumer("here", "1", False, "")]
    pair.owner.delivery.consumers = [SimulatedConsumer("there", "1", True, "why")]
    for api in (pair.front, pair.owner):
        pair.front.peers.known = pair.owner.peers.known = served_by(pair.owner.url) | {1: pair.front.url}
        async with api.http.post("/api/v2/event/simulate", json=binary()) as response:
            names = sorted(consumer["name"] for consumer in (await response.json())["consumers"])
        assert names == ["here", "there"]


async def test_simulate_does_not_keep_quiet_about_who_does_not_answer(
    pair: Pair, unused: str, binary: Callable[..., dict[str, Any]]
) -> None:
    pair.front.peers.known = served_by(pair.owner.url) | {3: unused}
    async with pair.front.http.post("/api/v2/event/simulate", json=binary()) as response:
        status, error = await pair.front.error(response)
    assert status == 503
    assert unused in error["detail"]


async def test_simulate_does_not_keep_quiet_about_what_nobody_serves(
    pair: Pair, binary: Callable[..., dict[str, Any]]
) -> None:
    pair.front.peers.known = {7: pair.owner.url}
    async with pair.front.http.post("/api/v2/event/simulate", json=binary()) as response:
        assert (await pair.front.error(response))[0] == 503


async def test_simulate_waits_while_slots_change_hands(pair: Pair, binary: Callable[..., dict[str, Any]]) -> None:
    pair.front.peers.known = {}
    pair.owner.delivery.consumers = [SimulatedConsumer("there", "1", False, "")]
    asked = asyncio.create_task(pair.front.http.post("/api/v2/event/simulate", json=binary()))
    await pair.front.peers.asked.wait()
    pair.front.peers.known = served_by(pair.owner.url)
    async with asyncio.timeout(10), await asked as response:
        assert [consumer["name"] for consumer in (await response.json())["consumers"]] == ["there"]


async def test_a_client_that_claims_to_be_a_dispatcher(start: Callable[..., Any]) -> None:
    """Odd names and deadlines are nobody's; it gets what it would have got."""
    owner = await start()
    owner.delivery.waiting = [b'{"n":1}']
    headers = {"X-Dispatcher-Forwarded": "1", "X-Dispatcher-Batch": "../x", "X-Dispatcher-Deadline": "1e99", **JSON}
    async with owner.http.get(PASSIVE + "&deadline=3", headers=headers) as response:
        assert "X-Dispatcher-Batch" not in response.headers
        assert (await response.json())["events"] == [{"n": 1}]
    (_, how) = owner.delivery.polls[0]
    assert how["deadline"] == 3
    assert owner.delivery.batches[0].fate == "delivered"


async def test_a_reply_that_breaks_off_between_dispatchers_is_asked_again(pair: Pair, broken: str) -> None:
    pair.front.peers.known = {7: broken}
    pair.owner.delivery.waiting = [b'{"n":1}']
    poll = asyncio.create_task(pair.front.http.get(PASSIVE + "&deadline=20", headers=JSON))
    await pair.front.delivery.polled.wait()
    pair.front.peers.known = {7: pair.owner.url}
    async with asyncio.timeout(10), await poll as response:
        assert (await response.json())["events"] == [{"n": 1}]


def encoded(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event)


@pytest.fixture
async def broken() -> AsyncIterator[str]:
    """A server that sends half a reply."""

    async def half(_: bytes) -> bytes:
        return (
            b"HTTP/1.1 200 OK\r\nX-Dispatcher-Forwarded: 1\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )

    async with server(half) as url:
        yield url
