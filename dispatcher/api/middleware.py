"""What happens around every handler: each failure becomes the contract's error JSON, each answer is counted."""

import logging
import secrets
import time
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter, Histogram

from dispatcher.api.replies import error_reply, reply_to
from dispatcher.errors import UNSET_ENUM, DispatcherError, Unavailable
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.metrics import Metrics

NO_ROUTE: Final = "unknown"
"""Label of paths that nobody serves: each as its own label would let a scanner fill the memory."""
CLIENT_GONE: Final = 499
"""Counted when nobody was left to hear the answer."""
KNOWN_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

log = logging.getLogger(__name__)
access = logging.getLogger("dispatcher.access")


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing but a reply, a lost connection or a cancellation leaves this function."""
    try:
        return await handler(request)
    except DispatcherError as problem:
        return _answer(request, reply_to(problem))
    except web.HTTPException as problem:
        return _answer(request, _from_aiohttp(problem))
    except LogUnavailable as problem:
        return _answer(request, reply_to(Unavailable(str(problem))))
    except ConnectionError:
        raise
    except Exception:
        return _answer(request, _unexpected(request))


def _answer(request: web.Request, reply: web.Response) -> web.Response:
    if request.writer.output_size:  # a reply is under way: cut it short, so that nobody takes it for complete
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("failed in the middle of a reply")
    return reply


def _from_aiohttp(problem: web.HTTPException) -> web.Response:
    title = HTTPStatus(problem.status).phrase.lower()
    allow = problem.headers.get(hdrs.ALLOW)
    detail = f"this path answers only {allow}" if allow else title
    return error_reply(problem.status, title, detail, UNSET_ENUM, {hdrs.ALLOW: allow} if allow else None)


def _unexpected(request: web.Request) -> web.Response:
    """The client learns a number to quote; the log has the rest under that number."""
    number = secrets.token_hex(4)
    log.exception("request failed (%s)", number, extra={"action": "request-failed", "error_id": number})
    return error_reply(500, "internal error", f"internal error {number}: the server's log says more", UNSET_ENUM)


class RequestMetrics:
    """`restapi_time_seconds` and `restapi_response_codes`, by route template."""

    def __init__(self, metrics: Metrics, access_log: bool) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._children: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}

    def middleware(self) -> Middleware:
        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.perf_counter()
            status = CLIENT_GONE
            try:
                response = await handler(request)
                status = response.status
                return response
            finally:
                self._record(request, status, time.perf_counter() - started)

        return measure

    def _record(self, request: web.Request, status: int, seconds: float) -> None:
        method, path = request.method, _template(request)
        children = self._children.get((method, path, status)) or self._bind(method, path, status)
        children[0].observe(seconds)
        children[1].inc()
        if self._access_log:
            access.info(
                "%s %s %d %.4f s",
                method,
                request.path,
                status,
                seconds,
                extra={"action": "request", "route": path, "status": status, "remote": request.remote},
            )

    def _bind(self, method: str, path: str, status: int) -> tuple[Histogram, Counter]:
        label = method if method in KNOWN_METHODS else "other"
        children = (
            self._metrics.request_seconds.labels(label, path),
            self._metrics.response_codes.labels(label, path, str(status)),
        )
        if label == method:
            self._children[method, path, status] = children
        return children


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical
