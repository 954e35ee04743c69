"""A copy goes on where it was, whatever ended it, waits for logs that are away, and keeps the order of every key."""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from dispatcher_sdk.models import BinaryEvent, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.eventlog.base import Append, Chunk, LogUnavailable, TopicPartition, TopicSpec
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.eventlog.topics import TopicNames
from dispatcher.reprocess.aside import Aside
from dispatcher.reprocess.copying import Copier
from dispatcher.reprocess.insisting import Insistence
from dispatcher.reprocess.positions import Positions
from dispatcher.reprocess.run import Reprocess
from dispatcher.reprocess.selection import Wanted, select
from dispatcher.reprocess.survey import survey
from dispatcher.reprocess.tally import Counts, Tally
from tests.unit.models.strategies import CAREFUL
from tests.unit.publish.conftest import Bench, _author, _node, _stream

Make = Callable[..., Any]
OLD, NEW = TopicNames("old"), TopicNames("test01")
TOPIC, COPY = OLD.binary("samples", "extracted"), NEW.binary("samples", "extracted")


class Killed(BaseException):
    """Nothing of ours catches it."""


def event(letter: str, turn: int) -> BinaryEvent:
    found = decode(
        "binary",
        json.dumps(
            {
                "model_version": 6,
                "author": _author(),
                "action": "extracted",
                "source": {"name": "samples", "path": [_node(letter)], "timestamp": "2023-11-01T10:00:00Z"},
                "entity": {"sha256": letter * 64, "size": turn, "datastreams": [_stream(letter)]},
            }
        ).encode(),
    )
    assert isinstance(found, BinaryEvent)
    return found


class Moody(MemoryLog):
    """Fails reads and appends as its dice say; an append that fails may be in the log all the same, or in part."""

    def __init__(self, seed: int = 0, chance: float = 0.0) -> None:
        super().__init__()
        self.chance = chance
        self._dice = random.Random(seed)
        self.pieces = (300, 3000, 1 << 20)
        """How many bytes a read gives."""
        self.appended = 0
        self.on_append: Callable[[], None] = lambda: None

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        self.on_append()
        if self._dice.random() >= self.chance:
            self.appended += len(items)
            return await super().append(items)
        answers: list[Exception | None] = []
        for item in items:
            written = self._dice.random() < 0.5
            if written:
                await super().append([item])
            answers.append(None if written and self._dice.random() < 0.5 else LogUnavailable("moody"))
        return answers

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Chunk:
        if self._dice.random() < self.chance:
            raise LogUnavailable("moody")
        return await super().read(partition, offset, min(max_bytes, self._dice.choice(self.pieces)))


class Both:
    """An old log in memory, and a new one with everything that a copy needs."""

    def __init__(self, seed: int = 0, chance: float = 0.0) -> None:
        self.old, self.new = Moody(seed), Moody(seed + 1)
        self.chance = chance
        self.stop = asyncio.Event()
        self.bench = Bench(log=self.new)

    async def fill(self, rows: Sequence[tuple[str, int]], partitions: int = 2) -> None:
        await self.old.ensure_topics([TopicSpec(TOPIC, partitions)])
        await self.new.ensure_topics([*self.bench.plan.at_start(), *self.bench.plan.for_source("samples")])
        assert not any(
            await self.old.append(
                [Append(TOPIC, letter.encode(), encode(event(letter, turn))) for letter, turn in rows]
            )
        )

    async def copy(self, **options: Any) -> tuple[bool, Tally]:
        """One run, as a process would make it: it knows nothing but what the logs know."""
        tally = Tally()
        positions = Positions(self.new, NEW, "here")
        await positions.make()
        await positions.load()
        chosen = select(list(self.old.topics()), OLD, Wanted(), self.bench.sources).chosen
        shares = await survey(self.old, positions, chosen, tally)
        aside = Aside(NEW, "here", 3 << 20, lambda: 0.0)
        prefixes = OLD.unprefixed(""), NEW.unprefixed("")
        copier = Copier(self.new, self.bench.publisher, self.bench.deletions, aside, prefixes)
        run = Reprocess(self.old, copier, positions, tally, Insistence(self.stop, tally, 0.0001), **options)
        self.old.chance = self.new.chance = self.chance
        try:
            return await run.run(shares), tally
        finally:
            self.old.chance = self.new.chance = 0.0

    async def turns(self) -> dict[str, list[int]]:
        """Of each letter, in the order of the new log."""
        found: dict[str, list[int]] = {}
        offset, high = (await self.new.bounds([(COPY, 0)]))[COPY, 0]
        while offset < high:
            chunk = await self.new.read((COPY, 0), offset, 1 << 20)
            for record in chunk.records:
                entity = json.loads(record.value or b"")["entity"]
                found.setdefault(entity["sha256"][0], []).append(entity["size"])
            offset = chunk.next_offset
        return found


def rows(count: int) -> list[tuple[str, int]]:
    return [(letter, turn) for turn in range(1, count + 1) for letter in "abc"]


async def test_a_second_run_copies_only_what_is_new() -> None:
    both = Both()
    await both.fill(rows(20))
    assert (await both.copy())[0]
    both.new.appended = 0
    done, tally = await both.copy()
    assert (done, both.new.appended) == (True, 0)
    assert tally.topics[TOPIC].before == tally.topics[TOPIC].total == 60
    await both.old.append([Append(TOPIC, b"d", encode(event("d", 1)))])
    _, tally = await both.copy()
    assert tally.sum() == Counts(copied=61)
    assert await both.turns() == {"a": [*range(1, 21)], "b": [*range(1, 21)], "c": [*range(1, 21)], "d": [1]}


@given(seed=st.integers(0, 2**16), chance=st.sampled_from((0.05, 0.3, 0.6)))
@settings(CAREFUL, max_examples=40)
def test_logs_that_come_and_go_cost_time_and_never_an_event_or_its_order(seed: int, chance: float) -> None:
    async def check() -> None:
        both = Both(seed, chance)
        await both.fill(rows(30), partitions=3)
        done, tally = await both.copy()
        assert done
        assert tally.sum() == Counts(copied=90)
        for turns in (await both.turns()).values():
            assert set(turns) == set(range(1, 31))
            assert turns[-1] == 30
            for turn in range(1, 30):  # what replaces a record comes after it
                assert turns[len(turns) - turns[::-1].index(turn) :].count(turn + 1) >= 1

    asyncio.run(check())


@given(seed=st.integers(0, 2**16), kills=st.lists(st.integers(1, 30), min_size=1, max_size=4))
@settings(CAREFUL, max_examples=40)
def test_killed_at_any_append_it_goes_on_without_a_loss(seed: int, kills: list[int]) -> None:
    async def check() -> None:
        both = Both(seed)
        await both.fill(rows(30), partitions=2)
        for kill in kills:
            left = kill

            def strike() -> None:
                nonlocal left
                left -= 1
                if not left:
                    raise Killed

            both.new.on_append = strike
            with contextlib.suppress(Killed):
                await both.copy(store_seconds=0.0)
        both.new.on_append = lambda: None
        done, tally = await both.copy(store_seconds=0.0)
        assert done
        assert tally.sum() == Counts(copied=90)
        for turns in (await both.turns()).values():
            assert set(turns) == set(range(1, 31))
            assert turns[-1] == 30
            assert len(turns) <= 30 * (len(kills) + 1)

    asyncio.run(check())


async def test_stopped_it_says_so_and_goes_on_without_a_repetition() -> None:
    both = Both()
    await both.fill(rows(200), partitions=1)
    calls = 0

    def stop_soon() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            both.stop.set()

    both.old.pieces = (3000,)
    both.new.on_append = stop_soon
    done, tally = await both.copy()
    assert not done
    assert 0 < tally.sum().copied < 600
    both.stop.clear()
    both.new.on_append = lambda: None
    assert (await both.copy())[0]
    assert await both.turns() == {letter: [*range(1, 201)] for letter in "abc"}


async def test_stopped_while_a_log_is_away_it_ends() -> None:
    both = Both(chance=1.0)
    await both.fill(rows(3))
    asyncio.get_running_loop().call_later(0.05, both.stop.set)
    done, _ = await both.copy()
    assert not done


async def test_what_is_waited_for_can_be_seen_until_it_comes() -> None:
    tally, answers = Tally(), iter((LogUnavailable("gone"), None))
    insistence = Insistence(asyncio.Event(), tally, 0.01)

    async def action() -> str:
        problem = next(answers)
        if problem is not None:
            raise problem
        assert tally.waiting_for == "gone"
        return "here"

    assert await insistence.on(action) == "here"
    assert tally.waiting_for == ""


async def test_a_topic_that_was_made_anew_is_copied_from_its_start() -> None:
    both = Both()
    await both.fill(rows(10), partitions=1)
    await both.copy()
    both.old = Moody()
    both.bench.now += 60
    await both.old.ensure_topics([TopicSpec(TOPIC)])
    await asyncio.sleep(0.002)  # so that the records of the new topic have other times
    await both.old.append([Append(TOPIC, b"d", encode(event("d", turn))) for turn in range(1, 41)])
    _, tally = await both.copy()
    assert tally.again == [f"{TOPIC}, partition 0"]
    assert tally.sum() == Counts(copied=40)
    assert (await both.turns())["d"] == [*range(1, 41)]


async def test_what_retention_took_before_it_was_copied_is_counted() -> None:
    both = Both()
    await both.fill(rows(4), partitions=1)
    await both.copy()
    await both.old.ensure_topics([TopicSpec(TOPIC, cleanup="delete", retention_ms=1)])
    await both.old.append([Append(TOPIC, b"d", encode(event("d", 1)))])
    await asyncio.sleep(0.005)
    await both.old.clean_once()
    await both.old.append([Append(TOPIC, b"e", encode(event("e", 1)))])
    _, tally = await both.copy()
    assert tally.sum() == Counts(copied=13, expired=1)


async def test_who_follows_copies_what_comes_in_old_topics_and_new_ones() -> None:
    both = Both()
    await both.fill(rows(2))
    tally = Tally()
    positions = Positions(both.new, NEW, "here")
    await positions.make()
    copier = Copier(
        both.new,
        both.bench.publisher,
        both.bench.deletions,
        Aside(NEW, "x", 9999, lambda: 0.0),
        ("azul.old.", "azul.test01."),
    )
    run = Reprocess(both.old, copier, positions, tally, Insistence(both.stop, tally), look_seconds=0.001)
    following = asyncio.create_task(
        run.follow(lambda: select(list(both.old.topics()), OLD, Wanted(), both.bench.sources).chosen)
    )
    await _until(lambda: tally.sum().copied == 6)
    mapped = OLD.binary("late", "extracted")
    await both.old.ensure_topics([TopicSpec(mapped)])
    late = event("d", 1)
    late.source.name = "late"
    await both.old.append([Append(mapped, b"d", encode(late)), Append(TOPIC, b"e", encode(event("e", 1)))])
    await _until(lambda: tally.sum().copied == 8)
    both.stop.set()
    await following
    assert len(await both.bench.stored("late.binary.extracted")) == 1
    assert (await both.turns())["e"] == [1]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
