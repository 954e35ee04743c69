"""Reading the body of a request: small ones in memory, large ones on disk, slow ones not for ever."""

import asyncio
import logging
import mmap
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from aiohttp import StreamReader, web

from dispatcher.api.splitting import Buffer
from dispatcher.errors import BadRequest, SlowSender, TooLarge, Unavailable

SMALL: Final = 2 * 1024 * 1024
"""Bodies up to this many bytes stay in memory, unless the memory for bodies is full."""
CROWDED_SMALL: Final = 64 * 1024
"""The same while it is full."""
WRITE_SIZE: Final = 1024 * 1024

log = logging.getLogger(__name__)


def _nothing() -> None:
    """There is nothing to release."""


class Body:
    """The bytes of one request, in memory or mapped from an unnamed file. Close it, or leave it as a context
    manager."""

    def __init__(self, data: Buffer, release: Callable[[], None] = _nothing) -> None:
        self.data = data
        self._release = release

    def __len__(self) -> int:
        return len(self.data)

    def close(self) -> None:
        release, self._release = self._release, _nothing
        release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Memory:
    """Counts what bodies hold in memory, so that thousands of senders that stop in the middle cost disk instead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @property
    def full(self) -> bool:
        return self._held >= self._limit

    def hold(self, size: int) -> None:
        """`size` bytes more, or fewer."""
        self._held += size


class BodyReader:
    """Reads bodies within limits. Sizes in bytes; `stall_seconds` is how long a sender may say nothing."""

    def __init__(
        self,
        *,
        max_bytes: int,
        stall_seconds: float,
        memory: Memory,
        small_bytes: int = SMALL,
        spool_dir: Path | None = None,
    ) -> None:
        """Bodies above `small_bytes` go to a file in `spool_dir`."""
        self._max_bytes = max_bytes
        self._small_bytes = small_bytes
        self._stall_seconds = stall_seconds
        self._memory = memory
        self._spool_dir = spool_dir

    async def read(self, request: web.Request) -> Body:
        """The whole body. Raises TooLarge, SlowSender, BadRequest (broken framing), Unavailable (no room on disk),
        and ConnectionError when the client went away."""
        self._check(request.content_length or 0)
        stream = request.content
        if stream.is_eof():  # it came together with the headers, the usual case
            data = stream.read_nowait()
            self._check(len(data))
            return Body(data)
        arrival = _Arrival(self._memory, self._spool_dir)
        try:
            while chunk := await self._next(stream):
                self._check(arrival.size + len(chunk))
                await arrival.add(chunk, self._room(arrival.on_disk))
            return await arrival.end()
        finally:
            arrival.close()

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"the body is larger than {self._max_bytes} bytes")

    def _room(self, on_disk: bool) -> int:
        """Bytes of one body that may be in memory now."""
        usual = WRITE_SIZE if on_disk else self._small_bytes
        return min(usual, CROWDED_SMALL) if self._memory.full else usual

    async def _next(self, stream: StreamReader) -> bytes:
        """The next piece; empty at the end."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                return await stream.readany()
        except TimeoutError:
            raise SlowSender(f"no byte of the body arrived for {self._stall_seconds:g} seconds") from None
        except web.RequestPayloadError as problem:
            raise BadRequest(f"the body is not framed as its headers say: {problem}") from None


class _Arrival:
    """One body on its way. `close` gives up what `end` has not handed on."""

    def __init__(self, memory: Memory, spool_dir: Path | None) -> None:
        self.size = 0
        self._memory = memory
        self._spool_dir = spool_dir
        self._waiting: list[bytes] = []
        self._pending = 0
        self._file: IO[bytes] | None = None

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    async def add(self, chunk: bytes, room: int) -> None:
        """Take a piece; go to disk when more than `room` bytes are in memory. Raises Unavailable."""
        self._waiting.append(chunk)
        self.size += len(chunk)
        self._pending += len(chunk)
        self._memory.hold(len(chunk))
        if self._pending > room:
            await self._to_disk()

    async def end(self) -> Body:
        """Everything that was added. Raises Unavailable."""
        if self._file is None:
            held, self._pending = self._pending, 0
            return Body(b"".join(self._waiting), lambda: self._memory.hold(-held))
        await self._to_disk()
        file, self._file = self._file, None
        return _mapped(file)

    def close(self) -> None:
        self._forget()
        if self._file is not None:
            self._file.close()

    def _forget(self) -> None:
        self._memory.hold(-self._pending)
        self._pending = 0
        self._waiting.clear()

    async def _to_disk(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._spool_dir)  # noqa: SIM115
            await asyncio.to_thread(_write, self._file, b"".join(self._waiting))
        except OSError as problem:
            log.error("a large body cannot be kept on disk: %s", problem, extra={"action": "spool"})
            raise Unavailable("no room on disk for a large body") from problem
        self._forget()


def _write(file: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _mapped(file: IO[bytes]) -> Body:
    """The body is all of `file`, which it owns."""
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def release() -> None:
        view.close()
        file.close()

    return Body(view, release)
