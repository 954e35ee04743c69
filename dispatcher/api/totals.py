"""Adds up what became of a body that was published in several goes, within bounds."""

from collections.abc import Iterable
from typing import Final

from dispatcher_sdk.models import AnyEvent, FailedEvent, problem

from dispatcher.publish.outcome import UNAVAILABLE, Outcome, failed

MOST_LISTED: Final = 10_000
"""Failures that a reply names; more are only counted."""
ECHO_BYTES: Final = 2 * 1024 * 1024
"""Characters of failed events that a reply sends back in full; after them each has SHORT_ECHO."""
SHORT_ECHO: Final = 200


class Totals:
    """The outcome of one request. Every event is counted; what is echoed of those that failed is bounded, as all of
    a large body may fail."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._room = ECHO_BYTES

    def add(self, part: Outcome) -> None:
        total = self.outcome
        total.parsed += part.parsed
        total.published += part.published
        total.aged_off += part.aged_off
        total.deleted += part.deleted
        total.refused += part.refused
        total.unlisted += part.unlisted
        total.ok += part.ok
        for failure in part.failures:
            self._fail(failure)

    def log_gone(self, events: Iterable[AnyEvent]) -> None:
        """Events that were not even tried, because the log had failed before their turn."""
        for event in events:
            wrong = problem(event)
            self.outcome.parsed += wrong is None
            self._fail(failed(event, wrong or UNAVAILABLE))

    def _fail(self, failure: FailedEvent) -> None:
        if len(self.outcome.failures) >= MOST_LISTED:
            self.outcome.unlisted += 1
            return
        self._room -= len(failure.event)
        event = failure.event if self._room >= 0 else failure.event[:SHORT_ECHO]
        self.outcome.failures.append(FailedEvent(event, failure.error))
