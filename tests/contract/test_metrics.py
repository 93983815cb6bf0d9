"""Metrics are declared, documented and named as Prometheus wants it."""

import json
import re
from pathlib import Path

import pytest
import yaml

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


PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
RULES = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
OF_PROMETHEUS = {"job", "instance", "le"}


def queries() -> list[tuple[str, str]]:
    """(place, expression) of every alert and every panel."""
    found = [(rule["alert"], rule["expr"]) for rule in RULES]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            found += [(f"{path.name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def shown(name: str) -> ShownMetric | None:
    """The metric of a series: a histogram has three series."""
    return METRICS.get(name) or METRICS.get(re.sub(r"_(bucket|sum|count)$", "", name))


@pytest.mark.parametrize(("place", "query"), queries(), ids=[place for place, _query in queries()])
def test_a_query_asks_for_metrics_and_labels_that_there_are(place: str, query: str) -> None:
    names = re.findall(r"cm_streams_\w+", query)
    assert [name for name in names if shown(name) is None] == []
    labels = {label for name in names if (metric := shown(name)) is not None for label in metric.labels}
    asked = set(re.findall(r"[{,]\s*(\w+)\s*=~?\"", query))
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        asked |= set(re.split(r",\s*", group))
    assert asked - labels - OF_PROMETHEUS == set()


def test_every_metric_is_in_a_dashboard_or_is_for_details_only() -> None:
    asked = {
        metric.name
        for _place, query in queries()
        for name in re.findall(r"cm_streams_\w+", query)
        if (metric := shown(name))
    }
    assert METRICS.keys() - asked == DETAILS


DETAILS = {
    "cm_streams_batches_processed_total",
    "cm_streams_import_odd_dates_total",
    "cm_streams_import_pages_asked_ahead_total",
    "cm_streams_import_pages_in_flight",
    "cm_streams_import_publish_seconds",
    "cm_streams_import_repeats_total",
    "cm_streams_import_restarts_total",
    "cm_streams_import_runs_total",
    "cm_streams_webhook_gaps_total",
}


def test_rules_are_valid_and_each_alert_fires_and_clears() -> None:
    promtool("check", "rules", str(PROMETHEUS / "rules.yaml"))
    promtool("test", "rules", str(PROMETHEUS / "tests.yaml"))
    tests = yaml.safe_load((PROMETHEUS / "tests.yaml").read_text(encoding="utf-8"))["tests"]
    assert [test["name"] for test in tests] == [rule["alert"] for rule in RULES]
    for test in tests:
        assert [bool(look["exp_alerts"]) for look in test["alert_rule_test"]] == [False, True, False], test["name"]


def test_every_alert_has_a_section_in_the_runbook_that_it_links_to() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(
        zip(
            re.findall(r"^## (\w+)$", text, re.MULTILINE),
            re.split(r"^## \w+$", text, flags=re.MULTILINE)[1:],
            strict=True,
        )
    )
    assert list(sections) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert re.findall(r"^\*\*(\w+)\.\*\*", sections[rule["alert"]], re.MULTILINE) == ["Meaning", "Check", "Cure"]


def test_every_alert_is_seen_to_fire_and_to_clear_by_a_fault_on_the_running_system() -> None:
    seen: dict[str, set[str]] = {"firing": set(), "clear": set()}
    for path in (ROOT / "tests" / "faults" / "operations").glob("test_alerts*.py"):
        for function in path.read_text(encoding="utf-8").split("\ndef ")[1:]:
            together = "".join(re.findall(r"names = [(\[]([^)\]]*)", function))
            for what, named in re.findall(r"\.await_(firing|clear)\(([^)]*)", function):
                seen[what] |= set(re.findall(r'"(CmStreams\w+)"', named.replace("*names", together)))
    wanted = {rule["alert"] for rule in RULES} - NOT_BROKEN_YET
    assert seen["firing"] == wanted
    assert wanted <= seen["clear"]


NOT_BROKEN_YET = {
    "CmStreamsRestoreSlow",
}
"""Alerts that only made-up series have let fire so far."""


def test_a_dashboard_asks_the_data_source_that_is_chosen() -> None:
    assert {path.stem for path in DASHBOARDS} == {"overview", "export", "import", "profiles", "kafka"}
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == f"cm-streams-{path.stem}"
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
