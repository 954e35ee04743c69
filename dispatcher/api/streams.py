"""HTTP for the bytes of files: upload, download, exists, copy, delete."""

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import msgspec
from aiohttp import web
from dispatcher_sdk.models import DeleteReply

from dispatcher.api.params import FALSE, TRUE
from dispatcher.api.ranges import Span, content_range, parse_range
from dispatcher.errors import BadRange, BadRequest, DispatcherError, NotFound, SlowSender, TooLarge
from dispatcher.hooks.types import StoredInfo, StreamId
from dispatcher.streams.address import is_segment, is_sha256
from dispatcher.streams.service import Streams

OCTETS = "application/octet-stream"
WHOLE_BYTES = 1 << 18
"""Up to this size an object is read and sent in one go."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def stream_routes(
    streams: Streams, *, allow_delete: bool, max_upload_bytes: int | None, idle_seconds: float = 60.0
) -> list[web.RouteDef]:
    """All stream routes of wire contract 1.1. An upload over `max_upload_bytes` is refused (None: no bound), and
    one whose sender is silent for `idle_seconds` is given up."""
    handlers = _Handlers(streams, allow_delete, max_upload_bytes, idle_seconds)
    upload = "/api/v3/stream/{source}/{label}"
    stored = upload + "/{sha256}"
    return [
        web.post(upload, handlers.upload),
        web.get(stored, handlers.download, allow_head=False),
        web.head(stored, handlers.exists),
        web.delete(stored, handlers.delete),
        web.patch("/api/v3/stream/{source}/{target}/{label}/{sha256}", handlers.copy),
        web.post("/api/v1/data", handlers.upload_to_root),
    ]


class _Handlers:
    def __init__(self, streams: Streams, allow_delete: bool, max_upload_bytes: int | None, idle_seconds: float) -> None:
        self._streams = streams
        self._allow_delete = allow_delete
        self._max_upload_bytes = max_upload_bytes
        self._idle_seconds = idle_seconds

    async def upload(self, request: web.Request) -> web.Response:
        source, label = _segments(request, "source", "label", wrong=BadRequest)
        return await self._upload(request, source, label)

    async def upload_to_root(self, request: web.Request) -> web.Response:
        """README's `curl -d @file .../api/v1/data`: an object without source and label."""
        return await self._upload(request, "", "")

    async def download(self, request: web.Request) -> web.StreamResponse:
        metrics = self._streams.metrics
        metrics.download_requests.inc()
        where, (info, body) = await self._streams.fetch(_address(request, wrong=NotFound), WHOLE_BYTES)
        asked = request.headers.get("Range")
        try:
            span = parse_range(asked, info.size) if asked is not None else Span(0, info.size)
        except BadRange:
            return _past_the_end(info)
        headers = {"Content-Type": OCTETS}
        if asked is None:
            headers["Accept-Ranges"] = "bytes"
        else:
            headers["Content-Range"] = content_range(span, info.size)
        status = 200 if asked is None else 206
        if body is None:
            return await _send(request, status, headers, span.length, self._streams.read(where, *span))
        metrics.downloaded_bytes.inc(span.length)
        return web.Response(status=status, headers=headers, body=body[span.start : span.start + span.length])

    async def exists(self, request: web.Request) -> web.Response:
        info = await self._streams.info(_address(request, wrong=NotFound))
        if info is None:
            raise NotFound
        headers = {"Content-Type": OCTETS, "Accept-Ranges": "bytes", "Content-Length": str(info.size)}
        return web.Response(headers=headers)

    async def copy(self, request: web.Request) -> web.Response:
        source, target, label = _segments(request, "source", "target", "label", wrong=BadRequest)
        await self._streams.copy(source, target, label, _sha256(request, BadRequest))
        return web.Response()

    async def delete(self, request: web.Request) -> web.Response:
        if not self._allow_delete:
            raise NotFound("this server does not delete streams (DISPATCHER_ALLOW_STREAM_DELETE)")
        wanted = _address(request, wrong=BadRequest)
        deleted = await self._streams.delete(wanted, _if_older_than(request))
        return _json(DeleteReply(deleted))

    async def _upload(self, request: web.Request, source: str, label: str) -> web.Response:
        reply = await self._streams.upload(
            source,
            label,
            self._body(request),
            skip_identify=_skip_identify(request),
            expected_sha256=request.query.get("expected-sha256", ""),
        )
        return _json(reply)

    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The raw body whatever its type, as it arrives. Raises SlowSender, TooLarge, BadRequest."""
        most = self._max_upload_bytes
        seen = request.content_length or 0
        if most is not None and seen > most:
            raise TooLarge(f"at most {most} bytes")
        seen = 0
        while piece := await self._piece(request):
            seen += len(piece)
            if most is not None and seen > most:
                raise TooLarge(f"at most {most} bytes")
            yield piece

    async def _piece(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await request.content.readany()
        except TimeoutError:
            raise SlowSender(f"nothing came for {self._idle_seconds:g} s") from None
        except (ConnectionError, aiohttp.ClientError, web.RequestPayloadError) as error:
            raise BadRequest("the body broke off before its end") from error


async def _send(
    request: web.Request, status: int, headers: dict[str, str], length: int, pieces: AsyncIterator[bytes]
) -> web.StreamResponse:
    """The first piece is read before the status is sent, so that a failing store is still told properly."""
    try:
        first = await anext(pieces, b"")
    except FileNotFoundError:
        raise NotFound from None
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    return response


def _past_the_end(info: StoredInfo) -> web.Response:
    """Not the usual JSON: unmodified runners understand a 416 in exactly this form."""
    return web.Response(status=416, headers={"Content-Type": OCTETS, "Content-Range": f"bytes */{info.size}"})


def _segments(request: web.Request, *names: str, wrong: type[DispatcherError]) -> list[str]:
    values = [request.match_info[name] for name in names]
    for value in values:
        if not is_segment(value):
            raise wrong("source and label are made of letters, digits, '.', '_' and '-', at most 128")
    return values


def _sha256(request: web.Request, wrong: type[DispatcherError]) -> str:
    sha256 = request.match_info["sha256"].lower()
    if not is_sha256(sha256):
        raise wrong("a sha256 is 64 hex digits")
    return sha256


def _address(request: web.Request, *, wrong: type[DispatcherError]) -> StreamId:
    source, label = _segments(request, "source", "label", wrong=wrong)
    return StreamId(source, label, _sha256(request, wrong))


def _skip_identify(request: web.Request) -> bool:
    text = request.query.get("skip-identify", "")
    if text and text not in TRUE and text not in FALSE:
        raise BadRequest("expected true or false", title="bad param skip identify")
    return text in TRUE


def _if_older_than(request: web.Request) -> int:
    text = request.query.get("ifOlderThan", "") or "0"
    if not _INTEGER.fullmatch(text):
        raise BadRequest("expected Unix seconds", title="ifOlderThan error")
    return int(text)


def _json(reply: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply), content_type="application/json", charset="utf-8")
