"""What goes back to the client: JSON, the one error shape, and replies that are known to have been written."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from aiohttp import web
from dispatcher_sdk.models import ErrorReply

from dispatcher.errors import DispatcherError

JSON: Final = "application/json"
LONGEST_DETAIL: Final = 2000
PIECE_BYTES: Final = 256 * 1024
"""A reply above this size is written in pieces: each must be taken in time, however long all of it takes."""
ERROR_HEADERS: Final = {
    "Content-Type": "application/json; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}
to_json = msgspec.json.Encoder().encode


def json_reply(body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, content_type=JSON, headers=headers)


def error_reply(status: int, title: str, detail: str, enum: str, headers: dict[str, str] | None = None) -> web.Response:
    """The contract's error shape (1.2). Text of a client is made safe: cut, and lone surrogates replaced."""
    message = ErrorReply(
        status=str(status),
        title=_safe(title),
        detail=_safe(detail) or "no error provided",
        error_enum=enum,
    )
    return web.Response(status=status, body=to_json(message), headers={**ERROR_HEADERS, **(headers or {})})


def reply_to(problem: DispatcherError) -> web.Response:
    return error_reply(problem.status, problem.title, problem.detail, problem.enum, dict(problem.headers))


def _safe(text: str) -> str:
    if len(text) > LONGEST_DETAIL:
        text = text[:LONGEST_DETAIL] + "..."
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def in_pieces(body: bytes) -> Sequence[bytes | memoryview]:
    """Of about PIECE_BYTES, without a copy."""
    if len(body) <= PIECE_BYTES:
        return (body,)
    view = memoryview(body)
    return tuple(view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


async def send(
    request: web.Request,
    content_type: str,
    pieces: Sequence[bytes | memoryview],
    stall_seconds: float,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Write a reply; return only when the system has taken every byte of it for the client.

    A transport normally answers "written" while bytes wait in its own buffer, where they die with the connection.
    Raises ConnectionError when the client went away or took nothing for `stall_seconds`.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client went away")
    response = _response(status, {**(headers or {}), "Content-Type": content_type}, pieces)
    transport.set_write_buffer_limits(high=0)  # from here on "drained" means empty
    try:
        await _write(request, response, pieces, stall_seconds)
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError(f"the client took nothing for {stall_seconds} s") from None
    if not transport.is_closing():
        transport.set_write_buffer_limits()
    return response


def _response(status: int, headers: Mapping[str, str], pieces: Sequence[bytes | memoryview]) -> web.StreamResponse:
    if len(pieces) == 1:
        return web.Response(status=status, body=pieces[0], headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = sum(map(len, pieces))
    return response


async def _write(
    request: web.Request, response: web.StreamResponse, pieces: Sequence[bytes | memoryview], stall_seconds: float
) -> None:
    if len(pieces) == 1:
        async with asyncio.timeout(stall_seconds):
            await response.prepare(request)
            await response.write_eof()
        return
    await response.prepare(request)
    for piece in pieces:
        async with asyncio.timeout(stall_seconds):
            await response.write(piece)
    async with asyncio.timeout(stall_seconds):
        await response.write_eof()
