"""`wait=False`: answered at once, written soon, in order, with bounded memory."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import Append, LogUnavailable
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.publish.early_ack import EarlyAck
from dispatcher.publish.outcome import Unit

Make = Callable[..., Any]


class GatedLog(MemoryLog):
    """Lets appends through while `gate` is open; raises LogUnavailable `faults` times."""

    def __init__(self, faults: int = 0) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.faults = faults

    async def append(self, items: Any) -> Any:
        await self.gate.wait()
        if self.faults:
            self.faults -= 1
            raise LogUnavailable("away")
        return await super().append(items)


async def test_the_answer_comes_before_the_log_and_close_drains(make_bench: Make, binary: Make) -> None:
    log = GatedLog()
    bench = make_bench(log=log)
    await bench.publisher.start()
    log.gate.clear()
    for letter in "bcd":
        assert (await bench.publish(binary(letter), wait=False, keep_ok=True)).published == 1
    assert await bench.stored("samples.binary.extracted") == []
    log.gate.set()
    await bench.publisher.close()
    assert [e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")] == ["b", "c", "d"]
    assert bench.metric("events_published_total", plugin="unbox", entity="binary") == 3


async def test_a_log_that_was_away_gets_everything_later(make_bench: Make, binary: Make, status: Make) -> None:
    log = GatedLog(faults=2)
    bench = make_bench(log=log)
    await bench.publisher.start()
    await bench.publish(status(results=[binary("d")]), model="status", wait=False)
    await bench.publisher.close()
    assert len(await bench.stored("system.status")) == 1
    assert {e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")} == {"d"}


async def test_invalid_events_are_told_at_once(make_bench: Make, binary: Make) -> None:
    bench = make_bench()
    await bench.publisher.start()
    outcome = await bench.publish(binary(author={"name": ""}), wait=False)
    assert len(outcome.failures) == 1
    await bench.publisher.close()


class Stuck:
    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def write(self, units: Any) -> Any:
        await self.gate.wait()
        return [None] * len(units)


def unit(binary: Make, size: int) -> Unit:
    return Unit(binary(), Append("topic", b"key", b"x" * size))


async def test_a_full_queue_makes_clients_wait_and_then_says_503(binary: Make) -> None:
    writer = Stuck()
    queue = EarlyAck(writer, queue_bytes=100, entry_seconds=0.05)  # type: ignore[arg-type]
    queue.start()
    await queue.put([unit(binary, 60)])
    with pytest.raises(Unavailable):
        await queue.put([unit(binary, 60)])
    waiting = asyncio.create_task(queue.put([unit(binary, 60)]))
    writer.gate.set()
    await waiting
    await queue.put([unit(binary, 500)])  # larger than the queue: goes in alone
    await queue.close()


async def test_close_gives_up_after_its_time_and_says_what_is_lost(
    binary: Make, caplog: pytest.LogCaptureFixture
) -> None:
    queue = EarlyAck(Stuck(), drain_seconds=0.05)  # type: ignore[arg-type]
    queue.start()
    await queue.put([unit(binary, 60), unit(binary, 60)])
    await queue.close()
    assert "2 events that were answered early are lost" in caplog.text
    with pytest.raises(Unavailable):
        await queue.put([unit(binary, 1)])
