"""A hanging client is told from a log that is away, and from a process that slept."""

import pytest

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.kafka.watchdog import Watchdog

PATIENCE, LOOK = 30, 5


class Kafka:
    """Ages of its answers as the process sees them; `pass_time` is one look of the watchdog."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.ages: dict[str, float | None] = {"reads": 0.1, "appends": None}
        self.recovers_when_asked = False
        self.told: list[str] = []
        self.watchdog = Watchdog(
            {name: lambda name=name: self.ages[name] for name in self.ages},  # type: ignore[misc]
            self.fresh,
            self.told.append,
            patience=PATIENCE,
            look_seconds=LOOK,
        )

    async def fresh(self) -> None:
        self.asked += 1
        if self.away:
            raise LogUnavailable("away")
        if self.recovers_when_asked:
            self.ages["appends"] = 0.0

    async def pass_time(self, *hanging: str, looks: int = 1) -> bool:
        for _ in range(looks):
            for name in hanging:
                self.ages[name] = (self.ages[name] or 0.0) + LOOK
            if await self.watchdog.look():
                return True
        return False


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


async def test_nothing_is_asked_while_all_is_well(kafka: Kafka) -> None:
    assert not await kafka.pass_time(looks=50)
    assert kafka.asked == 0


async def test_a_client_that_hangs_is_named(kafka: Kafka) -> None:
    assert not await kafka.pass_time("appends", looks=PATIENCE // LOOK)
    assert await kafka.pass_time("appends", looks=2)
    assert kafka.told == ["Kafka answers, but not us: no appends for 30 s; start again"]


async def test_a_process_that_slept_recovers(kafka: Kafka) -> None:
    kafka.ages["reads"] = 3_600
    assert not await kafka.pass_time(looks=3)
    kafka.ages["reads"] = 0.1
    assert not await kafka.pass_time(looks=10)


async def test_brokers_that_are_away_end_nothing(kafka: Kafka) -> None:
    kafka.away = True
    assert not await kafka.pass_time("reads", "appends", looks=100)
    kafka.away = False
    assert not await kafka.pass_time("reads", "appends", looks=4), "requests into the void have yet to time out"
    kafka.ages |= {"reads": 0.1, "appends": None}
    assert not await kafka.pass_time(looks=10)


async def test_who_still_hangs_when_the_brokers_are_back_for_long_is_ended(kafka: Kafka) -> None:
    kafka.away = True
    await kafka.pass_time("reads", looks=20)
    kafka.away = False
    assert await kafka.pass_time("reads", looks=PATIENCE // LOOK)


async def test_brokers_that_come_and_go_end_nothing(kafka: Kafka) -> None:
    for _ in range(20):
        kafka.away = False
        assert not await kafka.pass_time("reads", looks=3)
        kafka.away = True
        assert not await kafka.pass_time("reads")


async def test_what_is_not_asked_for_is_neither_held_against_it_nor_forgiven(kafka: Kafka) -> None:
    """Few appends, each given up after a while, and none of them answered."""
    for age in range(10, 10 + 20 * (PATIENCE // LOOK), 20):
        assert not kafka.told
        kafka.ages["appends"] = age
        await kafka.pass_time()
        kafka.ages["appends"] = None
        assert not await kafka.pass_time(looks=3)
    assert kafka.told


async def test_an_answer_forgives_everything(kafka: Kafka) -> None:
    for _ in range(10):
        kafka.ages["appends"] = 0.0
        assert not await kafka.pass_time("appends", looks=PATIENCE // LOOK)
    assert not kafka.told


async def test_an_answer_that_comes_while_kafka_is_asked_counts(kafka: Kafka) -> None:
    assert not await kafka.pass_time("appends", looks=PATIENCE // LOOK)
    kafka.recovers_when_asked = True
    assert not await kafka.pass_time("appends")
