"""Which subscribers want a record: decided once per distinct header, then remembered.

Two headers that differ only in time, or in sizes that no subscriber's bounds tell apart, or in a depth beyond
every limit, have the same verdict. So the memo's key has size classes instead of sizes and a capped depth.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatcher.delivery.rules import first_rejection
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.hooks.header import Header
from dispatcher.hooks.types import HeaderFilter

DEPTH_CAP = 64
REMEMBERED = 20_000
CONTENT = "content"


class Verdict(NamedTuple):
    """For one distinct header: who takes it, and who does not for which reason."""

    accepted: frozenset[Subscriber]
    rejected: Mapping[Subscriber, str]


class Matcher:
    """The memo of one topic. Adding a subscriber or changing its filters forgets the verdicts."""

    def __init__(self, filters: Sequence[HeaderFilter]) -> None:
        self._filters = filters
        self._subscribers: dict[str, Subscriber] = {}
        self._bounds: list[int] = []
        self._verdicts: OrderedDict[tuple[object, ...], Verdict] = OrderedDict()

    def add(self, subscriber: Subscriber) -> None:
        """Add it, or take over its new filters."""
        self._subscribers[subscriber.sid] = subscriber
        self._changed()

    def remove(self, subscriber: Subscriber) -> None:
        if self._subscribers.pop(subscriber.sid, None) is not None:
            self._changed()

    def __len__(self) -> int:
        return len(self._subscribers)

    def _changed(self) -> None:
        edges: set[int] = set()
        for subscriber in self._subscribers.values():
            wanted = subscriber.wanted
            if wanted.under_size > 0:
                edges.add(wanted.under_size + 1)
            if wanted.over_size > 0:
                edges.add(wanted.over_size)
        self._bounds = sorted(edges)
        self._verdicts.clear()

    def key(self, header: Header) -> tuple[object, ...]:
        bounds = self._bounds
        streams = tuple(
            (label, file_format, bisect_right(bounds, size) if label == CONTENT else 0)
            for label, file_format, size in header.streams
        )
        return (header.source, header.action, header.author, header.security, min(header.depth, DEPTH_CAP), streams)

    def verdict(self, key: tuple[object, ...], header: Header) -> Verdict:
        """The verdict for a key made by `key()` and any header that has it."""
        known = self._verdicts.get(key)
        if known is None:
            known = self._judge(header)
            self._verdicts[key] = known
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        return known

    def _judge(self, header: Header) -> Verdict:
        accepted: list[Subscriber] = []
        rejected: dict[Subscriber, str] = {}
        for subscriber in self._subscribers.values():
            reason = first_rejection(self._filters, header, subscriber.wanted)
            if reason is None:
                accepted.append(subscriber)
            else:
                rejected[subscriber] = reason
        return Verdict(frozenset(accepted), rejected)
