import pytest

from dispatcher.cli.scrape import read
from dispatcher.metrics import Metrics


def test_what_the_server_counts_is_what_watch_reads() -> None:
    metrics = Metrics()
    metrics.events_published.labels("dispatcher-submit", "binary").inc(3)
    metrics.events_published.labels("url-finder", "status").inc(2)
    metrics.upload_requests.inc(4)
    metrics.uploaded_bytes.inc(1000)
    metrics.dead_letters.labels("attempts").inc()
    metrics.events_fetched.labels("url-finder", "binary").inc(9)
    metrics.gauges_from("leases", "-", ["plugin"], lambda: {("url-finder",): 2.0})
    metrics.redelivered.labels("url-finder").inc()
    for status in ("completed", "completed-empty", "opt-out", "error-timeout", "error-runner"):
        metrics.finished.labels("url-finder", status).inc()
    numbers = read(metrics.render().decode())
    assert (numbers.published, numbers.uploads, numbers.uploaded_bytes, numbers.dead_letters) == (5, 4, 1000, 1)
    plugin = numbers.plugins["url-finder"]
    assert (plugin.handed_out, plugin.leased, plugin.again) == (9, 2, 1)
    assert plugin.unfinished == 9 - 1 - 5
    assert (plugin.completed, plugin.opted_out, plugin.failed, plugin.ended) == (2, 1, 2, 5)


def test_what_is_no_metrics_text_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".*"):
        read("<html>hello</html>")
