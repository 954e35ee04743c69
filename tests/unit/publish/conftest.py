"""A whole publisher over the real memory log, and small valid events to feed it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from dispatcher_sdk.models import AnyEvent, decode

from dispatcher.eventlog.memory import MemoryLog
from dispatcher.eventlog.topics import TopicNames
from dispatcher.metrics import Metrics
from dispatcher.publish.children import Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.publisher import Publisher
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan

Make = Callable[..., Any]


class Bench:
    """One publisher with everything it works on in reach."""

    def __init__(self, *, sources: str = "", overrides: str = "", strict: bool = True, **options: Any) -> None:
        self.now = 1_700_000_000.0
        self.names = TopicNames("test01")
        self.sources = Sources.from_yaml(sources, strict=strict)
        self.plan = TopicPlan(self.names, self.sources, overrides=overrides)
        self.deletions, self.metrics = Deletions(), Metrics()
        self.inserts = options.pop("inserts", None) or Inserts()
        self.log = options.pop("log", None) or MemoryLog()
        self.copied: list[tuple[str, ...]] = []
        self.publisher = Publisher(
            log=self.log,
            names=self.names,
            plan=self.plan,
            sources=self.sources,
            deletions=self.deletions,
            inserts=self.inserts,
            copy_stream=options.pop("copy_stream", self._copy_stream),
            enrichers=options.pop("enrichers", ()),
            metrics=self.metrics,
            message_max_bytes=options.pop("message_max_bytes", 3 << 20),
            clock=lambda: self.now,
            **options,
        )

    async def _copy_stream(self, *address: str) -> None:
        self.copied.append(address)

    async def publish(self, *events: AnyEvent, model: str = "binary", **options: Any) -> Any:
        return await self.publisher.publish(model, events, **options)

    async def stored(self, topic: str) -> list[dict[str, Any]]:
        """Decoded JSON of everything in `azul.test01.<topic>`, in order of partition and offset."""
        name = self.names.unprefixed(topic)
        if name not in self.log.topics():
            return []
        chunk = await self.log.read((name, 0), 0, 1 << 30)
        return [json.loads(record.value) for record in chunk.records]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"dispatcher_{name}", labels) or 0.0


@pytest.fixture
def make_bench() -> Make:
    return Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _author(name: str = "unbox", version: str = "1.0", **more: str) -> dict[str, str]:
    return {"name": name, "version": version, "category": "plugin", **more}


def _node(letter: str, action: str = "extracted", **more: Any) -> dict[str, Any]:
    return {
        "author": _author(),
        "action": action,
        "sha256": letter * 64,
        "timestamp": "2023-11-01T10:20:30Z",
        **more,
    }


def _stream(letter: str, label: str = "content") -> dict[str, Any]:
    return {"label": label, "size": 5, "sha256": letter * 64, "mime": "text/plain", "magic": "text"}


@pytest.fixture
def author() -> Make:
    return _author


@pytest.fixture
def node() -> Make:
    return _node


@pytest.fixture
def stream() -> Make:
    return _stream


@pytest.fixture
def binary() -> Make:
    """binary(sha="b", path=None, source={}, entity={}, **top level)"""

    def make(sha: str = "b", *, path: Any = None, source: Any = None, entity: Any = None, **more: Any) -> Any:
        nodes = path if path is not None else [_node("a", "sourced"), _node(sha)]
        event = {
            "model_version": 6,
            "timestamp": "2023-11-01T10:20:31Z",
            "author": _author(),
            "action": "extracted",
            "source": {"name": "samples", "path": nodes, "timestamp": "2023-11-01T10:00:00Z", **(source or {})},
            "entity": {"sha256": sha * 64, "datastreams": [_stream(sha)], **(entity or {})},
            **more,
        }
        return decode("binary", json.dumps(event).encode())

    return make


@pytest.fixture
def event() -> Make:
    """event(model, **members): any model, decoded from its JSON."""

    def make(model: str, **members: Any) -> Any:
        base = {"model_version": 6, "timestamp": "2023-11-01T10:20:31Z", "author": _author()}
        return decode(model, json.dumps(base | members).encode())

    return make


@pytest.fixture
def status(event: Make, binary: Make) -> Make:
    """status(value, results=(), **entity members), of an input that was fetched."""

    def make(value: str = "completed", *, results: Any = (), given: Any = None, **entity: Any) -> Any:
        made = event("status", entity={"status": value, **entity})
        made.entity.input = given or binary("b", dequeued="key.unbox.1.0.1700000000")
        made.entity.results = list(results)
        return made

    return make


@pytest.fixture
def insert(event: Make) -> Make:
    """insert(parent, child): the child's bytes are in the source `other`."""

    def make(parent: str = "b", child: str = "e", *, history: Any = None, streams: Any = None, **more: Any) -> Any:
        return event(
            "insert",
            entity={
                "original_source": "other",
                "parent_sha256": parent * 64,
                "child": {"sha256": child * 64, "datastreams": streams or [_stream(child)]},
                "child_history": _node(child, author=_author("analyst"), **(history or {})),
            },
            **more,
        )

    return make


@pytest.fixture
def delete(event: Make) -> Make:
    """delete("link", track_link="...") and so on."""

    def make(action: str, **part: Any) -> Any:
        return event("delete", action=action, entity={"reason": "asked for", action: part})

    return make
