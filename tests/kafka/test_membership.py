"""Members of one group: who has which slot, who takes over, and who may be sure of it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.journal import journal_spec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.membership import KafkaMembership
from dispatcher.eventlog.kafka.proof import Proof
from dispatcher.eventlog.membership import ALL_SLOTS
from tests.kafka.broker import KafkaBroker

pytestmark = pytest.mark.timeout(60)

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

    async def join(self, name: str) -> tuple[KafkaMembership, Keeper]:
        keeper = Keeper(name, self.told)
        member = KafkaMembership(
            Connection(self.endpoint),
            group=self.topic + ".group",
            topic=self.topic,
            url=f"http://{name}:8111",
            session=SESSION,
        )
        self._stack.push_async_callback(member.close)
        await member.start(keeper)
        return member, keeper

    async def join_apart(self) -> asyncio.subprocess.Process:
        """A member in a process of its own."""
        code = (
            "import asyncio, sys\n"
            "from tests.kafka.test_membership import *\n"
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


@pytest.fixture
async def new_group(prefix: str) -> AsyncIterator[Callable[[KafkaBroker], Awaitable[Group]]]:
    async with AsyncExitStack() as stack:

        async def made(broker: KafkaBroker) -> Group:
            topic = prefix + "system.dispatch"
            log = KafkaLog(Connection(broker.endpoint), prefix=prefix)
            await log.start()
            await log.ensure_topics([journal_spec(topic)])
            await log.close()
            return Group(broker.endpoint, topic, stack)

        yield made


@pytest.fixture
async def group(new_group: Callable[[KafkaBroker], Awaitable[Group]], kafka: KafkaBroker) -> Group:
    return await new_group(kafka)


async def test_who_is_alone_has_all(group: Group) -> None:
    member, keeper = await group.join("a")
    assert keeper.slots == ALL_SLOTS
    assert member.proven()
    assert await member.owners() == dict.fromkeys(ALL_SLOTS, "http://a:8111")


async def test_slots_are_shared_and_move_only_after_they_were_suspended(group: Group) -> None:
    first, a = await group.join("a")
    _, b = await group.join("b")
    await a.until(lambda slots: len(slots) == 32)
    assert len(b.slots) == 32
    assert a.slots | b.slots == ALL_SLOTS
    assert group.told.index("a has suspended") < group.told.index("b is dealt 32")
    kept = a.slots
    third, c = await group.join("c")
    await a.until(lambda slots: len(slots) < 32)
    await b.until(lambda slots: len(slots) < 32)
    assert a.slots < kept, "it keeps what it has, as far as may be"
    assert a.slots | b.slots | c.slots == ALL_SLOTS
    assert len(a.slots) + len(b.slots) + len(c.slots) == 64
    owners = await first.owners()
    assert owners == await third.owners()
    for keeper in (a, b, c):
        assert {slot for slot, url in owners.items() if url == f"http://{keeper.name}:8111"} == keeper.slots


async def test_who_leaves_is_followed_at_once(group: Group) -> None:
    first, _ = await group.join("a")
    second, b = await group.join("b")
    await first.close()
    assert not first.proven()
    began = time.monotonic()
    await b.until(lambda slots: slots == ALL_SLOTS)
    assert time.monotonic() - began < SESSION, "nobody waited for a session to run out"
    assert set((await second.owners()).values()) == {"http://b:8111"}


async def test_who_is_killed_is_followed_after_a_session(group: Group) -> None:
    process = await group.join_apart()
    _, keeper = await group.join("a")
    assert len(keeper.slots) == 32
    process.kill()
    await keeper.until(lambda slots: slots == ALL_SLOTS, SESSION + 5)


async def test_who_was_stopped_knows_that_it_may_have_lost_its_slots(group: Group) -> None:
    process = await group.join_apart()
    _, keeper = await group.join("a")
    process.send_signal(signal.SIGSTOP)
    await keeper.until(lambda slots: slots == ALL_SLOTS, SESSION + 5)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.send_signal(signal.SIGCONT)
    assert await process.stdout.readline() == b"False\n"
    await keeper.until(lambda slots: len(slots) == 32)


async def test_who_suspends_for_ever_does_not_hold_up_the_others(group: Group) -> None:
    _, a = await group.join("a")
    a.stuck = True
    _, b = await group.join("b")
    await b.until(lambda slots: len(slots) == 32, 3 * SESSION)


async def test_a_stranger_in_the_group_has_no_url(group: Group) -> None:
    """A tool with our group's name: its slots are nobody's, and the server asks on."""
    member, _ = await group.join("a")
    stranger = KafkaMembership(
        Connection(group.endpoint), group=group.topic + ".group", topic=group.topic, url="tool", session=SESSION
    )
    keeper = Keeper("tool", group.told)
    await stranger.start(keeper)
    owners = await member.owners()
    assert set(owners.values()) <= {"http://a:8111"}
    assert not owners.keys() & keeper.slots
    await stranger.close()


@pytest.mark.timeout(120)
async def test_brokers_that_hang_leave_everybody_where_they_are_but_nobody_sure(
    new_group: Callable[[KafkaBroker], Awaitable[Group]], fragile: KafkaBroker
) -> None:
    group = await new_group(fragile)
    member, keeper = await group.join("a")
    told = len(group.told)
    fragile.hang()
    await _until(lambda: not member.proven(), SESSION + 5)
    fragile.go_on()
    await _until(member.proven, 20)
    assert keeper.slots == ALL_SLOTS
    assert len(group.told) == told or group.told[-1] == "a is dealt 64"


@pytest.mark.timeout(120)
async def test_leaving_while_the_brokers_are_away_takes_no_longer_than_it_must(
    new_group: Callable[[KafkaBroker], Awaitable[Group]], fragile: KafkaBroker
) -> None:
    group = await new_group(fragile)
    member, _ = await group.join("a")
    fragile.kill9()
    async with asyncio.timeout(15):
        await member.close()
    await asyncio.to_thread(fragile.start)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_a_proof_holds_for_a_session_from_the_moment_of_the_question() -> None:
    now = [100.0]
    proof = Proof(2.0, lambda: now[0])
    assert not proof.holds()
    asked = proof.asked()
    now[0] = 101.5  # the answer took its time
    proof.given(asked)
    assert proof.holds()
    now[0] = 101.9
    assert proof.holds()
    now[0] = 102.0
    assert not proof.holds()
    proof.given(proof.asked())
    proof.given(asked)  # a late answer to an old question takes nothing back
    assert proof.holds()
    proof.withdraw()
    assert not proof.holds()
