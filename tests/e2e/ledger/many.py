"""Several servers on one Kafka that may be killed, stopped and cut off, each by itself."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from tests.e2e.ledger.account import Cut, Outage
from tests.e2e.ledger.lab import Lab
from tests.e2e.ledger.processes import Processes, Running
from tests.e2e.ledger.witness import Witness
from tests.kafka.broker import KafkaBroker

SERVERS = 3
_PATIENCE = 3.0


class ManyLab(Lab):
    """`broker` is this lab's own. Servers are known by number, and come back on other ports."""

    def __init__(
        self,
        processes: Processes,
        witness: Witness,
        session: aiohttp.ClientSession,
        data: Path,
        seed: int,
        settings: Mapping[str, str],
        broker: KafkaBroker,
    ) -> None:
        super().__init__(processes, witness, session, data, seed, settings)
        self._data = data
        self._broker = broker
        self.many: dict[int, Running] = {}
        self._urls: dict[int, str] = {}

    async def start_servers(self) -> None:
        await asyncio.gather(*map(self.start_one, range(SERVERS)))

    async def start_one(self, number: int) -> None:
        environ = {**self._environ, "DISPATCHER_DATA_DIR": str(self._data / str(number))}
        server = self._processes.start("dispatcher", "serve", **environ)
        self.many[number] = server
        self._urls[number] = (await server.printed(r"http://127\.0\.0\.1:\d+"))[0]
        self._tell()

    async def kill_one(self) -> None:
        """While plugins hold jobs, if they get any. It is started again, as an orchestrator would do it."""
        with contextlib.suppress(TimeoutError):
            await self.witness.until(lambda saw: bool(saw.held), _PATIENCE)
        number = self.random.choice(sorted(self._urls))
        self.cuts.append(Cut("kill of the server", "", await self.many[number].kill()))
        self._urls.pop(number)
        self._tell()
        await self.start_one(number)

    async def stop_for(self, seconds: float) -> None:
        """A zombie: it wakes up when others have taken over its plugins, and believes that it is still the one."""
        number = self.random.choice(sorted(self._urls))
        server = self.many[number]
        server.signal(signal.SIGSTOP)
        self.cuts.append(Cut("stop of the server", "", time.time()))
        url = self._urls.pop(number)
        self._tell()
        await asyncio.sleep(seconds)
        server.signal(signal.SIGCONT)
        self.cuts.append(Cut("return of the server", "", time.time()))
        self._urls[number] = url
        self._tell()

    async def kill_broker(self, away: float = 0.0) -> None:
        began = time.time()
        await asyncio.to_thread(self._broker.kill9)
        await asyncio.sleep(away)
        await asyncio.to_thread(self._broker.start)
        self.outages.append(Outage(began, time.time()))
        self.cuts.append(Cut("kill of the broker", "", began))

    async def grow(self, partitions: int) -> None:
        """More partitions for every topic, by the command that an operator has for it."""
        environ = {**self._environ, "DISPATCHER_GLOBAL_PARTITION_COUNT": str(partitions)}
        apply = self._processes.start("dispatcher", "topics", "apply", "--yes", **environ)
        assert await apply.ended(60) == 0, apply.said()

    def submit_as(self, source: str, folder: Path) -> Running:
        return self._processes.start("dispatcher", "submit", folder, "--source", source, "--server", self.witness.url)

    def _tell(self) -> None:
        self.witness.servers = [self._urls[number] for number in sorted(self._urls)]
