"""What a worker process prints: into the log line by line, bounded, and its end kept for the cause of a death."""

import asyncio
import contextlib
import logging
from typing import Final

from dispatcher_sdk.limits import MIB
from dispatcher_sdk.text import printable

_log: Final = logging.getLogger("dispatcher_sdk.plugin")

_TAIL_BYTES: Final = 4_000
_LINE_CHARACTERS: Final = 1_000
_JOB_BYTES: Final = MIB
"""Of one job that reach the log; the rest is read and dropped."""
_LAST_WORDS_SECONDS: Final = 1.0


class Output:
    """Reads a pipe until it ends, so that the plugin never blocks on printing."""

    def __init__(self, pipe: asyncio.StreamReader, plugin: str) -> None:
        self._pipe = pipe
        self._plugin = plugin
        self._end = b""
        self._logged = 0
        self._task = asyncio.create_task(self._pump())

    @property
    def tail(self) -> str:
        """The last lines of the present job."""
        return self._end.decode("utf-8", "replace").strip()

    def forget(self) -> None:
        """A new job begins."""
        self._end, self._logged = b"", 0

    async def drain(self) -> None:
        """Wait a moment for the last words of a process that ended; another process may still hold the pipe."""
        await asyncio.wait({self._task}, timeout=_LAST_WORDS_SECONDS)

    async def close(self) -> None:
        await self.drain()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _pump(self) -> None:
        while chunk := await self._pipe.read(65_536):
            self._end = (self._end + chunk)[-_TAIL_BYTES:]
            self._show(chunk)

    def _show(self, chunk: bytes) -> None:
        before, self._logged = self._logged, self._logged + len(chunk)
        if before >= _JOB_BYTES:
            return
        for line in chunk.decode("utf-8", "replace").splitlines():
            if line.strip():
                _log.info("%s", printable(line, _LINE_CHARACTERS), extra={"action": "output", "plugin": self._plugin})
        if self._logged >= _JOB_BYTES:
            _log.warning(
                "the job prints more than %d bytes: the rest is dropped", _JOB_BYTES, extra={"plugin": self._plugin}
            )
