import json
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import LogUnavailable, RecordTooLarge, UnknownTopic
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.hooks.header import unpack
from dispatcher.publish.outcome import Drop, Refused

Make = Callable[..., Any]
WEEK = "sources: {samples: {expire_events_after: 1 weeks}}"


async def test_an_event_is_stored_with_key_tracking_and_header(bench: Any, binary: Make) -> None:
    sent = binary("b", kafka_key="placeholder", dequeued="mine.1", track_links=["mine"], track_authors=["mine"])
    outcome = await bench.publish(sent, keep_ok=True)
    [stored] = await bench.stored("samples.binary.extracted")
    assert (outcome.parsed, outcome.published, outcome.failures) == (1, 1, [])
    assert json.loads(outcome.ok[0]) == stored
    assert "dequeued" not in stored
    assert len(stored["kafka_key"]) == 32
    assert stored["track_authors"] == ["plugin.unbox.1.0", "plugin.unbox.1.0"]
    assert len(stored["track_links"]) == 1
    assert stored["track_source_references"].startswith("samples.")
    chunk = await bench.log.read((bench.names.binary("samples", "extracted"), 0), 0, 1 << 20)
    assert chunk.records[0].key == stored["kafka_key"].encode()
    assert unpack(chunk.records[0].tag).streams == (("content", "", 5),)


async def test_times_enter_the_key_as_sent_and_are_stored_in_utc(bench: Any, binary: Make) -> None:
    await bench.publish(
        binary(source={"timestamp": "2021-02-07T03:43:23+11:00"}),
        binary(source={"timestamp": "2021-02-06T16:43:23Z"}),
    )
    first, second = await bench.stored("samples.binary.extracted")
    assert first["source"]["timestamp"] == second["source"]["timestamp"] == "2021-02-06T16:43:23Z"
    assert first["kafka_key"] != second["kafka_key"]


@pytest.mark.parametrize(
    ("flags", "topic"),
    [
        ({}, "samples.binary.extracted"),
        ({"bypass_cache": True}, "samples.binary.extracted"),
        ({"expedite": True, "retry": True}, "system.expedite"),
        ({"retry": True}, "system.error"),
    ],
)
async def test_topics_of_binary_events(bench: Any, binary: Make, flags: dict[str, bool], topic: str) -> None:
    await bench.publish(binary(flags=flags))
    total = [await bench.stored(name) for name in ("samples.binary.extracted", "system.expedite", "system.error")]
    assert sum(map(len, total)) == len(await bench.stored(topic)) == 1


async def test_other_models_go_to_their_system_topic(bench: Any, event: Make) -> None:
    await bench.publish(event("plugin", entity={"name": "unbox", "version": "1"}), model="plugin")
    await bench.publish(event("retrohunt", entity={"rule": None}), model="retrohunt")
    await bench.publish(
        event("download", action="requested", source={"name": "samples"}, entity={"hash": "a"}), model="download"
    )
    assert (await bench.stored("system.plugin"))[0]["entity"]["name"] == "unbox"
    assert (await bench.stored("system.retrohunt"))[0]["entity"] == {"rule": None}
    assert (await bench.stored("system.download"))[0]["entity"]["hash"] == "a"


async def test_the_fault_of_one_event_costs_no_other(make_bench: Make, binary: Make) -> None:
    bench = make_bench(message_max_bytes=2000)
    outcome = await bench.publish(
        binary("b"),
        binary("c", author={"name": ""}),
        binary("d", source={"name": "../etc"}),
        binary("e", source={"security": "x" * 2000}),
        binary("f", source={"timestamp": "0001-01-01T00:00:00+11:00"}),
        binary("a"),
    )
    assert (outcome.parsed, outcome.published) == (5, 2)
    told = [failure.error for failure in outcome.failures]
    for part, error in zip(("author.name is empty", "source.name '../etc'", "at most 2000", "UTC"), told, strict=True):
        assert part in error
    assert json.loads(outcome.failures[0].event)["entity"]["sha256"] == "c" * 64
    assert len(await bench.stored("samples.binary.extracted")) == 2


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a b", "x" * 129, "a\x00", "ä", "a\n"])
@pytest.mark.parametrize("flags", [{}, {"expedite": True}])
async def test_a_source_must_be_one_safe_segment(bench: Any, binary: Make, name: str, flags: dict[str, bool]) -> None:
    outcome = await bench.publish(binary(source={"name": name}, flags=flags))
    assert outcome.published == 0
    assert "source.name" in outcome.failures[0].error


async def test_failed_events_are_echoed_in_part_only(make_bench: Make, binary: Make) -> None:
    outcome = await make_bench(message_max_bytes=2000).publish(binary(source={"security": "ß" * 90_000}))
    assert len(outcome.failures[0].event) <= 65_536


async def test_age_off(make_bench: Make, binary: Make) -> None:
    bench = make_bench(sources=WEEK)
    old, new = binary("b"), binary("c", source={"timestamp": "2023-11-14T00:00:00Z"})
    outcome = await bench.publish(old, new)
    assert (outcome.parsed, outcome.aged_off, outcome.published) == (2, 1, 1)
    assert bench.metric("events_produce_pipelines_removed_total", pipeline="PipelineAgeoff") == 1


async def test_unlisted_sources_are_refused_only_when_a_document_is_strict(make_bench: Make, binary: Make) -> None:
    outcome = await make_bench(sources="sources: {a: {}}").publish(binary())
    assert (outcome.published, outcome.refused, len(outcome.failures)) == (0, 1, 1)
    assert "DISPATCHER_SOURCES_HELM" in outcome.failures[0].error
    assert (await make_bench(sources="sources: {a: {}}", strict=False).publish(binary())).published == 1
    assert (await make_bench().publish(binary())).published == 1


async def test_deletes_take_effect_at_once_for_what_comes_later(bench: Any, binary: Make, delete: Make) -> None:
    await bench.publish(binary("b"))
    [stored] = await bench.stored("samples.binary.extracted")
    reference = stored["track_source_references"]
    await bench.publish(delete("submission", track_source_references=reference), model="delete")
    outcome = await bench.publish(binary("c"), binary("d", source={"references": {"other": "one"}}))
    assert (outcome.deleted, outcome.published) == (1, 1)


async def test_spent_settings_are_removed_after_the_key(bench: Any, binary: Make) -> None:
    settings = {"remove_at_depth": "2", "passwords": "a;b"}
    deeper = {"remove_at_depth": "3", "passwords": "a;b"}
    await bench.publish(
        binary("b", source={"settings": settings}),
        binary("c", source={"settings": deeper}),
        binary("d", source={"settings": {"remove_at_depth": "soon"}}),
        binary("b"),
    )
    spent, kept, odd, never = await bench.stored("samples.binary.extracted")
    assert "settings" not in spent["source"]
    assert kept["source"]["settings"] == deeper
    assert odd["source"]["settings"] == {"remove_at_depth": "soon"}
    assert spent["kafka_key"] != never["kafka_key"]


async def test_all_five_topics_of_a_new_source_are_made(bench: Any, binary: Make) -> None:
    await bench.publish(binary())
    made = {name for name in bench.log.topics() if "samples" in name}
    assert len(made) == 5


async def test_clients_cannot_invent_sources_without_end(make_bench: Make, binary: Make, status: Make) -> None:
    bench = make_bench()
    for index in range(256):
        assert (await bench.publish(binary(source={"name": f"s{index}"}))).published == 1
    outcome = await bench.publish(binary(source={"name": "one-too-many"}), binary(source={"name": "s7"}))
    assert outcome.published == 1
    assert "256 sources" in outcome.failures[0].error
    assert len(bench.log.topics()) == 256 * 5


async def test_listed_sources_do_not_count_towards_that_bound(make_bench: Make, binary: Make) -> None:
    bench = make_bench(sources="sources: {listed: {}}", strict=False)
    for index in range(256):
        await bench.publish(binary(source={"name": f"s{index}"}))
    assert (await bench.publish(binary(source={"name": "listed"}))).published == 1


class FaultyLog(MemoryLog):
    """Answers what `faults` says, in order, before it works."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.faults = list(faults)
        self.calls = 0

    async def append(self, items: Any) -> Any:
        self.calls += 1
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, LogUnavailable):
                raise fault
            return [fault, *await super().append(items[1:])]
        return await super().append(items)


async def test_an_unavailable_log_is_503_and_changes_nothing(make_bench: Make, delete: Make) -> None:
    bench = make_bench(log=FaultyLog(LogUnavailable("away")))
    with pytest.raises(Unavailable):
        await bench.publish(delete("ids", ids=["a"]), model="delete")
    assert bench.deletions.empty
    assert (await bench.publish(delete("ids", ids=["a"]), model="delete")).published == 1


async def test_a_topic_deleted_meanwhile_is_made_again(make_bench: Make, binary: Make) -> None:
    bench = make_bench(log=FaultyLog(UnknownTopic("gone")))
    outcome = await bench.publish(binary("b"), binary("c"))
    assert outcome.published == 2
    assert len(await bench.stored("samples.binary.extracted")) == 2


async def test_the_log_s_own_limit_is_a_failure_of_the_event(make_bench: Make, binary: Make) -> None:
    bench = make_bench(log=FaultyLog(RecordTooLarge("at most 5 bytes")))
    outcome = await bench.publish(binary("b"), binary("c"))
    assert outcome.published == 1
    assert "at most 5 bytes" in outcome.failures[0].error


async def test_a_batch_is_one_append_and_statuses_with_results_are_two(
    make_bench: Make, binary: Make, status: Make
) -> None:
    log = FaultyLog()
    bench = make_bench(log=log)
    await bench.publish(*(binary(letter) for letter in "bcdef"))
    assert log.calls == 1
    await bench.publish(*(status(results=[binary(letter)]) for letter in "bcd"), model="status")
    assert log.calls == 3


async def test_events_of_another_model_are_a_programming_error(bench: Any, binary: Make) -> None:
    with pytest.raises(TypeError):
        await bench.publish(binary(), model="status")


async def test_metric_labels_of_clients_are_bounded(bench: Any, event: Make) -> None:
    plugins = [event("plugin", author={"name": f"p{i}"}, entity={"name": "p"}) for i in range(1005)]
    await bench.publish(*plugins, model="plugin")
    assert bench.metric("events_published_total", plugin="p0", entity="plugin") == 1
    assert bench.metric("events_published_total", plugin="other", entity="plugin") == 5
    assert bench.metric("log_appended_bytes_total", topic=bench.names.system("plugin")) > 0


async def test_what_must_happen_first_happens_only_when_something_is_written(bench: Any, binary: Make) -> None:
    seen: list[list[Any]] = []

    async def look() -> None:
        seen.append(await bench.stored("samples.binary.extracted"))

    await bench.publish(binary("b", author={"name": ""}), before_write=look)
    assert seen == []
    await bench.publish(binary("b"), before_write=look)
    assert seen == [[]]


class TestEach:
    async def test_what_became_of_every_event_is_told_in_its_place(
        self, make_bench: Make, binary: Make, event: Make
    ) -> None:
        bench = make_bench(sources=WEEK, message_max_bytes=4000)
        bench.now = 1_698_900_000.0
        fates = await bench.publisher.publish_each(
            [
                binary("b"),
                binary("c", source={"timestamp": "2020-01-01T00:00:00Z"}),
                binary("d", action="mapped"),
                binary("e", source={"name": "unlisted"}),
                event("plugin", entity={"name": "unbox", "description": "x" * 5000}),
                event("plugin", entity={"name": "unbox"}),
            ]
        )
        assert fates[0] is None
        assert fates[1] is Drop.AGED_OFF
        for fate, why in zip(fates[2:5], ("no content stream", "'unlisted' is not in", "at most 4000"), strict=True):
            assert isinstance(fate, Refused)
            assert why in str(fate)
        assert fates[5] is None
        assert len(await bench.stored("samples.binary.extracted")) == len(await bench.stored("system.plugin")) == 1

    async def test_a_log_that_is_away_is_told_for_each(self, bench: Any, binary: Make) -> None:
        await bench.publisher.publish_each([binary("b")])
        await bench.log.close()
        assert [type(fate) for fate in await bench.publisher.publish_each([binary("c"), binary("d")])] == [
            LogUnavailable
        ] * 2
