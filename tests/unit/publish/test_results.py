"""Statuses: their results become events, durable before the status itself."""

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.hooks.header import unpack

Make = Callable[..., Any]


@pytest.mark.parametrize("value", ["completed", "completed-empty", "completed-with-errors"])
async def test_results_of_a_completed_status_become_events(bench: Any, binary: Make, status: Make, value: str) -> None:
    given = binary("b", dequeued="key.unbox.1.0.1700000000", flags={"bypass_cache": True, "retry": True})
    outcome = await bench.publish(
        status(value, results=[binary("d"), binary("e", flags={"expedite": True})], given=given),
        model="status",
        keep_ok=True,
    )
    results = await bench.stored("samples.binary.extracted")
    [stored] = await bench.stored("system.status")
    assert [e["entity"]["sha256"][0] for e in results] == ["d", "e"]
    assert all(e["flags"] == {"bypass_cache": True} for e in results)
    assert all(e["kafka_key"] and e["track_links"] and "dequeued" not in e for e in results)
    assert "results" not in stored["entity"]
    assert stored["entity"]["input"]["dequeued"] == "key.unbox.1.0.1700000000"
    assert (outcome.published, outcome.parsed, len(outcome.ok)) == (1, 1, 1)


async def test_results_of_an_expedited_event_are_expedited(bench: Any, binary: Make, status: Make) -> None:
    given = binary("b", dequeued="token.1", flags={"expedite": True})
    await bench.publish(status(results=[binary("d")], given=given), model="status")
    assert len(await bench.stored("system.expedite")) == 1
    assert await bench.stored("samples.binary.extracted") == []


@pytest.mark.parametrize("value", ["heartbeat", "opt-out", "error-exception", "whatever"])
async def test_other_statuses_keep_their_results(bench: Any, binary: Make, status: Make, value: str) -> None:
    await bench.publish(status(value, results=[binary("d")]), model="status")
    [stored] = await bench.stored("system.status")
    assert len(stored["entity"]["results"]) == 1
    assert await bench.stored("samples.binary.extracted") == []


async def test_the_record_carries_token_and_status_for_delivery(bench: Any, status: Make) -> None:
    await bench.publish(status("completed"), model="status")
    chunk = await bench.log.read((bench.names.system("status"), 0), 0, 1 << 20)
    header = unpack(chunk.records[0].tag)
    assert (header.token, header.status, header.source) == ("key.unbox.1.0.1700000000", "completed", "samples")


async def test_a_bad_result_fails_its_status_only(bench: Any, binary: Make, status: Make) -> None:
    bad = binary("d")
    bad.action = "guessed"
    outcome = await bench.publish(status(results=[binary("c"), bad]), status(results=[binary("e")]), model="status")
    assert (outcome.published, outcome.parsed) == (1, 1)
    [failure] = outcome.failures
    assert "entity.results[1]" in failure.error
    assert "guessed" in failure.event
    assert len(await bench.stored("system.status")) == 1
    assert [e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")] == ["e"]


async def test_an_oversize_result_fails_its_status_before_anything_is_written(
    make_bench: Make, binary: Make, status: Make
) -> None:
    bench = make_bench(message_max_bytes=3000)
    outcome = await bench.publish(
        status(results=[binary("c"), binary("d", source={"security": "x" * 3000})]), model="status"
    )
    assert "entity.results[1]" in outcome.failures[0].error
    assert '"results":[' in outcome.failures[0].event
    assert await bench.stored("samples.binary.extracted") == []
    assert await bench.stored("system.status") == []


class LateLog(MemoryLog):
    """Takes everything but records of one topic."""

    refuses = ""

    async def append(self, items: Any) -> Any:
        if any(item.topic.endswith(self.refuses) for item in items if self.refuses):
            return [LogUnavailable("away")] * len(items)
        return await super().append(items)


async def test_a_status_is_never_durable_before_its_results(make_bench: Make, binary: Make, status: Make) -> None:
    log = LateLog()
    bench = make_bench(log=log)
    await bench.publish(binary("a"))
    log.refuses = ".extracted"
    with_results, without = status(results=[binary("d")]), status("opt-out")
    outcome = await bench.publish(with_results, without, model="status")
    assert outcome.published == 1
    assert "post the event again" in outcome.failures[0].error
    assert [s["entity"]["status"] for s in await bench.stored("system.status")] == ["opt-out"]


async def test_an_aged_off_status_is_dropped_with_its_results_but_does_not_fail(
    make_bench: Make, binary: Make, status: Make
) -> None:
    bench = make_bench(sources="sources: {samples: {expire_events_after: 1 days}}")
    outcome = await bench.publish(status(results=[binary("d")]), model="status")
    assert (outcome.aged_off, outcome.published, outcome.failures) == (1, 0, [])
    assert await bench.stored("samples.binary.extracted") == []


async def test_results_skip_age_off_and_the_list_of_sources(make_bench: Make, binary: Make, status: Make) -> None:
    bench = make_bench(sources="sources: {samples: {expire_events_after: 1 days}}")
    given = binary("b", dequeued="token.1", source={"name": "left-the-document"})
    outcome = await bench.publish(
        status(results=[binary("d"), binary("e", source={"name": "left-the-document"})], given=given), model="status"
    )
    assert (outcome.published, outcome.failures) == (1, [])
    assert len(await bench.stored("samples.binary.extracted")) == 1
    assert len(await bench.stored("left-the-document.binary.extracted")) == 1


async def test_a_deleted_result_is_left_out_and_its_status_stays(
    bench: Any, binary: Make, status: Make, delete: Make
) -> None:
    await bench.publish(binary("d"))
    [known] = await bench.stored("samples.binary.extracted")
    await bench.publish(delete("ids", ids=[known["kafka_key"]]), model="delete")
    outcome = await bench.publish(status(results=[binary("d"), binary("e")]), model="status")
    assert outcome.published == 1
    assert [e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")] == ["d", "e"]


async def test_status_metrics(bench: Any, status: Make) -> None:
    await bench.publish(status("completed", runtime=3.0), status("invented"), model="status")
    by_user = status("completed", runtime=1e12)
    by_user.author.category = "user"
    await bench.publish(by_user, model="status")
    assert bench.metric("events_status_published_total", plugin="unbox", status="completed") == 1
    assert bench.metric("events_status_published_total", plugin="unbox", status="other") == 1
    assert bench.metric("processing_time_seconds_sum", publisher="unbox") == 3.0
    assert bench.metric("events_published_total", plugin="unbox", entity="status") == 3
