"""HTTP tests run twice: with the log in memory, and on a real Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.testing import LocalDispatcher

Log = dict[str, str]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, topic_prefix: str) -> Log:
    """Settings of where the events are."""
    if request.param == "memory":
        return {}
    return {
        "kafka_endpoint": request.getfixturevalue("kafka").endpoint,
        "kafka_topic_prefix": topic_prefix,
    }


@pytest.fixture
async def local_dispatcher(tmp_path: Path, log: Log) -> AsyncIterator[LocalDispatcher]:
    async with LocalDispatcher(tmp_path / "dispatcher", **log) as server:
        yield server
