"""Submitting to a server that behaves in ways a healthy one does only now and then."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dispatcher_sdk.models import BinaryEvent, decode

from dispatcher.cli.client import Client, ServerError
from dispatcher.cli.files import Found, find
from dispatcher.cli.submission import Submission

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hub:
    """Remembers what it is given; `trouble` answers the next requests instead, the last of the list first."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.events: list[BinaryEvent] = []
        self.posts = 0
        self.trouble: list[web.Response] = []
        self.refused: set[str] = set()
        self.first_post = asyncio.Event()
        self.open = asyncio.Event()
        """Posts of events wait for it."""
        self.open.set()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._troubled], client_max_size=0)
        app.router.add_post("/api/v3/stream/{source}/content", self._upload)
        app.router.add_route("HEAD", "/api/v3/stream/{source}/content/{sha256}", self._head)
        app.router.add_post("/api/v2/event", self._event)
        return app

    @web.middleware
    async def _troubled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.trouble and request.method == "POST":
            return self.trouble.pop()
        return await handler(request)

    async def _head(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.match_info["sha256"] in self.stored else 404)

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        sha256 = hashlib.sha256(body).hexdigest()
        self.stored[sha256] = body
        data = {"label": "content", "size": len(body), "sha512": "", "sha256": sha256, "sha1": "", "md5": ""}
        return web.json_response({"data": data | {"mime": "text/plain", "magic": "text", "file_format": "text/plain"}})

    async def _event(self, request: web.Request) -> web.Response:
        self.posts += 1
        self.first_post.set()
        await self.open.wait()
        failures = []
        for raw in json.loads(await request.read()):
            event = decode("binary", json.dumps(raw).encode())
            assert isinstance(event, BinaryEvent)
            if event.entity.sha256 in self.refused:
                failures.append({"event": json.dumps(raw), "error": "refused"})
            else:
                self.events.append(event)
        return web.json_response({"total_ok": 1, "total_failures": len(failures), "failures": failures})


@pytest.fixture
async def hub() -> AsyncIterator[tuple[Hub, str]]:
    hub = Hub()
    async with TestServer(hub.app()) as server:
        yield hub, str(server.make_url("/"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"file %d" % number)
    return tmp_path


async def submit(url: str, folder: Path, *, again: bool = False) -> tuple[Submission, dict[str, str]]:
    reports: dict[str, str] = {}

    def report(found: Found, problem: str) -> None:
        assert found.name not in reports, "a file is over once"
        reports[found.name] = problem

    async with Client(url, patience=5) as client:
        submission = Submission(client, "feed", report, again=again)
        await submission.run(find([folder]))
    return submission, reports


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_every_file_is_stored_and_has_its_event(hub: tuple[Hub, str], folder: Path) -> None:
    server, url = hub
    submission, reports = await submit(url, folder)
    assert submission.outcome.submitted == 5
    assert submission.outcome.bytes == 30
    assert reports == {f"{number}.txt": "" for number in range(5)}
    by_name = {event.source.path[0].filename: event for event in server.events}
    event = by_name["3.txt"]
    assert event.entity.sha256 == event.source.path[0].sha256 == event.entity.datastreams[0].sha256
    assert server.stored[event.entity.sha256] == b"file 3"
    assert (event.source.name, event.action, event.source.path[0].action) == ("feed", "sourced", "sourced")
    assert event.entity.file_format == "text/plain"
    assert {event.source.timestamp for event in server.events} == {submission.when}


async def test_what_is_stored_is_skipped_unless_asked_again(hub: tuple[Hub, str], folder: Path) -> None:
    server, url = hub
    await submit(url, folder)
    (folder / "new.txt").write_bytes(b"new")
    second, _ = await submit(url, folder)
    assert (second.outcome.submitted, second.outcome.stored) == (1, 5)
    third, _ = await submit(url, folder, again=True)
    assert (third.outcome.submitted, third.outcome.stored) == (6, 0)
    assert len(server.events) == 5 + 1 + 6


async def test_the_same_bytes_twice_are_submitted_once_and_empty_files_never(
    hub: tuple[Hub, str], folder: Path
) -> None:
    server, url = hub
    (folder / "copy").write_bytes(b"file 3")
    (folder / "empty").touch()
    submission, reports = await submit(url, folder)
    assert (submission.outcome.submitted, submission.outcome.stored, submission.outcome.empty) == (5, 1, 1)
    assert len(server.events) == 5
    assert len(reports) == 7


async def test_a_server_that_is_away_for_a_moment_is_waited_for(hub: tuple[Hub, str], folder: Path) -> None:
    server, url = hub
    server.trouble = [web.Response(status=503, text="{}") for _ in range(4)]
    submission, _ = await submit(url, folder)
    assert (submission.outcome.submitted, submission.outcome.failed) == (5, 0)
    assert len(server.events) == 5


async def test_one_refused_file_is_named_and_the_others_go_on(hub: tuple[Hub, str], folder: Path) -> None:
    server, url = hub
    server.refused = {sha256(folder / "2.txt")}
    submission, reports = await submit(url, folder)
    assert (submission.outcome.submitted, submission.outcome.failed) == (4, 1)
    assert reports == {f"{number}.txt": "refused" if number == 2 else "" for number in range(5)}


async def test_a_refused_request_tells_the_servers_detail_in_one_line(hub: tuple[Hub, str], tmp_path: Path) -> None:
    server, url = hub
    (tmp_path / "file").write_bytes(b"x")
    server.trouble = [web.json_response({"status": "400", "detail": "no\nsuch source"}, status=400)]
    _, reports = await submit(url, tmp_path)
    assert reports == {"file": "400 no such source"}
    assert not server.events


async def test_events_are_posted_together(hub: tuple[Hub, str], tmp_path: Path) -> None:
    server, url = hub
    for number in range(60):
        (tmp_path / f"{number}.txt").write_bytes(b"%d" % number)
    await submit(url, tmp_path)
    assert len(server.events) == 60
    assert server.posts < 60


async def test_stopping_in_the_middle_still_publishes_what_is_uploaded(hub: tuple[Hub, str], folder: Path) -> None:
    server, url = hub
    server.open.clear()
    async with Client(url, patience=5) as client:
        submission = Submission(client, "feed", lambda found, problem: None, workers=1)
        running = asyncio.create_task(submission.run(find([folder])))
        await server.first_post.wait()
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=0.2)
        assert not done, "it waits for the answer to what it posted"
        server.open.set()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert submission.outcome.submitted == len(server.events) >= 1


async def test_no_server_at_all_is_one_clear_error(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", patience=0.2) as client:
        with pytest.raises(ServerError, match="no answer from http"):
            await client.text("/")
        with pytest.raises(ServerError, match="no answer"):
            await client.is_stored("feed", "0" * 64)


async def test_something_that_is_no_dispatcher_is_one_clear_error(folder: Path) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hello)
    async with TestServer(app) as server:
        _, reports = await submit(str(server.make_url("/")), folder, again=True)
    assert all("does not answer as a dispatcher does" in problem for problem in reports.values())
    assert len(reports) == 5


async def test_text_that_is_no_address() -> None:
    async with Client("not an address") as client:
        with pytest.raises(ServerError, match="is not a URL"):
            await client.text("/")
