"""Runs event enrichers so that a broken one costs only its own addition."""

import logging
from collections.abc import Sequence

import msgspec
from dispatcher_sdk.models import MODEL_NAMES, AnyEvent, decode, problem

from dispatcher.hooks.types import EventEnricher
from dispatcher.metrics import Metrics

_log = logging.getLogger(__name__)
_dump = msgspec.json.Encoder().encode


class Enrichment:
    """All event enrichers, in the order in which they were registered."""

    def __init__(self, enrichers: Sequence[EventEnricher], metrics: Metrics) -> None:
        self._enrichers = tuple(enrichers)
        self._metrics = metrics

    @property
    def empty(self) -> bool:
        return not self._enrichers

    async def run(self, event: AnyEvent) -> AnyEvent:
        """The event with all additions. Of an enricher that raises, or leaves an invalid event, nothing stays."""
        model = MODEL_NAMES[type(event)]
        before = _dump(event)
        for enricher in self._enrichers:
            try:
                await enricher.enrich(event)
                after = _dump(event)
                event = _checked(model, after)
                before = after
            except Exception as fault:
                self._metrics.produce_error.labels(enricher.name).inc()
                _log.warning(
                    "enricher %s failed on a %s event: %r", enricher.name, model, fault, extra={"action": "enrich"}
                )
                event = decode(model, before)
        return event


def _checked(model: str, data: bytes) -> AnyEvent:
    """Structs take any value of any type: only decoding again shows that the event can be read by others."""
    event = decode(model, data)
    wrong = problem(event)
    if wrong:
        raise ValueError(wrong)
    return event
