"""Two dispatchers, and servers that another one may stumble over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from dispatcher.eventlog.base import SLOTS


class Pair:
    """`front` is asked; `owner` serves all."""

    def __init__(self, front: Any, owner: Any) -> None:
        self.front = front
        self.owner = owner
        front.front_of(owner.url)
        owner.peers.known = served_by(owner.url)

    @property
    def batch(self) -> Any:
        (batch,) = self.owner.delivery.batches
        return batch

    async def fate(self) -> str:
        async with asyncio.timeout(5):
            await self.owner.delivery.handed.wait()
            await self.batch.decided.wait()
        return str(self.batch.fate)


def served_by(url: str) -> dict[int, str]:
    """All slots."""
    return dict.fromkeys(range(SLOTS), url)


@asynccontextmanager
async def server(answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[str]:
    """URL of one that reads a request's head, writes what `answer` makes of it, and closes the connection."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await answer(await reader.readuntil(b"\r\n\r\n")))
            await writer.drain()
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
