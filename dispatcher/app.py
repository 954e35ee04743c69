"""The composition root: builds one dispatcher from its settings, starts it, and takes it down again.

Everything here is started in the order in which it is needed and closed in the opposite one.
"""

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import TracebackType
from typing import Self

from aiohttp import web

from dispatcher.api.admin import AdminRoutes
from dispatcher.api.options import ApiOptions
from dispatcher.api.routes import build_app
from dispatcher.api.streams import stream_routes
from dispatcher.assembly import Assembly
from dispatcher.backends import Backends, open_backends
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.service import Delivery
from dispatcher.errors import StartupError
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.hooks.observing import Observing
from dispatcher.hooks.running import running
from dispatcher.hooks.types import Notify
from dispatcher.listening import bind, cannot_listen
from dispatcher.metrics import Metrics
from dispatcher.publish.publisher import Publisher
from dispatcher.settings import Settings
from dispatcher.streams.service import Streams
from dispatcher.streams.workers import WorkerPool


class Dispatcher:
    """One server. `async with Dispatcher(settings) as server:` listens until the block ends.

    Raises StartupError with words for the operator when it cannot start.
    """

    def __init__(
        self, settings: Settings, *, hooks: Sequence[object] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.delivery: Delivery
        self.publisher: Publisher
        self.streams: Streams
        self._clock = clock
        self._assembly = Assembly(settings, self.metrics, clock, packages=hooks)
        self.hooks = self._assembly.hooks
        self._stack = AsyncExitStack()
        self._sockets: Sequence[socket.socket] = ()
        self.failed = asyncio.Event()
        """Set when this server can do nothing useful any more and should end; `failure` says why then."""
        self.failure = ""

    @property
    def port(self) -> int:
        """The port it listens on, also when the settings left the choice to the system."""
        if not self._sockets:
            raise StartupError("the server has no address yet")
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        host = self.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{self.port}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer what is in work, then write what must survive."""
        await self._stack.aclose()

    # ---- rooms, in the order in which they need each other

    async def _start(self, stack: AsyncExitStack) -> None:
        self.hooks.load()
        await stack.enter_async_context(running(self.hooks))
        self._sockets = bind(self.settings.host, self.settings.port)
        for bound in self._sockets:
            stack.callback(bound.close)
        backends = await self._open_backends(stack)
        await self._assembly.follow(stack, backends.events)
        self.streams = await self._open_streams(stack)
        observing = await stack.enter_async_context(Observing(self.hooks.observers, self.metrics))
        notify = observing.notify if observing.active else None
        self.publisher = await self._assembly.open_publisher(stack, backends.events, self.streams.copy, notify=notify)
        self.delivery = await self._open_delivery(stack, backends, notify)
        await self._listen(stack, backends)
        gc.collect()
        gc.freeze()  # what was built at start stays: no need to look through it ever again

    async def _open_backends(self, stack: AsyncExitStack) -> Backends:
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        backends = await open_backends(self.settings, self.port, self._clock, self._wedged)
        stack.push_async_callback(backends.close)
        await self._assembly.make_topics(backends.events)
        return backends

    def _wedged(self, why: str) -> None:
        self.failure = why
        self.failed.set()

    async def _open_streams(self, stack: AsyncExitStack) -> Streams:
        store = await self._assembly.open_store(stack)
        pool = await stack.enter_async_context(
            WorkerPool(
                self.settings.parser_workers,
                memory_bytes=self.settings.parser_memory_bytes,
                file_seconds=self.settings.parser_seconds,
            )
        )
        streams = Streams(
            store,
            pool=pool,
            worker_enrichers=self.hooks.worker_enrichers,
            upload_enrichers=self.hooks.upload_enrichers,
            spool_dir=self.settings.data_dir / "incoming",
            metrics=self.metrics,
        )
        return await stack.enter_async_context(streams)

    async def _open_delivery(self, stack: AsyncExitStack, backends: Backends, notify: Notify | None) -> Delivery:
        delivery = Delivery(
            log=backends.events,
            journal=backends.journal,
            names=self._assembly.names,
            header_filters=self.hooks.header_filters,
            event_filters=self.hooks.event_filters,
            publisher=self.publisher,
            membership=backends.membership,
            notify=notify,
            metrics=self.metrics,
            clock=self._clock,
            limits=Limits(attempts=self.settings.max_attempts, lease_seconds=self.settings.lease_seconds),
        )
        stack.push_async_callback(delivery.close)
        try:
            await delivery.start()
        except LogUnavailable as why:
            raise StartupError(f"the event log went away while this server started: {why}") from None
        backends.watch(delivery)
        return delivery

    def _stream_routes(self) -> list[web.RouteDef]:
        return stream_routes(
            self.streams,
            allow_delete=self.settings.allow_stream_delete,
            max_upload_bytes=self.settings.upload_max_bytes or None,
        )

    async def _listen(self, stack: AsyncExitStack, backends: Backends) -> None:
        settings = self.settings
        app = build_app(
            delivery=self.delivery,
            publisher=self.publisher,
            streams_routes=[*self._stream_routes(), *AdminRoutes(self.hooks).routes()],
            metrics=self.metrics,
            peers=backends.membership,
            options=ApiOptions(
                fetch_limit=settings.api_event_fetch_limit,
                default_deadline=settings.api_default_event_wait,
                post_max_bytes=settings.post_max_bytes,
                event_max_bytes=settings.message_max_bytes,
                spool_dir=settings.data_dir / "incoming",
                async_ack=settings.async_ack,
                version=version("azul-dispatcher"),
            ),
        )
        runner = web.AppRunner(app, shutdown_timeout=settings.drain_seconds)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            for bound in self._sockets:
                await web.SockSite(runner, bound, backlog=1024).start()
        except OSError as problem:  # somebody else listens since we took the address
            raise cannot_listen(settings.host, self.port, problem) from None
        stack.push_async_callback(self.delivery.leave)
