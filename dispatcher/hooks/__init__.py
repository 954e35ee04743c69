"""What the author of a hook package imports; docs/reference/hooks.md explains each name."""

from dispatcher.hooks.header import Header, StreamHeader
from dispatcher.hooks.match_rule import MatchRule
from dispatcher.hooks.specs import hookimpl
from dispatcher.hooks.types import (
    EventEnricher,
    EventFilter,
    EventView,
    HeaderFilter,
    HookContext,
    Notice,
    ObjectStore,
    Observer,
    StoredInfo,
    StoreFactory,
    StreamId,
    Subscription,
    Upload,
    UploadEnricher,
    WorkerEnricher,
)

__all__ = [
    "EventEnricher",
    "EventFilter",
    "EventView",
    "Header",
    "HeaderFilter",
    "HookContext",
    "MatchRule",
    "Notice",
    "ObjectStore",
    "Observer",
    "StoreFactory",
    "StoredInfo",
    "StreamHeader",
    "StreamId",
    "Subscription",
    "Upload",
    "UploadEnricher",
    "WorkerEnricher",
    "hookimpl",
]
