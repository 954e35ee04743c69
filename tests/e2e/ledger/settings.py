"""Settings of several dispatchers on one Kafka whose topics are compacted, or forgotten, within seconds."""

import json
from pathlib import Path

from tests.e2e.ledger.topics import SOON

SOURCE = "ledger"
BRIEF = "brief"
"""A source whose events the log forgets after seconds."""
_FORGOTTEN = {"cleanup.policy": "delete", "retention.ms": "500", "segment.ms": "500"}


def many_settings(endpoint: str, prefix: str, store: Path, session: float) -> dict[str, str]:
    """Sources beside SOURCE and BRIEF come into being with their first event."""
    return {
        "DISPATCHER_KAFKA_ENDPOINT": endpoint,
        "DISPATCHER_KAFKA_TOPIC_PREFIX": prefix,
        "DISPATCHER_KAFKA_SESSION_SECONDS": f"{session:g}",
        "DISPATCHER_KAFKA_CONNECT_RETRIES": "100",
        "DISPATCHER_GLOBAL_PARTITION_COUNT": "2",
        "DISPATCHER_SOURCES_HELM": json.dumps({"sources": {SOURCE: {"kafka": {"config": SOON}}}}),
        "DISPATCHER_SOURCES_STRICT": "false",
        "DISPATCHER_TOPICS_YAML": json.dumps([{"topic": f"{BRIEF}.binary.sourced", "config": _FORGOTTEN}]),
        "DISPATCHER_IGNORE_TOPIC_MISMATCH": "true",
        "DISPATCHER_STORE": store.as_uri(),
    }
