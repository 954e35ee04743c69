"""The seven models: binary, delete, download, insert, plugin, retrohunt, status."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Raw, field

from dispatcher_sdk.models.shapes import (
    ZERO_TIME,
    AnyJson,
    Author,
    Datastream,
    Event,
    Feature,
    Long,
    PathNode,
    Shape,
    Source,
    Timestamp,
    Unsigned,
)


def _text() -> str:
    return ""


class BinaryEntity(Shape):
    """What is known of one file: hashes, type, features, and the streams stored for it."""

    sha256: str = field(default_factory=_text)
    sha512: str = ""
    sha1: str = ""
    md5: str = ""
    ssdeep: str = ""
    tlsh: str = ""
    size: Unsigned = 0
    mime: str = ""
    magic: str = ""
    file_format: str = ""
    file_extension: str = ""
    features: list[Feature] = []
    datastreams: list[Datastream] = []
    info: AnyJson = UNSET


class BinaryFlags(Shape):
    """How an event is treated on its way."""

    bypass_cache: bool = False
    expedite: bool = False
    retry: bool = False


class BinaryEvent(Event):
    """Something happened to a file: it was sourced, extracted, augmented, mapped or enriched."""

    source: Source = field(default_factory=Source)
    entity: BinaryEntity = field(default_factory=BinaryEntity)
    action: str = field(default_factory=_text)
    dequeued: str = ""
    retries: Long = 0
    flags: BinaryFlags = field(default_factory=BinaryFlags)
    track_source_references: str = ""
    track_links: list[str] = []
    track_authors: list[str] = []


class StatusEntity(Shape):
    """How a job went. `runtime` in seconds; `results` are events that become real when it completed."""

    input: BinaryEvent = field(default_factory=BinaryEvent)
    status: str = field(default_factory=_text)
    runtime: float = 0.0
    error: str = ""
    message: str = ""
    results: list[BinaryEvent] = []


class StatusEvent(Event):
    """A plugin's word on one event that it was given."""

    entity: StatusEntity = field(default_factory=StatusEntity)


class PluginFeature(Shape):
    """A feature that a plugin may produce."""

    name: str = field(default_factory=_text)
    type: str = field(default_factory=_text)
    desc: str = field(default_factory=_text)
    tags: list[str] = []


class PluginEntity(Shape):
    """What a plugin says of itself."""

    name: str = field(default_factory=_text)
    version: str = ""
    category: str = ""
    contact: str = ""
    description: str = ""
    features: list[PluginFeature] = []
    security: str = ""
    config: dict[str, str] = {}


class PluginEvent(Event):
    """A plugin registered."""

    entity: PluginEntity = field(default_factory=PluginEntity)


class InsertEntity(Shape):
    """A child that somebody adds by hand below `parent_sha256`."""

    original_source: str = field(default_factory=_text)
    parent_sha256: str = field(default_factory=_text)
    child: BinaryEntity = field(default_factory=BinaryEntity)
    child_history: PathNode = field(default_factory=PathNode)


class InsertEvent(Event):
    """From now on every event of the parent is followed by this child."""

    entity: InsertEntity = field(default_factory=InsertEntity)
    track_link: str = ""
    track_author: str = ""


class DeletedSubmission(Shape):
    track_source_references: str = ""
    timestamp: Timestamp = ZERO_TIME


class DeletedAuthor(Shape):
    track_author: str = ""
    timestamp: Timestamp = ZERO_TIME


class DeletedLink(Shape):
    track_link: str = ""


class DeletedIds(Shape):
    ids: list[str] = []


class DeleteEntity(Shape):
    """What is to be forgotten; an empty part is not written (Python readers reject `{}`)."""

    reason: str = ""
    submission: DeletedSubmission | None = None
    author: DeletedAuthor | None = None
    link: DeletedLink | None = None
    ids: DeletedIds | None = None


class DeleteEvent(Event):
    """Forget a submission, a link, an author's results before a time, or single events."""

    action: str = field(default_factory=_text)
    entity: DeleteEntity = field(default_factory=DeleteEntity)


class DownloadEntity(Shape):
    """A hash that somebody wants fetched."""

    hash: str = field(default_factory=_text)
    direct_url: str = ""
    direct_expiry: Timestamp = ZERO_TIME
    pcap: bool = False
    category: str = ""
    category_quota: Long = 0
    metadata: AnyJson = UNSET


class DownloadEvent(Event):
    """A download was asked for, or came to an end."""

    source: Source = field(default_factory=Source)
    action: str = field(default_factory=_text)
    entity: DownloadEntity = field(default_factory=DownloadEntity)


class RetrohuntSource(Shape):
    submitter: str = ""
    security: str = ""
    timestamp: Timestamp = field(default_factory=lambda: ZERO_TIME)


class RetrohuntEvent(Event):
    """A hunt over stored files; its entity is any JSON."""

    entity: Raw = field(default_factory=lambda: Raw(b"{}"))
    action: str = ""
    source: RetrohuntSource = field(default_factory=RetrohuntSource)


AnyEvent = BinaryEvent | DeleteEvent | DownloadEvent | InsertEvent | PluginEvent | RetrohuntEvent | StatusEvent

MODELS: Final[Mapping[str, type[AnyEvent]]] = {
    "binary": BinaryEvent,
    "delete": DeleteEvent,
    "download": DownloadEvent,
    "insert": InsertEvent,
    "plugin": PluginEvent,
    "retrohunt": RetrohuntEvent,
    "status": StatusEvent,
}

MODEL_NAMES: Final[Mapping[type[AnyEvent], str]] = {kind: name for name, kind in MODELS.items()}

COMPLETED: Final = ("completed", "completed-empty", "completed-with-errors")
ERRORS: Final = (
    "error-exception",
    "error-network",
    "error-runner",
    "error-input",
    "error-output",
    "error-timeout",
    "error-out-of-memory",
)
STATUSES: Final = (*COMPLETED, "opt-out", "heartbeat", "dequeued", "download-requested", *ERRORS)
FINAL_STATUSES: Final = frozenset((*COMPLETED, "opt-out", *ERRORS))
"""A job is over when one of these is durable."""

__all__ = [
    "COMPLETED",
    "ERRORS",
    "FINAL_STATUSES",
    "MODELS",
    "MODEL_NAMES",
    "STATUSES",
    "AnyEvent",
    "Author",
    "BinaryEntity",
    "BinaryEvent",
    "BinaryFlags",
    "DeleteEntity",
    "DeleteEvent",
    "DeletedAuthor",
    "DeletedIds",
    "DeletedLink",
    "DeletedSubmission",
    "DownloadEntity",
    "DownloadEvent",
    "InsertEntity",
    "InsertEvent",
    "PluginEntity",
    "PluginEvent",
    "PluginFeature",
    "RetrohuntEvent",
    "RetrohuntSource",
    "StatusEntity",
    "StatusEvent",
]
