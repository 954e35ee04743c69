"""The event that says: this file has come in."""

from datetime import UTC, datetime
from importlib.metadata import version

from dispatcher_sdk.models import (
    MODEL_VERSION,
    Author,
    BinaryEntity,
    BinaryEvent,
    Datastream,
    PathNode,
    Source,
    decode,
    encode,
)


def sourced(source: str, filename: str, data: Datastream, when: datetime) -> bytes:
    """JSON of a `sourced` binary event for an uploaded file; `data` is what the upload answered."""
    author = Author(name="dispatcher-submit", version=version("azul-dispatcher"), category="user")
    node = PathNode(
        author=author,
        action="sourced",
        sha256=data.sha256,
        timestamp=when,
        file_format=data.file_format,
        size=data.size,
        filename=filename,
    )
    event = BinaryEvent(
        model_version=MODEL_VERSION,
        timestamp=datetime.now(UTC),
        author=author,
        source=Source(name=source, path=[node], timestamp=when),
        entity=_entity(data),
        action="sourced",
    )
    return encode(event)


def sourced_sha256(event: str) -> str:
    """Which file an event of ours is about, when the server hands it back. Empty if it cannot be read."""
    try:
        decoded = decode("binary", event.encode())
    except ValueError:
        return ""
    return decoded.entity.sha256 if isinstance(decoded, BinaryEvent) else ""


def _entity(data: Datastream) -> BinaryEntity:
    return BinaryEntity(
        sha256=data.sha256,
        sha512=data.sha512,
        sha1=data.sha1,
        md5=data.md5,
        ssdeep=data.ssdeep,
        tlsh=data.tlsh,
        size=data.size,
        mime=data.mime,
        magic=data.magic,
        file_format=data.file_format,
        file_extension=data.file_extension,
        datastreams=[data],
    )
