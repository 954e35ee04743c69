"""A hanging client is told from a log that is away, and from a process that slept."""

import pytest

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.kafka.watchdog import Watchdog


class Kafka:
    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.ages: dict[str, float | None] = {"reads": 0.1, "appends": None}
        self.told: list[str] = []
        self.watchdog = Watchdog(
            {name: lambda name=name: self.ages[name] for name in self.ages},  # type: ignore[misc]
            self.fresh,
            self.told.append,
            patience=30,
        )

    async def fresh(self) -> None:
        self.asked += 1
        if self.away:
            raise LogUnavailable("away")


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


async def test_nothing_is_asked_while_all_is_well(kafka: Kafka) -> None:
    for _ in range(5):
        assert not await kafka.watchdog.look()
    assert kafka.asked == 0


async def test_a_client_that_hangs_is_named(kafka: Kafka) -> None:
    kafka.ages["appends"] = 31
    assert not await kafka.watchdog.look(), "the first look may come after a sleep"
    kafka.ages["appends"] = 36
    assert await kafka.watchdog.look()
    assert kafka.told == ["Kafka answers, but not us: no appends for 30 s; start again"]


async def test_a_process_that_slept_recovers(kafka: Kafka) -> None:
    kafka.ages["reads"] = 3_600
    assert not await kafka.watchdog.look()
    kafka.ages["reads"] = 0.1
    assert not await kafka.watchdog.look()
    assert not kafka.told


async def test_brokers_that_are_away_end_nothing(kafka: Kafka) -> None:
    kafka.away = True
    kafka.ages |= {"reads": 100, "appends": 100}
    for _ in range(10):
        assert not await kafka.watchdog.look()
    assert not kafka.told
    kafka.away = False  # back, and we still hang
    assert await kafka.watchdog.look()
