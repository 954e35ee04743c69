"""What keeps events and who shares them: embedded in this process, or on Kafka with others."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from dispatcher.delivery.service import Delivery
from dispatcher.eventlog.base import EventLog, Journal
from dispatcher.eventlog.kafka.advertised import advertised
from dispatcher.eventlog.kafka.lag import LagMirror
from dispatcher.eventlog.kafka.open import journal_of, lag_mirror_of, membership_of, open_kafka_log
from dispatcher.eventlog.kafka.watchdog import Watchdog
from dispatcher.eventlog.membership import Alone, Membership
from dispatcher.eventlog.open import open_log
from dispatcher.settings import Settings


class Backends(Protocol):
    """An open log, its journal, and the place of this process among those that share them."""

    events: EventLog
    journal: Journal
    membership: Membership

    def watch(self, delivery: Delivery) -> None:
        """Everything else runs; from now on it is looked after."""
        ...

    async def close(self) -> None: ...


class Embedded:
    """A log of our own, in a file or in memory, shared with nobody."""

    def __init__(self, events: EventLog, journal: Journal) -> None:
        self.events = events
        self.journal = journal
        self.membership: Membership = Alone()

    def watch(self, delivery: Delivery) -> None:
        pass

    async def close(self) -> None:
        await self.events.close()


class OnKafka:
    """`on_wedged` is told, in words for the operator, when this process had better end."""

    def __init__(self, settings: Settings, on_wedged: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_wedged = on_wedged
        self._watchdog: Watchdog | None = None
        self._mirror: LagMirror | None = None
        self._on_lost: Callable[[int], None] = _ignore

    async def open(self, port: int, clock: Callable[[], float]) -> None:
        """`port`: where others reach us. Raises StartupError."""
        self._log = await open_kafka_log(self._settings, clock)
        self.events: EventLog = self._log
        self.journal: Journal = journal_of(self._log, self._settings, lambda slot: self._on_lost(slot))
        # resolving a name may take its time
        url = await asyncio.to_thread(advertised, self._settings, port)
        self._member = membership_of(self._settings, url)
        self.membership: Membership = self._member

    def watch(self, delivery: Delivery) -> None:
        self._on_lost = delivery.slots.fenced
        self._start_watchdog()
        if self._settings.kafka_lag_seconds:
            self._mirror = lag_mirror_of(self._log, self._settings, delivery.low_marks)
            self._mirror.start()

    def _start_watchdog(self) -> None:
        probes = {**self._log.probes(), "proof of membership": self._member.silence}
        self._watchdog = Watchdog(probes, self._ask_afresh, self._on_wedged)
        self._watchdog.start()

    async def _ask_afresh(self) -> None:
        """Brokers and coordinator answer somebody new: then it is us. Raises LogUnavailable."""
        await self._log.ask_afresh()
        await self._member.ask_afresh()

    async def close(self) -> None:
        for part in (self._mirror, self._watchdog):
            if part is not None:
                await part.close()
        await self.events.close()


def _ignore(slot: int) -> None:
    pass


async def open_backends(
    settings: Settings, port: int, clock: Callable[[], float], on_wedged: Callable[[str], None]
) -> Backends:
    """As the settings say. Raises StartupError."""
    if settings.kafka_endpoint:
        on_kafka = OnKafka(settings, on_wedged)
        await on_kafka.open(port, clock)
        return on_kafka
    return Embedded(
        *await open_log(
            f"{settings.event_log}:",
            data_dir=settings.data_dir,
            message_max_bytes=settings.message_max_bytes,
            clock=clock,
        )
    )
