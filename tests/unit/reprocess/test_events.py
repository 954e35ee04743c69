"""What becomes of every kind of record: copied as a POST would publish it, left out for a reason, or kept aside."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from dispatcher_sdk.models import BinaryEvent, encode

from dispatcher.delivery.signals import PAUSED
from dispatcher.hooks import hookimpl
from dispatcher.hooks.header import Header, header_of, pack, unpack
from dispatcher.publish.children import make_child
from dispatcher.publish.keys import kafka_key
from dispatcher.reprocess.selection import Wanted
from dispatcher.reprocess.tally import Counts
from tests.unit.avro.old import old_record
from tests.unit.reprocess.conftest import Installations

Make = Callable[..., Any]
TOPIC = "samples.binary.extracted"


@pytest.mark.parametrize("version", [4, 5, 6, "json"])
class TestVersions:
    async def test_a_binary_event_gets_key_tracking_and_header(
        self, installations: Installations, binary: Make, row: Make, version: int | str
    ) -> None:
        event = binary("b", source={"references": {"who": "me"}})
        await installations.fill(TOPIC, [row(event, version)])
        await installations.copy()
        [record] = await installations.records(TOPIC)
        stored = json.loads(record.value or b"")
        expected = json.loads(encode(event))
        assert stored == expected
        assert stored["model_version"] == 6
        assert len(stored["track_links"]) == 1
        assert record.key == kafka_key(event).encode()
        assert unpack(record.tag or b"") == header_of(event)

    @pytest.mark.parametrize("model", ["delete", "download", "insert", "plugin", "retrohunt", "status"])
    async def test_every_model_goes_to_its_topic(
        self, installations: Installations, samples: dict[str, Any], row: Make, version: int | str, model: str
    ) -> None:
        event = samples[model]
        await installations.fill(f"system.{model}", [row(event, version)])
        await installations.copy(pause=False)
        assert await installations.events(f"system.{model}") == [json.loads(encode(event))]


@pytest.fixture
def samples(event: Make, insert: Make, delete: Make, status: Make) -> dict[str, Any]:
    source = {"name": "samples", "path": [], "timestamp": "2023-11-01T10:00:00Z"}
    return {
        "delete": delete("link", track_link="x"),
        "download": event("download", source=source, action="requested", entity={"hash": "a" * 64, "metadata": [1]}),
        "insert": insert(),
        "plugin": event("plugin", entity={"name": "unbox", "version": "1", "config": {"a": "b"}}),
        "retrohunt": event("retrohunt", entity={"rule": None}, action="submitted"),
        "status": status("completed-empty", runtime=1.5),
    }


@pytest.mark.parametrize(
    ("old", "flags", "new"),
    [("system.expedite", {"expedite": True}, "system.expedite"), ("system.error", {"retry": True}, "system.error")],
)
async def test_urgent_and_failed_events_are_binary_events(
    installations: Installations, binary: Make, row: Make, old: str, flags: dict[str, bool], new: str
) -> None:
    await installations.fill(old, [row(binary("b", flags=flags))])
    await installations.copy()
    assert [found["flags"] for found in await installations.events(new)] == [flags]


async def test_the_order_of_a_key_is_kept_and_partitions_may_differ(
    installations: Installations, binary: Make, row: Make
) -> None:
    events = [binary(letter, entity={"mime": f"{turn}"}) for turn in range(50) for letter in "abcde"]
    await installations.fill(TOPIC, [row(event, 5) for event in events], partitions=3)
    tally = await installations.copy(settings=installations.settings(global_partition_count=2))
    assert tally.sum() == Counts(copied=250)
    turns: dict[str, list[int]] = {}
    for found in await installations.events(TOPIC):
        turns.setdefault(found["kafka_key"], []).append(int(found["entity"]["mime"]))
    assert list(turns.values()) == [list(range(50))] * 5


class Labelled:
    """A hook package whose enricher adds a reference, so that the key changes."""

    name = "labelled"

    async def enrich(self, event: Any) -> None:
        if isinstance(event, BinaryEvent):
            event.source.references["team"] = "blue"

    @hookimpl
    def register_enrichers(self, context: object) -> list[Any]:
        return [self]


async def test_enrichers_run(installations: Installations, binary: Make, row: Make) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    await installations.copy(hooks=[Labelled()])
    [found] = await installations.events(TOPIC)
    assert found["source"]["references"] == {"team": "blue"}


class TestDeleted:
    @pytest.mark.parametrize("copied", [True, False])
    async def test_what_was_deleted_there_does_not_come_back(
        self, installations: Installations, binary: Make, delete: Make, row: Make, copied: bool
    ) -> None:
        """Also when the deletions themselves are not among what is copied."""
        events = {letter: binary(letter) for letter in "bcd"}
        rows = {letter: row(event, 4) for letter, event in events.items()}
        await installations.fill(TOPIC, list(rows.values()))
        gone = [
            row(delete("ids", ids=[events["b"].kafka_key])),
            row(delete("link", track_link=events["c"].track_links[0]), "json"),
        ]
        await installations.fill("system.delete", gone)
        wanted = {} if copied else {"wanted": Wanted(system=False)}
        tally = await installations.copy(**wanted)
        assert [found["entity"]["sha256"][0] for found in await installations.events(TOPIC)] == ["d"]
        assert tally.topics[f"azul.old.{TOPIC}"].counts == Counts(copied=1, deleted=2)
        assert len(await installations.events("system.delete")) == (2 if copied else 0)

    async def test_names_that_events_had_there_count(
        self, installations: Installations, binary: Make, delete: Make, row: Make
    ) -> None:
        """Links of older servers lack the time, and keys followed what a client sent."""
        event = binary("b")
        _, _ = row(event)
        event.track_links, event.kafka_key = ["a.b.link"], "old-key"
        other = binary("c")
        row(other)
        other.kafka_key = "other-key"
        await installations.fill(
            TOPIC, [(b"1", old_record("binary", 6, event)), (b"2", old_record("binary", 6, other))]
        )
        gone = [row(delete("link", track_link="a.b.link")), row(delete("ids", ids=["other-key"]))]
        await installations.fill("system.delete", gone)
        assert (await installations.copy()).sum() == Counts(copied=2, deleted=2)
        assert await installations.events(TOPIC) == []

    async def test_what_was_deleted_here_does_not_come_back_either(
        self, installations: Installations, binary: Make, delete: Make, row: Make
    ) -> None:
        event = binary("b")
        key, value = row(event)
        gone = row(delete("ids", ids=[event.kafka_key]), "json")
        await installations.fill("system.delete", [gone], folder=installations.new)
        await installations.fill(TOPIC, [(key, value)])
        assert (await installations.copy()).sum() == Counts(deleted=1)

    async def test_a_deletion_that_is_copied_twice_is_still_one(
        self, installations: Installations, delete: Make, row: Make
    ) -> None:
        await installations.fill("system.delete", [row(delete("link", track_link="x"))])
        await installations.copy()
        await installations.copy(restart=True)
        assert len({record.key for record in await installations.records("system.delete")}) == 1


class TestTombstones:
    async def test_only_the_last_word_about_a_key_is_copied(
        self, installations: Installations, binary: Make, row: Make
    ) -> None:
        (b, one), (c, two) = row(binary("b")), row(binary("c"))
        await installations.fill(TOPIC, [(b, one), (b, None), (c, two), (b, one), (c, None), (c, b"")])
        tally = await installations.copy()
        assert tally.sum() == Counts(copied=1, deleted=2, forgotten=3)
        assert [(record.key, bool(record.value)) for record in await installations.records(TOPIC)] == [
            (b, True),
            (c, False),
            (c, False),
        ]

    async def test_a_later_one_forgets_what_an_earlier_run_copied(
        self, installations: Installations, binary: Make, row: Make
    ) -> None:
        key, value = row(binary("b"))
        await installations.fill(TOPIC, [(key, value)])
        await installations.copy()
        await installations.fill(TOPIC, [(key, None)])
        await installations.copy()
        assert [record.value is None for record in await installations.records(TOPIC)] == [False, True]

    async def test_words_of_dispatchers_to_each_other_stay_where_they_are(self, installations: Installations) -> None:
        """A pause that ended long ago must not begin again."""
        await installations.fill("system.status", [(b"paused.", None, pack(Header(status=PAUSED, source_time=1)))])
        assert (await installations.copy(pause=False)).sum() == Counts(signals=1)
        assert await installations.records("system.status", with_signals=True) == []


async def test_what_aged_off_is_skipped_and_counted(installations: Installations, binary: Make, row: Make) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    settings = installations.settings(sources_helm="sources: {samples: {expire_events_after: 1 weeks}}")
    assert (await installations.copy(settings=settings)).sum() == Counts(aged_off=1)


class TestInserts:
    async def test_children_are_not_made_a_second_time(
        self, installations: Installations, binary: Make, insert: Make, row: Make
    ) -> None:
        parent, child = binary("b"), make_child(binary("b"), insert(), 1_700_000_000.0)
        await installations.fill(TOPIC, [row(parent), row(child)])
        await installations.fill("system.insert", [row(insert(), 4)])
        assert (await installations.copy()).sum() == Counts(copied=3)
        assert [found["entity"]["sha256"][0] for found in await installations.events(TOPIC)] == ["b", "e"]
        assert len(await installations.events("system.insert")) == 1

    async def test_inserts_that_only_we_have_are_applied(
        self, installations: Installations, binary: Make, insert: Make, row: Make
    ) -> None:
        await installations.fill("system.insert", [row(insert(), "json")], folder=installations.new)
        await installations.fill(TOPIC, [row(binary("b"))])
        await installations.copy()
        assert [found["entity"]["sha256"][0] for found in await installations.events(TOPIC)] == ["b", "e"]

    async def test_one_that_was_taken_back_there_does_not_come_back(
        self, installations: Installations, insert: Make, row: Make
    ) -> None:
        key, value = row(insert())
        await installations.fill("system.insert", [(key, value)])
        await installations.copy()
        await installations.fill("system.insert", [(key, None)])
        await installations.copy()
        assert [record.value is None for record in await installations.records("system.insert")] == [False, True]


class TestNotCopied:
    async def test_bytes_and_place_are_kept(
        self, installations: Installations, binary: Make, row: Make, event: Make
    ) -> None:
        wrong = binary("d", action="mapped")
        rows = [(b"k", b"garbage!"), row(binary("b")), row(wrong), (b"v3", b'{"model_version": 3}')]
        await installations.fill(TOPIC, rows)
        tally = await installations.copy()
        assert tally.sum() == Counts(copied=1, set_aside=3)
        assert [(misfit.offset, misfit.place) for misfit in tally.topics[f"azul.old.{TOPIC}"].misfits] == [
            (offset, (f"azul.old.{TOPIC}", 0)) for offset in (0, 3, 2)
        ]
        kept = {letter["offset"]: letter for letter in await installations.events("system.deadletter")}
        assert kept.keys() == {0, 2, 3}
        for offset, letter in kept.items():
            assert base64.b64decode(letter["value"]) == rows[offset][1]
            assert base64.b64decode(letter["key"]) == rows[offset][0]
            assert (letter["topic"], letter["partition"]) == (f"azul.old.{TOPIC}", 0)
        assert "mapped event carries no content" in kept[2]["reason"]
        assert "model_version 3 is not supported" in kept[3]["reason"]

    async def test_a_value_of_any_size_is_kept(self, installations: Installations) -> None:
        value = bytes(range(256)) * 9000
        await installations.fill(TOPIC, [(b"k", value)])
        await installations.copy(settings=installations.settings(message_max_bytes=1 << 20))
        letters = await installations.events("system.deadletter")
        assert [(letter.get("part", 0), letter["parts"]) for letter in letters] == [(n, 9) for n in range(9)]
        assert b"".join(base64.b64decode(letter["value"]) for letter in letters) == value

    async def test_an_event_that_is_too_large_here_is_kept(
        self, installations: Installations, event: Make, row: Make
    ) -> None:
        large = row(event("plugin", entity={"name": "unbox", "description": "x" * 5000}))
        await installations.fill("system.plugin", [large])
        tally = await installations.copy(settings=installations.settings(message_max_bytes=4000))
        assert "at most 4000 are accepted" in tally.topics["azul.old.system.plugin"].misfits[0].reason
        letters = await installations.events("system.deadletter")
        assert b"".join(base64.b64decode(letter["value"]) for letter in letters) == large[1]

    async def test_kept_twice_is_kept_once(self, installations: Installations) -> None:
        await installations.fill(TOPIC, [(b"k", b"garbage!")])
        await installations.copy()
        await installations.copy(restart=True)
        letters = await installations.records("system.deadletter")
        assert len(letters) == 2
        assert letters[0].key == letters[1].key
