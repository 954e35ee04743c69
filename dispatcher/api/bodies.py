"""Reading the body of a request: small ones in memory, large ones on disk, slow ones not for ever."""

import asyncio
import logging
import mmap
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from aiohttp import StreamReader, web

from dispatcher.errors import BadRequest, SlowSender, TooLarge, Unavailable

SMALL: Final = 2 * 1024 * 1024
"""Bodies up to this many bytes stay in memory."""
WRITE_SIZE: Final = 1024 * 1024


class SpooledBody:
    """A large body in an unnamed file, seen through `view`. Close it, or leave it as a context manager."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self.view)

    def close(self) -> None:
        self.view.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Body = bytes | SpooledBody

log = logging.getLogger(__name__)


class BodyReader:
    """Reads bodies within limits. Sizes in bytes; `stall_seconds` is how long a sender may say nothing."""

    def __init__(
        self,
        *,
        max_bytes: int,
        stall_seconds: float,
        memory_bytes: int = SMALL,
        spool_dir: Path | None = None,
    ) -> None:
        """Bodies above `memory_bytes` go to a file in `spool_dir`."""
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._stall_seconds = stall_seconds
        self._spool_dir = spool_dir

    async def read(self, request: web.Request) -> Body:
        """The whole body. Raises TooLarge, SlowSender, BadRequest (broken framing), and ConnectionError when the
        client went away."""
        declared = request.content_length
        if declared is not None and declared > self._max_bytes:
            raise self._too_large()
        stream = request.content
        if stream.is_eof():  # it came together with the headers, the usual case
            return self._within(stream.read_nowait())
        return await self._collect(stream)

    def _within(self, data: bytes) -> bytes:
        if len(data) > self._max_bytes:
            raise self._too_large()
        return data

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._max_bytes} bytes")

    async def _collect(self, stream: StreamReader) -> Body:
        head: list[bytes] = []
        size = 0
        while chunk := await self._next(stream):
            head.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            if size > self._memory_bytes:
                return await self._spool(head, size, stream)
        return b"".join(head)

    async def _next(self, stream: StreamReader) -> bytes:
        """The next piece; empty at the end."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                return await stream.readany()
        except TimeoutError:
            raise SlowSender(f"no byte of the body arrived for {self._stall_seconds:g} seconds") from None
        except web.RequestPayloadError as problem:
            raise BadRequest(f"the body is not framed as its headers say: {problem}") from None

    async def _spool(self, head: list[bytes], size: int, stream: StreamReader) -> SpooledBody:
        try:
            file = tempfile.TemporaryFile(dir=self._spool_dir)  # noqa: SIM115 (SpooledBody owns it)
            try:
                await self._fill(file, head, size, stream)
                return SpooledBody(file)
            except BaseException:
                file.close()
                raise
        except ConnectionError:
            raise
        except OSError as problem:
            log.error("a large body cannot be kept on disk: %s", problem, extra={"action": "spool"})
            raise Unavailable("no room on disk for a large body") from problem

    async def _fill(self, file: IO[bytes], waiting: list[bytes], size: int, stream: StreamReader) -> None:
        pending = size
        while chunk := await self._next(stream):
            waiting.append(chunk)
            size += len(chunk)
            pending += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            if pending >= WRITE_SIZE:
                await asyncio.to_thread(file.write, b"".join(waiting))
                waiting.clear()
                pending = 0
        await asyncio.to_thread(file.write, b"".join(waiting))
        await asyncio.to_thread(file.flush)
