"""GET of events over real HTTP."""

import asyncio
import email.parser
import email.policy
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest

PASSIVE = "/api/v2/event/binary/passive?r-live=true"
ACTIVE = "/api/v2/event/binary/active?r-live=true&name=plug&version=1"


def parts(content_type: str, body: bytes) -> list[Any]:
    """Read as a mail would be: with code that is not ours."""
    whole = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(whole)
    return list(message.iter_parts())


async def test_multipart_shape_is_exact(api: Any) -> None:
    api.delivery.waiting = [b'{"n":1}', b'{"n":2}']
    async with api.http.get(PASSIVE + "&count=5") as response:
        body = await response.read()
    kind = response.headers["Content-Type"]
    boundary = re.fullmatch(r"multipart/form-data; boundary=([0-9a-f]{60})", kind)
    assert response.status == 200
    assert boundary is not None
    assert body == (
        b"--%(b)b\r\n"
        b'Content-Disposition: form-data; name="info"; filename="info.json"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
        b'{"filtered":0,"fetched":2,"ready":true,"paused":false}\r\n'
        b"--%(b)b\r\n"
        b'Content-Disposition: form-data; name="events"; filename="events.json"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
        b'{"events":[{"n":1},{"n":2}]}\r\n'
        b"--%(b)b--\r\n" % {b"b": boundary[1].encode()}
    )
    info, events = parts(kind, body)
    assert msgspec.json.decode(info.get_payload(decode=True))["fetched"] == 2
    assert events.get_filename() == "events.json"


async def test_nothing_is_an_empty_list(api: Any) -> None:
    async with api.http.get(PASSIVE) as response:
        assert b'{"events":[]}\r\n' in await response.read()


async def test_readme_dialect_and_accept_give_json(api: Any) -> None:
    api.delivery.waiting = [b'{"n":1}', b'{"n":2}']
    async with api.http.get("/api/v2/event/binary/passive?name=mytest&version=1.0") as response:
        assert response.headers["Content-Type"] == "application/json"
        assert (await response.json()) == {
            "info": {"filtered": 0, "fetched": 1, "ready": True, "paused": False},
            "events": [{"n": 1}],
        }
    async with api.http.get(PASSIVE, headers={"Accept": "application/json"}) as response:
        assert (await response.json())["events"] == [{"n": 2}]


async def test_replies_are_never_compressed(api: Any) -> None:
    api.delivery.waiting = [b'{"n":"' + b"x" * 10_000 + b'"}']
    async with api.http.get(PASSIVE, headers={"Accept-Encoding": "gzip, deflate"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_what_was_asked_reaches_delivery(api: Any) -> None:
    async with api.http.get(ACTIVE + "&count=7&deadline=3&lease=90&reset=true"):
        pass
    async with api.http.get(PASSIVE):
        pass
    wanted, how = api.delivery.polls[0]
    assert (wanted.name, wanted.task) == ("plug", True)
    assert how == {"count": 7, "deadline": 3.0, "lease_seconds": 90.0, "reset": True}
    wanted, how = api.delivery.polls[1]
    assert wanted.task is False
    assert how == {"count": 1, "deadline": 5.0, "lease_seconds": None, "reset": False}


async def test_old_paths(api: Any) -> None:
    for path in ("/api/v1/events/binary", "/api/v1/processing/binary"):
        async with api.http.get(path, params={"name": "mytest", "version": "1.0"}) as response:
            assert response.status == 200
    assert [wanted.task for wanted, _ in api.delivery.polls] == [False, True]


async def test_delivered_once_the_reply_is_out(api: Any) -> None:
    api.delivery.waiting = [b'{"n":1}']
    async with api.http.get(ACTIVE) as response:
        await response.read()
    (batch,) = api.delivery.batches
    await batch.decided.wait()
    assert batch.fate == "delivered"


async def test_a_reply_of_many_pieces_arrives_whole(api: Any) -> None:
    api.delivery.waiting = [b'{"n":"%d%b"}' % (number, b"x" * 100_000) for number in range(30)]
    async with api.http.get(PASSIVE + "&count=30", headers={"Accept": "application/json"}) as response:
        assert response.content_length == len(await response.read())
        events = (await response.json())["events"]
    assert [event["n"].rstrip("x") for event in events] == [str(number) for number in range(30)]
    assert api.delivery.batches[0].fate == "delivered"


async def test_a_client_that_leaves_while_waiting_ends_the_poll(api: Any) -> None:
    api.delivery.hold = asyncio.Event()
    async with api.connection() as (_, writer):
        writer.write(f"GET {ACTIVE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await api.delivery.polled.wait()
    await api.delivery.cancelled.wait()
    assert not api.delivery.batches


@contextmanager
def deaf_client(api: Any, path: str) -> Iterator[socket.socket]:
    """A client that asks and does not read, with a small receive buffer."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", api.port))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield sock


SHORT = 50_000
"""Bytes that fit into the transport's own buffer but not into a small one of the system."""


@pytest.mark.parametrize(("count", "size"), [(1, SHORT), (20, 1_000_000)])
async def test_a_client_that_dies_in_the_middle_of_the_reply_gets_nothing(start: Any, count: int, size: int) -> None:
    api = await start(send_buffer=4096)
    api.delivery.waiting = [b'{"n":"%b"}' % (b"x" * size)] * count
    with deaf_client(api, f"{ACTIVE}&count={count}") as sock:
        await api.delivery.polled.wait()
        async with api.http.get("/"):  # the reply has gone as far as it can
            pass
        assert api.delivery.batches[0].fate == ""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
    await api.delivery.batches[0].decided.wait()
    assert api.delivery.batches[0].fate == "given back"


@pytest.mark.parametrize(("count", "size"), [(1, SHORT), (20, 1_000_000)])
async def test_a_client_that_never_reads_is_given_up(start: Any, count: int, size: int) -> None:
    api = await start(send_buffer=4096, send_timeout=0.1)
    api.delivery.waiting = [b'{"n":"%b"}' % (b"x" * size)] * count
    with deaf_client(api, f"{ACTIVE}&count={count}") as sock:
        await api.delivery.polled.wait()
        await api.delivery.batches[0].decided.wait()
        assert api.delivery.batches[0].fate == "given back"
        got = await asyncio.to_thread(read_all, sock)
    assert b"--\r\n" not in got[-10:], "what was given back must not arrive late"


def read_all(sock: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionError):
        while chunk := sock.recv(65536):
            got += chunk
    return got


async def test_head_takes_no_event(api: Any) -> None:
    api.delivery.waiting = [b"{}"]
    async with api.http.head(PASSIVE) as response:
        assert response.status == 405
    assert api.delivery.polls == []


async def test_bad_parameters_are_422(api: Any) -> None:
    async with api.http.get("/api/v2/event/binary/passive?r-live=maybe") as response:
        status, body = await api.error(response)
    assert (status, body["title"]) == (422, "bad parameters")
    assert body["detail"].startswith("bad parameter for r-live: ")
    assert body["error_enum"] == "ErrorStringEnumUnset"


async def test_unknown_model_is_422(api: Any) -> None:
    async with api.http.get("/api/v2/event/nonsense/active?r-live=true") as response:
        assert (await api.error(response))[0] == 422
