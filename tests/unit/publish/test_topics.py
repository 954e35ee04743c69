import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import FOREVER, TopicSpec
from dispatcher.eventlog.topics import TopicNames
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan, unlisted_sources

WEEK_MS = 7 * 86_400_000
NAMES = TopicNames("test01")
SEGMENT = {"segment.bytes": "1073741824"}


def specs(sources: str = "", overrides: str = "", **counts: int) -> dict[str, TopicSpec]:
    plan = TopicPlan(NAMES, Sources.from_yaml(sources), overrides=overrides, **counts)
    return {spec.name.removeprefix("azul.test01."): spec for spec in plan.at_start()}


@pytest.mark.parametrize(
    ("topic", "cleanup", "retention"),
    [
        ("insert", "compact", FOREVER),
        ("delete", "compact", FOREVER),
        ("retrohunt", "compact", FOREVER),
        ("deadletter", "compact", FOREVER),
        ("expedite", "delete", WEEK_MS),
        ("error", "delete", WEEK_MS),
        ("plugin", "delete", WEEK_MS),
        ("status", "delete", 86_400_000),
        ("download", "delete", 43_200_000),
        ("report", "delete", 4 * WEEK_MS),
        ("scrape", "delete", 4 * WEEK_MS),
    ],
)
def test_built_in_topics(topic: str, cleanup: str, retention: int) -> None:
    spec = specs()[f"system.{topic}"]
    assert (spec.cleanup, spec.retention_ms, spec.partitions, spec.config) == (cleanup, retention, 1, SEGMENT)


def test_nothing_else_is_made_at_start_without_documents() -> None:
    assert len(specs()) == 11


SOURCES = """
sources:
  forever:
    kafka: {numpartitions: 4, replicationfactor: 2, config: {cleanup.policy: delete, min.insync.replicas: 2}}
  short:
    expire_events_after: 1 weeks
"""


def test_sources_have_five_topics_whose_retention_is_their_expiry() -> None:
    made = specs(SOURCES, partitions=2, replication=3)
    for action in ("sourced", "extracted", "augmented", "mapped", "enriched"):
        forever, short = made[f"forever.binary.{action}"], made[f"short.binary.{action}"]
        assert (forever.cleanup, forever.retention_ms, forever.partitions) == ("compact", FOREVER, 4)
        assert (forever.replication, forever.config) == (2, {"min.insync.replicas": "2"})
        assert (short.cleanup, short.retention_ms, short.partitions) == ("delete", WEEK_MS, 2)
        assert (short.replication, short.config) == (3, {})
    assert made["system.status"].partitions == 2


def test_the_topics_document_has_the_last_word_key_by_key() -> None:
    overrides = """
- topic: system.status
  numpartitions: 8
- topic: forever.binary.sourced
  config: {retention.ms: 1000, cleanup.policy: delete, unclean.leader.election.enable: true}
- topic: my.own
"""
    made = specs(SOURCES, overrides, partitions=2)
    status, sourced, own = made["system.status"], made["forever.binary.sourced"], made["my.own"]
    assert (status.partitions, status.cleanup, status.retention_ms) == (8, "delete", 86_400_000)
    assert (sourced.partitions, sourced.cleanup, sourced.retention_ms) == (4, "delete", 1000)
    assert sourced.config == {"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}
    assert (own.partitions, own.cleanup, own.retention_ms, own.config) == (2, "compact", FOREVER, SEGMENT)


def test_a_source_nobody_listed_gets_base_limits_and_overrides_too() -> None:
    plan = TopicPlan(
        NAMES, Sources(), overrides="[{topic: new.binary.mapped, config: {retention.ms: 5, cleanup.policy: delete}}]"
    )
    made = {spec.name: spec for spec in plan.for_source("new")}
    assert len(made) == 5
    assert made["azul.test01.new.binary.sourced"].retention_ms == FOREVER
    assert made["azul.test01.new.binary.mapped"].retention_ms == 5


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("- topic: system.status\n  partitions: 3\n", 2, "partitions"),
        ("- numpartitions: 3\n", 1, "topic"),
        ("- topic: a\n- topic: 'a b'\n", 2, "topic"),
        ("- topic: a\n  config:\n    cleanup.policy: compact,delete\n", 2, "config"),
        ("- topic: a\n  config: {retention.ms: soon}\n", 2, "config"),
        ("- topic: a\n  replicaassignment: {0: [1]}\n", 2, "replicaassignment"),
        ("topic: a\n", 1, "document"),
        ("- topic: a\n\t- b\n", 2, "YAML"),
    ],
)
def test_mistakes_are_told_with_line_and_key(text: str, line: int, key: str) -> None:
    with pytest.raises(StartupError) as told:
        specs(overrides=text)
    assert f"DISPATCHER_TOPICS_YAML line {line}:" in str(told.value)
    assert key in str(told.value)


def test_unlisted_sources_are_read_from_the_topics_that_exist() -> None:
    sources = Sources.from_yaml(SOURCES)
    topics = ["azul.test01.short.binary.sourced", "azul.test01.new.binary.mapped", "azul.test01.system.status", "x"]
    assert unlisted_sources(topics, NAMES, sources) == {"new"}
