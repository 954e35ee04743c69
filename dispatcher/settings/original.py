"""Names that older installations set: what they mean here, or why they mean nothing.

Keys are those of the original (`DP__EVENTS__KAFKA__ENDPOINT` is `events.kafka.endpoint`) or `DISPATCHER_` names
of its README. Reading them lets an existing chart start this server unchanged, or tells its owner why it cannot.
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Final

_NO_S3 = "this version stores files in a folder and does not speak S3 or Azure yet"
_NO_LAYER = "this version cannot read or write files stored in this encoding"
_NO_REDIS = "there is no Redis here: all state lives in the journal, below DISPATCHER_DATA_DIR"
_NO_TUNING = "one reader and one producer serve everybody here, and need no tuning there"
_OWN_REDELIVERY = "the server hands lost tasks out again by itself, as soon as their lease is over"

REFUSED: Final[Mapping[str, tuple[str, frozenset[str]]]] = MappingProxyType(
    {
        "DISPATCHER_STORE_S3_*": (_NO_S3, frozenset()),
        "DISPATCHER_STORE_BACKEND": (_NO_S3, frozenset({"local"})),
        "streams.backend": (_NO_S3, frozenset({"local"})),
        "streams.s3.endpoint": (_NO_S3, frozenset()),
        "streams.azure.endpoint": (_NO_S3, frozenset()),
        "streams.xor_encoding": (_NO_LAYER, frozenset({"false", "0", "f"})),
        "streams.aes_enabled": (_NO_LAYER, frozenset({"disabled"})),
    }
)
"""Pattern of a name → why the server does not start with it, and the values that are harmless all the same."""

IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DISPATCHER_CHECK_VALID_EVENTS": "every event is checked, always",
        "log_path": "log lines go to standard error",
        "streams.fcache.path": "uploads on their way are buffered below DISPATCHER_DATA_DIR",
        "streams.cache.*": "files are read from the local disk, which the system caches",
        "streams.s3.*": _NO_S3,
        "streams.azure.*": _NO_S3,
        "streams.aes_key": "files are not encrypted by this version",
        "events.redis.*": _NO_REDIS,
        "events.kafka.*": _NO_TUNING,
        "events.enable_extended_kafka_metrics": "there are no more metrics than those of docs/reference/metrics.md",
        "events.dedupe_cache_bytes": "an event reaches a plugin once, so there is nothing to deduplicate",
        "events.replay_plugin_cache.*": "this version keeps no cache of results: a plugin asked again runs again",
        "events.lost_tasks_check_minutes": _OWN_REDELIVERY,
        "events.lost_tasks_bulk_create_limit": _OWN_REDELIVERY,
        "events.old_consumer_group_*": "there are no consumer groups to drop",
        "events.max_consumed_events_per_consumer": "the original never read it either",
        "events.reprocess.consumer_group": "how far a copy came is kept in system.reprocess of the current prefix",
        "events.reprocess.legacy_json": "JSON and every version of Avro are told apart by themselves",
        "events.reprocess.max_number_of_empty_polls": "a copy ends when it has caught up",
    }
)
"""Pattern of a name → why it has no effect here."""


def _minutes(value: str) -> str:
    try:
        return str(float(value) * 60)
    except ValueError:
        raise ValueError(f"{value!r} is not a number of minutes") from None


def _folder_url(value: str) -> str:
    return Path(value).absolute().as_uri()


def _level(value: str) -> str:
    level = value.upper()
    return {"WARN": "WARNING", "TRACE": "DEBUG"}.get(level, level)


def _pretty(value: str) -> str:
    return "json" if value.lower() in ("0", "f", "false") else "text"


CONVERTED: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "events.lost_tasks_after_minutes": _minutes,
        "streams.local.path": _folder_url,
        "DISPATCHER_STORE_LOCAL_PATH": _folder_url,
        "DISPATCHER_LOG": _level,
        "DISPATCHER_LOG_PRETTY": _pretty,
        "bed.log_level": _level,
        "bed.log_pretty": _pretty,
    }
)
"""Other names whose values are written in another way."""


def refusal(name: str, value: str) -> str | None:
    """Why the server must not start with this value, or None."""
    for pattern, (reason, harmless) in REFUSED.items():
        if fnmatchcase(name, pattern):
            return None if value.lower() in harmless else reason
    return None


def no_effect(name: str) -> str | None:
    """Why a known name has no effect, or None for a name that is not known."""
    if any(fnmatchcase(name, pattern) for pattern in REFUSED):
        return "it says what this version does anyway"
    return next((reason for pattern, reason in IGNORED.items() if fnmatchcase(name, pattern)), None)
