"""Room for bytes that wait to be written, so that a slow log slows its callers instead of filling memory."""

import asyncio
from collections import deque


class Room:
    """`limit` bytes, taken first come, first served. What is larger than the limit goes in alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes taken now."""
        return self._used

    async def take(self, size: int) -> None:
        """Wait until there is room, then hold it until `give`."""
        if not self._queue and self._fits(size):
            self._used += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn had come in the same moment
                self.give(size)
            raise

    def give(self, size: int) -> None:
        self._used -= size
        while self._queue:
            size, turn = self._queue[0]
            if not turn.cancelled():
                if not self._fits(size):
                    return
                self._used += size
                turn.set_result(None)
            self._queue.popleft()

    def _fits(self, size: int) -> bool:
        return self._used == 0 or self._used + size <= self._limit
