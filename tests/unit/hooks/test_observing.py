"""Observers: in order, isolated from each other, bounded, and no burden."""

import asyncio
from collections.abc import Sequence

from dispatcher.hooks import Notice
from dispatcher.hooks.observing import Observing
from dispatcher.metrics import Metrics


def notice(number: int) -> Notice:
    return Notice("published", float(number), "topic", key=str(number))


class Listener:
    def __init__(self, name: str = "listener") -> None:
        self.name = name
        self.heard: list[str] = []
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.fails = False

    async def observe(self, notices: Sequence[Notice]) -> None:
        self.calls += 1
        self.entered.set()
        await self.gate.wait()
        if self.fails:
            raise RuntimeError("no")
        self.heard += [notice.key for notice in notices]


def dropped(metrics: Metrics, observer: str, cause: str) -> float:
    labels = {"observer": observer, "cause": cause}
    return metrics.registry.get_sample_value("dispatcher_notices_dropped_total", labels) or 0.0


async def test_all_in_order_and_what_waits_at_the_end_too() -> None:
    listener = Listener()
    async with Observing([listener], Metrics()) as observing:
        assert observing.active
        for number in range(1200):
            observing.notify(notice(number))
    assert listener.heard == [str(number) for number in range(1200)]
    assert listener.calls < 10, "many at once"


async def test_a_busy_one_loses_the_oldest_and_holds_up_nobody() -> None:
    metrics = Metrics()
    busy, quick = Listener("busy"), Listener("quick")
    busy.gate.clear()
    async with Observing([busy, quick], metrics, most_waiting=3) as observing:
        observing.notify(notice(0))
        await busy.entered.wait()
        for number in range(1, 6):
            observing.notify(notice(number))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while len(quick.heard) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0)
        busy.gate.set()
    assert busy.heard == ["0", "3", "4", "5"]
    assert quick.heard == ["0", "1", "2", "3", "4", "5"]
    assert dropped(metrics, "busy", "queue full") == 2
    assert dropped(metrics, "quick", "queue full") == 0


async def test_one_that_raises_is_asked_again_and_its_losses_are_counted() -> None:
    metrics = Metrics()
    listener = Listener()
    listener.fails = True
    async with Observing([listener], metrics) as observing:
        observing.notify(notice(0))
        await listener.entered.wait()
        await asyncio.sleep(0)
        listener.fails = False
        observing.notify(notice(1))
    assert listener.heard == ["1"]
    assert dropped(metrics, "listener", "observer raised") == 1


async def test_without_observers_nobody_listens() -> None:
    async with Observing([], Metrics()) as observing:
        assert not observing.active
