"""Bytes to structs and back. Hostile bytes raise InvalidMessage and nothing else."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from dispatcher_sdk.models.events import (
    MODELS,
    AnyEvent,
    BinaryEvent,
    DeleteEvent,
    DownloadEvent,
    InsertEvent,
    RetrohuntEvent,
    StatusEvent,
)
from dispatcher_sdk.models.shapes import MODEL_VERSION, OLDEST_MODEL_VERSION, ZERO_TIME, PathNode, Source

T = TypeVar("T")

OPAQUE: Final = frozenset({"info", "metadata"})
"""Members whose JSON belongs to the sender: a null inside is theirs to keep."""
HUNT: Final = frozenset({"entity"})
"""The same of a retrohunt event."""
MAX_DEPTH: Final = 12
WHITESPACE: Final = b" \t\r\n"

_DECODERS: Final[Mapping[str, msgspec.json.Decoder[AnyEvent]]] = {
    name: msgspec.json.Decoder(model) for name, model in MODELS.items()
}
_encoder: Final = msgspec.json.Encoder()


class InvalidMessage(ValueError):
    """These bytes are not the message they should be; the text says where and why."""


def decode(model: str, raw: bytes | memoryview | msgspec.Raw) -> AnyEvent:
    """One event of `model` from its JSON, promoted to the current model_version.

    Raises KeyError for an unknown model and InvalidMessage for everything else that can be wrong.
    """
    event = _decode(_DECODERS[model], raw, HUNT if model == "retrohunt" else OPAQUE)
    return promote(event)


def decode_as(kind: type[T], raw: bytes | memoryview | msgspec.Raw) -> T:
    """Any other message (replies, settings documents) from its JSON. Raises InvalidMessage."""
    return _decode(msgspec.json.Decoder(kind), raw)


def promote(event: AnyEvent) -> AnyEvent:
    """Bring a version 4 or 5 event to the current one.

    Raises InvalidMessage for other versions, and for a delete that could only mean everything.
    """
    if not OLDEST_MODEL_VERSION <= event.model_version <= MODEL_VERSION:
        raise InvalidMessage(
            f"model_version {event.model_version} is not supported: send {OLDEST_MODEL_VERSION} to {MODEL_VERSION}"
        )
    event.model_version = MODEL_VERSION
    if isinstance(event, StatusEvent):
        event.entity.input.model_version = MODEL_VERSION
        for result in event.entity.results:
            result.model_version = MODEL_VERSION
    elif isinstance(event, DeleteEvent):
        _refuse_boundless(event)
    return event


def _refuse_boundless(event: DeleteEvent) -> None:
    """The original lets an empty reference match every event; nobody can mean that."""
    submission = event.entity.submission
    if event.action == "submission" and not (submission and submission.track_source_references):
        raise InvalidMessage(
            "entity.submission.track_source_references is empty: name the submission that is to be deleted"
        )


def encode(message: Any) -> bytes:
    """JSON of an event or reply. Instants of events are written in UTC, as all readers expect.

    Raises InvalidMessage for an instant that does not exist in UTC (year 1 east of Greenwich).
    """
    if isinstance(message, msgspec.Struct):
        in_utc(message)
    return _encoder.encode(message)


def in_utc(message: Any) -> None:
    """Turn every instant of an event to UTC, in place. Other messages are left alone."""
    try:
        _event_in_utc(message)
    except OverflowError:
        raise InvalidMessage("a timestamp lies outside the years 1 to 9999 in UTC") from None


def _decode(
    decoder: msgspec.json.Decoder[T], raw: bytes | memoryview | msgspec.Raw, opaque: frozenset[str] = OPAQUE
) -> T:
    data = raw if isinstance(raw, bytes) else bytes(raw)
    try:
        if not data.isascii():
            data.decode("utf-8")  # msgspec does not check Raw members and skipped ones
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            if b"null" not in data:
                raise
            return decoder.decode(_without_nulls(data.strip(WHITESPACE), opaque))
    except UnicodeDecodeError as problem:
        raise InvalidMessage(f"not UTF-8 at byte {problem.start}") from None
    except RecursionError:
        raise InvalidMessage("JSON is nested too deeply") from None
    except msgspec.MsgspecError as problem:
        raise InvalidMessage(str(problem)) from None
    except (ValueError, OverflowError) as problem:
        raise InvalidMessage(f"not a valid message: {problem}") from None


def _without_nulls(data: bytes, opaque: frozenset[str], depth: int = 0) -> bytes:
    """Go writes null for an empty list or map: the same as a missing member.

    Works on raw members, so that what is opaque keeps its bytes. Nothing of ours is nested as deep as the bound.
    """
    if depth == MAX_DEPTH:
        return data
    match data[:1]:
        case b"{":
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            return _encoder.encode(
                {
                    key: value if key in opaque else msgspec.Raw(_without_nulls(bytes(value), opaque, depth + 1))
                    for key, value in members.items()
                    if bytes(value) != b"null"
                }
            )
        case b"[":
            items = msgspec.json.decode(data, type=list[msgspec.Raw])
            return _encoder.encode([msgspec.Raw(_without_nulls(bytes(item), opaque, depth + 1)) for item in items])
    return data


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _path_in_utc(nodes: list[PathNode]) -> None:
    for node in nodes:
        if node.timestamp.tzinfo is not UTC:
            node.timestamp = node.timestamp.astimezone(UTC)


def _source_in_utc(source: Source) -> None:
    source.timestamp = _utc(source.timestamp)
    _path_in_utc(source.path)


def _event_in_utc(event: Any) -> None:
    match event:
        case BinaryEvent():
            _source_in_utc(event.source)
        case StatusEvent():
            for inner in _embedded(event):
                _event_in_utc(inner)
        case InsertEvent():
            _path_in_utc([event.entity.child_history])
        case DownloadEvent():
            _source_in_utc(event.source)
            event.entity.direct_expiry = _utc(event.entity.direct_expiry)
        case RetrohuntEvent():
            event.source.timestamp = _utc(event.source.timestamp)
        case DeleteEvent():
            for part in (event.entity.submission, event.entity.author):
                if part is not None:
                    part.timestamp = _utc(part.timestamp)
            _drop_empty_parts(event)
    if hasattr(event, "timestamp"):
        event.timestamp = _utc(event.timestamp)


def _embedded(status: StatusEvent) -> Iterator[BinaryEvent]:
    yield status.entity.input
    yield from status.entity.results


def _drop_empty_parts(event: DeleteEvent) -> None:
    """Strict readers reject the empty objects that Go writes for parts nobody filled."""
    entity = event.entity
    if entity.submission and not entity.submission.track_source_references and entity.submission.timestamp == ZERO_TIME:
        entity.submission = None
    if entity.author and not entity.author.track_author and entity.author.timestamp == ZERO_TIME:
        entity.author = None
    if entity.link and not entity.link.track_link:
        entity.link = None
    if entity.ids and not entity.ids.ids:
        entity.ids = None
