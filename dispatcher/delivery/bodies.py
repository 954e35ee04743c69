"""The JSON of an event as replies hold it."""

import msgspec
from dispatcher_sdk.models import BinaryEvent, decode, encode

from dispatcher.delivery.undecodable import model_of
from dispatcher.eventlog.base import Record
from dispatcher.eventlog.topics import TopicName


def body_of(topic: TopicName | None, record: Record) -> bytes:
    """What we wrote is as it has to be. What others wrote into the log, without a tag, is brought into that form: it
    may have spaces around it, or somebody's token in it. Raises InvalidMessage."""
    value = record.value or b""
    model = model_of(topic)
    if record.tag is not None or model is None:
        return value
    event = decode(model, value)
    if isinstance(event, BinaryEvent):
        event.dequeued = ""
    return encode(event)


def with_token(value: bytes, token: str) -> bytes:
    """Set `dequeued` in an event's JSON (our own compact form, which never holds one)."""
    return b'%s,"dequeued":%s}' % (value[:-1], msgspec.json.encode(token))
