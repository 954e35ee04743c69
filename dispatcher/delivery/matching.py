"""Which subscribers want a record: decided once per distinct header, then remembered.

Two headers that differ only in time, or in sizes that no subscriber's bounds tell apart, or in a depth beyond
every limit, have the same verdict. So the memo's key has size classes instead of sizes and a capped depth.
"""

import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from dispatcher.delivery.subscribers import Subscriber
from dispatcher.hooks.header import Header
from dispatcher.hooks.types import HeaderFilter, Subscription
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

DEPTH_CAP = 64
REMEMBERED = 50_000
MOST_ALIKE = 1_000
CONTENT = "content"

Key = tuple[object, ...]


class FilterRaised(Exception):
    """A header filter failed; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"filter {name} raised")
        self.name = name


class Verdict(NamedTuple):
    """For one distinct header: who takes it, who does not for which reason, and of whom nobody can say."""

    accepted: frozenset[Subscriber]
    rejected: Mapping[Subscriber, str]
    doubtful: frozenset[Subscriber] = frozenset()
    """A filter raised: it is asked again before the event is handed out."""


def rejection(filters: Sequence[HeaderFilter], header: Header, wanted: Subscription) -> str | None:
    """None when all filters let the event pass, else `<filter>-<reason>` of the first that does not.

    Raises FilterRaised.
    """
    for rule in filters:
        try:
            reason = rule.reject(header, wanted)
        except Exception as problem:
            raise FilterRaised(rule.name) from problem
        if reason is not None:
            return f"{rule.name}-{reason}"
    return None


class Memo:
    """Verdicts of all topics together, so that the number of topics does not multiply what is remembered.

    A matcher whose subscribers change takes a new number; what it remembered under the old one fades out.
    Equal verdicts are kept once.
    """

    def __init__(self, remember: int = REMEMBERED) -> None:
        self._remember = remember
        self._verdicts: OrderedDict[tuple[int, Key], Verdict] = OrderedDict()
        self._numbers = 0

    def new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, number: int, key: Key) -> Verdict | None:
        return self._verdicts.get((number, key))

    def put(self, number: int, key: Key, verdict: Verdict) -> None:
        self._verdicts[number, key] = verdict
        if len(self._verdicts) > self._remember:
            self._verdicts.popitem(last=False)


class Matcher:
    """The subscribers of one topic. Adding one or changing its filters forgets the verdicts."""

    def __init__(self, filters: Sequence[HeaderFilter], memo: Memo, metrics: Metrics) -> None:
        self._filters = filters
        self._memo = memo
        self._metrics = metrics
        self._subscribers: dict[str, Subscriber] = {}
        self._bounds: list[int] = []
        self._alike: dict[object, Verdict] = {}
        self._number = memo.new_number()
        self._reported: set[str] = set()

    @property
    def subscribers(self) -> Collection[Subscriber]:
        return self._subscribers.values()

    def add(self, subscriber: Subscriber) -> None:
        """Add it, or take over its new filters."""
        self._subscribers[subscriber.sid] = subscriber
        self._changed()

    def remove(self, subscriber: Subscriber) -> None:
        if self._subscribers.get(subscriber.sid) is subscriber:
            del self._subscribers[subscriber.sid]
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
        self._alike.clear()
        self._number = self._memo.new_number()

    def key(self, header: Header) -> Key:
        bounds = self._bounds
        streams = tuple(
            (label, file_format, bisect_right(bounds, size) if label == CONTENT else 0)
            for label, file_format, size in header.streams
        )
        depth = min(header.depth, DEPTH_CAP)
        return (header.source, header.action, header.author, header.security, header.status, depth, streams)

    def verdict(self, key: Key, header: Header) -> Verdict:
        """The verdict for a key made by `key()` and any header that has it."""
        known = self._memo.get(self._number, key)
        if known is None:
            known = self._judge(header)
            if not known.doubtful:
                if len(self._alike) >= MOST_ALIKE:
                    self._alike.clear()
                known = self._alike.setdefault((known.accepted, frozenset(known.rejected.items())), known)
                self._memo.put(self._number, key, known)
        return known

    def _judge(self, header: Header) -> Verdict:
        accepted: list[Subscriber] = []
        rejected: dict[Subscriber, str] = {}
        doubtful: list[Subscriber] = []
        for subscriber in self._subscribers.values():
            try:
                reason = rejection(self._filters, header, subscriber.wanted)
            except FilterRaised as problem:
                self._report(problem)
                doubtful.append(subscriber)
                continue
            if reason is None:
                accepted.append(subscriber)
            else:
                rejected[subscriber] = reason
        return Verdict(frozenset(accepted), rejected, frozenset(doubtful))

    def _report(self, problem: FilterRaised) -> None:
        self._metrics.consume_error.labels(problem.name).inc()
        if problem.name not in self._reported:  # once per topic: it may be every record
            self._reported.add(problem.name)
            log.error("header filter failed", exc_info=problem, extra={"action": "filter", "filter": problem.name})
