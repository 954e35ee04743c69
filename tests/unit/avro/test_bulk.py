"""Bulk Avro: what Go clients write is read, what we write fastavro reads, and garbage is refused within bounds."""

import contextlib
import copy
import json
import struct
import tracemalloc
from io import BytesIO
from typing import Any

import pytest
from dispatcher_sdk.models import MODELS, InvalidMessage, decode, encode, in_utc
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.avro import encode_bulk, iter_bulk
from dispatcher.avro.convert import to_plain
from dispatcher.avro.schemas import event_schema
from dispatcher.avro.tables import event_record
from tests.unit.avro.old import aged
from tests.unit.models.strategies import CAREFUL, events

ALL = sorted(MODELS)
ZERO_MICROS = -62_135_596_800_000_000


def zigzag(value: int) -> bytes:
    out, value = bytearray(), (value << 1) ^ (value >> 63)
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def bulk_schema(model: str) -> Any:
    """The wire contract's bulk record, for fastavro itself."""
    members = [
        {"name": "model_version", "type": "long"},
        {"name": "events", "type": {"type": "array", "items": _unparsed(event_schema(model, 6))}},
    ]
    return parse_schema({"type": "record", "name": f"Bulk{event_record(model)}", "fields": members})


def _unparsed(schema: Any) -> Any:
    return {key: value for key, value in schema.items() if not key.startswith("__")}


def one(model: str = "binary", **members: Any) -> Any:
    event = {"model_version": 6, "author": {"name": "p"}, "timestamp": "2021-02-06T16:43:23.5Z"} | members
    return decode(model, json.dumps(event).encode())


def old_bulk(model: str, version: int, plains: list[Any]) -> bytes:
    out = BytesIO(b"" if version == 4 else zigzag(version))
    out.seek(0, 2)
    if plains:
        out.write(zigzag(len(plains)))
    for plain in plains:
        schemaless_writer(out, event_schema(model, version), aged(plain, version))
    return out.getvalue() + b"\x00"


@pytest.mark.parametrize("model", ALL)
def test_json_to_avro_and_back_is_the_same_event(model: str) -> None:
    @settings(CAREFUL, max_examples=25)
    @given(st.lists(events(model), max_size=2))
    def check(given_events: list[Any]) -> None:
        stored = [decode(model, encode(event)) for event in given_events]
        body = encode_bulk(model, stored)
        assert list(iter_bulk(model, body)) == stored
        assert list(iter_bulk(model, memoryview(body))) == stored

    check()


@pytest.mark.parametrize("model", ALL)
def test_fastavro_reads_what_we_write(model: str) -> None:
    schema = bulk_schema(model)

    @settings(CAREFUL, max_examples=10)
    @given(st.lists(events(model), max_size=2))
    def check(given_events: list[Any]) -> None:
        plain = to_plain(event_record(model))
        expected = {"model_version": 6, "events": [plain(copy.deepcopy(event)) for event in given_events]}
        body = BytesIO(encode_bulk(model, given_events))
        assert schemaless_reader(body, schema, None) == expected
        assert body.read() == b""
        again = BytesIO()
        schemaless_writer(again, schema, expected)
        assert list(iter_bulk(model, again.getvalue())) == _in_utc(given_events)

    check()


def _in_utc(given_events: list[Any]) -> list[Any]:
    for event in given_events:
        in_utc(event)
    return given_events


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("model", ALL)
def test_old_versions_are_promoted(model: str, version: int) -> None:
    @settings(CAREFUL, max_examples=10)
    @given(st.lists(events(model), max_size=2))
    def check(given_events: list[Any]) -> None:
        plain = to_plain(event_record(model))
        body = old_bulk(model, version, [plain(event) for event in given_events])
        expected = _in_utc(given_events)
        for event in expected if version == 4 else []:
            _forget_settings(event)
        assert list(iter_bulk(model, body)) == expected

    check()


def _forget_settings(event: Any) -> None:
    """Version 4 sources have none."""
    entity = getattr(event, "entity", None)
    for inner in (event, getattr(entity, "input", None), *(getattr(entity, "results", None) or [])):
        if hasattr(getattr(inner, "source", None), "settings"):
            inner.source.settings = {}


@pytest.mark.parametrize("count", [1, 4, 5, 6, 7])
def test_a_count_of_five_or_six_is_not_mistaken_for_a_version(count: int) -> None:
    plain = to_plain("BinaryEvent")
    body = old_bulk("binary", 4, [plain(one(kafka_key=f"{i:032}")) for i in range(count)])
    assert [event.kafka_key for event in iter_bulk("binary", body)] == [f"{i:032}" for i in range(count)]


def test_absent_values_have_their_bytes() -> None:
    plain = to_plain("DownloadEvent")(one("download"))
    assert plain["entity"]["direct_expiry"] == plain["source"]["timestamp"] == ZERO_MICROS
    assert plain["entity"]["metadata"] == b""
    assert plain["timestamp"] == 1_612_629_803_500_000
    binary = to_plain("BinaryEvent")(one(entity={"size": 258, "info": {"a": 1}}))
    assert binary["entity"]["size"] == b"\0\0\0\0\0\0\x01\x02"
    assert binary["entity"]["info"] == b'{"a": 1}'


def test_the_bytes_of_a_small_event() -> None:
    """Field by field from the contract's table, not through our own."""
    event = one("delete", kafka_key="k", action="link", entity={"reason": "r", "link": {"track_link": "l"}})
    zero = zigzag(ZERO_MICROS)
    expected = (
        zigzag(6) + zigzag(1)  # bulk: version, one event
        + zigzag(6) + b"\x02k" + zigzag(1_612_629_803_500_000) + b"\x02p\x00\x00\x00"
        + b"\x02r" + b"\x00" + zero + b"\x00" + zero + b"\x02l" + b"\x00"
        + b"\x08link" + b"\x00"
    )  # fmt: skip
    assert encode_bulk("delete", [event]) == expected


@pytest.mark.parametrize("model", ALL)
def test_an_empty_bulk(model: str) -> None:
    assert encode_bulk(model, []) == b"\x0c\x00"
    assert list(iter_bulk(model, b"\x0c\x00")) == []


def test_blocks_may_be_many_and_say_their_size() -> None:
    body = encode_bulk("plugin", [one("plugin"), one("plugin")])
    single = encode_bulk("plugin", [one("plugin")])[2:-1]
    blocks = zigzag(6) + zigzag(-1) + zigzag(len(single)) + single + zigzag(1) + single + b"\x00"
    assert list(iter_bulk("plugin", blocks)) == list(iter_bulk("plugin", body))


def test_events_larger_than_the_parser_s_window_arrive_whole() -> None:
    sent = [
        one(source={"security": letter * size}) for letter, size in zip("abcd", (3, 2**20, 5 * 2**20, 7), strict=True)
    ]
    sent.append(one(track_authors=["z" * (2**20 - 40)]))
    body = encode_bulk("binary", sent)
    assert list(iter_bulk("binary", memoryview(body))) == sent


def test_many_small_events_cross_windows_without_loss() -> None:
    sent = [one("plugin", kafka_key=f"{i}", entity={"name": "x" * (i % 977)}) for i in range(5000)]
    body = encode_bulk("plugin", sent)
    assert len(body) > 2 * 2**20
    assert [event.kafka_key for event in iter_bulk("plugin", body)] == [f"{i}" for i in range(5000)]


def refused(model: str, body: bytes, **options: Any) -> str:
    with pytest.raises(InvalidMessage) as told:
        list(iter_bulk(model, body, **options))
    return str(told.value)


def test_an_event_above_the_limit_is_refused() -> None:
    body = encode_bulk("binary", [one(), one(source={"security": "x" * 100_000})])
    assert len(list(iter_bulk("binary", body, longest=200_000))) == 2
    big = encode_bulk("binary", [one(), one(source={"security": "x" * 3_000_000})])
    assert "event 1: not a version 6 binary event of at most 1048576 bytes" in refused("binary", big, longest=2**20)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends within a number"),
        (b"\x0c", "ends within a number"),
        (b"\xff" * 20, "too long"),
        (b"\x0c\x00\x00", "1 bytes follow"),
        (b'[{"model_version":6}]', ""),
        (b'{"model_version":6}', ""),
        (b"\x0c\x02", "event 0"),
    ],
)
def test_what_is_no_bulk_record_is_refused(body: bytes, words: str) -> None:
    assert words in refused("binary", body)


def test_a_single_record_is_no_bulk_record() -> None:
    for key in ("", "k" * 32):
        out = BytesIO()
        schemaless_writer(out, event_schema("binary", 6), to_plain("BinaryEvent")(one(kafka_key=key)))
        assert refused("binary", out.getvalue())


def test_every_truncation_is_refused() -> None:
    body = encode_bulk("binary", [one(entity={"features": [{"name": "n", "value": "v", "type": "string"}]})])
    for end in range(len(body)):
        assert refused("binary", body[:end])


@pytest.mark.parametrize(
    ("model", "path", "value", "words"),
    [
        ("binary", "entity.size", b"\xff" * 8, "larger than"),
        ("binary", "timestamp", 2**62, "years 1 to 9999"),
        ("binary", "entity.info", b"{", "JSON"),
        ("binary", "entity.info", b'"\xff"', "JSON"),
        ("binary", "entity.info", b"[" * 100_000 + b"]" * 100_000, "JSON"),
        ("retrohunt", "entity", b"nonsense", "JSON"),
        ("status", "entity.runtime", float("nan"), "not a number"),
        ("status", "entity.runtime", float("inf"), "not a number"),
    ],
)
def test_values_that_json_could_not_carry_are_refused(model: str, path: str, value: Any, words: str) -> None:
    out = BytesIO()
    plain = to_plain(event_record(model))(one(model))
    *parents, last = path.split(".")
    target = plain
    for parent in parents:
        target = target[parent]
    target[last] = value
    schemaless_writer(out, event_schema(model, 6), plain)
    assert words in refused(model, zigzag(6) + zigzag(1) + out.getvalue() + b"\x00")


def test_versions_inside_are_checked_too() -> None:
    plain = to_plain("BinaryEvent")(one())
    plain["model_version"] = 7
    out = BytesIO()
    schemaless_writer(out, event_schema("binary", 6), plain)
    assert "model_version 7" in refused("binary", zigzag(6) + zigzag(1) + out.getvalue() + b"\x00")


@pytest.mark.parametrize("count", [2**62, -(2**62), -(2**63)])
def test_huge_counts_end_with_the_bytes(count: int) -> None:
    """Of the events, and of an array inside of one (its last: track_authors)."""
    whole = encode_bulk("binary", [one()])
    outer = zigzag(6) + zigzag(count) + (zigzag(5) if count < 0 else b"") + whole[2:]
    inner = whole[:-2] + zigzag(count) + (zigzag(5) if count < 0 else b"") + b"\x02a" * 1000
    tracemalloc.start()
    try:
        assert refused("binary", outer)
        assert refused("binary", inner)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_huge_lengths_allocate_nothing() -> None:
    tracemalloc.start()
    try:
        for length in (2**31, 2**62, -1, -(2**63)):
            assert refused("binary", zigzag(6) + zigzag(1) + zigzag(6) + zigzag(length) + b"abc")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("model", ALL)
def test_any_bytes_and_damaged_bodies_raise_only_invalid_message(model: str) -> None:
    @settings(CAREFUL, max_examples=40)
    @given(st.binary(max_size=100), st.lists(events(model), min_size=1, max_size=2), st.data())
    def check(garbage: bytes, given_events: list[Any], data: Any) -> None:
        with contextlib.suppress(InvalidMessage):
            list(iter_bulk(model, garbage))
        body = bytearray(encode_bulk(model, given_events))
        at = data.draw(st.integers(0, len(body) - 1))
        pieces = [b"", b"\x00", b"\xff", b"\x01", zigzag(2**62), zigzag(-(2**62)), struct.pack("<d", 1.5), b"\x80" * 12]
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(pieces))
        with contextlib.suppress(InvalidMessage):
            for event in iter_bulk(model, bytes(body)):
                decode(model, encode(event))

    check()


def test_an_unknown_model_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        encode_bulk("nothing", [])
    with pytest.raises(KeyError):
        list(iter_bulk("nothing", b"\x0c\x00"))
