"""The server's own objects come in through the hooks, wired to its live services."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from dispatcher_sdk.models import BinaryEvent, DeletedIds, DeleteEntity, DeleteEvent, Source

from dispatcher.errors import StartupError
from dispatcher.hooks import HookContext, Subscription
from dispatcher.hooks.builtin import BuiltinHooks
from dispatcher.hooks.header import Header, header_of
from dispatcher.hooks.manager import HookManager
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.sources import Sources

SOURCES = "sources: {web: {expire_events_after: 1 days}}"
READER = Subscription("reader", "1", "binary")


@dataclass
class View:
    decoded: BinaryEvent

    @property
    def header(self) -> Header:
        return header_of(self.decoded)

    def event(self):
        return self.decoded


def load(**services):
    manager = HookManager(HookContext(services=services), builtins=[BuiltinHooks()], entry_points=())
    manager.load()
    return manager


def test_filters_enrichers_and_stores():
    made = load(clock=lambda: 0.0, sources=Sources(), deletions=Deletions())
    assert [rule.name for rule in made.header_filters] == ["FilterTooDeep", "FilterSecurity", "FilterConsumerRules"]
    assert [rule.name for rule in made.event_filters] == [
        "PipelineAgeoff",
        "FilterConsumerRules",
        "FilterPreviouslyDeleted",
    ]
    assert "identify" in [item.name for item in made.worker_enrichers]
    assert set(made.stores) == {"file", "memory"}
    [package] = made.packages
    assert (package.name, package.error) == ("built-in", "")


async def test_age_follows_the_sources_document_and_the_clock():
    now = datetime(2026, 1, 3, tzinfo=UTC).timestamp()
    made = load(clock=lambda: now, sources=Sources.from_yaml(SOURCES), deletions=Deletions())
    ageoff = made.event_filters[0]
    old = datetime(2026, 1, 1, tzinfo=UTC)
    assert await ageoff.reject(View(BinaryEvent(source=Source(name="web", timestamp=old))), READER) == "ageoff"
    assert await ageoff.reject(View(BinaryEvent(source=Source(name="mail", timestamp=old))), READER) is None


async def test_deletions_count_from_the_moment_they_are_known():
    deletions = Deletions()
    rule = load(clock=lambda: 0.0, sources=Sources(), deletions=deletions).event_filters[-1]
    assert not rule.applies(READER)
    deletions.apply(DeleteEvent(action="ids", entity=DeleteEntity(ids=DeletedIds(ids=["k1"]))))
    assert rule.applies(READER)
    assert await rule.reject(View(BinaryEvent(kafka_key="k1")), READER) == "deleted"
    assert await rule.reject(View(BinaryEvent(kafka_key="k2")), READER) is None


def test_a_missing_service_stops_the_start():
    with pytest.raises(StartupError, match="no service 'deletions'"):
        load(clock=lambda: 0.0, sources=Sources())
