"""Members of one group: who has which slot, who takes over, and who may be sure of it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.journal import journal_spec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.owners import Owners
from dispatcher.eventlog.kafka.proof import Proof
from dispatcher.eventlog.membership import ALL_SLOTS
from tests.kafka.broker import KafkaBroker
from tests.kafka.members import SESSION, Group, Keeper

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def new_group(prefix: str) -> AsyncIterator[Callable[..., Awaitable[Group]]]:
    async with AsyncExitStack() as stack:

        async def made(broker: KafkaBroker, slots: int = 64) -> Group:
            topic = prefix + "system.dispatch"
            log = KafkaLog(Connection(broker.endpoint), prefix=prefix)
            await log.start()
            await log.ensure_topics([replace(journal_spec(topic), partitions=slots)])
            await log.close()
            return Group(broker.endpoint, topic, stack)

        yield made


@pytest.fixture
async def group(new_group: Callable[..., Awaitable[Group]], kafka: KafkaBroker) -> Group:
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
    process.stdin.write(b"\n")
    assert await process.stdout.readline() == b"False\n"
    await keeper.until(lambda slots: len(slots) == 32)
    async with asyncio.timeout(5):  # it is told of its share in about the same moment as we
        while await process.stdout.readline() != b"True\n":
            process.stdin.write(b"\n")


async def test_who_suspends_for_ever_does_not_hold_up_the_others(group: Group) -> None:
    _, a = await group.join("a")
    a.stuck = True
    _, b = await group.join("b")
    await b.until(lambda slots: len(slots) == 32, 3 * SESSION)


async def test_a_stranger_in_the_group_has_no_url(group: Group) -> None:
    """A tool with our group's name: its slots are nobody's, and the server asks on."""
    member, _ = await group.join("a")
    stranger, keeper = group.member("tool"), Keeper("tool", group.told)
    await stranger.start(keeper)
    owners = await member.owners()
    assert set(owners.values()) <= {"http://a:8111"}
    assert not owners.keys() & keeper.slots
    await stranger.close()


async def test_who_ends_before_it_was_let_in_is_dealt_nothing(group: Group) -> None:
    """A start that is broken off: the others are still busy, and the client hands out late what it gets."""
    _, a = await group.join("a")
    a.stuck = True
    late, keeper = group.member("http://late:8111"), Keeper("late", group.told)
    starting = asyncio.create_task(late.start(keeper))
    await _until(lambda: group.told[-1] == "a suspends", 15)
    starting.cancel()
    await late.close()
    assert not [line for line in group.told if line.startswith("late is dealt")]
    assert not late.proven()
    await a.until(lambda slots: slots == ALL_SLOTS)


async def test_who_has_no_slot_is_a_member_all_the_same(
    new_group: Callable[..., Awaitable[Group]], kafka: KafkaBroker
) -> None:
    """There are more of them than slots."""
    group = await new_group(kafka, slots=1)
    both = [await group.join("a"), await group.join("b")]
    ((owner, _),) = [(member, keeper) for member, keeper in both if keeper.slots]
    ((idle, keeper),) = [(member, keeper) for member, keeper in both if not keeper.slots]
    dealt = time.monotonic()
    await _until(lambda: time.monotonic() - dealt > 1.5 * SESSION, 10)
    assert idle.proven(), "nobody can have been dealt what it has not"
    assert idle.silence() is None
    assert await idle.owners() == await owner.owners() == {0: owner.url}
    await owner.close()
    await keeper.until(lambda slots: slots == {0})
    assert idle.proven()
    assert (idle.silence() or 0.0) < SESSION


async def test_who_is_refused_by_the_group_tries_again_until_it_is_let_in(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody with another idea of sharing is in our group, and the client gives up on us."""
    stranger = AIOKafkaConsumer(
        group.topic,
        bootstrap_servers=group.endpoint,
        group_id=group.topic + ".group",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
    )
    await stranger.start()
    joining = asyncio.create_task(group.join("a"))
    await _until(lambda: caplog.text.count("out of the group of dispatchers") >= 2, 20)
    await stranger.stop()
    member, keeper = await joining
    await keeper.until(lambda slots: slots == ALL_SLOTS)
    assert member.proven()


async def test_who_asks_for_owners_while_a_dispatcher_ends_is_told_so_at_once(
    new_group: Callable[..., Awaitable[Group]], fragile: KafkaBroker
) -> None:
    group = await new_group(fragile)
    await group.join("a")
    owners = Owners(Connection(fragile.endpoint), group.topic + ".group", group.topic)
    assert len(await owners.now()) == 64
    owners.forget()
    fragile.hang()
    try:
        waiting = [asyncio.create_task(owners.now()) for _ in range(20)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting[0]), 0.2)
        async with asyncio.timeout(5):
            await owners.close()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        fragile.go_on()
    assert {type(answer) for answer in answers} == {LogUnavailable}
    with pytest.raises(LogUnavailable):
        await owners.now()


async def test_all_who_ask_for_owners_share_one_answer(
    new_group: Callable[..., Awaitable[Group]], fragile: KafkaBroker
) -> None:
    """Brokers that hang make each question last long: a hundred polls must not wait for each other."""
    group = await new_group(fragile)
    member, _ = await group.join("a")
    await member.owners()
    fragile.hang()
    try:
        await _until(lambda: not member.proven(), SESSION + 5)
        async with asyncio.timeout(25):
            answers = await asyncio.gather(*(member.owners() for _ in range(100)), return_exceptions=True)
    finally:
        fragile.go_on()
    assert {type(answer) for answer in answers} == {LogUnavailable}
    await _until(member.proven, 20)
    assert len(await member.owners()) == 64
    await member.ask_afresh()


@pytest.mark.timeout(120)
async def test_brokers_that_start_again_find_everybody_where_they_were(
    new_group: Callable[..., Awaitable[Group]], fragile: KafkaBroker
) -> None:
    group = await new_group(fragile)
    member, keeper = await group.join("a")
    await asyncio.to_thread(fragile.kill9)
    await _until(lambda: not member.proven(), SESSION + 5)
    with pytest.raises(LogUnavailable):
        await member.ask_afresh()
    assert keeper.slots == ALL_SLOTS
    await asyncio.to_thread(fragile.start)
    await _until(member.proven, 30)
    assert keeper.slots == ALL_SLOTS
    assert (member.silence() or 0.0) < SESSION


@pytest.mark.timeout(120)
async def test_brokers_that_hang_leave_everybody_where_they_are_but_nobody_sure(
    new_group: Callable[..., Awaitable[Group]], fragile: KafkaBroker
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
    new_group: Callable[..., Awaitable[Group]], fragile: KafkaBroker
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
