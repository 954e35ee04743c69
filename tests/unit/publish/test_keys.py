"""Worked examples of wire contract 3.5: keys that every client of the system computes alike."""

from datetime import datetime, timedelta, timezone
from hashlib import md5

import pytest
from dispatcher_sdk.models import (
    Author,
    BinaryEntity,
    BinaryEvent,
    InsertEntity,
    InsertEvent,
    PathNode,
    PluginEntity,
    PluginEvent,
    Source,
    decode,
)

from dispatcher.publish.keys import binary_descriptor, kafka_key, key_of_copy

DESCRIPTOR = (
    "virustotal..2021-02-06T16:43:23.interface.web.submitter_city.kharkiv.submitter_country.UA."
    "submitter_id.0a9e3094.submitter_region.63."
    "vtdownload.sourced.b9debe8afbdc6d0f552ca4d41fc8a5760778f2724d1560f6b4b0fc28bd837a82."
    "MimeDecoder.extracted.ee303d3c6d7cfa24d42e6348bdd1103a26de77a887e9dbee3dd1fe6304414f69."
)
A = "e299c2cfa5345f98ea34ff0455de22b7"
WITH_FIRST = "b43700c1f48bfc0b0fd6bb0102557544"


def node(author: str, action: str, sha256: str, **more: str) -> PathNode:
    return PathNode(author=Author(name=author, **more), action=action, sha256=sha256)


def example(timestamp: str = "2021-02-06T16:43:23Z", **source: object) -> BinaryEvent:
    return BinaryEvent(
        author=Author(name="MimeDecoder", version="2021.02.14", category="plugin"),
        action="extracted",
        source=Source(
            name="virustotal",
            timestamp=datetime.fromisoformat(timestamp),
            references={
                "submitter_region": "63",
                "submitter_id": "0a9e3094",
                "submitter_country": "UA",
                "submitter_city": "kharkiv",
                "interface": "web",
            },
            path=[
                node("vtfileloader", "sourced", "1" * 64),
                node("vtselect", "sourced", "2" * 64),
                node("vtdownload", "sourced", "b9debe8afbdc6d0f552ca4d41fc8a5760778f2724d1560f6b4b0fc28bd837a82"),
                node("MimeDecoder", "extracted", "ee303d3c6d7cfa24d42e6348bdd1103a26de77a887e9dbee3dd1fe6304414f69"),
            ],
            **source,  # type: ignore[arg-type]
        ),
    )


def test_the_contract_s_example_a() -> None:
    assert binary_descriptor(example()) == DESCRIPTOR
    assert kafka_key(example()) == A == md5(DESCRIPTOR.encode()).hexdigest()


def test_the_first_node_is_not_part_of_the_key() -> None:
    other = example()
    other.source.path[0] = node("somebody", "mapped", "9" * 64)
    assert kafka_key(other) == A != WITH_FIRST


def test_fractions_of_the_source_time_do_not_count() -> None:
    assert kafka_key(example("2021-02-06T16:43:23.999Z")) == A


def test_the_same_instant_in_another_offset_is_another_key() -> None:
    assert kafka_key(example("2021-02-07T03:43:23+11:00")) == "e546944e21c904e12847c63c4d5eb5cf"


@pytest.mark.parametrize(
    ("depth", "key"), [("5", "ef0570bf15d182489bf2167a7391d08a"), ("4", "c06ffc8dd650a3816672c0f4fa46331c")]
)
def test_settings_count_and_are_sorted(depth: str, key: str) -> None:
    assert kafka_key(example(settings={"remove_at_depth": depth, "passwords": "a;b;c"})) == key


def test_insert_takes_the_child_s_own_sha() -> None:
    event = InsertEvent(
        entity=InsertEntity(
            parent_sha256="1" * 28,
            child=BinaryEntity(sha256="2" * 49),
            child_history=node("some_enhancer", "extracted", "3" * 64),
        )
    )
    assert kafka_key(event) == "fd2a90d0bbc2ff0a0180da276fbaefe3"


def test_plugin() -> None:
    event = PluginEvent(entity=PluginEntity(name="RatConfigs-JRat", version="2020.06.02"))
    assert kafka_key(event) == "68e3d23d6ab9facfbd4e3d5f7543c636"


def test_status_is_known_by_token_and_author() -> None:
    raw = b'{"model_version":6,"author":{"name":"unbox"},"entity":{"input":{"dequeued":"key.unbox.1.0.17"}}}'
    assert kafka_key(decode("status", raw)) == md5(b"key.unbox.1.0.17.unbox").hexdigest()


@pytest.mark.parametrize("model", ["delete", "download", "retrohunt"])
def test_some_models_are_never_the_same_twice(model: str) -> None:
    event = decode(model, b'{"model_version":6,"author":{"name":"somebody"}}')
    keys = {kafka_key(event) for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_securities_are_distinct_sorted_and_not_empty() -> None:
    event = example()
    event.source.path = [
        node("a", "sourced", "1", security="SECRET"),
        node("b", "extracted", "2", security="OFFICIAL"),
        node("c", "extracted", "3", security="SECRET"),
        node("d", "extracted", "4"),
    ]
    event.source.references = {}
    event.source.security = "TOP"
    assert binary_descriptor(event) == "virustotal.TOP.2021-02-06T16:43:23.OFFICIAL.SECRET.c.extracted.3.d.extracted.4."


def test_references_are_sorted_by_the_joined_text() -> None:
    """`a.` sorts after `a-`: by key alone it would be the other way round."""
    event = example()
    event.source.references = {"a": "1", "a-": "2"}
    event.source.path = event.source.path[:1]
    assert binary_descriptor(event) == f"virustotal..2021-02-06T16:43:23.a-.2.a.1.vtfileloader.sourced.{'1' * 64}."


def test_early_years_keep_four_digits() -> None:
    event = example()
    event.source.timestamp = datetime(7, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-3)))
    assert binary_descriptor(event).startswith("virustotal..0007-01-02T03:04:05.")


def test_a_copy_keeps_a_key_that_was_drawn_and_no_other() -> None:
    drawn = decode("delete", b'{"model_version": 6, "author": {"name": "a"}, "kafka_key": "k"}')
    assert key_of_copy(drawn) == "k"
    drawn.kafka_key = ""
    assert len(key_of_copy(drawn)) == 32
    computed = example()
    computed.kafka_key = "k"
    assert key_of_copy(computed) == A
