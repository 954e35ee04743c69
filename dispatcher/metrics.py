"""Every Prometheus metric of the server, one registry per app (names: wire contract section 8)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

STAGE_SECONDS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 5, 10)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30, 60, 120, 300, 600, 1200, 1800, 2400)

PREFIX = "dispatcher_"
OTHER = "other"
NAMED_WITHOUT_TOTAL = (
    "events_status_published",
    "events_consume_pipelines_removed",
    "events_consume_pipelines_error",
    "events_produce_pipelines_removed",
    "events_produce_pipelines_error",
    "events_produce_pipelines_added",
    "restapi_response_codes",
    "identify_fail",
)
"""Counters of the original whose names lack the suffix that the client library adds; dashboards know them so."""
Readings = Mapping[tuple[str, ...], float]
"""Label values to number."""


class BoundedLabels:
    """Label values that clients choose: the first `limit` distinct ones stay themselves, later ones are `other`.

    Keeps what a hostile client can cost us to `limit` times the number of metrics that use the label.
    """

    def __init__(self, limit: int = 1000, longest: int = 100) -> None:
        self._limit = limit
        self._longest = longest
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """`value` itself, or `other` when it is new and the limit is reached, or longer than `longest` characters."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit or len(value) > self._longest:
            return OTHER
        self._seen.add(value)
        return value


class Metrics:
    """All metrics as attributes; `render()` gives the text for /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.plugins = BoundedLabels()
        """Plugin names as label values."""
        self._publishing()
        self._fetching()
        self._jobs()
        self._http()
        self._streams()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

    def _publishing(self) -> None:
        self.events_published = self._counter("events_published_total", "Events made durable", "plugin", "entity")
        self.status_published = self._counter("events_status_published", "Statuses made durable", "plugin", "status")
        self.produce_duration = self._histogram(
            "events_produce_duration", "Seconds per stage of a publish", STAGE_SECONDS, "stage"
        )
        self.produce_removed = self._counter(
            "events_produce_pipelines_removed", "Events that a produce step kept out of the log", "pipeline"
        )
        self.produce_added = self._counter(
            "events_produce_pipelines_added", "Events that a produce step added", "pipeline"
        )
        self.produce_error = self._counter("events_produce_pipelines_error", "Produce steps that failed", "pipeline")
        self.log_bytes = self._counter("log_appended_bytes_total", "Bytes of values appended to the log", "topic")
        self.log_errors = self._counter("log_append_errors_total", "Records that the log did not take", "topic")

    def _fetching(self) -> None:
        self.fetch_requests = self._counter("event_fetch_requests_total", "Fetch requests", "plugin", "entity")
        self.events_fetched = self._counter("events_fetched_total", "Events handed out", "plugin", "entity")
        self.events_filtered = self._counter("events_filtered_total", "Events filtered out", "plugin", "entity")
        self.consume_duration = self._histogram(
            "events_consume_duration", "Seconds per stage of a fetch", STAGE_SECONDS, "stage"
        )
        self.consume_removed = self._counter(
            "events_consume_pipelines_removed", "Events that a filter rejected", "pipeline"
        )
        self.consume_error = self._counter("events_consume_pipelines_error", "Filters that raised", "pipeline")
        self.log_read_bytes = self._counter("log_read_bytes_total", "Bytes of values read from the log", "reader")

    def _jobs(self) -> None:
        self.redelivered = self._counter("events_redelivered_total", "Events handed out again", "plugin")
        self.finished = self._counter("events_finished_total", "Events finished, by final status", "plugin", "status")
        self.dead_letters = self._counter("dead_letters_total", "Events given up on", "reason")
        self.dropped = self._counter(
            "events_dropped_total", "Events that left a cursor unseen, by permitted cause", "cause"
        )
        self.processing_seconds = self._histogram(
            "processing_time_seconds", "Seconds that plugins say they worked", JOB_SECONDS, "publisher"
        )

        self.notices_dropped = self._counter(
            "notices_dropped_total", "Notices that an observer did not get", "observer", "cause"
        )

    def _http(self) -> None:
        self.request_seconds = self._histogram(
            "restapi_time_seconds", "Seconds per request", REQUEST_SECONDS, "method", "path"
        )
        self.forwarded = self._counter(
            "forwarded_requests_total", "Requests that another dispatcher was asked to answer", "outcome"
        )
        self.response_codes = self._counter("restapi_response_codes", "Answers by status", "method", "path", "code")

    def _streams(self) -> None:
        self.exist_requests = self._counter("data_exist_requests_total", "HEAD requests for objects")
        self.upload_requests = self._counter("data_upload_requests_total", "Uploads")
        self.download_requests = self._counter("data_download_requests_total", "Downloads")
        self.delete_requests = self._counter("data_delete_requests_total", "Deletes")
        self.uploaded_bytes = self._counter("data_uploaded_bytes_total", "Bytes uploaded")
        self.downloaded_bytes = self._counter("data_downloaded_bytes_total", "Bytes downloaded")
        self.identify_fail = self._counter("identify_fail", "Files of unknown format", "mime", "magic")
        self.streams_duration = self._histogram(
            "streams_op_duration", "Seconds per store operation", REQUEST_SECONDS, "method", "result"
        )
        self.parser_failures = self._counter(
            "parser_failures_total",
            "Files that a native parser failed on; only that field is missing",
            "parser",
            "cause",
        )

    def gauges_from(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Readings]) -> None:
        """Gauges whose values are asked for when somebody scrapes: `read` gives label values to number."""
        self.registry.register(_Readings(PREFIX + name, text, labels, read))

    def render(self) -> bytes:
        """The text for /metrics."""
        text = generate_latest(_WithoutBirthdays(self.registry))
        for name in NAMED_WITHOUT_TOTAL:
            text = text.replace(f"{PREFIX}{name}_total".encode(), f"{PREFIX}{name}".encode())
        return text


class _Readings:
    """A collector that reads on demand."""

    def __init__(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Readings]) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._read = read

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family


class _WithoutBirthdays(CollectorRegistry):
    """The same metrics without the `_created` lines that double the text and that nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
