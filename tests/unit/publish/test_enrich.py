"""Enrichers change an event before its key; a broken one costs only its own addition."""

from collections.abc import Callable
from typing import Any

Make = Callable[..., Any]


class Enricher:
    def __init__(self, name: str, change: Callable[[Any], None]) -> None:
        self.name = name
        self._change = change

    async def enrich(self, event: Any) -> None:
        self._change(event)


def add_reference(event: Any) -> None:
    event.source.references["team"] = "blue"


def spoil_and_raise(event: Any) -> None:
    event.source.name = "spoiled"
    raise OSError("no network")


def wrong_type(event: Any) -> None:
    event.entity.size = "large"


def invalid(event: Any) -> None:
    event.action = "guessed"


async def test_broken_enrichers_leave_no_trace_and_the_others_stay(make_bench: Make, binary: Make) -> None:
    changes = [add_reference, spoil_and_raise, wrong_type, invalid]
    bench = make_bench(enrichers=[Enricher(change.__name__, change) for change in changes])
    plain = make_bench()
    outcome = await bench.publish(binary(source={"timestamp": "2021-02-07T03:43:23+11:00"}))
    await plain.publish(binary(source={"timestamp": "2021-02-07T03:43:23+11:00", "references": {"team": "blue"}}))
    assert outcome.published == 1
    assert outcome.failures == []
    assert await bench.stored("samples.binary.extracted") == await plain.stored("samples.binary.extracted")
    for change in (spoil_and_raise, wrong_type, invalid):
        assert bench.metric("events_produce_pipelines_error_total", pipeline=change.__name__) == 1
    assert bench.metric("events_produce_pipelines_error_total", pipeline="add_reference") == 0


async def test_results_of_a_status_are_enriched(make_bench: Make, binary: Make, status: Make) -> None:
    def mark(event: Any) -> None:
        if hasattr(event, "action"):
            event.source.references["seen"] = "yes"

    bench = make_bench(enrichers=[Enricher("mark", mark)])
    await bench.publish(status(results=[binary("d")]), model="status")
    [stored] = await bench.stored("samples.binary.extracted")
    assert stored["source"]["references"] == {"seen": "yes"}
