"""Counts what was published. Adds up per call, as each touch of a metric costs a microsecond."""

import time
from collections.abc import Callable, Iterable, Sequence

from dispatcher_sdk.models import COMPLETED, MODEL_NAMES, STATUSES, AnyEvent, StatusEvent
from prometheus_client import Counter, Histogram

from dispatcher.eventlog.base import Append
from dispatcher.hooks.header import Header, unpack
from dispatcher.hooks.types import Notice, Notify
from dispatcher.metrics import OTHER, BoundedLabels, Metrics

LONGEST_JOB = 366 * 86_400.0
"""Seconds; a runtime above it is nonsense and would spoil the sum for ever."""


class Accounts:
    """The publishing metrics of one server. Keeps what `labels` gives: looking it up costs as much as counting."""

    def __init__(
        self,
        metrics: Metrics,
        label: BoundedLabels,
        notify: Notify | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._notify = notify
        self._clock = clock
        self._metrics = metrics
        self._label = label
        self._published: dict[tuple[str, str], Counter] = {}
        self._bytes: dict[str, Counter] = {}
        self._stages: dict[str, Histogram] = {}

    def durable(self, events: Iterable[AnyEvent]) -> None:
        """Client-sent events that are in the log."""
        counts: dict[tuple[str, str], int] = {}
        for event in events:
            who = (event.author.name, MODEL_NAMES[type(event)])
            counts[who] = counts.get(who, 0) + 1
        for (author, model), count in counts.items():
            self._publisher(self._label(author), model).inc(count)

    def status(self, event: StatusEvent) -> None:
        author, status = self._label(event.author.name), event.entity.status
        if event.author.category != "user":
            self._metrics.status_published.labels(author, status if status in STATUSES else OTHER).inc()
        if status in COMPLETED and 0 <= event.entity.runtime < LONGEST_JOB:
            self._metrics.processing_seconds.labels(author).observe(event.entity.runtime)

    def appended(self, items: Sequence[Append], problems: Sequence[Exception | None]) -> None:
        """What one call of the log took and did not take."""
        taken: dict[str, int] = {}
        for item, problem in zip(items, problems, strict=True):
            if problem is None:
                taken[item.topic] = taken.get(item.topic, 0) + len(item.value or b"")
                if self._notify is not None and item.value is not None:
                    self._notify(self._notice(item))
            else:
                self._metrics.log_errors.labels(item.topic).inc()
        for topic, size in taken.items():
            self._topic(topic).inc(size)

    def _notice(self, item: Append) -> Notice:
        header = unpack(item.tag) if item.tag is not None else Header()
        return Notice(
            "published",
            self._clock(),
            item.topic,
            key=item.key.decode("utf-8", "replace"),
            source=header.source,
            author=header.author,
            status=header.status,
        )

    def removed(self, step: str) -> None:
        self._metrics.produce_removed.labels(step).inc()

    def stage(self, name: str, seconds: float) -> None:
        if name not in self._stages:
            self._stages[name] = self._metrics.produce_duration.labels(name)
        self._stages[name].observe(seconds)

    def _publisher(self, author: str, model: str) -> Counter:
        found = self._published.get((author, model))
        if found is None:
            found = self._published[author, model] = self._metrics.events_published.labels(author, model)
        return found

    def _topic(self, topic: str) -> Counter:
        found = self._bytes.get(topic)
        if found is None:
            found = self._bytes[topic] = self._metrics.log_bytes.labels(topic)
        return found
