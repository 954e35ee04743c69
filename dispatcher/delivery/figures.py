"""What an operator can see of delivery: read from the state when somebody scrapes, kept nowhere."""

from collections.abc import Callable, Iterable

from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.metrics import Metrics, Readings


def export(scheduler: Scheduler, metrics: Metrics) -> None:
    """Register the gauges."""

    def by_plugin(read: Callable[[Subscriber], float]) -> Callable[[], Readings]:
        def summed() -> Readings:
            sums: dict[tuple[str, ...], float] = {}
            for subscriber in _all(scheduler):
                label = (metrics.plugins(subscriber.wanted.name),)
                sums[label] = sums.get(label, 0.0) + read(subscriber)
            return sums

        return summed

    def not_ready() -> Readings:
        return {
            (metrics.plugins(s.wanted.name), metrics.plugins(s.wanted.version)): float(any(s.missing_lanes()))
            for s in _all(scheduler)
            if not s.idle
        }

    metrics.gauges_from(
        "leases",
        "Events handed out and not finished",
        ["plugin"],
        by_plugin(lambda subscriber: subscriber.lease_count() if subscriber.leases else 0),
    )
    metrics.gauges_from(
        "backlog",
        "Events not yet looked at or waiting for a plugin; those that its filters will reject included",
        ["plugin"],
        by_plugin(lambda subscriber: backlog(scheduler, subscriber)),
    )
    metrics.gauges_from(
        "events_consume_not_ready",
        "1 while a subscriber has no topic to read",
        ["plugin", "version"],
        not_ready,
    )


def backlog(scheduler: Scheduler, subscriber: Subscriber) -> int:
    """Offsets between what this subscriber has seen and the end of the log, as far as this process knows it."""
    waiting = 0
    for partition, cursor in subscriber.cursors.items():
        waiting += len(cursor.spans) + len(cursor.ready)
        if cursor.open_from is not None:
            waiting += max(scheduler.end_of(partition) - cursor.open_from, 0)
    return waiting


def _all(scheduler: Scheduler) -> Iterable[Subscriber]:
    return list(scheduler.roster.subscribers.values())
