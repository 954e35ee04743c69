"""Whatever decodes is published, dropped or explained; nothing else can happen, and what is stored can be read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from dispatcher_sdk.models import ACTIONS, LABELS, MODELS, BinaryEvent, DownloadEvent, decode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.strategies import CAREFUL, events

Make = Callable[..., Any]


def _plausible(event: Any, action: str, name: str, label: str) -> Any:
    """Random events are never valid; make many of them nearly so."""
    event.author.name = name
    entity = getattr(event, "entity", None)
    for inner in (event, getattr(entity, "input", None), *(getattr(entity, "results", None) or [])):
        if hasattr(inner, "source") and hasattr(inner.source, "path"):
            inner.author.name = inner.source.name = name
            inner.action = "requested" if isinstance(inner, DownloadEvent) else action
            if isinstance(inner, BinaryEvent):
                inner.dequeued = "token.1"
            for node in inner.source.path:
                node.action, node.author.name, node.sha256 = action, name, "a"
            for stream in getattr(inner.entity, "datastreams", ()):
                stream.label = label
    return event


def nearly_valid(model: str) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["samples", "a.b", "..", "", "x y"])
    return st.builds(_plausible, events(model), st.sampled_from(ACTIONS), names, st.sampled_from(sorted(LABELS)))


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_event_is_accounted_for(model: str, make_bench: Make) -> None:
    async def publish(some: list[Any]) -> None:
        bench = make_bench(sources="sources: {a.b: {expire_events_after: 1 days}, samples: }", message_max_bytes=4000)
        outcome = await bench.publish(*some, model=model, keep_ok=True)
        assert outcome.published + outcome.aged_off + outcome.deleted + len(outcome.failures) == len(some)
        assert len(outcome.ok) == outcome.published
        for failure in outcome.failures:
            assert failure.error
        for topic in bench.log.topics():
            for record in (await bench.log.read((topic, 0), 0, 1 << 20)).records:
                kind = "binary" if ".binary." in topic or topic.endswith(("expedite", "error")) else model
                decode(kind, record.value)

    @settings(CAREFUL, max_examples=40)
    @given(st.lists(nearly_valid(model), max_size=3))
    def check(some: list[Any]) -> None:
        asyncio.run(publish(some))

    check()
