"""`kafka_key`: the MD5 that makes two events the same event (wire contract 3.5).

Every client of the system compares these keys, so the recipe keeps the original's habits: the first node of the
path is not part of it, and the source's time enters as the client wrote it, in its own offset.
"""

import os
from hashlib import md5

from dispatcher_sdk.models import (
    AnyEvent,
    BinaryEvent,
    InsertEvent,
    PluginEvent,
    StatusEvent,
)

_LAYOUT = "%04d-%02d-%02dT%02d:%02d:%02d"


def kafka_key(event: AnyEvent) -> str:
    """32 lower case hex digits. Must be asked before the event's times are turned to UTC."""
    match event:
        case BinaryEvent():
            return _hex(binary_descriptor(event))
        case StatusEvent():
            return _hex(f"{event.entity.input.dequeued}.{event.author.name}")
        case PluginEvent():
            return _hex(f"{event.entity.name}.{event.entity.version}")
        case InsertEvent():
            entity = event.entity
            return _hex(f"{entity.parent_sha256}.{entity.child.sha256}.{entity.child_history.author.name}")
    return md5(os.urandom(32), usedforsecurity=False).hexdigest()


def key_of_copy(event: AnyEvent) -> str:
    """As `kafka_key`, but a key that was drawn at random stays: a deletion that is copied twice is still one."""
    drawn = not isinstance(event, BinaryEvent | StatusEvent | PluginEvent | InsertEvent)
    return event.kafka_key if drawn and event.kafka_key else kafka_key(event)


def binary_descriptor(event: BinaryEvent) -> str:
    """The text whose MD5 is a binary event's key; pieces are not escaped, as in the original."""
    source, when = event.source, event.source.timestamp
    moment = _LAYOUT % (when.year, when.month, when.day, when.hour, when.minute, when.second)
    pieces = [source.name, source.security, moment]
    if source.references:
        pieces += sorted([f"{key}.{value}" for key, value in source.references.items()])
    if source.settings:
        pieces += sorted([f"{key}.{value}" for key, value in source.settings.items()])
    pieces += sorted({node.author.security for node in source.path if node.author.security})
    for node in source.path[-2:]:
        pieces += (node.author.name, node.action, node.sha256)
    pieces.append("")
    return ".".join(pieces)


def _hex(descriptor: str) -> str:
    return md5(descriptor.encode(), usedforsecurity=False).hexdigest()
