"""Members of one group of dispatchers, in this process and in others."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.membership import KafkaMembership

SESSION = 2.0


class Keeper:
    """Implements membership.Keeper; `busy` = every process's turns at suspending and being dealt, in order."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told
        self.slots: frozenset[int] = frozenset()
        self.news = asyncio.Event()
        self.stuck = False

    async def suspend(self) -> None:
        self.told.append(f"{self.name} suspends")
        if self.stuck:
            await asyncio.Event().wait()
        self.told.append(f"{self.name} has suspended")

    def dealt(self, slots: frozenset[int]) -> None:
        self.told.append(f"{self.name} is dealt {len(slots)}")
        self.slots = slots
        self.news.set()

    async def until(self, condition: Callable[[frozenset[int]], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self.slots):
                self.news.clear()
                await self.news.wait()


class Group:
    def __init__(self, endpoint: str, topic: str, stack: AsyncExitStack) -> None:
        self.endpoint = endpoint
        self.topic = topic
        self.told: list[str] = []
        self._stack = stack

    def member(self, url: str) -> KafkaMembership:
        member = KafkaMembership(
            Connection(self.endpoint), group=self.topic + ".group", topic=self.topic, url=url, session=SESSION
        )
        self._stack.push_async_callback(member.close)
        return member

    async def join(self, name: str) -> tuple[KafkaMembership, Keeper]:
        member, keeper = self.member(f"http://{name}:8111"), Keeper(name, self.told)
        await member.start(keeper)
        return member, keeper

    async def join_apart(self) -> asyncio.subprocess.Process:
        """A member in a process of its own."""
        code = (
            "import asyncio, sys\n"
            "from tests.kafka.members import *\n"
            "async def main():\n"
            "    async with AsyncExitStack() as stack:\n"
            "        member, keeper = await Group(sys.argv[1], sys.argv[2], stack).join('apart')\n"
            "        print(len(keeper.slots), flush=True)\n"
            "        while True:\n"
            "            await asyncio.to_thread(sys.stdin.readline)\n"
            "            print(member.proven(), flush=True)\n"
            "asyncio.run(main())\n"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, self.endpoint, self.topic),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or "."},
        )
        self._stack.push_async_callback(_end, process)
        assert process.stdout is not None
        assert int(await process.stdout.readline()) > 0
        return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
