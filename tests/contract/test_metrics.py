"""Metrics are declared, documented and named as Prometheus wants it."""

import re
from pathlib import Path

import pytest

from streams.batches import Metrics
from streams.batches.core.metrics import Declared
from streams.readme import WITH_METRICS, ShownMetric, all_metrics
from tests.prometheus import promtool

ROOT = Path(__file__).parents[2]
METRICS = {metric.name: metric for metric in all_metrics()}
MAKES_METRIC = re.compile(r"^\w+ = (Counter|Gauge|Histogram|ScrapedGauge)\(", re.MULTILINE)


def test_every_module_that_makes_metrics_is_in_the_table() -> None:
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("connectors", "streams")
        for path in (ROOT / package).rglob("*.py")
        if MAKES_METRIC.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(WITH_METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_explains_itself(metric: ShownMetric) -> None:
    assert metric.name.startswith("cm_streams_")
    assert metric.help.endswith(".")
    own = set(re.split(r"\W+", metric.help.lower()))
    named = set(metric.name.split("_"))
    assert len(own - named) >= 8, "it repeats the name"
    assert not {"email", "address", "key", "user"} & set(metric.labels)


def exposition(metric: ShownMetric) -> str:
    """A scrape with one series of a metric."""
    kind = metric.kind
    labels = [f'{label}="x"' for label in metric.labels]
    head = f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {kind}\n"
    if kind != "histogram":
        return f"{head}{metric.name}{{{','.join(labels)}}} 1\n"
    infinite = 'le="+Inf"'
    series = f"{metric.name}_bucket{{{','.join([*labels, infinite])}}} 1\n"
    for end in ("sum", "count"):
        series += f"{metric.name}_{end}{{{','.join(labels)}}} 1\n"
    return head + series


def test_names_and_texts_pass_the_rules_of_promtool() -> None:
    assert promtool("check", "metrics", given="".join(map(exposition, METRICS.values()))) == ""


def test_what_is_not_declared_is_not_counted() -> None:
    metrics = Metrics([Declared("a_total", "counter", "", ("topic",))])
    metrics.count("a_total", topic="t")
    for name, labels in (("b_total", {"topic": "t"}), ("a_total", {}), ("a_total", {"topic": "t", "more": "x"})):
        with pytest.raises(ValueError, match="not declared"):
            metrics.count(name, **labels)
