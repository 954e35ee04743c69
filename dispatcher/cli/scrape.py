"""What /metrics says, as numbers that `watch` and `demo` can show."""

from dataclasses import dataclass, field

from dispatcher_sdk.models import COMPLETED
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class PluginNumbers:
    """Of one plugin since the server started."""

    handed_out: int = 0
    leased: int = 0
    """Handed out and not finished now."""
    again: int = 0
    """Handed out another time."""
    finished: dict[str, int] = field(default_factory=dict)
    """By final status."""

    @property
    def unfinished(self) -> int:
        """Handed out since the start and not finished yet."""
        return self.handed_out - self.again - self.ended

    @property
    def completed(self) -> int:
        return sum(self.finished.get(status, 0) for status in COMPLETED)

    @property
    def opted_out(self) -> int:
        return self.finished.get("opt-out", 0)

    @property
    def ended(self) -> int:
        return sum(self.finished.values())

    @property
    def failed(self) -> int:
        return self.ended - self.completed - self.opted_out


@dataclass
class Numbers:
    published: int = 0
    uploads: int = 0
    uploaded_bytes: int = 0
    dead_letters: int = 0
    plugins: dict[str, PluginNumbers] = field(default_factory=dict)

    def of(self, plugin: str) -> PluginNumbers:
        return self.plugins.setdefault(plugin, PluginNumbers())


def read(text: str) -> Numbers:
    """Numbers from a Prometheus text. Raises ValueError when it is none."""
    numbers = Numbers()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            _take(numbers, sample.name.removeprefix("dispatcher_"), sample.labels, int(sample.value))
    return numbers


def _take(numbers: Numbers, name: str, labels: dict[str, str], value: int) -> None:
    match name:
        case "events_published_total":
            numbers.published += value
        case "data_upload_requests_total":
            numbers.uploads += value
        case "data_uploaded_bytes_total":
            numbers.uploaded_bytes += value
        case "dead_letters_total":
            numbers.dead_letters += value
        case "events_fetched_total":
            numbers.of(labels["plugin"]).handed_out += value
        case "leases":
            numbers.of(labels["plugin"]).leased += value
        case "events_redelivered_total":
            numbers.of(labels["plugin"]).again += value
        case "events_finished_total":
            finished = numbers.of(labels["plugin"]).finished
            finished[labels["status"]] = finished.get(labels["status"], 0) + value
