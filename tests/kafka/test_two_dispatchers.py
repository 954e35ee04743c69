"""Two servers on one Kafka: the first must not go on as if it still served its subscribers."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from dispatcher.testing import LocalDispatcher
from tests.kafka.broker import KafkaBroker


@pytest.mark.timeout(60)
async def test_the_first_ends_and_says_why(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> None:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")},
        "DISPATCHER_LISTEN": "127.0.0.1:0",
        "DISPATCHER_DATA_DIR": str(tmp_path / "first"),
        "DISPATCHER_KAFKA_ENDPOINT": kafka.endpoint,
        "DISPATCHER_KAFKA_TOPIC_PREFIX": topic_prefix,
    }
    first = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("dispatcher"),
        "serve",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert first.stdout is not None
    async with asyncio.timeout(30):
        while b"Kafka on" not in await first.stdout.readline():
            pass
    log = {"kafka_endpoint": kafka.endpoint, "kafka_topic_prefix": topic_prefix}
    async with LocalDispatcher(tmp_path / "second", **log) as second:
        _, said = await asyncio.wait_for(first.communicate(), 30)
        assert first.returncode == 1
        assert "another dispatcher has taken over" in said.decode()
        assert "Traceback" not in said.decode()
        assert not second.app.failed.is_set()
