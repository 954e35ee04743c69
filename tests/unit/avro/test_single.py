"""Values that the original keeps in its log: read in every version, and nothing else is taken for one."""

from typing import Any

import pytest
from dispatcher_sdk.models import MODELS, BinaryEvent, DownloadEvent, InvalidMessage, StatusEvent, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.avro import decode_event, encode_event
from tests.unit.avro.old import old_record
from tests.unit.models.strategies import CAREFUL, events

ALL = sorted(MODELS)


@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize("model", ALL)
def test_every_version_is_read(model: str, version: int) -> None:
    @settings(CAREFUL, max_examples=10)
    @given(events(model))
    def check(event: Any) -> None:
        stored = decode(model, encode(event))
        data = old_record(model, version, stored)
        if version == 6:
            assert encode_event(model, stored) == data
        for source in sources(stored) if version == 4 else ():
            source.settings = {}
        assert decode_event(model, data) == stored

    check()


def sources(event: Any) -> list[Any]:
    if isinstance(event, StatusEvent):
        return [inner.source for inner in (event.entity.input, *event.entity.results)]
    return [event.source] if isinstance(event, BinaryEvent | DownloadEvent) else []


@given(cut=st.integers(1, 10_000), model=st.sampled_from(ALL))
def test_a_cut_or_longer_record_is_refused(cut: int, model: str) -> None:
    data = encode_event(model, decode(model, b'{"model_version": 6, "author": {"name": "p"}}'))
    for wrong in (data[: -(cut % len(data)) or None] if cut % len(data) else b"", data + b"x" * cut):
        with pytest.raises(InvalidMessage):
            decode_event(model, wrong)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_event("binary", data)
