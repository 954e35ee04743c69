"""The sources document (`DISPATCHER_SOURCES_HELM`): which sources there are and how long their events live."""

import logging
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from dispatcher.eventlog.topics import SOURCE_NAME
from dispatcher.publish.documents import read_document

SETTING: Final = "DISPATCHER_SOURCES_HELM"
DAY: Final = 86_400

_log = logging.getLogger(__name__)
_UNIT_DAYS: Final = {"days": 1, "weeks": 7, "months": 30, "years": 365}
_AGE = re.compile(r"([+-]?[0-9]{1,6}) (days|weeks|months|years)", re.ASCII)


def parse_age(value: Any) -> float | None:
    """Seconds of `"<count> days|weeks|months|years"`; None (never) for an absent, zero or negative count.

    A month is 30 days and a year 365. Raises ValueError.
    """
    if value is None or value in ("", "0", 0):
        return None
    found = _AGE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"{value!r} is not an age: write for example '2 weeks' (days, weeks, months, years; 0 = never)"
        )
    count = int(found[1])
    return float(count * _UNIT_DAYS[found[2]] * DAY) if count > 0 else None


def _source_name(name: Any) -> Any:
    if isinstance(name, str) and not SOURCE_NAME.fullmatch(name):
        raise ValueError("a source's name has letters, digits, '.', '_' and '-', at most 128, and no '.' in front")
    return name


def config_text(config: Any) -> Any:
    """Values of a topic's config as the log wants them: text, with booleans in lower case."""
    if not isinstance(config, Mapping):
        return config
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value
        for key, value in config.items()
    }


Config = Annotated[dict[str, str], BeforeValidator(config_text)]


class KafkaBlock(BaseModel):
    """How a source's topics are made. A count of 0 is the same as none: the global one applies."""

    model_config = ConfigDict(extra="forbid")

    numpartitions: int = Field(default=0, ge=0, le=10_000)
    replicationfactor: int = Field(default=0, ge=0, le=100)
    config: Config = {}


class SourceEntry(BaseModel):
    """One source. What the dispatcher has no use for (icons, index settings) is for other services to judge."""

    model_config = ConfigDict(extra="allow")

    description: Any = None
    icon_class: Any = None
    partition_unit: Any = None
    exclude_from_backup: Any = None
    elastic: Any = None
    references: Any = None
    expire_events_after: Annotated[float | None, BeforeValidator(parse_age)] = None
    kafka: KafkaBlock | None = None


class SourcesDocument(BaseModel):
    model_config = ConfigDict(extra="allow")

    sources: dict[Annotated[str, BeforeValidator(_source_name)], SourceEntry | None]


class Sources:
    """What is known about sources; without a document every source is welcome and lives for ever."""

    def __init__(self, entries: Mapping[str, SourceEntry] | None = None, *, strict: bool = True) -> None:
        self._entries: Mapping[str, SourceEntry] = entries or {}
        self._expiry = {
            name: entry.expire_events_after
            for name, entry in self._entries.items()
            if entry.expire_events_after is not None
        }
        self.strict = strict and entries is not None
        """Whether events of unlisted sources are refused."""

    @classmethod
    def from_yaml(cls, text: str, *, strict: bool = True) -> "Sources":
        """Empty text is no document. Raises StartupError naming line and key."""
        if not text.strip():
            return cls(strict=strict)
        document = read_document(text, TypeAdapter(SourcesDocument), SETTING)
        entries = {name: entry or SourceEntry() for name, entry in document.sources.items()}
        for where, keys, known in _strangers(document, entries):
            _warn(where, keys, known)
        return cls(entries, strict=strict)

    @property
    def names(self) -> Iterable[str]:
        """The listed sources, in the document's order."""
        return self._entries.keys()

    @property
    def ageing(self) -> bool:
        """Whether any source's events expire at all."""
        return bool(self._expiry)

    def known(self, name: str) -> bool:
        return name in self._entries

    def refuses(self, name: str) -> bool:
        return self.strict and name not in self._entries

    def expiry_seconds(self, name: str) -> float | None:
        """How long after `source.timestamp` an event of this source lives; None = for ever, and for unlisted ones."""
        return self._expiry.get(name)

    def aged_off(self, name: str, source_time: float, now: float) -> bool:
        """Both times in Unix seconds. Events from the future stay."""
        expiry = self._expiry.get(name)
        return expiry is not None and source_time + expiry < now

    def kafka(self, name: str) -> KafkaBlock:
        entry = self._entries.get(name)
        return (entry.kafka if entry else None) or KafkaBlock()


def _strangers(
    document: SourcesDocument, entries: Mapping[str, SourceEntry]
) -> Iterable[tuple[str, Iterable[str], Iterable[str]]]:
    yield "the document", document.model_extra or {}, SourcesDocument.model_fields
    for name, entry in entries.items():
        yield f"source {name}", entry.model_extra or {}, SourceEntry.model_fields


def _warn(where: str, keys: Iterable[str], known: Iterable[str]) -> None:
    """Unknown keys only warn: other services read this document too, and theirs may be newer."""
    for key in keys:
        near = get_close_matches(key, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        _log.warning("%s: %s has an unknown key %s%s", SETTING, where, key, hint)
