"""The server's own filters, enrichers and stores: they come in by the door that everybody uses."""

from typing import Any, Protocol

from dispatcher_sdk.models import AnyEvent

from dispatcher.delivery.event_filters import FilterPreviouslyDeleted, GjsonFilter, PipelineAgeoff
from dispatcher.delivery.rules import FilterConsumerRules, FilterSecurity, FilterTooDeep
from dispatcher.errors import StartupError
from dispatcher.hooks.specs import hookimpl
from dispatcher.hooks.types import Enrichers, Filters, HookContext, Stores
from dispatcher.streams.identify import builtin_enrichers
from dispatcher.streams.store import open_local, open_memory


class Clock(Protocol):
    """services["clock"]."""

    def __call__(self) -> float:
        """Unix seconds."""
        ...


class Expiries(Protocol):
    """services["sources"]."""

    def expiry_seconds(self, name: str) -> float | None:
        """How long events of this source live; None = for ever."""
        ...


class Deletions(Protocol):
    """services["deletions"]."""

    @property
    def empty(self) -> bool:
        """True while nothing at all is deleted."""
        ...

    def purges(self, event: AnyEvent) -> bool:
        """Does a deletion meet this event?"""
        ...


class BuiltinHooks:
    """Needs the services clock, sources and deletions. Filters are in the order of wire contract 4.2."""

    name = "built-in"

    @hookimpl
    def register_filters(self, context: HookContext) -> Filters:
        clock: Clock = _service(context, "clock")
        sources: Expiries = _service(context, "sources")
        deletions: Deletions = _service(context, "deletions")
        return [
            FilterTooDeep(),
            FilterSecurity(),
            FilterConsumerRules(),
            PipelineAgeoff(sources.expiry_seconds, clock),
            GjsonFilter(),
            FilterPreviouslyDeleted(deletions.purges, lambda: deletions.empty),
        ]

    @hookimpl
    def register_enrichers(self) -> Enrichers:
        return builtin_enrichers()

    @hookimpl
    def register_stores(self) -> Stores:
        return {"file": open_local, "memory": open_memory}


def _service(context: HookContext, name: str) -> Any:
    try:
        return context.services[name]
    except KeyError:
        raise StartupError(f"the server has no service {name!r} for its own filters") from None
