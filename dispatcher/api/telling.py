"""What became of forwarded replies, told to the dispatchers that they came from."""

import asyncio
import logging
from typing import Final, Literal

from dispatcher.api.peers import PeerClient

log = logging.getLogger(__name__)

PAUSES: Final = (0.0, 0.2, 1.0, 3.0)
CLOSE_SECONDS: Final = 5.0

Fate = Literal["delivered", "returned"]


class Telling:
    """In the background, a few times if need be: no client waits for it."""

    def __init__(self, peers: PeerClient) -> None:
        self._peers = peers
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, url: str, batch: str, fate: Fate) -> None:
        task = asyncio.create_task(self._tell(url, f"/api/v2/forwarded/{batch}/{fate}"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """What is not told yet gets some seconds."""
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, url: str, path: str) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            if await self._peers.say(url, path):
                return
        log.warning("%s could not be told: %s", url, path, extra={"action": "forward"})
