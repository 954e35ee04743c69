"""The hooks: plain functions, called once at start, that return typed objects.

Only the objects do work later, and theirs may be async; pluggy itself cannot await.
"""

from typing import Final

from pluggy import HookimplMarker, HookspecMarker

from dispatcher.hooks.types import Enrichers, Filters, HookContext, Observers, Stores

PROJECT: Final = "dispatcher"
ENTRY_POINTS: Final = "dispatcher.hooks"
"""Entry-point group that an installed hook package registers in."""

hookspec: Final = HookspecMarker(PROJECT)
hookimpl: Final = HookimplMarker(PROJECT)


@hookspec
def register_filters(context: HookContext) -> Filters:
    """Which subscriber gets which event: HeaderFilter and EventFilter objects, asked in this order."""
    raise NotImplementedError


@hookspec
def register_enrichers(context: HookContext) -> Enrichers:
    """Add to an event before it is published (EventEnricher) or to what an upload answers
    (UploadEnricher, WorkerEnricher)."""
    raise NotImplementedError


@hookspec
def register_stores(context: HookContext) -> Stores:
    """Places to keep bytes in: URL scheme to the async function that opens such a URL."""
    raise NotImplementedError


@hookspec
def register_observers(context: HookContext) -> Observers:
    """Told of events that are published, delivered, finished and dead-lettered."""
    raise NotImplementedError


HOOKS: Final = (register_filters, register_enrichers, register_stores, register_observers)
