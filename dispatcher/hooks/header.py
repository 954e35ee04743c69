"""The header of an event: what filters look at, packed beside the record so that nothing is decoded twice."""

from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from dispatcher_sdk.models import AnyEvent, BinaryEvent, DownloadEvent, StatusEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StreamHeader(NamedTuple):
    label: str
    file_format: str
    size: int
    """Bytes."""


class Header(NamedTuple):
    """Filter fields of one event; a status is judged by its input (wire contract 4.2)."""

    source: str = ""
    action: str = ""
    author: str = ""
    security: str = ""
    depth: int = 0
    """Number of nodes in source.path."""
    streams: tuple[StreamHeader, ...] = ()
    source_time: int = 0
    """source.timestamp in microseconds since 1970."""
    token: str = ""
    """A status: the `dequeued` token that it answers."""
    status: str = ""
    """A status: its value."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Header).decode


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exact (floats are not)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def header_of(event: AnyEvent) -> Header:
    match event:
        case BinaryEvent():
            return _binary(event)
        case StatusEvent():
            about = _binary(event.entity.input)
            return about._replace(token=event.entity.input.dequeued, status=event.entity.status)
        case DownloadEvent():
            return Header(
                source=event.source.name,
                action=event.action,
                author=event.author.name,
                security=event.source.security,
                depth=len(event.source.path),
                source_time=micros(event.source.timestamp),
            )
    return Header(author=event.author.name)


def pack(header: Header) -> bytes:
    return _pack(header)


def unpack(tag: bytes) -> Header:
    """Raises msgspec.MsgspecError when the bytes are not a packed header."""
    return _unpack(tag)


def _binary(event: BinaryEvent) -> Header:
    return Header(
        source=event.source.name,
        action=event.action,
        author=event.author.name,
        security=event.source.security,
        depth=len(event.source.path),
        streams=tuple(StreamHeader(s.label, s.file_format, s.size) for s in event.entity.datastreams),
        source_time=micros(event.source.timestamp),
    )
