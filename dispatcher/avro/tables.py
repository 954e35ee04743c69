"""Every Avro record that Go clients speak, as one table (wire contract 3.7).

A line is a record and its fields in order, `names:type`. Types: `string long double boolean`; `fixed8`, 8 bytes of
big-endian unsigned; `micros`, a long of microseconds since 1970; `json`, bytes that hold JSON or nothing; `[x]` an
array and `{x}` a map of x; anything else is another record.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from dispatcher_sdk import models

CURRENT: Final = models.MODEL_VERSION
OLDEST: Final = models.OLDEST_MODEL_VERSION

_TABLE: Final = """
EventAuthor name,version,category,security:string
PathNode author:EventAuthor action,sha256:string relationship:{string} timestamp:micros file_format:string size:fixed8 \
filename,language:string
EventSource name:string references:{string} security:string path:[PathNode] timestamp:micros settings:{string}
BinaryFeature name,value,type,label:string size,offset:fixed8
Datastream identify_version:long label:string size:fixed8 sha512,sha256,sha1,md5,ssdeep,tlsh,mime,magic:string \
file_format:string file_extension,language:string
BinaryEntity sha256,sha512,sha1,md5,ssdeep,tlsh:string size:fixed8 mime,magic:string file_format:string \
file_extension:string info:json features:[BinaryFeature] datastreams:[Datastream]
BinaryFlags bypass_cache,expedite,retry:boolean
BinaryEvent @base source:EventSource entity:BinaryEntity action,dequeued:string retries:long flags:BinaryFlags \
track_source_references:string track_links,track_authors:[string]
StatusEvent @base entity:StatusEntity
StatusEntity input:BinaryEvent status:string runtime:double error,message:string results:[BinaryEvent]
PluginEvent @base entity:PluginEntity
PluginEntity name,version,category,contact,description:string features:[PluginFeature] security:string config:{string}
PluginFeature name,type,desc:string tags:[string]
InsertEvent @base entity:InsertEntity track_link,track_author:string
InsertEntity original_source,parent_sha256:string child:BinaryEntity child_history:PathNode
DeleteEvent @base entity:DeleteEntity action:string
DeleteEntity reason:string submission:DeletedSubmission author:DeletedAuthor link:DeletedLink ids:DeletedIds
DeletedSubmission track_source_references:string timestamp:micros
DeletedAuthor track_author:string timestamp:micros
DeletedLink track_link:string
DeletedIds ids:[string]
DownloadEvent @base source:EventSource action:string entity:DownloadEntity
DownloadEntity hash,direct_url:string direct_expiry:micros pcap:boolean category:string \
category_quota:long metadata:json
RetrohuntEvent @base entity:json action:string source:RetrohuntSource
RetrohuntSource submitter,security:string timestamp:micros
"""
_BASE: Final = "model_version:long kafka_key:string timestamp:micros author:EventAuthor"
_LEGACY: Final = "file_format_legacy"
_OTHER_NAMES: Final = {"EventAuthor": "Author", "EventSource": "Source", "BinaryFeature": "Feature"}


class Field(NamedTuple):
    name: str
    type: str
    read_only: bool = False
    """Old versions have it and ours do not: read over it."""


def fields(record: str, version: int) -> list[Field]:
    """Fields of a record in the order of the wire, at model_version 4, 5 or 6."""
    found = _expand(_lines()[record])
    if version < 6:
        found = [extra for field in found for extra in _with_legacy(field)]
    if version < 5 and record == "EventSource":
        found = [field for field in found if field.name != "settings"]
    return found


def is_record(kind: str) -> bool:
    return kind in _lines()


def struct_of(record: str) -> type[msgspec.Struct]:
    """The wire struct that mirrors a record."""
    found: type[msgspec.Struct] = getattr(models, _OTHER_NAMES.get(record, record))
    return found


def event_record(model: str) -> str:
    """Name of the record of one event of `model`. Raises KeyError."""
    return models.MODELS[model].__name__


def _lines() -> Mapping[str, str]:
    return dict(line.split(" ", 1) for line in _TABLE.strip().splitlines())


def _expand(line: str) -> list[Field]:
    groups = (group.split(":", 1) for group in line.replace("@base", _BASE).split())
    return [Field(name, kind) for names, kind in groups for name in names.split(",")]


def _with_legacy(field: Field) -> list[Field]:
    return [Field(_LEGACY, "string", read_only=True), field] if field.name == "file_format" else [field]
