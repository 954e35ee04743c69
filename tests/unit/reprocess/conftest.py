"""Two installations in folders: an old one that is filled by hand, and a new one that events are copied to."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dispatcher_sdk.models import MODEL_NAMES, AnyEvent, encode

from dispatcher.eventlog.base import Append, Record, TopicSpec
from dispatcher.eventlog.sqlite.log import SqliteLog
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.tracking import set_tracking
from dispatcher.reprocess.selection import Wanted
from dispatcher.reprocess.session import Request, Session
from dispatcher.reprocess.tally import Tally
from dispatcher.settings import Settings
from tests.unit.avro.old import old_record
from tests.unit.publish.conftest import binary, delete, event, insert, status

Rows = Sequence[tuple[bytes, bytes | None] | tuple[bytes, bytes | None, bytes]]


class Installations:
    """Topics are named without their prefixes: `old` there and `new` here."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = folder / "old", folder / "new"

    def settings(self, **more: Any) -> Settings:
        return Settings(data_dir=self.new, kafka_topic_prefix="new", **more)

    async def fill(self, topic: str, rows: Rows, partitions: int = 1, *, folder: Path | None = None) -> None:
        prefix = "azul.new." if folder == self.new else "azul.old."
        log = SqliteLog(folder or self.old)
        await log.start()
        await log.ensure_topics([TopicSpec(prefix + topic, partitions)])
        assert not any(await log.append([Append(prefix + topic, *row) for row in rows]))
        await log.close()

    async def copy(
        self,
        *,
        hooks: Sequence[object] = (),
        settings: Settings | None = None,
        wanted: Wanted | None = None,
        **more: Any,
    ) -> Tally:
        """Runs to its end."""
        request = Request("", self.old, wanted or Wanted(), **more)
        async with Session(settings or self.settings(), request, asyncio.Event(), hooks=hooks) as session:
            assert await session.copy()
            return session.tally

    async def records(self, topic: str, *, with_signals: bool = False) -> list[Record]:
        """Of every partition of a topic here, one after the other."""
        log = SqliteLog(self.new)
        await log.start()
        name, found = f"azul.new.{topic}", list[Record]()
        try:
            for (_, number), (offset, high) in (
                await log.bounds([(name, number) for number in range(log.topics().get(name, 0))])
            ).items():
                while offset < high:
                    chunk = await log.read((name, number), offset, 1 << 20)
                    found += chunk.records
                    offset = chunk.next_offset
        finally:
            await log.close()
        return [record for record in found if with_signals or record.value or not record.tag]

    async def events(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in await self.records(topic) if record.value]


@pytest.fixture
def installations(tmp_path: Path) -> Installations:
    return Installations(tmp_path)


Make = Callable[..., Any]


@pytest.fixture
def row() -> Make:
    """row(event, version=6 or "json"): a record of the old log, as its server wrote it."""

    def make(event: AnyEvent, version: int | str = 6) -> tuple[bytes, bytes]:
        event.kafka_key = event.kafka_key or kafka_key(event)
        set_tracking(event)
        value = encode(event)
        return event.kafka_key.encode(), (
            value if version == "json" else old_record(MODEL_NAMES[type(event)], int(version), event)
        )

    return make


__all__ = ["binary", "delete", "event", "insert", "status"]
