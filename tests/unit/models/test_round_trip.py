"""What is written is read back equal, in UTC; strange bytes raise InvalidMessage and nothing else."""

import contextlib
import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from dispatcher_sdk.models import MODELS, InvalidMessage, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.strategies import CAREFUL, JSON, events

ALL = sorted(MODELS)


@pytest.mark.parametrize("model", ALL)
def test_decode_reverses_encode(model: str) -> None:
    @settings(CAREFUL, max_examples=60)
    @given(events(model))
    def check(event: Any) -> None:
        before = copy.deepcopy(event)
        data = encode(event)
        assert decode(model, data) == before
        assert encode(decode(model, data)) == data

    check()


@pytest.mark.parametrize("model", ALL)
def test_all_times_are_written_in_utc(model: str) -> None:
    @settings(CAREFUL, max_examples=40)
    @given(events(model))
    def check(event: Any) -> None:
        for value in _times(json.loads(encode(event))):
            assert value.endswith("Z")
            assert datetime.fromisoformat(value).tzinfo == UTC

    check()


def _times(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [v for k, v in value.items() if k in ("timestamp", "direct_expiry") and isinstance(v, str)]
        inner = [
            v
            for k, v in value.items()
            if k not in ("info", "metadata", "references", "settings", "config", "relationship")
        ]
        opaque = "entity" in value and not isinstance(value["entity"], dict)
        return [] if opaque else own + [time for item in inner for time in _times(item)]
    return [time for item in value for time in _times(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("model", ALL)
def test_strange_bytes_raise_only_invalid_message(model: str) -> None:
    @settings(CAREFUL, max_examples=100)
    @given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
    def check(data: bytes) -> None:
        with contextlib.suppress(InvalidMessage):
            decode(model, data)

    check()


@pytest.mark.parametrize("model", ALL)
def test_damaged_events_raise_only_invalid_message(model: str) -> None:
    @settings(CAREFUL, max_examples=100)
    @given(events(model), st.data())
    def check(event: Any, data: Any) -> None:
        raw = bytearray(encode(event))
        at = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(st.sampled_from([b"", b"null", b"1e999", b'"', b"\xff", b"[[", b"-1", b"\x00", b'"\\ud800"']))
        raw[at : at + data.draw(st.integers(0, 4))] = piece
        with contextlib.suppress(InvalidMessage):
            encode(decode(model, bytes(raw)))

    check()
