"""Every command of the page about moving runs on a real Kafka and shows what the page says."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dispatcher_sdk.models import decode, encode

from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.sqlite.log import SqliteLog
from tests.bench.events import binary
from tests.kafka.broker import KafkaBroker

PAGE = "docs/howto/move-an-installation.md"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def fill(log: KafkaLog | SqliteLog, prefix: str) -> None:
    await log.start()
    names = [f"azul.{prefix}.samples.binary.sourced", f"azul.{prefix}.system.status"]
    await log.ensure_topics([TopicSpec(name) for name in names])
    event = binary("a", "samples") | {"action": "sourced"}
    value = encode(decode("binary", json.dumps(event).encode()))
    assert await log.append([Append(names[0], b"k", value)]) == [None]
    await log.close()


def test_the_page(blocks: Callable[[str], list[Any]], kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> None:
    asyncio.run(
        fill(KafkaLog(Connection(kafka.endpoint), prefix=f"azul.{topic_prefix}prod01."), f"{topic_prefix}prod01")
    )
    asyncio.run(fill(SqliteLog(tmp_path / "data"), "test01"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"

    def here(text: str) -> str:
        return text.replace("kafka:9092", kafka.endpoint).replace("prod0", f"{topic_prefix}prod0")

    exports = ""
    for block in blocks(PAGE):
        code = here(block.code)
        if code.startswith("export"):
            exports += code
            continue
        ran = subprocess.run(
            ["bash", "-ec", exports + code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert here(block.shows) in ran.stdout
    assert exports
