"""The HTTP room alone: the real application on a real port, with small rooms in memory behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, TCPConnector, web
from dispatcher_sdk.models import (
    AnyEvent,
    BinaryEvent,
    FailedEvent,
    FetchInfo,
    SimulatedConsumer,
    encode,
    problem,
)

from dispatcher.api.options import ApiOptions
from dispatcher.api.routes import build_app
from dispatcher.errors import NotFound, NotServedHere
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.hooks.types import Subscription
from dispatcher.metrics import Metrics
from dispatcher.publish.outcome import Outcome
from tests import shapes
from tests.unit.api.pairs import Pair, served_by


@dataclass
class MemoryBatch:
    """Knows what became of it."""

    events: list[bytes] = field(default_factory=list)
    info: FetchInfo = field(default_factory=FetchInfo)
    fate: str = ""
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def drop_events(self) -> None:
        self.events = []

    def delivered(self) -> None:
        self._decide("delivered")

    def give_back(self) -> None:
        self._decide("given back")

    def _decide(self, fate: str) -> None:
        assert not self.fate, f"already {self.fate}"
        self.fate = fate
        self.decided.set()


class MemoryDelivery:
    """Hands out `waiting`; while `hold` is not set a poll waits."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.polls: list[tuple[Subscription, dict[str, Any]]] = []
        self.batches: list[MemoryBatch] = []
        self.released: list[tuple[str, float]] = []
        self.consumers: list[SimulatedConsumer] = []
        self.simulated: list[BinaryEvent] = []
        self.steps: list[str] = []
        self.polled = asyncio.Event()
        self.handed = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.cancelled = asyncio.Event()
        self.broken = False
        self.elsewhere = False
        """Another dispatcher serves all subscribers."""

    async def poll(self, wanted: Subscription, **how: Any) -> MemoryBatch:
        self.polls.append((wanted, how))
        self.polled.set()
        if self.broken:
            raise RuntimeError("broken")
        if self.hold is not None and not self.elsewhere:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.elsewhere:
            raise NotServedHere(7)
        taken, self.waiting = self.waiting[: how["count"]], self.waiting[how["count"] :]
        batch = MemoryBatch(taken, FetchInfo(fetched=len(taken), ready=True))
        self.batches.append(batch)
        self.handed.set()
        return batch

    async def simulate(self, event: BinaryEvent) -> list[SimulatedConsumer]:
        self.simulated.append(event)
        return self.consumers

    async def release(self, token: str, after: float) -> None:
        if self.elsewhere:
            raise NotServedHere(7)
        if token.startswith("unknown"):
            raise NotFound("no such lease")
        self.released.append((token, after))

    async def pause(self) -> None:
        self.steps.append("pause")


class MemoryPeers:
    """Implements collaborators.Peers: `url` is ours, `known` what the log says of others."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.known: dict[int, str] = {}
        self.away = False
        self.asked = asyncio.Event()

    async def owners(self) -> dict[int, str]:
        self.asked.set()
        if self.away:
            raise LogUnavailable("no broker answers")
        return self.known


class MemoryPublisher:
    """Keeps what is valid; `answer` overrides the outcome, `fail` raises (after `fail_after` calls), `hold` waits."""

    def __init__(self, steps: list[str]) -> None:
        self.events: list[AnyEvent] = []
        self.calls: list[tuple[str, int, bool]] = []
        self.answer: Outcome | None = None
        self.fail: Exception | None = None
        self.fail_after = 0
        self.hold: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.finished = asyncio.Event()
        self.steps = steps

    async def publish(
        self,
        model: str,
        events: Sequence[AnyEvent],
        *,
        keep_ok: bool = False,
        wait: bool = True,
        before_write: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        self.calls.append((model, len(events), wait))
        if before_write is not None and any(problem(event) is None for event in events):
            await before_write()
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None and len(self.calls) > self.fail_after:
            raise self.fail
        self.steps.append("publish")
        self.finished.set()
        if self.answer is not None:
            return self.answer
        return self._keep(events, keep_ok)

    def _keep(self, events: Sequence[AnyEvent], keep_ok: bool) -> Outcome:
        outcome = Outcome()
        for event in events:
            wrong = problem(event)
            if wrong:
                outcome.failures.append(FailedEvent(encode(event).decode(), wrong))
                continue
            outcome.parsed += 1
            outcome.published += 1
            self.events.append(event)
            if keep_ok:
                outcome.ok.append(encode(event))
        return outcome


@dataclass
class Api:
    """A served API: `http` speaks to it, the rest looks behind it."""

    http: ClientSession
    port: int
    delivery: MemoryDelivery
    publisher: MemoryPublisher
    metrics: Metrics
    peers: MemoryPeers
    stop: Callable[[], Awaitable[None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def front_of(self, url: str) -> "Api":
        """From now on the dispatcher there serves everything."""
        self.delivery.elsewhere = True
        self.peers.known = served_by(url)
        return self

    async def error(self, response: Any) -> tuple[int, dict[str, str]]:
        """Status and body of an error; fails when it has not the contract's shape."""
        raw = await response.read()
        body = msgspec.json.decode(raw)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert list(body) == ["status", "title", "detail", "error_enum"]
        assert body["status"] == str(response.status)
        assert b"Traceback" not in raw
        return response.status, body

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of its own, closed at the end whatever happens."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; everything that comes back."""
        async with self.connection() as (reader, writer):
            writer.write(data)
            return await reader.read()


StartApi = Callable[..., Awaitable[Api]]


@pytest.fixture
async def start() -> AsyncIterator[StartApi]:
    """Serves an API; keyword arguments are ApiOptions. `send_buffer`: bytes that the system may hold for a
    connection. Everything is closed after the test."""
    async with AsyncExitStack() as stack:

        async def start_one(
            routes: Sequence[web.RouteDef] = (), *, send_buffer: int | None = None, **options: Any
        ) -> Api:
            return await stack.enter_async_context(_serve(ApiOptions(**options), routes, send_buffer))

        yield start_one


@pytest.fixture
async def api(start: StartApi) -> Api:
    return await start()


@pytest.fixture
async def pair(start: StartApi) -> Pair:
    return Pair(await start(grace_seconds=1.0), await start())


@pytest.fixture
def unused() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def _serve(options: ApiOptions, routes: Sequence[web.RouteDef], send_buffer: int | None) -> AsyncIterator[Api]:
    delivery = MemoryDelivery()
    publisher = MemoryPublisher(delivery.steps)
    metrics = Metrics()
    peers = MemoryPeers()
    app = build_app(
        delivery=delivery,
        publisher=publisher,
        streams_routes=routes,
        metrics=metrics,
        options=options,
        peers=peers,
    )
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    await web.SockSite(runner, listener).start()
    port = runner.addresses[0][1]
    session = ClientSession(f"http://127.0.0.1:{port}", connector=TCPConnector(limit=0))
    try:
        peers.url = f"http://127.0.0.1:{port}"
        peers.known = served_by(peers.url)
        yield Api(session, port, delivery, publisher, metrics, peers, runner.cleanup)
    finally:
        await session.close()
        await runner.cleanup()


@pytest.fixture
def binary() -> Callable[..., dict[str, Any]]:
    """Makes valid binary events as plain dicts; keyword arguments replace top-level members."""
    return lambda **members: shapes.binary() | members


@pytest.fixture
def status(binary: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return shapes.status_of(binary(dequeued="k.plug.1.1700000000"))
