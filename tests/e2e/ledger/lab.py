"""A server, its witness, plugins and somebody who kills them."""

import asyncio
import random
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import aiohttp
from dispatcher_sdk.loading import load_plugin

from tests.e2e.ledger.account import Account, audit
from tests.e2e.ledger.facts import UNPACK_ZIP, URL_FINDER, Wants
from tests.e2e.ledger.faults import Cut, Faults
from tests.e2e.ledger.log import Log
from tests.e2e.ledger.processes import Processes, Running
from tests.e2e.ledger.samples import Samples
from tests.e2e.ledger.witness import Witness

PLUGINS = (URL_FINDER, UNPACK_ZIP)
ROOT = Path(__file__).parents[3]
FILES = {
    "url-finder": ROOT / "contrib_plugins/url_finder/url_finder.py",
    "unpack-zip": ROOT / "contrib_plugins/unpack_zip/unpack_zip.py",
    "gated": Path(__file__).with_name("plugins") / "gated.py",
}
READER = Path(__file__).with_name("plugins") / "reader.py"
LEASE_SECONDS = 10
SOURCE = "ledger"
_COUNTS = re.compile(r"([\d,]+) (?:files? )?(submitted|already|empty|failed)")
_DOWNLOADS = 8


class Lab:
    """Clients speak to the witness; the server may come back on another port, which only the witness learns."""

    server: Running

    def __init__(
        self,
        processes: Processes,
        witness: Witness,
        session: aiohttp.ClientSession,
        data: Path,
        seed: int,
        settings: Mapping[str, str],
    ) -> None:
        self.random = random.Random(seed)
        self.witness = witness
        self.faults = Faults()
        self.runners: dict[str, Running] = {}
        self._processes = processes
        self._session = session
        self._environ = {"DISPATCHER_LISTEN": "127.0.0.1:0", "DISPATCHER_DATA_DIR": str(data), **settings}

    # ---- what runs

    async def start_server(self) -> None:
        self.server = self._processes.start("dispatcher", "serve", **self._environ)
        self.witness.servers = [(await self.server.printed(r"http://127\.0\.0\.1:\d+"))[0]]

    def start_runner(self, plugin: str, *, lease: int = LEASE_SECONDS, **environ: str) -> Running:
        """Two workers. `lease` seconds without a heartbeat lose a job."""
        options = ("--server", self.witness.url, "--workers", 2, "--lease", lease)
        runner = self._processes.start("dispatcher-sdk", "serve", FILES.get(plugin, READER), *options, **environ)
        self.runners[plugin] = runner
        return runner

    def submit(self, folder: Path) -> Running:
        """Its last line is what `summary` reads."""
        return self._processes.start(
            "dispatcher", "submit", folder, "--source", SOURCE, "--server", self.witness.url, COLUMNS="500"
        )

    # ---- what happens to it

    async def kill_server(self) -> None:
        """While plugins hold jobs, if any run."""
        await self.witness.until(lambda saw: bool(saw.held or not self.runners))
        self.faults.cuts.append(Cut("kill of the server", "", await self.server.kill()))
        await self.start_server()

    async def kill_runner(self) -> None:
        """One that holds jobs."""
        await self.witness.until(lambda saw: bool(saw.held))
        plugin = self.random.choice(sorted(set(self.witness.saw.held.values())))
        self.faults.cuts.append(Cut("kill of a runner", plugin, await self.runners[plugin].kill()))
        self.start_runner(plugin)

    async def kill_worker(self) -> None:
        """One of the processes in which plugins run; its runner replaces it."""
        workers = [process for runner in self.runners.values() for process in runner.family()]
        self.faults.worker_kills += 1
        self.random.choice(workers).kill()

    async def at(self, action: Callable[[], Awaitable[None]], *, finals: int = 0, moves: int = 0) -> None:
        """Do it a few exchanges after so many final statuses, or exchanges of any kind."""
        await self.witness.until(lambda saw: saw.finals >= finals and saw.moves >= moves)
        moment = self.witness.saw.moves + self.random.randrange(12)
        await self.witness.until(lambda saw: saw.moves >= moment)
        await action()

    # ---- how it ends

    async def settled(self, plugins: Sequence[Wants] = PLUGINS, most_seconds: float = 90.0) -> Log:
        """The log, once every event has been finished by every plugin that wants it, or when time is up."""
        log = Log(self._session, self.witness.server, "ledger")
        end = time.monotonic() + most_seconds
        await log.read_on()
        while log.open_pairs(plugins, compacted=self.faults.compacted) and time.monotonic() < end:
            await log.read_on()
        return log

    async def audit(self, log: Log, samples: Samples, plugins: Sequence[Wants] = PLUGINS) -> Account:
        """Stops the runners, and asks for what should not be there: pending work and missing files."""
        stopped = await self.stop_runners()
        await log.read_on()
        account = audit(log, self.witness.saw, self.faults, plugins, samples.members)
        account.problems += stopped
        account.problems += await self.pending(plugins)
        account.problems += await self.missing()
        return account

    async def stop_runners(self) -> list[str]:
        for runner in self.runners.values():
            if runner.alive:
                runner.signal(signal.SIGTERM)
        codes = {plugin: await runner.ended(60) for plugin, runner in self.runners.items()}
        return [f"the runner of {plugin} ended with code {code}" for plugin, code in codes.items() if code]

    async def pending(self, plugins: Sequence[Wants]) -> list[str]:
        """Leases that are held, and jobs that a plugin would still be given."""
        problems = []
        for plugin in plugins:
            problems += [f"{plugin.name} is given one more job: {token}" for token in await self._jobs(plugin.name)]
        leases = re.findall(r'^dispatcher_leases{plugin="(.*)"} (\S+)$', await self.metrics(), re.MULTILINE)
        assert {plugin for plugin, _ in leases} >= {plugin.name for plugin in plugins}, "the gauge of leases is missing"
        return problems + [f"leases of {plugin}: {number}" for plugin, number in leases if float(number)]

    async def _jobs(self, plugin: str) -> list[str]:
        """Tokens that the same subscriber would be given now."""
        loaded = load_plugin(str(FILES.get(plugin, READER)))
        asked = [("name", plugin), ("version", loaded.version), ("count", "100"), ("deadline", "1")]
        async with self._session.get(
            f"{self.witness.server}/api/v2/event/binary/active",
            params=[*asked, *loaded.subscription.query()],
            headers={"Accept": "application/json"},
        ) as reply:
            assert reply.status == 200, await reply.text()
            return [event["dequeued"] for event in (await reply.json())["events"]]

    async def metrics(self) -> str:
        """Of all servers, one after the other."""
        texts = []
        for server in self.witness.servers:
            async with self._session.get(f"{server}/metrics") as reply:
                texts.append(await reply.text())
        return "\n".join(texts)

    async def missing(self) -> list[str]:
        """Files whose upload was acknowledged and that cannot be read back as they were."""
        todo, problems = sorted(self.witness.saw.stored), []

        async def check() -> None:
            while todo:
                path = todo.pop()
                async with self._session.get(self.witness.server + path) as reply:
                    if sha256(await reply.read()).hexdigest() != path.rsplit("/", 1)[1]:
                        problems.append(f"acknowledged and not stored: {path} ({reply.status})")

        await asyncio.gather(*(check() for _ in range(_DOWNLOADS)))
        return problems


def summary(submit: Running) -> dict[str, int]:
    """What `dispatcher submit` says at its end: how many files were submitted, stored already, empty, failed."""
    last = submit.said().splitlines()[-1]
    counts = {word: int(number.replace(",", "")) for number, word in _COUNTS.findall(last)}
    assert "submitted" in counts, f"submit ended with {last!r}"
    return counts
