"""Counts what was published. Adds up per call, as each touch of a metric costs a microsecond."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dispatcher_sdk.models import COMPLETED, MODEL_NAMES, STATUSES, AnyEvent, StatusEvent

from dispatcher.eventlog.base import Append
from dispatcher.metrics import OTHER, BoundedLabels, Metrics

LONGEST_JOB = 366 * 86_400.0
"""Seconds; a runtime above it is nonsense and would spoil the sum for ever."""


class Accounts:
    """The publishing metrics of one server."""

    def __init__(self, metrics: Metrics, labels: BoundedLabels) -> None:
        self._metrics = metrics
        self._label = labels
        self._appended = {False: metrics.log_errors, True: metrics.log_bytes}

    def durable(self, events: Iterable[AnyEvent]) -> None:
        """Client-sent events that are in the log."""
        for (author, model), count in Counter((e.author.name, MODEL_NAMES[type(e)]) for e in events).items():
            self._metrics.events_published.labels(self._label(author), model).inc(count)

    def status(self, event: StatusEvent) -> None:
        author, status = self._label(event.author.name), event.entity.status
        if event.author.category != "user":
            self._metrics.status_published.labels(author, status if status in STATUSES else OTHER).inc()
        if status in COMPLETED and 0 <= event.entity.runtime < LONGEST_JOB:
            self._metrics.processing_seconds.labels(author).observe(event.entity.runtime)

    def appended(self, items: Sequence[Append], problems: Sequence[Exception | None]) -> None:
        """What one call of the log took and did not take."""
        taken: Counter[str] = Counter()
        for item, problem in zip(items, problems, strict=True):
            if problem is None:
                taken[item.topic] += len(item.value or b"")
            else:
                self._metrics.log_errors.labels(item.topic).inc()
        for topic, size in taken.items():
            self._metrics.log_bytes.labels(topic).inc(size)

    def removed(self, step: str) -> None:
        self._metrics.produce_removed.labels(step).inc()

    def stage(self, name: str, seconds: float) -> None:
        self._metrics.produce_duration.labels(name).observe(seconds)
