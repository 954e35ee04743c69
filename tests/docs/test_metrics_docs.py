"""Every metric is documented with its type, labels and meaning."""

from pathlib import Path

import pytest
from prometheus_client import Metric

from dispatcher.metrics import NAMED_WITHOUT_TOTAL, PREFIX, Metrics
from dispatcher.testing import LocalDispatcher

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()


def exported() -> list[Metric]:
    return list(Metrics().registry.collect())


def row(metric: Metric) -> str:
    suffix = (
        "_total" if metric.type == "counter" and metric.name.removeprefix(PREFIX) not in NAMED_WITHOUT_TOTAL else ""
    )
    return f"| `{metric.name}{suffix}` | {metric.type} |"


def labels() -> dict[str, tuple[str, ...]]:
    """Label names of each metric: they are not exported before a value exists."""
    metrics = (value for value in vars(Metrics()).values() if hasattr(value, "_labelnames"))
    return {metric._name: metric._labelnames for metric in metrics}


@pytest.mark.parametrize("metric", exported(), ids=lambda metric: metric.name)
def test_the_page_has_this_metric(metric: Metric) -> None:
    names = ", ".join(labels()[metric.name])
    line = f"{row(metric)} {names or 'none'} | {metric.documentation} |"
    assert line in PAGE, f"put this into docs/reference/metrics.md:\n{line}"


async def test_what_a_running_server_exports_is_on_the_page_under_that_name(
    local_dispatcher: LocalDispatcher,
) -> None:
    """Gauges that are read on demand exist only in a server; names are those that a scraper sees."""
    text = local_dispatcher.app.metrics.render().decode()
    kinds = [line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE")]
    missing = [name for name, kind in kinds if f"| `{name}` | {kind} |" not in PAGE]
    assert not missing
    assert ["dispatcher_restapi_response_codes", "counter"] in kinds
    assert "_created" not in text
