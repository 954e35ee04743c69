"""Stand-ins for what the dispatcher says of a file, for runs without one."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from dispatcher_sdk.models import (
    MODEL_VERSION,
    Author,
    BinaryEntity,
    BinaryEvent,
    Datastream,
    PathNode,
    Source,
)
from dispatcher_sdk.text import clean

_CHUNK: Final = 1024 * 1024
_LOCAL: Final = Author(name="dispatcher-sdk", category="user")


def describe(file: BinaryIO, label: str = "content", file_format: str = "") -> Datastream:
    """Size and hashes of an open file. What identification would add stays empty."""
    digests = [hashlib.new(name) for name in ("sha512", "sha256", "sha1", "md5")]
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        for digest in digests:
            digest.update(chunk)
    sha512, sha256, sha1, md5 = (digest.hexdigest() for digest in digests)
    return Datastream(label=label, size=size, sha512=sha512, sha256=sha256, sha1=sha1, md5=md5, file_format=file_format)


def sourced_event(
    path: Path, *, filename: str, file_format: str, references: dict[str, str], settings: dict[str, str]
) -> BinaryEvent:
    """The event that submitting this file would have made, leased to nobody."""
    with path.open("rb") as file:
        content = describe(file, file_format=file_format)
    now = datetime.now(UTC)
    node = PathNode(
        author=_LOCAL,
        action="sourced",
        sha256=content.sha256,
        timestamp=now,
        file_format=file_format,
        size=content.size,
        filename=clean(filename, 1000),
    )
    return BinaryEvent(
        model_version=MODEL_VERSION,
        kafka_key="local",
        timestamp=now,
        author=_LOCAL,
        source=Source(name="local", references=references, path=[node], timestamp=now, settings=settings),
        entity=BinaryEntity(
            sha256=content.sha256,
            sha512=content.sha512,
            sha1=content.sha1,
            md5=content.md5,
            size=content.size,
            file_format=file_format,
            datastreams=[content],
        ),
        action="sourced",
        dequeued="local",
    )
