import json
from typing import Any

import pytest
from dispatcher_sdk.models import (
    MODELS,
    DeleteEvent,
    InvalidMessage,
    RetrohuntEvent,
    StatusEvent,
    decode,
    encode,
)


def written(model: str, **members: Any) -> dict[str, Any]:
    event = {"model_version": 6, "author": {"name": "a"}, "timestamp": "2021-02-06T16:43:23Z"} | members
    found: dict[str, Any] = json.loads(encode(decode(model, json.dumps(event).encode())))
    return found


@pytest.mark.parametrize("model", sorted(MODELS))
def test_members_that_readers_expect_are_always_there(model: str) -> None:
    found = written(model, unknown={"deep": [1]})
    assert {"model_version", "kafka_key", "timestamp", "author", "entity"} <= found.keys()
    assert "unknown" not in found
    assert b"null" not in json.dumps(found).encode()


def test_a_binary_event_always_has_flags_source_path_and_action() -> None:
    found = written("binary")
    assert found["flags"] == {}
    assert found["source"] == {"name": "", "path": [], "timestamp": "0001-01-01T00:00:00Z"}
    assert found["action"] == ""


def test_a_plugin_s_features_always_have_a_description() -> None:
    found = written("plugin", entity={"name": "p", "features": [{"name": "url", "type": "uri", "tags": []}]})
    assert found["entity"]["features"] == [{"name": "url", "type": "uri", "desc": ""}]


def test_unknown_members_are_dropped_at_every_depth() -> None:
    node = {"sha256": "a", "action": "sourced", "author": {"name": "x", "shoe_size": 44}, "mood": "good"}
    found = written("binary", source={"name": "s", "path": [node], "id": 1}, entity={"sha256": "a", "x": [{}]})
    assert found["source"]["path"][0].keys() == {"author", "action", "sha256", "timestamp"}
    assert found["source"]["path"][0]["author"] == {"name": "x"}
    assert found["entity"] == {"sha256": "a"}


def test_nulls_are_the_same_as_nothing() -> None:
    nothing = dict.fromkeys(["track_links", "dequeued", "flags", "kafka_key"])
    found = written("binary", **nothing, source={"references": None, "path": None}, entity={"features": None})
    assert found == written("binary")


def test_nulls_inside_opaque_members_are_kept_byte_for_byte() -> None:
    info = b'{"a":null, "b":1.50, "c":12345678901234567890123}'
    raw = b'{"model_version":6,"kafka_key":null, "entity" : { "info": %s }}' % info
    assert b'"info":' + info in encode(decode("binary", raw))
    hunt = decode("retrohunt", b'{"model_version":6,"action":null,"entity":{"rule":null, "info":null}}')
    assert isinstance(hunt, RetrohuntEvent)
    assert bytes(hunt.entity) == b'{"rule":null, "info":null}'


def test_info_may_be_a_list() -> None:
    assert written("binary", entity={"info": [1, None]})["entity"]["info"] == [1, None]


@pytest.mark.parametrize("version", [4, 5, 6])
def test_old_versions_are_promoted_all_the_way_down(version: int) -> None:
    inner = {"model_version": version}
    event = decode(
        "status",
        json.dumps({"model_version": version, "entity": {"input": inner, "results": [inner, inner]}}).encode(),
    )
    assert isinstance(event, StatusEvent)
    assert event.model_version == event.entity.input.model_version == 6
    assert [result.model_version for result in event.entity.results] == [6, 6]


@pytest.mark.parametrize(
    "text", ["{}", '{"model_version":3}', '{"model_version":7}', '{"model_version":"6"}', '{"event_version":3}']
)
def test_other_versions_are_refused(text: str) -> None:
    with pytest.raises(InvalidMessage, match=r"model_version|int"):
        decode("binary", text.encode())


@pytest.mark.parametrize(
    "time",
    ["2021-02-06T16:43:23", "2021-02-06", "1612629803", "2021-02-30T00:00:00Z", "2021-02-06T16:43Z", "", "yesterday"],
)
def test_times_need_a_zone_and_rfc_3339(time: str) -> None:
    with pytest.raises(InvalidMessage):
        written("binary", timestamp=time)


def test_times_become_utc_with_microseconds_and_no_trailing_zeros() -> None:
    assert written("binary", timestamp="2021-02-07T03:43:23.120000+11:00")["timestamp"] == "2021-02-06T16:43:23.120000Z"
    assert written("binary", timestamp="2021-02-07T03:43:23+11:00")["timestamp"] == "2021-02-06T16:43:23Z"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+11:00", "9999-12-31T23:59:59-11:00"])
def test_times_outside_the_calendar_in_utc_are_invalid(time: str) -> None:
    with pytest.raises(InvalidMessage, match="UTC"):
        written("binary", timestamp=time)


def test_deeply_nested_json_is_refused_not_crashed_on() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    for raw in (deep, b'{"model_version":6,"entity":{"info":' + deep + b"}}", b'{"kafka_key":null,"x":' + deep + b"}"):
        with pytest.raises(InvalidMessage):
            decode("binary", raw)


@pytest.mark.parametrize("member", ["kafka_key", "unknown"])
def test_text_must_be_utf_8_wherever_it_is(member: str) -> None:
    with pytest.raises(InvalidMessage, match="UTF-8"):
        decode("binary", b'{"model_version":6,"%s":"\xff"}' % member.encode())


def test_empty_parts_of_a_delete_are_not_written() -> None:
    zero = "0001-01-01T00:00:00Z"
    empty = {"submission": {"timestamp": zero}, "author": {"track_author": ""}, "ids": {"ids": []}}
    assert written("delete", action="link", entity={"link": {"track_link": "x"}, **empty})["entity"] == {
        "link": {"track_link": "x"}
    }


@pytest.mark.parametrize(
    "entity", [{}, {"submission": None}, {"submission": {}}, {"submission": {"track_source_references": ""}}]
)
def test_a_delete_of_every_submission_is_refused(entity: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match="track_source_references is empty"):
        written("delete", action="submission", entity=entity)


def test_a_delete_of_one_submission_is_fine() -> None:
    raw = b'{"model_version":6,"action":"submission","entity":{"submission":{"track_source_references":"s.1"}}}'
    assert isinstance(decode("delete", raw), DeleteEvent)


@pytest.mark.parametrize("size", [-1, 2**63, 1.5, "1", True])
def test_sizes_are_whole_numbers_that_fit(size: Any) -> None:
    with pytest.raises(InvalidMessage):
        written("binary", entity={"size": size})
