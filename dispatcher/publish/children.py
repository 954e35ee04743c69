"""Children added by hand: an insert makes every event of its parent be followed by a child (wire contract 4.4)."""

import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Final

from dispatcher_sdk.models import (
    MODEL_VERSION,
    BinaryEvent,
    BinaryFlags,
    InsertEvent,
    binary_problem,
    decode,
)
from dispatcher_sdk.models.shapes import Source

from dispatcher.eventlog.base import Record
from dispatcher.metrics import Metrics

PIPELINE: Final = "InjectChildEvents"
MAX_CHILDREN: Final = 1000
"""Of one event; nobody adds that many by hand, and each event of the parent would cost as much again."""
CHILDREN_BYTES: Final = 16 << 20
"""Of all children of one event, as they were inserted."""
MAX_STREAMS: Final = 100
"""Streams that are brought along with one child."""
INSERTS_BYTES: Final = 256 << 20
"""Inserts in force are in memory for ever, so what clients may add has an end."""

CopyStream = Callable[[str, str, str, str], Awaitable[None]]
"""(origin source, target source, label, sha256): copies stored bytes between sources; raises when it cannot."""

_log = logging.getLogger(__name__)


class Inserts:
    """Inserts in force, by parent, as JSON. Applying an event twice changes nothing."""

    def __init__(self, most_bytes: int = INSERTS_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._of_parent: dict[str, dict[str, bytes]] = {}
        self._parents: dict[str, str] = {}
        """kafka_key to parent: a tombstone names only the key."""

    @property
    def empty(self) -> bool:
        return not self._parents

    @property
    def full(self) -> bool:
        """No further insert is to be accepted."""
        return self._bytes >= self._most_bytes

    def on_record(self, record: Record) -> None:
        """A record of the insert topic; a tombstone takes an insert away. Raises InvalidMessage."""
        if record.value is None:
            self.remove((record.key or b"").decode(errors="replace"))
        else:
            event = decode("insert", record.value)
            assert isinstance(event, InsertEvent)
            self.apply(event, record.value)

    def apply(self, event: InsertEvent, value: bytes) -> None:
        """Replaces the insert of the same kafka_key. `value` is the event as it was written."""
        self.remove(event.kafka_key)
        parent = event.entity.parent_sha256
        self._parents[event.kafka_key] = parent
        self._of_parent.setdefault(parent, {})[event.kafka_key] = value
        self._bytes += len(value)

    def remove(self, kafka_key: str) -> None:
        parent = self._parents.pop(kafka_key, None)
        if parent is not None:
            siblings = self._of_parent[parent]
            self._bytes -= len(siblings.pop(kafka_key))
            if not siblings:
                del self._of_parent[parent]

    def below(self, event: BinaryEvent) -> Collection[bytes]:
        """Inserts that this event brings up: it has a file of its own, and is the first step onto that file.

        As they are now: others may come and go while the caller works on these."""
        path = event.source.path
        if event.action in ("enriched", "mapped") or (len(path) >= 2 and path[-1].sha256 == path[-2].sha256):
            return ()
        return tuple(self._of_parent.get(event.entity.sha256, {}).values())


class ChildMaker:
    """Makes the children of an event, and brings their bytes to the event's source."""

    def __init__(self, inserts: Inserts, copy_stream: CopyStream, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._inserts = inserts
        self._copy_stream = copy_stream
        self._metrics = metrics
        self._clock = clock

    async def children(self, parent: BinaryEvent) -> list[BinaryEvent]:
        """Valid children only: one that is not costs itself, never its parent."""
        inserts = self._inserts.below(parent)
        made: list[BinaryEvent] = []
        room = CHILDREN_BYTES
        for index, value in enumerate(inserts):
            room -= len(value)
            if index == MAX_CHILDREN or room < 0:
                self.failed("%d inserts below %.64r: only %d count", len(inserts), parent.entity.sha256, index)
                break
            insert = decode("insert", value)
            assert isinstance(insert, InsertEvent)
            child = await self._child(parent, insert)
            if child is not None:
                made.append(child)
        return made

    async def _child(self, parent: BinaryEvent, insert: InsertEvent) -> BinaryEvent | None:
        child = make_child(parent, insert, self._clock())
        wrong = binary_problem(child)
        if wrong:
            self.failed("insert %s makes no valid child: %s", insert.kafka_key, wrong)
            return None
        await self._bring_streams(parent.source.name, insert)
        self._metrics.produce_added.labels(PIPELINE).inc()
        return child

    async def _bring_streams(self, target: str, insert: InsertEvent) -> None:
        """The child is announced even when its bytes stay behind: the insert's author can upload them again."""
        origin = insert.entity.original_source
        if origin == target:
            return
        for stream in insert.entity.child.datastreams[:MAX_STREAMS]:
            try:
                await self._copy_stream(origin, target, stream.label, stream.sha256)
            except Exception as problem:
                self.failed(
                    "insert %s: %s of %.64r was not copied from %.128r to %s: %r",
                    insert.kafka_key,
                    stream.label,
                    stream.sha256,
                    origin,
                    target,
                    problem,
                )

    def failed(self, text: str, *details: object) -> None:
        """Count and log what went wrong with a child; `text` has logging's placeholders."""
        self._metrics.produce_error.labels(PIPELINE).inc()
        _log.warning(text, *details, extra={"action": "inject-child"})


def make_child(parent: BinaryEvent, insert: InsertEvent, now: float) -> BinaryEvent:
    """The child event; `now` in Unix seconds. Takes over the parts of `insert`; shares nothing with the parent that
    a later step changes in place but the nodes of its path, which only turn to UTC."""
    history, source = insert.entity.child_history, parent.source
    return BinaryEvent(
        model_version=MODEL_VERSION,
        timestamp=datetime.fromtimestamp(now, UTC),
        author=history.author,
        source=Source(
            name=source.name,
            references=source.references,
            security=source.security,
            path=[*source.path, history],
            timestamp=source.timestamp,
            settings=source.settings,
        ),
        entity=insert.entity.child,
        action=history.action,
        flags=BinaryFlags(),
    )
