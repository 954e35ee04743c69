from collections.abc import Callable
from typing import Any

import pytest
from dispatcher_sdk.models import encode
from msgspec import Raw

from dispatcher.publish.children import Inserts

Make = Callable[..., Any]
CHILD = "e" * 64


async def with_insert(bench: Any, *inserts: Any) -> None:
    outcome = await bench.publish(*inserts, model="insert")
    assert outcome.published == len(inserts)


async def test_a_child_follows_every_event_of_its_parent(bench: Any, binary: Make, insert: Make) -> None:
    await with_insert(bench, insert())
    outcome = await bench.publish(
        binary("b", source={"references": {"user": "anna"}, "security": "OFFICIAL"}), keep_ok=True
    )
    parent, child = await bench.stored("samples.binary.extracted")
    assert outcome.published == len(outcome.ok) == 1
    assert child["entity"]["sha256"] == CHILD
    assert child["author"]["name"] == "analyst"
    assert child["flags"] == {}
    assert child["timestamp"] == "2023-11-14T22:13:20Z"
    assert child["source"]["path"][:-1] == parent["source"]["path"]
    assert child["source"]["path"][-1]["sha256"] == CHILD
    for member in ("name", "references", "security", "timestamp"):
        assert child["source"][member] == parent["source"][member]
    assert child["track_links"] == [
        *parent["track_links"],
        f"{'b' * 64}.{CHILD}.2023_11_01T10_20_30Z_00.plugin.analyst.1.0",
    ]
    assert child["kafka_key"] != parent["kafka_key"]


async def test_every_stream_of_the_child_is_copied_under_its_own_sha(
    bench: Any, binary: Make, insert: Make, stream: Make
) -> None:
    await with_insert(bench, insert(streams=[stream("e"), stream("f", "text")]))
    await bench.publish(binary("b"))
    assert bench.copied == [("other", "samples", "content", CHILD), ("other", "samples", "text", "f" * 64)]


async def test_nothing_is_copied_onto_itself(bench: Any, binary: Make, insert: Make) -> None:
    await with_insert(bench, insert())
    await bench.publish(binary("b", source={"name": "other"}))
    assert bench.copied == []
    assert len(await bench.stored("other.binary.extracted")) == 2


async def test_a_failed_copy_is_counted_and_the_child_comes_all_the_same(
    make_bench: Make, binary: Make, insert: Make
) -> None:
    async def broken(*_: str) -> None:
        raise FileNotFoundError("gone")

    bench = make_bench(copy_stream=broken)
    await with_insert(bench, insert())
    assert (await bench.publish(binary("b"))).failures == []
    assert len(await bench.stored("samples.binary.extracted")) == 2
    assert bench.metric("events_produce_pipelines_error_total", pipeline="InjectChildEvents") == 1


async def test_inserts_that_arrive_while_bytes_are_copied_disturb_nothing(
    make_bench: Make, binary: Make, insert: Make
) -> None:
    """The follower of the log brings what was posted here once more, and what was posted elsewhere."""

    async def followed(*_: str) -> None:
        for event in (insert(), insert(child="f")):
            event.kafka_key = f"key of {event.entity.child.sha256}"
            bench.inserts.apply(event, encode(event))

    bench = make_bench(copy_stream=followed)
    await followed()
    assert (await bench.publish(binary("b"))).published == 1
    stored = await bench.stored("samples.binary.extracted")
    assert [event["entity"]["sha256"][0] for event in stored] == ["b", "e", "f"]


@pytest.mark.parametrize(
    "change",
    [
        {"action": "enriched", "entity": {"datastreams": []}},
        {"action": "mapped", "entity": {"datastreams": []}},
        {"path_letters": "bb"},
    ],
)
async def test_events_that_bring_no_new_file_bring_no_child(
    bench: Any, binary: Make, insert: Make, node: Make, change: dict[str, Any]
) -> None:
    letters = change.pop("path_letters", "ab")
    await with_insert(bench, insert())
    outcome = await bench.publish(binary("b", path=[node(letter, "sourced") for letter in letters], **change))
    assert outcome.published == 1
    total = [await bench.stored(f"samples.binary.{action}") for action in ("extracted", "mapped", "enriched")]
    assert sum(map(len, total)) == 1


async def test_a_short_path_counts_as_a_new_file(bench: Any, binary: Make, insert: Make, node: Make) -> None:
    await with_insert(bench, insert())
    await bench.publish(binary("b", action="sourced", path=[node("b", "sourced")]))
    assert len(await bench.stored("samples.binary.extracted")) == 1


async def test_a_child_gets_no_children_of_its_own(bench: Any, binary: Make, insert: Make) -> None:
    await with_insert(bench, insert("b", "e"), insert("e", "f"))
    await bench.publish(binary("b"))
    assert [e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")] == ["b", "e"]


async def test_an_invalid_child_never_takes_its_parent_along(
    bench: Any, binary: Make, insert: Make, stream: Make
) -> None:
    await with_insert(bench, insert(streams=[stream("e", "text")]))  # extracted, but no content
    outcome = await bench.publish(binary("b"))
    assert (outcome.published, outcome.failures) == (1, [])
    assert len(await bench.stored("samples.binary.extracted")) == 1
    assert bench.metric("events_produce_pipelines_error_total", pipeline="InjectChildEvents") == 1


async def test_an_oversize_child_never_takes_its_parent_along(make_bench: Make, binary: Make, insert: Make) -> None:
    bench = make_bench(message_max_bytes=2700)
    await with_insert(bench, insert(history={"filename": "x" * 1500}))
    outcome = await bench.publish(binary("b"))
    assert (outcome.published, outcome.failures) == (1, [])
    assert len(await bench.stored("samples.binary.extracted")) == 1


async def test_tombstones_and_replacements_take_effect_at_once(bench: Any, insert: Make, binary: Make) -> None:
    await with_insert(bench, insert("b", "e"), insert("b", "e"))
    [stored] = {e["kafka_key"] for e in await bench.stored("system.insert")}
    assert len(list(bench.inserts.below(binary("b")))) == 1
    bench.inserts.remove(stored)
    bench.inserts.remove(stored)
    assert bench.inserts.empty
    await bench.publish(binary("b"))
    assert len(await bench.stored("samples.binary.extracted")) == 1


async def test_deleted_children_stay_away(bench: Any, binary: Make, insert: Make, delete: Make) -> None:
    await with_insert(bench, insert())
    [stored] = await bench.stored("system.insert")
    await bench.publish(delete("link", track_link=stored["track_link"]), model="delete")
    await bench.publish(binary("b"))
    assert len(await bench.stored("samples.binary.extracted")) == 1


async def test_results_bring_children_too(bench: Any, binary: Make, insert: Make, status: Make) -> None:
    await with_insert(bench, insert())
    await bench.publish(status(results=[binary("b")]), model="status")
    assert [e["entity"]["sha256"][0] for e in await bench.stored("samples.binary.extracted")] == ["b", "e"]


async def test_inserts_below_one_file_are_bounded(bench: Any, binary: Make, insert: Make) -> None:
    for index in range(1005):
        event = insert("b", "e")
        event.kafka_key = str(index)
        bench.inserts.apply(event, encode(event))
    await bench.publish(binary("b"))
    assert len(await bench.stored("samples.binary.extracted")) == 1001
    assert bench.metric("events_produce_pipelines_error_total", pipeline="InjectChildEvents") == 1


async def test_inserts_below_one_file_are_bounded_in_bytes(bench: Any, binary: Make, insert: Make) -> None:
    for index in range(12):
        event = insert("b", "e")
        event.kafka_key = str(index)
        event.entity.child.info = Raw(b'"' + b"x" * 2_000_000 + b'"')
        bench.inserts.apply(event, encode(event))
    outcome = await bench.publish(binary("b"), binary("b", source={"references": {"n": "2"}}))
    assert outcome.published == 2
    assert len(await bench.stored("samples.binary.extracted")) == 2 + 2 * 8


async def test_there_is_an_end_to_inserts(make_bench: Make, insert: Make) -> None:
    bench = make_bench(inserts=Inserts(most_bytes=1))
    first, second = insert("b"), insert("c")
    outcome = await bench.publish(first, model="insert")
    assert outcome.published == 1
    outcome = await bench.publish(second, model="insert")
    assert outcome.published == 0
    assert "takes no more" in outcome.failures[0].error
    bench.inserts.remove(first.kafka_key)
    assert (await bench.publish(second, model="insert")).published == 1


@pytest.mark.parametrize("origin", ["../../etc", "a/b", "", "a\nb"])
async def test_a_hostile_origin_is_passed_on_and_costs_nothing(
    bench: Any, binary: Make, insert: Make, origin: str
) -> None:
    hostile = insert()
    hostile.entity.original_source = origin
    await with_insert(bench, hostile)
    assert (await bench.publish(binary("b"))).published == 1
    assert len(await bench.stored("samples.binary.extracted")) == 2
