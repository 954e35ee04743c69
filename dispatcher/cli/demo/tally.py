"""Counting what plugins say of the files of one submission."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from dispatcher_sdk.models import COMPLETED, FINAL_STATUSES, BinaryEvent, StatusEvent

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
    """Fed with status events; takes those about files that came in at `when`, and each of them once."""

    def __init__(self, when: datetime) -> None:
        self._when = when
        self._seen: set[str] = set()
        self.plugins: dict[str, Work] = {}
        self.findings: deque[str] = deque(maxlen=5)
        """The latest features, one line each."""

    @property
    def jobs(self) -> int:
        return sum(work.jobs for work in self.plugins.values())

    def add(self, statuses: Iterable[StatusEvent]) -> None:
        for status in statuses:
            if status.entity.status in FINAL_STATUSES and self._is_ours(status):
                self._seen.add(status.kafka_key)
                self._add(status)

    def _is_ours(self, status: StatusEvent) -> bool:
        return status.entity.input.source.timestamp == self._when and status.kafka_key not in self._seen

    def _add(self, status: StatusEvent) -> None:
        work = self.plugins.setdefault(status.author.name, Work())
        work.statuses[status.entity.status] += 1
        for result in status.entity.results:
            work.children += result.action == "extracted"
            work.features += len(result.entity.features)
            self._remember(result)

    def _remember(self, result: BinaryEvent) -> None:
        filename = next((node.filename for node in reversed(result.source.path) if node.filename), "")
        for feature in result.entity.features[:1]:
            place = filename or result.entity.sha256[:12]
            self.findings.append(printable(f"{feature.name} {feature.value[:80]!r} in {place}"))
