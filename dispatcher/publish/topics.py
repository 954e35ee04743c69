"""Which topics there are, and the limits of each (wire contract 5.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self

from dispatcher_sdk.models import ACTIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from dispatcher.eventlog.base import FOREVER, TopicSpec
from dispatcher.eventlog.topics import SYSTEM_TOPICS, TopicNames
from dispatcher.publish.documents import read_document
from dispatcher.publish.sources import Config, Sources
from dispatcher.settings import Settings

SETTING: Final = "DISPATCHER_TOPICS_YAML"
CLEANUP: Final = "cleanup.policy"
RETENTION: Final = "retention.ms"

_HOUR_MS = 3_600_000
_BASE: Final = {CLEANUP: "compact", RETENTION: str(FOREVER), "segment.bytes": str(2**30)}
_WEEK: Final = 7 * 24 * _HOUR_MS
_DELETED_AFTER_MS: Final = {
    "expedite": _WEEK,
    "error": _WEEK,
    "plugin": _WEEK,
    "status": 24 * _HOUR_MS,
    "download": 12 * _HOUR_MS,
    "report": 4 * _WEEK,
    "scrape": 4 * _WEEK,
}
_NAME: Final = r"^[A-Za-z0-9._-]{1,200}$"


def _checked(config: dict[str, str]) -> dict[str, str]:
    if config.get(CLEANUP, "compact") not in ("compact", "delete"):
        raise ValueError(f"{CLEANUP} must be compact or delete")
    try:
        if int(config.get(RETENTION, "0")) < FOREVER:
            raise ValueError
    except ValueError:
        raise ValueError(f"{RETENTION} must be a number of milliseconds, or -1 for ever") from None
    return config


def _no_assignment(value: Any) -> None:
    if value:
        raise ValueError("not supported here: say replicationfactor, and the log places the copies")


class Override(BaseModel):
    """One entry of the topics document, by unprefixed name (`system.status`, `samples.binary.sourced`)."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[str, Field(pattern=_NAME)]
    numpartitions: int = Field(default=0, ge=0, le=10_000)
    replicationfactor: int = Field(default=0, ge=0, le=100)
    replicaassignment: Annotated[None, BeforeValidator(_no_assignment)] = None
    config: Annotated[Config, AfterValidator(_checked)] = {}


def read_overrides(text: str) -> list[Override]:
    """Empty text is no document. Raises StartupError naming line and key."""
    return read_document(text, TypeAdapter(list[Override]), SETTING) if text.strip() else []


@dataclass
class _Draft:
    """A topic while layers are put over each other; a count of 0 is not set yet."""

    config: dict[str, str] = field(default_factory=dict)
    partitions: int = 0
    replication: int = 0

    def put(self, config: Mapping[str, str], partitions: int = 0, replication: int = 0) -> None:
        self.config.update(config)
        self.partitions = partitions or self.partitions
        self.replication = replication or self.replication


class TopicPlan:
    """All topics of an installation: built in, of sources, and as the operator changed them.

    Low to high: built in < global counts (where nothing else says a number) < sources < topics document.
    """

    def __init__(
        self, names: TopicNames, sources: Sources, *, partitions: int = 1, replication: int = 1, overrides: str = ""
    ) -> None:
        self._names = names
        self._sources = sources
        self._partitions = partitions
        self._replication = replication
        self._overrides = {entry.topic: entry for entry in read_overrides(overrides)}

    @classmethod
    def from_settings(cls, settings: Settings, names: TopicNames, sources: Sources) -> Self:
        """Raises StartupError naming line and key of a mistake."""
        return cls(
            names,
            sources,
            partitions=settings.global_partition_count,
            replication=settings.global_replica_count,
            overrides=settings.topics_yaml,
        )

    def at_start(self) -> list[TopicSpec]:
        """System topics, those of listed sources, and new ones of the topics document."""
        drafts = {f"system.{name}": _system(name) for name in SYSTEM_TOPICS}
        for source in self._sources.names:
            drafts |= self._of_source(source)
        for name in self._overrides:
            drafts.setdefault(name, _Draft(dict(_BASE)))
        return [self._spec(name, draft) for name, draft in drafts.items()]

    def for_source(self, source: str) -> list[TopicSpec]:
        """The five topics of a source, listed or not."""
        return [self._spec(name, draft) for name, draft in self._of_source(source).items()]

    def _of_source(self, source: str) -> dict[str, _Draft]:
        return {f"{source}.binary.{action}": self._source_draft(source) for action in ACTIONS}

    def _source_draft(self, source: str) -> _Draft:
        draft, block, expiry = _Draft(), self._sources.kafka(source), self._sources.expiry_seconds(source)
        draft.put(block.config, block.numpartitions, block.replicationfactor)
        draft.put(_lived(FOREVER if expiry is None else int(expiry * 1000)))
        return draft

    def _spec(self, name: str, draft: _Draft) -> TopicSpec:
        override = self._overrides.get(name)
        if override:
            draft.put(override.config, override.numpartitions, override.replicationfactor)
        config = dict(draft.config)
        return TopicSpec(
            name=self._names.unprefixed(name),
            partitions=draft.partitions or self._partitions,
            replication=draft.replication or self._replication,
            cleanup=_cleanup(config.pop(CLEANUP, "compact")),
            retention_ms=int(config.pop(RETENTION, str(FOREVER))),
            config=config,
        )


def _system(name: str) -> _Draft:
    draft = _Draft(dict(_BASE))
    if name in _DELETED_AFTER_MS:
        draft.put(_lived(_DELETED_AFTER_MS[name]))
    return draft


def _lived(milliseconds: int) -> dict[str, str]:
    return {CLEANUP: "compact" if milliseconds == FOREVER else "delete", RETENTION: str(milliseconds)}


def _cleanup(policy: Any) -> Literal["compact", "delete"]:
    return "delete" if policy == "delete" else "compact"


def unlisted_sources(topics: Iterable[str], names: TopicNames, sources: Sources) -> set[str]:
    """Sources that have topics but no entry in the sources document."""
    parsed = (names.parse(topic) for topic in topics)
    return {name.source for name in parsed if name and name.source and not sources.known(name.source)}
