"""Hypothesis strategies for wire events, made from the structs themselves so that no field is forgotten."""

import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

import msgspec
from dispatcher_sdk.models import MODEL_VERSION, MODELS, DeleteEvent, in_utc
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CAREFUL = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""Events are large to generate, and machines are busy."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)) if minutes else UTC)
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


@cache
def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for any type that a field of a wire struct has."""
    if typing.get_origin(kind) is typing.Annotated:
        return _annotated(*typing.get_args(kind))
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return st.one_of([of_type(part) for part in typing.get_args(kind)])
    if typing.get_origin(kind) is list:
        return st.lists(of_type(typing.get_args(kind)[0]), max_size=2)
    if typing.get_origin(kind) is dict:
        return st.dictionaries(TEXT, TEXT, max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct(kind)
    return {
        str: TEXT,
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
        msgspec.UnsetType: st.just(msgspec.UNSET),
        msgspec.Raw: JSON.map(raw),
    }[kind]


def _annotated(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if kind is datetime:
        return TIMES
    return st.integers(int(meta.ge), int(meta.le))  # type: ignore[arg-type]


def struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: of_type(hint) for name, hint in hints.items() if name in kind.__struct_fields__}
    if "model_version" in fields:
        fields["model_version"] = st.just(MODEL_VERSION)
    return st.builds(kind, **fields)


def events(model: str) -> st.SearchStrategy[Any]:
    """Decodable events of a model; a delete names what it deletes."""
    return struct(MODELS[model]).filter(_bounded).map(_settled)


def _bounded(event: Any) -> bool:
    return not (
        isinstance(event, DeleteEvent)
        and event.action == "submission"
        and not (event.entity.submission and event.entity.submission.track_source_references)
    )


def _settled(event: Any) -> Any:
    """Empty parts of a delete are dropped when it is written."""
    if isinstance(event, DeleteEvent):
        in_utc(event)
    return event
