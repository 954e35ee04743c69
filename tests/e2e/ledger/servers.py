"""A server as an orchestrator runs it: on an address of its own, and started again whenever it ends."""

import asyncio
import re
import signal
import time
from collections.abc import Mapping
from typing import NamedTuple

from tests.e2e.ledger.processes import Processes, Running

_LOOK_SECONDS = 0.05
_UP = re.compile(r"^Azul Dispatcher on http", re.MULTILINE)


class End(NamedTuple):
    """A process that ended without being killed by the test, at `at`, unix seconds."""

    server: str
    code: int
    at: float
    said: str


class Server:
    """Run `keep()` as a task for as long as there should be a server at `url`."""

    def __init__(self, processes: Processes, port: int, environ: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ends: list[End] = []
        self.up = False
        self.runs: list[Running] = []
        self._processes = processes
        self.environ = {**environ, "DISPATCHER_LISTEN": f"127.0.0.1:{port}"}
        self._killed = False

    async def keep(self) -> None:
        while True:
            running = self._processes.start("dispatcher", "serve", **self.environ)
            self._killed = False
            self.runs.append(running)
            while running.alive:
                self.up = self.up or bool(_UP.search(running.said()))
                await asyncio.sleep(_LOOK_SECONDS)
            self.up = False
            if not self._killed:
                self.ends.append(End(self.url, await running.ended(1), time.time(), running.tail()))

    async def kill(self) -> float:
        """`kill -9`; when it was dead, in unix seconds."""
        self._killed = True
        self.up = False
        return await self.runs[-1].kill()

    def stop(self) -> None:
        """It does nothing until `go_on`, and does not know it."""
        self.up = False
        self.runs[-1].signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.runs[-1].signal(signal.SIGCONT)
        self.up = True
