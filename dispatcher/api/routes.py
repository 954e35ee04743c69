"""The table of everything that is served, and the application around it."""

import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dispatcher.api.bodies import Memory
from dispatcher.api.collaborators import Delivery, Peers, Publisher
from dispatcher.api.events import EventRoutes
from dispatcher.api.fetch import FetchRoutes
from dispatcher.api.forwarding import Forwarding
from dispatcher.api.handed import HandedBatches
from dispatcher.api.leases import LeaseRoutes
from dispatcher.api.middleware import RequestMetrics, error_middleware
from dispatcher.api.options import ApiOptions
from dispatcher.api.peers import NoPeers, PeerClient
from dispatcher.api.simulate import SimulateRoutes
from dispatcher.api.telling import Telling
from dispatcher.metrics import Metrics

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a request line or header line; parameters have a tighter limit and a better answer."""
KEEPALIVE_SECONDS: Final = 120.0
"""Longer than common clients keep an idle connection, so that they close first: one that meets our closing with
its next request takes that for a failure."""


def build_app(
    *,
    delivery: Delivery,
    publisher: Publisher,
    streams_routes: Iterable[web.RouteDef],
    metrics: Metrics,
    options: ApiOptions,
    peers: Peers | None = None,
) -> web.Application:
    """The whole HTTP API. Starts and closes nothing but its own leftovers: collaborators are open before it
    serves and are closed after it."""
    memory = Memory(options.bodies_memory_bytes)
    others = PeerClient(peers or NoPeers(), metrics, options.grace_seconds)
    telling = Telling(others)
    forwarding = Forwarding(others, telling, options)
    handed = HandedBatches(options.hold_seconds)
    events = EventRoutes(publisher, delivery, options, memory)
    app = web.Application(
        middlewares=[RequestMetrics(metrics, options.access_log).middleware(), error_middleware],
        handler_args={
            "handler_cancellation": True,
            "auto_decompress": False,  # bytes are stored as they came
            "access_log": None,
            "keepalive_timeout": KEEPALIVE_SECONDS,
            "max_line_size": LONGEST_LINE,
            "logger": ProtocolLog(logging.getLogger("dispatcher.http")),
        },
    )
    app.add_routes(events.routes())
    app.add_routes(SimulateRoutes(delivery, options, memory, others).routes())
    app.add_routes(FetchRoutes(delivery, options, forwarding, handed).routes())
    app.add_routes(LeaseRoutes(delivery, others).routes())
    app.add_routes(handed.routes())
    app.add_routes(streams_routes)
    app.add_routes(_about_routes(metrics, options))

    async def leftovers(_: web.Application) -> AsyncIterator[None]:
        await others.start()
        yield
        handed.close()
        await events.close()
        await telling.close()
        await others.close()

    async def stop(_: web.Application) -> None:
        forwarding.stop()

    app.cleanup_ctx.append(leftovers)
    app.on_shutdown.append(stop)
    return app


def _about_routes(metrics: Metrics, options: ApiOptions) -> list[web.RouteDef]:
    about = (
        "Azul Dispatcher\n"
        f"The hub of a malware-analysis system: it takes files and events and hands them to plugins. "
        f"Version {options.version}.\n"
        f"Documentation: {options.docs}. Metrics: /metrics\n"
    )

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=about)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [web.get("/", index), web.get("/metrics", scrape, allow_head=False)]


class ProtocolLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp logs a traceback for every request that is no HTTP, and for every client that takes nothing of its reply;
    a scanner would fill the disk with them."""

    def exception(self, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            self.debug("not HTTP: %s", exc_info.message)
        elif isinstance(exc_info, ConnectionError):
            self.debug("connection lost: %s", exc_info)
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)
