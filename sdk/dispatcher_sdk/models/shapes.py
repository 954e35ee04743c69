"""Shapes that several models share: who did what to which bytes.

Every struct mirrors one record of the wire contract at model_version 6. A field that the wire omits
when it is empty has a plain default; one that is always written has a factory (msgspec leaves plain
defaults out and always writes what a factory made).
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

MODEL_VERSION: Final = 6
OLDEST_MODEL_VERSION: Final = 4

Action = Literal["sourced", "extracted", "augmented", "mapped", "enriched"]
ACTIONS: Final = ("sourced", "extracted", "augmented", "mapped", "enriched")
DOWNLOAD_ACTIONS: Final = ("requested", "success", "failed", "failed-not-found", "skipped-already-present")
FEATURE_TYPES: Final = ("integer", "float", "string", "binary", "datetime", "filepath", "uri")
LABELS: Final = frozenset(
    (
        "assemblyline",
        "cape_report",
        "content",
        "cs_call_tree",
        "decompiled_cs",
        "decompiled_c",
        "decompiled_java",
        "deob_js",
        "password_dictionary",
        "pcap",
        "report",
        "safe_png",
        "screenshot",
        "test",
        "text",
        "yara_rule_hit",
    )
)

Timestamp = Annotated[datetime, Meta(tz=True)]
"""An instant with a zone; naive text is refused. Microseconds; finer digits are rounded away."""
Unsigned = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Long = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
AnyJson = msgspec.Raw | UnsetType
"""A member of any JSON shape, passed on byte for byte."""

ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
"""What Go writes for a time that nobody set."""


def _zero_time() -> datetime:
    return ZERO_TIME


def _text() -> str:
    return ""


def _number() -> int:
    return 0


def _path() -> "list[PathNode]":
    return []


class Shape(Struct, omit_defaults=True, kw_only=True, gc=False):
    """Base of every wire struct: unknown keys are dropped, empty optional fields are not written."""


class Author(Shape):
    """Who wrote an event: a plugin, or a person's tool."""

    name: str = field(default_factory=_text)
    version: str = ""
    category: str = ""
    security: str = ""


class PathNode(Shape):
    """One step of the way from the submitted file to this one."""

    author: Author = field(default_factory=Author)
    action: str = field(default_factory=_text)
    sha256: str = field(default_factory=_text)
    relationship: dict[str, str] = {}
    timestamp: Timestamp = field(default_factory=_zero_time)
    file_format: str = ""
    size: Unsigned = 0
    filename: str = ""
    language: str = ""


class Source(Shape):
    """Where the submitted file came from, and the way from there to here."""

    name: str = field(default_factory=_text)
    references: dict[str, str] = {}
    security: str = ""
    path: list[PathNode] = field(default_factory=_path)
    timestamp: Timestamp = field(default_factory=_zero_time)
    settings: dict[str, str] = {}


class Feature(Shape):
    """One named finding. `value` is text whatever `type` says (see FEATURE_TYPES)."""

    name: str = field(default_factory=_text)
    value: str = field(default_factory=_text)
    type: str = field(default_factory=_text)
    label: str = ""
    size: Unsigned = 0
    offset: Unsigned = 0


class Datastream(Shape):
    """Metadata of stored bytes. `size` in bytes, hashes as lower case hex."""

    identify_version: Long = 0
    label: str = field(default_factory=_text)
    size: Unsigned = field(default_factory=_number)
    sha512: str = field(default_factory=_text)
    sha256: str = field(default_factory=_text)
    sha1: str = field(default_factory=_text)
    md5: str = field(default_factory=_text)
    ssdeep: str = ""
    tlsh: str = ""
    mime: str = field(default_factory=_text)
    magic: str = field(default_factory=_text)
    file_format: str = ""
    file_extension: str = ""
    language: str = ""


class Event(Shape):
    """What all models share."""

    model_version: Long = field(default_factory=_number)
    kafka_key: str = field(default_factory=_text)
    timestamp: Timestamp = field(default_factory=_zero_time)
    author: Author = field(default_factory=Author)


__all__ = [
    "ACTIONS",
    "DOWNLOAD_ACTIONS",
    "FEATURE_TYPES",
    "LABELS",
    "MODEL_VERSION",
    "OLDEST_MODEL_VERSION",
    "UNSET",
    "ZERO_TIME",
    "Action",
    "AnyJson",
    "Author",
    "Datastream",
    "Event",
    "Feature",
    "Long",
    "PathNode",
    "Shape",
    "Source",
    "Timestamp",
    "Unsigned",
]
