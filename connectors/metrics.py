"""Gauges whose numbers are read when somebody asks for them, and what every process shows of itself."""

import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Literal

from prometheus_client import REGISTRY, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

ScrapedValues = Iterable[tuple[tuple[str, ...], float]]
"""(label values, number) of each series; numbers of one series are added up, or the largest counts."""


class ScrapedGauge(Collector):
    """A gauge that asks its readers at each scrape, so that no series outlives what it is about."""

    _type = "gauge"

    def __init__(
        self, name: str, documentation: str, labels: tuple[str, ...] = (), *, unite: Literal["sum", "max"] = "sum"
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labelnames = labels
        self._unite = sum if unite == "sum" else max
        self._readers: list[Callable[[], ScrapedValues]] = []
        REGISTRY.register(self)

    @contextmanager
    def of(self, read: Callable[[], ScrapedValues]) -> Iterator[None]:
        """Show what `read` returns, within this context."""
        self.add(read)
        try:
            yield
        finally:
            self.remove(read)

    def add(self, read: Callable[[], ScrapedValues]) -> None:
        """Show what `read` returns from now on."""
        self._readers.append(read)

    def remove(self, read: Callable[[], ScrapedValues]) -> None:
        """Show it no more; nothing happens when it is not shown."""
        if read in self._readers:
            self._readers.remove(read)

    def describe(self) -> Iterable[Metric]:
        """Return the metric without numbers: what the registry compares names with."""
        return [GaugeMetricFamily(self._name, self._documentation, labels=self._labelnames)]

    def collect(self) -> Iterable[Metric]:
        """Return the metric with the numbers of this moment."""
        found: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for read in self._readers:
            for labels, value in read():
                found[labels].append(value)
        metric = GaugeMetricFamily(self._name, self._documentation, labels=self._labelnames)
        for labels, values in found.items():
            metric.add_metric(labels, self._unite(values))
        return [metric]


BUILD = Gauge(
    "cm_streams_build_info",
    "1, with the process's name, the release and the version of Python. Two releases at a time for longer than a "
    "roll-out: one was forgotten.",
    ["process", "version", "python"],
)


def name_process(process: str) -> None:
    """Show which process this is."""
    BUILD.clear()
    BUILD.labels(process, version("cm-streams"), platform.python_version()).set(1)
