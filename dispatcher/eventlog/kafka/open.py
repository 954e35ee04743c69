"""Opens log and journal on Kafka as the settings say."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dispatcher.eventlog.base import TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.journal import KafkaJournal, journal_spec
from dispatcher.eventlog.kafka.lag import LagMirror, Marks
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.membership import KafkaMembership
from dispatcher.eventlog.topics import TopicNames
from dispatcher.settings import Settings

JOURNAL = "dispatch"
"""Name of the journal's system topic."""


def connection_of(settings: Settings) -> Connection:
    return Connection(
        endpoint=settings.kafka_endpoint,
        protocol=settings.kafka_security_protocol,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password,
        ca_file=_path(settings.kafka_ca_file),
        cert_file=_path(settings.kafka_cert_file),
        key_file=_path(settings.kafka_key_file),
    )


async def open_kafka_log(
    settings: Settings, clock: Callable[[], float] = time.time, prefix: str | None = None
) -> KafkaLog:
    """A connected log that sees the topics of this installation, or those that begin with `prefix`.

    Raises StartupError.
    """
    log = KafkaLog(
        connection_of(settings),
        prefix=TopicNames(settings.kafka_topic_prefix).unprefixed("") if prefix is None else prefix,
        message_max_bytes=settings.message_max_bytes,
        fetch_min_bytes=settings.kafka_fetch_min_bytes,
        fetch_wait_ms=settings.kafka_fetch_wait_ms,
        strict_topics=not settings.ignore_topic_mismatch,
        connect_retries=settings.kafka_connect_retries,
        compression=None if settings.kafka_compression == "none" else settings.kafka_compression,
        clock=clock,
    )
    await log.start()
    return log


def journal_of(log: KafkaLog, settings: Settings, on_lost: Callable[[int], None]) -> KafkaJournal:
    """The journal beside this log; closing the log closes both."""
    journal = KafkaJournal(log, journal_topic(settings), on_lost=on_lost)
    log.close_first(journal.close)
    return journal


def membership_of(settings: Settings, url: str) -> KafkaMembership:
    """Our place among the dispatchers of this installation; the journal's topic must be there when it starts."""
    return KafkaMembership(
        connection_of(settings),
        group=TopicNames(settings.kafka_topic_prefix).unprefixed("dispatchers"),
        topic=journal_topic(settings).name,
        url=url,
        session=settings.kafka_session_seconds,
    )


def lag_mirror_of(log: KafkaLog, settings: Settings, read: Callable[[], Iterable[Marks]]) -> LagMirror:
    """Shows the lag of what `read` gives."""
    return LagMirror(connection_of(settings), settings.kafka_topic_prefix, read, log.exists, settings.kafka_lag_seconds)


def journal_topic(settings: Settings) -> TopicSpec:
    return journal_spec(TopicNames(settings.kafka_topic_prefix).system(JOURNAL), settings.global_replica_count)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
