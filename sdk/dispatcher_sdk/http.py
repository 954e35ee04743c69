"""One HTTP exchange with the dispatcher: bounded replies, and errors by what the caller can do about them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from dispatcher_sdk.errors import BadReply, DefinitionError, Refused, Unavailable
from dispatcher_sdk.limits import MIB
from dispatcher_sdk.retry import Backoff
from dispatcher_sdk.text import printable

REPLY_BYTES: Final = 8 * MIB
_TRANSIENT: Final = frozenset((429, 502, 503, 504))
_BACKOFF_FIRST: Final = 0.1
_BACKOFF_MOST: Final = 5.0
_CONNECT_SECONDS: Final = 10.0

Query = Sequence[tuple[str, str]]
Body = bytes | None | Callable[[], AsyncIterator[bytes]]
"""Bytes, or a function that starts the body anew for each attempt."""


class Exchange:
    """Requests below one base URL. Enter it first; it may be used from many tasks."""

    def __init__(self, url: str, *, user_agent: str, attempts: int = 4) -> None:
        base = URL(url)
        if base.scheme not in ("http", "https") or not base.host:
            raise DefinitionError(f"{url!r} is not the URL of a dispatcher: give one such as http://localhost:8111")
        self._base = url.rstrip("/")
        self._attempts = attempts
        self._headers = {"User-Agent": user_agent}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Body = None,
        headers: dict[str, str] | None = None,
        seconds: float = 30.0,
        most: int = REPLY_BYTES,
    ) -> tuple[bytes, str]:
        """(body, content type) of a 2xx reply of at most `most` bytes, tried again while the failure is transient.

        Raises Unavailable, Refused or BadReply.
        """
        async with contextlib.AsyncExitStack() as stack:
            reply = await self._again(stack, method, path, query, body, headers, seconds)
            try:
                async with asyncio.timeout(seconds):
                    return await read_bounded(reply, most), reply.headers.get("Content-Type", "")
            except (aiohttp.ClientError, OSError, TimeoutError) as problem:
                raise Unavailable(f"{method} {path}: the reply broke off ({_why(problem)})") from None

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, seconds: float = 30.0
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A 2xx reply to be read piece by piece; `seconds` until its head is there. Raises as `send`."""
        async with contextlib.AsyncExitStack() as stack:
            yield await self._again(stack, method, path, (), None, headers, seconds)

    async def _again(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: dict[str, str] | None,
        seconds: float,
    ) -> aiohttp.ClientResponse:
        backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._once(stack, method, path, query, body, headers, seconds)
            except Unavailable as problem:
                if attempt == self._attempts:
                    raise
                await asyncio.sleep(backoff.next(problem.retry_after))
        raise Unavailable(f"{method} {path}: no attempt was made")

    async def _once(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: dict[str, str] | None,
        seconds: float,
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "enter the client first"
        url = (
            URL(self._base + path, encoded=True).with_query(list(query))
            if query
            else URL(self._base + path, encoded=True)
        )
        data = body() if callable(body) else body
        try:
            async with asyncio.timeout(seconds):
                reply = await self._session.request(method, url, data=data, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise Unavailable(f"{method} {path}: {_why(problem)}") from None
        stack.push_async_callback(_release, reply)
        if 200 <= reply.status < 300:
            return reply
        raise await _refusal(method, path, reply)


async def read_bounded(reply: aiohttp.ClientResponse, most: int) -> bytes:
    """The body. Raises BadReply when it is larger than `most` bytes."""
    body = bytearray()
    async for chunk in reply.content.iter_any():
        body += chunk
        if len(body) > most:
            raise BadReply(f"the reply is larger than {most} bytes")
    return bytes(body)


async def _release(reply: aiohttp.ClientResponse) -> None:
    reply.release() if reply.content.is_eof() else reply.close()


async def _refusal(method: str, path: str, reply: aiohttp.ClientResponse) -> Unavailable | Refused:
    text = f"{method} {path}: HTTP {reply.status}{await _detail(reply)}"
    if reply.status in _TRANSIENT:
        return Unavailable(text, retry_after=_retry_after(reply.headers.get("Retry-After", "")))
    return Refused(text, status=reply.status)


async def _detail(reply: aiohttp.ClientResponse) -> str:
    """The server's own words, if its error has the usual shape."""
    try:
        error = json.loads(await read_bounded(reply, 64 * 1024))
        words = [str(error[key]) for key in ("title", "detail") if error.get(key)]
    except (aiohttp.ClientError, OSError, BadReply, ValueError, AttributeError, RecursionError):
        return ""
    return ": " + printable(", ".join(dict.fromkeys(words)), 500) if words else ""


def _retry_after(value: str) -> float | None:
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None


def _why(problem: BaseException) -> str:
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    return printable(str(problem) or type(problem).__name__, 300)
