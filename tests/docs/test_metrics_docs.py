"""Every metric is documented with its type, labels and meaning."""

from pathlib import Path

import pytest
from prometheus_client import Metric

from dispatcher.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()


def exported() -> list[Metric]:
    return list(Metrics().registry.collect())


def row(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return f"| `{name}` | {metric.type} |"


def labels() -> dict[str, tuple[str, ...]]:
    """Label names of each metric: they are not exported before a value exists."""
    metrics = (value for value in vars(Metrics()).values() if hasattr(value, "_labelnames"))
    return {metric._name: metric._labelnames for metric in metrics}


@pytest.mark.parametrize("metric", exported(), ids=lambda metric: metric.name)
def test_the_page_has_this_metric(metric: Metric) -> None:
    names = ", ".join(labels()[metric.name])
    line = f"{row(metric)} {names or 'none'} | {metric.documentation} |"
    assert line in PAGE, f"put this into docs/reference/metrics.md:\n{line}"
