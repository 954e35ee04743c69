"""What the runner and a worker process say to each other: length-prefixed msgpack on a socket of their own.

The plugin's stdout and stderr never touch this socket, so it may print what it likes.
"""

import asyncio
import socket
import struct
from typing import Final

import msgspec
from msgspec import Struct

from dispatcher_sdk.limits import FRAME_BYTES
from dispatcher_sdk.outcome import Outcome

_HEADER: Final = struct.Struct(">I")


class Start(Struct, tag="start"):
    """Runner to worker: run this job. `event` is the JSON of a binary event, `seconds` its time limit."""

    folder: str
    event: bytes
    seconds: float


class Ready(Struct, tag="ready"):
    """Worker to runner: the plugin is loaded and set up."""


class Broken(Struct, tag="broken"):
    """Worker to runner: the plugin could not be loaded or set up; `text` is the traceback."""

    text: str


class Done(Struct, tag="done"):
    """Worker to runner: the job ended."""

    outcome: Outcome


Frame = Start | Ready | Broken | Done

_decoder: Final[msgspec.msgpack.Decoder[Frame]] = msgspec.msgpack.Decoder(Frame)


class BadFrame(ValueError):
    """The other side does not speak this protocol."""


def pack(frame: Frame) -> bytes:
    """Raises BadFrame for one that is too large."""
    body = msgspec.msgpack.encode(frame)
    if len(body) > FRAME_BYTES:
        raise BadFrame(f"a message of {len(body)} bytes is larger than {FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


def receive(channel: socket.socket) -> Frame | None:
    """The next frame, in a worker; None at the end."""
    header = _exactly(channel, _HEADER.size)
    body = _exactly(channel, _length(header)) if header else None
    return _frame(body) if body else None


async def read(reader: asyncio.StreamReader) -> Frame:
    """The next frame, in the runner. Raises asyncio.IncompleteReadError at the end and BadFrame."""
    header = await reader.readexactly(_HEADER.size)
    return _frame(await reader.readexactly(_length(header)))


def _length(header: bytes) -> int:
    size: int = _HEADER.unpack(header)[0]
    if size > FRAME_BYTES:
        raise BadFrame(f"a message announces {size} bytes")
    return size


def _frame(body: bytes) -> Frame:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise BadFrame(str(problem)) from None


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
