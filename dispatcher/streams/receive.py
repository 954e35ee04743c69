"""An upload's bytes on their way to disk: hashed and written in blocks, off the event loop, with flat memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher.streams.hashing import Hasher

BLOCK = 1 << 20
"""Bytes gathered before they are hashed and written. One block is being filled while another is worked on."""
BLOCKS = 64 << 20
"""Bytes that the blocks of all uploads together may have; with many uploads each has smaller ones."""
SMALLEST_BLOCK = 1 << 16


class Crowd:
    """Counts the uploads that are arriving."""

    def __init__(self) -> None:
        self.size = 0

    @property
    def block(self) -> int:
        """Bytes of a block of each."""
        return max(SMALLEST_BLOCK, min(BLOCK, BLOCKS // max(1, self.size)))


class Received:
    """A file being spooled: `async with Received(path, algorithms) as file`; removed at the end in any case."""

    def __init__(self, path: Path, algorithms: Iterable[str], crowd: Crowd) -> None:
        self.path = path
        self._hasher = Hasher(algorithms)
        self._descriptor = -1
        self._crowd = crowd
        self._busy: asyncio.Future[None] | None = None

    @property
    def size(self) -> int:
        return self._hasher.size

    def digests(self) -> dict[str, str]:
        return self._hasher.digests()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._busy:
            await asyncio.wait([self._busy])
        await asyncio.shield(asyncio.to_thread(self._discard))

    async def take(self, pieces: AsyncIterator[bytes]) -> None:
        """Read everything. Raises OSError when the disk does not take it, and whatever `pieces` raises."""
        self._crowd.size += 1
        try:
            await self._take(pieces)
        finally:
            self._crowd.size -= 1

    async def _take(self, pieces: AsyncIterator[bytes]) -> None:
        block = bytearray()
        async for piece in pieces:
            block += piece
            if len(block) >= self._crowd.block:
                await self._hand_over(block)
                block = bytearray()
        await self._hand_over(block, last=True)

    async def _hand_over(self, block: bytearray, *, last: bool = False) -> None:
        if self._busy:
            await self._busy
        self._busy = asyncio.get_running_loop().run_in_executor(None, self._work, block, last)
        if last:
            await self._busy

    def _work(self, block: bytearray, last: bool) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._hasher.update(block)
        left = memoryview(block)
        while left:
            left = left[os.write(self._descriptor, left) :]
        if last:
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _discard(self) -> None:
        self._close()
        with suppress(FileNotFoundError):
            self.path.unlink()
