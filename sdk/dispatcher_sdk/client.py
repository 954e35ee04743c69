"""Client of the dispatcher's HTTP interface, as far as plugins need it (wire contract, sections 1.3, 1.4, 1.6).

What is sent here may be sent twice without harm: a registration and a final status replace themselves, files are
stored by what they contain. So every call tries again while a failure is transient, and never after a 4xx.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256 as new_sha256
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote

import aiohttp
from msgspec import Raw, Struct

from dispatcher_sdk.errors import BadReply, Refused, Unavailable
from dispatcher_sdk.http import Exchange, Query
from dispatcher_sdk.limits import MIB
from dispatcher_sdk.models import (
    BinaryEvent,
    Datastream,
    FetchInfo,
    InvalidMessage,
    PluginEvent,
    PublishReply,
    StatusEvent,
    UploadReply,
    decode,
    decode_as,
    encode,
)
from dispatcher_sdk.multipart import parts

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)

_EVENT_BYTES: Final = 4 * MIB
"""Room for one event in the reply to a fetch; the server's own bound is 3 MiB."""
_STREAM_SECONDS: Final = 600.0
_PIECE_SECONDS: Final = 60.0
"""Longest silence in the middle of a download."""
_CHUNK: Final = 256 * 1024
_JSON: Final = {"Content-Type": "application/json"}
_BYTES: Final = {"Content-Type": "application/octet-stream"}


class Fetched(NamedTuple):
    """The events that arrived, and what the server says about the rest."""

    info: FetchInfo
    events: list[BinaryEvent]


class _Events(Struct):
    events: list[Raw] = []


class DispatcherClient:
    """Enter it first. `user` names the program in the server's log.

    All methods raise Unavailable when the server cannot answer for now, Refused for good, and BadReply when it
    says what it should not.
    """

    def __init__(self, url: str, *, user: str = "", attempts: int = 4) -> None:
        self._http = Exchange(
            url, user_agent=f"dispatcher-sdk ({user})" if user else "dispatcher-sdk", attempts=attempts
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, problem, trace)

    async def register(self, event: PluginEvent) -> None:
        """Announce a plugin. Raises Refused when the server finds the registration invalid."""
        reply = await self._publish("plugin", [event])
        if reply.failures:
            raise Refused(f"the registration was refused: {reply.failures[0].error}", status=422)

    async def fetch(
        self,
        name: str,
        version: str,
        query: Query,
        *,
        count: int = 1,
        deadline: int = 10,
        lease: int = 90,
    ) -> Fetched:
        """Lease up to `count` binary events; waits up to `deadline` seconds for them, 0 takes what is there.

        A lease lasts `lease` seconds after the last heartbeat. Events that cannot be decoded are logged and
        left to expire.
        """
        asked = [
            ("name", name),
            ("version", version),
            ("deployment_key", name),
            ("count", str(count)),
            ("deadline", str(deadline)),
            ("lease", str(lease)),
            *query,
        ]
        body, content_type = await self._http.send(
            "GET",
            "/api/v2/event/binary/active",
            query=asked,
            headers={"Accept": "multipart/form-data"},
            seconds=deadline + 30.0,
            most=MIB + count * _EVENT_BYTES,
        )
        return _fetched(parts(body, content_type))

    async def post_statuses(self, statuses: Sequence[StatusEvent]) -> PublishReply:
        """Publish statuses. `failures` of the reply says which were invalid; the others are durable."""
        return await self._publish("status", statuses)

    async def upload(self, source: str, label: str, data: bytes | Callable[[], BinaryIO]) -> Datastream:
        """Store bytes, or a file that `data` opens (again for each attempt), and get what the server found out.

        Raises OSError when the file cannot be opened, and BadReply when another number of bytes was stored.
        """
        if isinstance(data, bytes):
            body, size = _pieces_of(lambda: BytesIO(data)), len(data)
        else:
            body = _pieces_of(data)
            with data() as file:
                size = file.seek(0, os.SEEK_END)
        headers = {**_BYTES, "Content-Length": str(size)}
        path = f"/api/v3/stream/{_segment(source)}/{_segment(label)}"
        raw, _ = await self._http.send("POST", path, body=body, headers=headers, seconds=_STREAM_SECONDS)
        stored = _message(UploadReply, raw).data
        if stored.size != size:
            raise BadReply(f"the server stored {stored.size} of {size} bytes")
        return stored

    async def download(self, source: str, label: str, sha256: str, target: Path, *, most: int) -> int:
        """Write a stream of at most `most` bytes into the file `target`; its size. The hash is checked.

        A download that breaks off leaves a partial file and raises Unavailable: call again. Raises OSError when
        the file cannot be written.
        """
        path = _stream_path(source, label, sha256)
        size, digest = 0, new_sha256()
        async with self._http.stream("GET", path, headers={"Accept-Encoding": "identity"}) as reply:
            with target.open("wb") as file:
                async for chunk in _received(reply, sha256):
                    size += len(chunk)
                    if size > most:
                        raise BadReply(f"the stream {sha256} is larger than {most} bytes")
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != sha256.lower():
            raise BadReply(f"the stream {sha256} arrived with the hash {digest.hexdigest()}")
        return size

    async def download_range(self, source: str, label: str, sha256: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer at the end of the stream, none past it."""
        headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        try:
            raw, _ = await self._http.send("GET", _stream_path(source, label, sha256), headers=headers, most=length)
        except Refused as problem:
            if problem.status == 416:
                return b""
            raise
        return raw

    async def exists(self, source: str, label: str, sha256: str) -> bool:
        """Whether the server has this stream."""
        try:
            await self._http.send("HEAD", _stream_path(source, label, sha256))
        except Refused as problem:
            if problem.status == 404:
                return False
            raise
        return True

    async def release(self, token: str, *, after: int = 0) -> None:
        """Give a leased event back; it is handed out again after so many seconds."""
        await self._http.send("POST", f"/api/v2/lease/{_segment(token)}/release", query=[("after", str(after))])

    async def _publish(self, model: str, events: Sequence[PluginEvent | StatusEvent]) -> PublishReply:
        body = b"[" + b",".join(encode(event) for event in events) + b"]"
        raw, _ = await self._http.send(
            "POST", "/api/v2/event", query=[("model", model)], body=body, headers=_JSON, seconds=60.0
        )
        return _message(PublishReply, raw)


def _pieces_of(opener: Callable[[], BinaryIO]) -> Callable[[], AsyncIterator[bytes]]:
    """Bodies that each read the file on their own: a broken attempt may still be reading when the next begins."""

    async def pieces() -> AsyncIterator[bytes]:
        with opener() as file:
            while piece := await asyncio.to_thread(file.read, _CHUNK):
                yield piece

    return pieces


async def _received(reply: aiohttp.ClientResponse, sha256: str) -> AsyncIterator[bytes]:
    """The body piece by piece; only what the network does wrong becomes Unavailable."""
    pieces = reply.content.iter_chunked(_CHUNK)
    while True:
        try:
            async with asyncio.timeout(_PIECE_SECONDS):
                piece = await anext(pieces, b"")
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise Unavailable(f"the download of {sha256} broke off: {problem}") from None
        if not piece:
            return
        yield piece


def _fetched(found: dict[str, bytes]) -> Fetched:
    if "info" not in found or "events" not in found:
        raise BadReply(f"expected the parts info and events, got {sorted(found)}")
    events = []
    for raw in _message(_Events, found["events"]).events:
        try:
            event = decode("binary", raw)
        except InvalidMessage as problem:
            _log.error("an event cannot be read and is left to expire: %s", problem, extra={"action": "fetch"})
            continue
        assert isinstance(event, BinaryEvent)
        events.append(event)
    return Fetched(_message(FetchInfo, found["info"]), events)


def _message(kind: type[T], raw: bytes) -> T:
    try:
        return decode_as(kind, raw)
    except InvalidMessage as problem:
        raise BadReply(str(problem)) from None


def _segment(text: str) -> str:
    return quote(text, safe="")


def _stream_path(source: str, label: str, sha256: str) -> str:
    return f"/api/v3/stream/{_segment(source)}/{_segment(label)}/{_segment(sha256)}"
