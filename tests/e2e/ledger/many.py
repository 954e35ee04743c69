"""Several servers on one Kafka that may be killed, stopped and cut off, each by itself, while work goes on."""

import asyncio
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from tests.e2e.ledger.account import Account
from tests.e2e.ledger.facts import UNPACK_ZIP, URL_FINDER, Wants, reader
from tests.e2e.ledger.faults import Cut, Outage
from tests.e2e.ledger.lab import LEASE_SECONDS, Lab
from tests.e2e.ledger.load import Load
from tests.e2e.ledger.log import Log
from tests.e2e.ledger.processes import Processes, Running
from tests.e2e.ledger.servers import Server
from tests.e2e.ledger.witness import Delivery, Testimony, Witness
from tests.kafka.broker import KafkaBroker, free_ports

SERVERS = 3
READERS = (reader("reader-a"), reader("reader-b"))
SUBSCRIBERS = (URL_FINDER, UNPACK_ZIP, *READERS)
HEALTH_CHECK_SECONDS = 1.0
"""After so long the load balancer knows that a server hangs."""
_UP_SECONDS = 60.0
_PATIENCE = 150.0
"""Seconds that any work at all must need less than, whatever happened before."""
_SLOW_JOB_SECONDS = 5.0

Deed = Callable[[], Awaitable[object]]


class ManyLab(Lab):
    """`broker` is this lab's own."""

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
        self.faults.compacted = True
        self.endpoint = broker.endpoint
        self._slow = str(2 + 2 * float(settings["DISPATCHER_KAFKA_SESSION_SECONDS"]))
        """Seconds: whoever takes over from a dispatcher that was killed does so while a slow job is still under way."""
        self.prefix = f"azul.{settings['DISPATCHER_KAFKA_TOPIC_PREFIX']}."
        self.journal = f"{self.prefix}system.dispatch"
        self._broker = broker
        self._ports = free_ports(SERVERS)
        environs = [{**self._environ, "DISPATCHER_DATA_DIR": str(data / str(number))} for number in range(SERVERS)]
        self.servers = [Server(processes, *pair) for pair in zip(self._ports, environs, strict=True)]
        self.load = Load(self.submit_as, data / "files", seed)
        witness.servers = [server.url for server in self.servers]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Servers and plugins; a server that ends is started again."""
        tasks = [asyncio.create_task(server.keep()) for server in self.servers]
        try:
            await self.until(lambda: all(server.up for server in self.servers))
            for plugin in SUBSCRIBERS:
                self.start_runner(plugin.name)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def working(self, *sources: str) -> AsyncIterator[None]:
        """Files come in all the time; at the end all are taken."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load.run(*sources))
            await self.progress(1)
            yield
            self.load.end()

    def start_runner(self, plugin: str, *, lease: int = LEASE_SECONDS, **environ: str) -> Running:
        """A reader is told its name."""
        return super().start_runner(plugin, lease=lease, READER=plugin, SLOW_SECONDS=self._slow, **environ)

    async def stop_runner(self, plugin: str) -> None:
        runner = self.runners.pop(plugin)
        runner.signal(signal.SIGTERM)
        assert await runner.ended(_PATIENCE) == 0, runner.said()

    def submit_as(self, source: str, folder: Path, *options: str) -> Running:
        arguments = (folder, "--source", source, "--server", self.witness.url, *options)
        return self._processes.start("dispatcher", "submit", *arguments, COLUMNS="500")

    # ---- what happens

    async def happen(
        self, deeds: Sequence[Deed], rng: random.Random, least: int = 5, most: int = 60, at_most: float | None = None
    ) -> None:
        """One after the other, in any order, after so many more final statuses each: all has to work in between,
        unless it may go on after `at_most` seconds all the same."""
        for deed in rng.sample(deeds, len(deeds)):
            await self.progress(rng.randrange(least, most), at_most)
            await deed()

    async def progress(self, finals: int, at_most: float | None = None) -> None:
        """Until plugins have finished so many more jobs. Raises TimeoutError when that takes too long."""
        goal = self.witness.saw.finals + finals
        with suppress(*(() if at_most is None else (TimeoutError,))):
            await self.witness.until(lambda saw: saw.finals >= goal, at_most or _PATIENCE)

    async def kill_one(self) -> Cut:
        """Mostly one that has just given out a job that will last, which nobody else can know of."""
        plugin = await self.begins_to_last()
        owner = await self.owner_of(plugin)
        return await self._kill(owner if owner and self.random.random() < 0.75 else await self._any())

    async def begins_to_last(self) -> str:
        """The plugin that is given such a job at this moment; any, when there is none for long."""

        def slow(saw: Testimony) -> bool:
            return bool(saw.deliveries) and self._is_slow(saw.deliveries[-1])

        with suppress(TimeoutError):
            await self.witness.until(slow, _SLOW_JOB_SECONDS)
            return self.witness.saw.deliveries[-1].plugin
        return self.random.choice(SUBSCRIBERS).name

    def _is_slow(self, job: Delivery) -> bool:
        return job.plugin in (reader.name for reader in READERS) and job.sha256 in self.load.slow

    async def kill_owner(self, plugin: str) -> Cut:
        """The server that gives out its jobs."""
        server = await self.owner_of(plugin)
        assert server is not None, f"nobody serves {plugin}"
        return await self._kill(server)

    async def kill_all(self) -> None:
        for server in self.servers:
            await self._kill(server)

    async def _kill(self, server: Server) -> Cut:
        cut = Cut("kill of the server", "", await server.kill())
        self.faults.cuts.append(cut)
        return cut

    async def stop_for(self, seconds: float) -> Cut:
        """A zombie: it wakes up when others have taken over its plugins, and believes that they are still its own."""
        server = await self.owner_of(await self.begins_to_last()) or await self._any()
        began = time.time()
        server.stop()
        await asyncio.sleep(HEALTH_CHECK_SECONDS)
        self.witness.resting.add(server.url)
        await asyncio.sleep(seconds - HEALTH_CHECK_SECONDS)
        server.go_on()
        cut = Cut("stop of a server", "", began, time.time())
        self.witness.resting.discard(server.url)
        self.faults.cuts.append(cut)
        return cut

    async def kill_broker(self, away: float = 0.0) -> None:
        """It comes back after so many seconds, with all that it had acknowledged."""
        began = time.time()
        await asyncio.to_thread(self._broker.kill9)
        self.faults.outages.append(Outage(began, began + away + _UP_SECONDS))  # its end is not known yet
        await asyncio.sleep(away)
        await asyncio.to_thread(self._broker.start)
        self.faults.outages[-1] = Outage(began, time.time())
        self.faults.cuts.append(Cut("kill of the broker", "", began, time.time()))

    async def hang_broker(self, seconds: float) -> None:
        """It has all its connections and answers nothing."""
        began = time.time()
        self.faults.outages.append(Outage(began, began + seconds + _UP_SECONDS))
        self._broker.hang()
        await asyncio.sleep(seconds)
        self._broker.go_on()
        self.faults.outages[-1] = Outage(began, time.time())
        self.faults.cuts.append(Cut("hang of the broker", "", began, time.time()))

    async def grow(self) -> None:
        """One more partition for every topic, by the command that an operator has for it."""
        name = "DISPATCHER_GLOBAL_PARTITION_COUNT"
        more = {name: str(int(self._environ[name]) + 1)}
        self._environ.update(more)
        for server in self.servers:
            server.environ.update(more)
        while await (apply := self._apply_topics()).ended(_PATIENCE):
            assert self.faults.away(time.time()), apply.said()

    def _apply_topics(self) -> Running:
        return self._processes.start("dispatcher", "topics", "apply", "--yes", **self._environ)

    # ---- what is

    async def until(self, true: Callable[[], bool], seconds: float = _UP_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def owner_of(self, plugin: str) -> Server | None:
        """The server that gives out its jobs, as far as the servers themselves say."""
        for server in self.servers:
            if server.up and f'dispatcher_leases{{plugin="{plugin}"}}' in await self.metrics_of(server.url):
                return server
        return None

    async def metrics_of(self, url: str) -> str:
        """Empty when it does not answer."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            timeout = aiohttp.ClientTimeout(total=3)
            async with self._session.get(f"{url}/metrics", timeout=timeout) as reply:
                return await reply.text()
        return ""

    async def dropped(self, cause: str) -> int:
        """Sum over all servers of what they say that they dropped for a cause."""
        pattern = re.compile(rf'^dispatcher_events_dropped_total{{cause="{cause}"}} (\S+)$', re.MULTILINE)
        texts = [await self.metrics_of(server.url) for server in self.servers]
        return sum(int(float(number)) for text in texts for number in pattern.findall(text))

    async def _any(self) -> Server:
        await self.until(lambda: any(server.up for server in self.servers))
        return self.random.choice([server for server in self.servers if server.up])

    # ---- how it ends

    async def closed(self, plugins: Sequence[Wants] = SUBSCRIBERS) -> tuple[Log, Account]:
        """All that came in is finished; what the servers said themselves counts, too."""
        await self.until(lambda: all(server.up for server in self.servers))
        log = await self.settled(plugins)
        account = await self.audit(log, self.load.samples, plugins)
        account.problems += self._ends()
        account.problems += self._tracebacks()
        return log, account

    def _ends(self) -> list[str]:
        """Without a log a server may refuse to start; nothing else ends one."""
        ends = [end for server in self.servers for end in server.ends]
        return [f"a server ended by itself: {end}" for end in ends if not (end.code == 1 and self.faults.away(end.at))]

    def _tracebacks(self) -> list[str]:
        runs = [run for server in self.servers for run in server.runs]
        return [
            f"{run.name}: {found[0]}" for run in runs if (found := re.search(r"Traceback[\s\S]{,3000}", run.said()))
        ]
