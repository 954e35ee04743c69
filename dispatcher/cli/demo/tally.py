"""Counting what plugins say of the files of one submission."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from dispatcher_sdk.models import COMPLETED, FINAL_STATUSES, AnyEvent, BinaryEvent, StatusEvent

from dispatcher.cli.text import printable


@dataclass
class Work:
    """Of one plugin."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Final statuses only."""
    features: int = 0
    children: int = 0

    @property
    def jobs(self) -> int:
        return self.statuses.total()

    @property
    def completed(self) -> int:
        return sum(self.statuses[status] for status in COMPLETED)

    @property
    def opted_out(self) -> int:
        return self.statuses["opt-out"]

    @property
    def failed(self) -> int:
        return self.jobs - self.completed - self.opted_out


class Tally:
    """Fed with events; takes those about files that came in at `when`, and each of them once."""

    def __init__(self, when: datetime) -> None:
        self._when = when
        self._seen: set[str] = set()
        self.plugins: dict[str, Work] = {}
        self.findings: deque[str] = deque(maxlen=5)
        """The latest features, one line each."""

    @property
    def jobs(self) -> int:
        return sum(work.jobs for work in self.plugins.values())

    def add(self, events: Iterable[AnyEvent]) -> None:
        for event in events:
            if event.kafka_key in self._seen:
                continue
            if isinstance(event, StatusEvent) and event.entity.status in FINAL_STATUSES:
                self._add_end(event)
            elif isinstance(event, BinaryEvent) and event.source.timestamp == self._when:
                self._add_result(event)

    def _add_end(self, status: StatusEvent) -> None:
        if status.entity.input.source.timestamp == self._when:
            self._work(status).statuses[status.entity.status] += 1

    def _add_result(self, result: BinaryEvent) -> None:
        work = self._work(result)
        work.children += result.action == "extracted"
        work.features += len(result.entity.features)
        place = next((node.filename for node in reversed(result.source.path) if node.filename), "")
        for feature in result.entity.features[:1]:
            self.findings.append(printable(f"{feature.name} {feature.value[:80]!r} in {place}"))

    def _work(self, event: AnyEvent) -> Work:
        self._seen.add(event.kafka_key)
        return self.plugins.setdefault(event.author.name, Work())
