"""Stands between all clients and the server and writes down what each said to the other.

What a client was told is not known from the server's own words once the server may be killed: only somebody in
between sees which POST was answered, which reply was delivered, and what was on its way when everything stopped.
Breaks off towards the client whatever breaks off towards the server, and the other way round.
"""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
from aiohttp import hdrs, web

from tests.e2e.ledger.facts import FINAL, Place, place_of

_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "host", "date", "server"))
_CHUNK = 64 * 1024


class Delivery(NamedTuple):
    """A job in a reply that reached the client. Times are unix seconds."""

    plugin: str
    token: str
    place: Place
    attempt: int
    leased_at: float
    """When the server says it handed it out, in whole seconds."""
    asked_at: float
    at: float
    sha256: str
    """Of its file."""


@dataclass(eq=False)
class Post:
    """A POST of events that went to the server."""

    model: str
    events: list[dict[str, Any]]
    asked_at: float
    answered_at: float = 0.0
    """0 while, or when, no answer said that all of it is published."""
    refused: str = ""


@dataclass
class Testimony:
    """What was seen, in the order in which it happened."""

    deliveries: list[Delivery] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    """Paths of streams whose upload was answered."""
    released: dict[str, float] = field(default_factory=dict)
    """When a token was given back."""
    held: dict[Place, str] = field(default_factory=dict)
    """Jobs that were delivered and are not over, with the plugin that has them."""
    finals: int = 0
    """Final statuses that were answered."""
    moves: int = 0
    """Exchanges of any kind that ended well."""

    def acknowledged(self, model: str) -> int:
        return sum(len(post.events) for post in self.posts if post.model == model and post.answered_at)


class Witness:
    """`async with Witness() as witness:` then point clients at `url`, and `servers` at the real ones.

    Requests go to them in turn, and from one that refuses the connection to the next, as a load balancer does it.
    """

    def __init__(self) -> None:
        self.servers: list[str] = []
        self.resting: set[str] = set()
        """Servers that get no requests, although they may take them."""
        self.loses: Callable[[], bool] = lambda: False
        """Whether the answer to a POST of events never reaches its client."""
        self._turns = itertools.count()
        self.url = ""
        self.saw = Testimony()
        self._news = asyncio.Event()

    @property
    def server(self) -> str:
        """Any of them."""
        return self.servers[0]

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        quiet = logging.getLogger(__name__)
        quiet.setLevel(logging.CRITICAL)  # it breaks off on purpose
        options = {"handler_cancellation": True, "access_log": None, "logger": quiet}
        app = web.Application(client_max_size=1 << 30, handler_args=options)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def until(self, reached: Callable[[Testimony], bool], seconds: float = 60.0) -> None:
        """Return as soon as what was seen satisfies `reached`. Raises TimeoutError after so many seconds."""
        async with asyncio.timeout(seconds):
            while not reached(self.saw):
                self._news.clear()
                await self._news.wait()

    # ---- one exchange

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.path.startswith("/api/v3/stream/"):
                return await self._pass_stream(request)
            return await self._pass_message(request)
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the server went away") from None

    async def _pass_message(self, request: web.Request) -> web.Response:
        body, asked_at = await request.read(), time.time()
        post = self._note_post(request, body, asked_at)
        async with self._send(request, body) as reply:
            answer = await reply.read()
        if post is not None and self.loses():
            raise ConnectionResetError("an answer is lost on its way")
        if reply.status == 200:
            self._note_answer(request, post, reply, answer, asked_at)
        elif post is not None:
            post.refused = f"{reply.status} {answer[:300].decode('utf-8', 'replace')}"
        return web.Response(body=answer, status=reply.status, headers=_kept(reply.headers))

    async def _pass_stream(self, request: web.Request) -> web.StreamResponse:
        """Pieces go on as they come, so that a kill may strike in the middle of a file."""
        async with self._send(request, request.content if request.can_read_body else None) as reply:
            if request.method == hdrs.METH_POST:
                answer = await reply.read()
                if reply.status == 200:
                    self.saw.stored.add(f"{request.path}/{json.loads(answer)['data']['sha256']}")
                    self._move()
                return web.Response(body=answer, status=reply.status, headers=_kept(reply.headers))
            response = web.StreamResponse(status=reply.status, headers=_kept(reply.headers))
            await response.prepare(request)
            async for piece in reply.content.iter_chunked(_CHUNK):
                await response.write(piece)
            await response.write_eof()
        self._move()
        return response

    @asynccontextmanager
    async def _send(self, request: web.Request, body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = _kept(request.headers)
        first = next(self._turns)
        servers = [self.servers[(first + n) % len(self.servers)] for n in range(len(self.servers))]
        servers = [server for server in servers if server not in self.resting]
        for server in servers:
            try:
                reply = await self._session.request(
                    request.method, server + request.path_qs, data=body, headers=headers
                )
            except aiohttp.ClientConnectorError:
                if server == servers[-1]:
                    raise
                continue
            async with reply:
                yield reply
            return

    # ---- what it means

    def _note_post(self, request: web.Request, body: bytes, asked_at: float) -> Post | None:
        if request.method != hdrs.METH_POST or request.path != "/api/v2/event":
            return None
        events = json.loads(body)
        post = Post(request.query["model"], events if isinstance(events, list) else [events], asked_at)
        self.saw.posts.append(post)
        return post

    def _note_answer(
        self, request: web.Request, post: Post | None, reply: aiohttp.ClientResponse, answer: bytes, asked_at: float
    ) -> None:
        now = time.time()
        if post is not None:
            failures = json.loads(answer)["failures"]
            if failures:
                post.refused = f"{len(failures)} failed: {failures[0]['error']}"
            else:
                post.answered_at = now
                self._note_finals(post)
        elif request.path.endswith("/active"):
            self._note_jobs(request, reply.headers[hdrs.CONTENT_TYPE], answer, asked_at, now)
        elif request.path.endswith("/release"):
            token = request.match_info["path"].split("/")[-2]
            self.saw.released[token] = now
            self.saw.held.pop(place_of(token)[0], None)
        self._move()

    def _note_finals(self, post: Post) -> None:
        for event in post.events:
            if event["entity"].get("status") in FINAL:
                self.saw.finals += 1
                self.saw.held.pop(place_of(event["entity"]["input"]["dequeued"])[0], None)

    def _note_jobs(self, request: web.Request, content_type: str, answer: bytes, asked_at: float, now: float) -> None:
        for event in json.loads(_part(content_type, answer, "events"))["events"]:
            token = event["dequeued"]
            place, attempt, leased_at = place_of(token)
            self.saw.held[place] = request.query["name"]
            self.saw.deliveries.append(
                Delivery(
                    request.query["name"], token, place, attempt, leased_at, asked_at, now, event["entity"]["sha256"]
                )
            )

    def _move(self) -> None:
        self.saw.moves += 1
        self._news.set()


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


def _part(content_type: str, body: bytes, name: str) -> bytes:
    """One part of a multipart reply."""
    whole = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in whole.get_payload():
        if part.get_param("name", header="content-disposition") == name:  # type: ignore[union-attr]
            payload = part.get_payload(decode=True)  # type: ignore[union-attr]
            assert isinstance(payload, bytes)
            return payload
    raise AssertionError(f"a fetch was answered without its {name}")
