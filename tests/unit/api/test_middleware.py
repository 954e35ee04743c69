"""Errors, counting and the small pages."""

import logging
from typing import Any

import pytest
from aiohttp import web


async def boom(_: web.Request) -> web.Response:
    raise RuntimeError("secret inside")


async def slow(_: web.Request) -> web.Response:
    raise TimeoutError


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    await response.write(b"x" * 50)
    raise RuntimeError("broken in the middle")


ROUTES = [web.get("/boom", boom), web.get("/slow", slow), web.get("/half", half)]


def counted(api: Any, **labels: str) -> float:
    return api.metrics.registry.get_sample_value("dispatcher_restapi_response_codes_total", labels) or 0.0


@pytest.mark.parametrize("path", ["/boom", "/slow"])
async def test_an_unexpected_error_is_a_number_to_quote(start: Any, caplog: Any, path: str) -> None:
    api = await start(ROUTES)
    with caplog.at_level(logging.ERROR):
        async with api.http.get(path) as response:
            status, error = await api.error(response)
    assert status == 500
    assert "secret" not in str(error)
    number = error["detail"].split()[2].rstrip(":")
    (record,) = [record for record in caplog.records if record.name.startswith("dispatcher")]
    assert record.error_id == number
    assert record.exc_info


async def test_a_failure_in_the_middle_of_a_reply_breaks_it_off(start: Any) -> None:
    api = await start(ROUTES)
    answer = await api.raw(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1") <= 1
    assert not answer.endswith(b"}")


@pytest.mark.parametrize("path", ["/nothing", "/api/v2/event/binary", "/api/v2/event/", "/api/v2/event/a/b/c"])
async def test_unknown_path(api: Any, path: str) -> None:
    async with api.http.get(path) as response:
        status, error = await api.error(response)
    assert (status, error["title"], error["detail"]) == (404, "not found", "not found")


@pytest.mark.parametrize(
    "target", [b"//x", b"/..", b"/%2e%2e/x", b"http://[bad/", b"*", b"/\xff\xfe", b"/a%00b", b"/%ff"]
)
async def test_odd_targets(api: Any, target: bytes) -> None:
    answer = await api.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"404", b"400")


async def test_wrong_method(api: Any) -> None:
    async with api.http.delete("/api/v2/event") as response:
        status, error = await api.error(response)
    assert (status, error["title"]) == (405, "method not allowed")
    assert response.headers["Allow"] == "POST"
    async with api.http.post("/api/v2/event/binary/passive") as response:
        assert (await api.error(response))[0] == 405


async def test_true_codes_by_template(api: Any) -> None:
    for path in ("/api/v2/event/binary/passive?r-live=1", "/api/v2/event/status/passive?r-live=no", "/a", "/b", "/c"):
        async with api.http.get(path):
            pass
    template = "/api/v2/event/{model}/passive"
    assert counted(api, method="GET", path=template, code="200") == 1
    assert counted(api, method="GET", path=template, code="422") == 1
    assert counted(api, method="GET", path="unknown", code="404") == 3
    seconds = api.metrics.registry.get_sample_value(
        "dispatcher_restapi_time_seconds_count", {"method": "GET", "path": template}
    )
    assert seconds == 2


async def test_made_up_methods_share_a_label(api: Any) -> None:
    for number in range(3):
        await api.raw(b"MAKE%d / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % number)
        await api.raw(b"PURGE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with api.http.get("/metrics") as response:
        text = await response.text()
    assert "MAKE" not in text
    assert "PURGE" not in text


async def test_index_says_what_this_is(start: Any) -> None:
    api = await start(version="1.2.3", docs="https://docs.invalid/azul")
    async with api.http.get("/") as response:
        text = await response.text()
    assert response.content_type == "text/plain"
    assert text.splitlines()[0] == "Azul Dispatcher"
    assert "1.2.3" in text
    assert "https://docs.invalid/azul" in text
    async with api.http.head("/") as response:
        assert response.status == 200


async def test_metrics_page(api: Any) -> None:
    async with api.http.get("/metrics") as response:
        assert response.content_type == "text/plain"
        assert "dispatcher_restapi_time_seconds" in await response.text()


async def test_access_log(start: Any, caplog: Any) -> None:
    api = await start(access_log=True)
    with caplog.at_level(logging.INFO, "dispatcher.access"):
        async with api.http.get("/nothing"):
            pass
        async with api.http.get("/"):
            pass
    records = [record for record in caplog.records if record.name == "dispatcher.access"]
    assert [(record.route, record.status) for record in records] == [("unknown", 404), ("/", 200)]


@pytest.mark.parametrize(
    "data",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /api/v2/event HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v2/event HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    ],
)
async def test_what_is_no_http(api: Any, caplog: Any, data: bytes) -> None:
    answer = await api.raw(data)
    assert answer.startswith(b"HTTP/1.") or answer == b""
    assert b" 400 " in answer.split(b"\r\n")[0] or answer == b"" or b" 413 " in answer.split(b"\r\n")[0]
    assert b"Traceback" not in answer
    assert not [record for record in caplog.records if record.exc_info]
    async with api.http.get("/") as response:
        assert response.status == 200
