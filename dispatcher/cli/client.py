"""The few requests that commands make, patient with a server that restarts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from dispatcher_sdk.models import Datastream, ErrorReply, InvalidMessage, PublishReply, UploadReply, decode_as

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0


class ServerError(Exception):
    """The server refused, or did not answer in time; the text is one line for people."""


class _TryAgain(Exception):
    """The server said 503: nothing of the request was kept."""


class Client:
    """Use as `async with`. Requests are repeated while the server is away or says 503, for `patience` seconds.

    Repeating is safe for all of them: an upload is named by its content, an event by its key.
    """

    def __init__(self, server: str, *, patience: float = 60.0) -> None:
        self._server = server.rstrip("/")
        self._patience = patience

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def text(self, path: str, *, accept: str = "*/*") -> str:
        """The body of a GET. Raises ServerError."""

        async def attempt() -> str:
            async with self._session.get(self._server + path, headers={"Accept": accept}) as reply:
                return (await _accepted(reply)).decode("utf-8", "replace")

        return await self._patiently(attempt)

    async def is_stored(self, source: str, sha256: str) -> bool:
        """Whether the content is there for this source. Raises ServerError."""

        async def attempt() -> bool:
            async with self._session.head(self._stream(source, sha256)) as reply:
                if reply.status == 404:
                    return False
                await _accepted(reply)
                return True

        return await self._patiently(attempt)

    async def upload(self, source: str, path: Path, sha256: str) -> Datastream:
        """Send a file; `sha256` lets the server notice that it changed meanwhile. Raises ServerError, OSError."""

        async def attempt() -> Datastream:
            with path.open("rb") as file:
                url = self._stream(source)
                async with self._session.post(url, params={"expected-sha256": sha256}, data=file) as reply:
                    return decode_as(UploadReply, await _accepted(reply)).data

        return await self._patiently(attempt)

    async def publish(self, model: str, events: Sequence[bytes]) -> PublishReply:
        """Post encoded events in one body. Raises ServerError when not one of them was taken."""
        body = b"[" + b",".join(events) + b"]"

        async def attempt() -> PublishReply:
            async with self._session.post(self._server + "/api/v2/event", params={"model": model}, data=body) as reply:
                return decode_as(PublishReply, await _accepted(reply))

        return await self._patiently(attempt)

    def _stream(self, source: str, *rest: str) -> str:
        return "/".join((self._server, "api/v3/stream", source, "content", *rest))

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except aiohttp.InvalidURL:
                raise ServerError(f"{self._server} is not a URL: write http://localhost:8111") from None
            except (_TryAgain, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                if time.monotonic() + pause > deadline:
                    raise ServerError(f"no answer from {self._server}: {error or type(error).__name__}") from None
            except (aiohttp.ClientError, InvalidMessage) as error:
                raise ServerError(f"{self._server} does not answer as a dispatcher does: {error}") from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _accepted(reply: aiohttp.ClientResponse) -> bytes:
    body = await reply.read()
    if reply.status == 503:
        raise _TryAgain(_reason(body))
    if reply.status >= 400:
        raise ServerError(f"{reply.status} {_reason(body) or reply.reason}")
    return body


def _reason(body: bytes) -> str:
    """The detail of the server's error, or the start of whatever else it sent."""
    try:
        detail = decode_as(ErrorReply, body).detail
    except InvalidMessage:
        detail = body.decode("utf-8", "replace")
    return " ".join(detail.split())[:300]
