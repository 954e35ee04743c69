"""Filters that look at the event itself, the clock or what was deleted. They run when an event is about to
be handed out, and only where `applies` says so."""

from collections.abc import Callable
from functools import lru_cache

import msgspec
from dispatcher_sdk.models import AnyEvent

from dispatcher.delivery.gjson import MISSING, Meter, parse_path
from dispatcher.hooks.types import EventView, Subscription


class PipelineAgeoff:
    """Keeps back what its source lets expire: `source.timestamp` plus the expiry is over.

    expiry_seconds(source) is None for sources that never expire; now() is in Unix seconds.
    """

    name = "PipelineAgeoff"

    def __init__(self, expiry_seconds: Callable[[str], float | None], now: Callable[[], float]) -> None:
        self._expiry_seconds = expiry_seconds
        self._now = now

    def applies(self, subscription: Subscription) -> bool:
        return subscription.model in ("binary", "status")

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        header = view.header
        expiry = self._expiry_seconds(header.source)
        if expiry is None or header.source_time / 1_000_000 + expiry >= self._now():
            return None
        return "ageoff"


class FilterPreviouslyDeleted:
    """Keeps back what somebody has deleted; costs nothing while nothing is.

    empty() is True while there are no deletions at all; purges(event) says whether one of them meets it.
    """

    name = "FilterPreviouslyDeleted"

    def __init__(self, purges: Callable[[AnyEvent], bool], empty: Callable[[], bool]) -> None:
        self._purges = purges
        self._empty = empty

    def applies(self, subscription: Subscription) -> bool:
        return not self._empty()

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        return "deleted" if self._purges(view.event()) else None


class GjsonFilter:
    """Keeps an event when every path of the subscriber leads to something that is not false, null or an empty
    array. It has the name of the rules that clients know it by: `FilterConsumerRules-reject_filter`.

    Paths were checked when the subscriber asked; a bad one raises PathError, too much work TooMuchWork.
    """

    name = "FilterConsumerRules"

    def __init__(self) -> None:
        self._parsed = lru_cache(maxsize=1024)(parse_path)
        self._decode = msgspec.json.Decoder(float_hook=float).decode  # 1e400 is valid JSON, and infinite

    def applies(self, subscription: Subscription) -> bool:
        return bool(subscription.gjson)

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        value = self._decode(view.value)
        meter = Meter()
        for text in subscription.gjson:
            found = self._parsed(text).find(value, meter)
            if found is MISSING or found is None or found is False or found == []:
                return "reject_filter"
        return None
