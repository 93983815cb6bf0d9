"""A batch application's numbers, as Prometheus reads them."""

from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.batches import Metrics, Sample


class BatchCollector(Collector):
    """Hands the numbers of a `Metrics` registry to prometheus_client at each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return one family for each name."""
        series: dict[str, list[Sample]] = defaultdict(list)
        for sample in self._metrics.snapshot():
            series[sample.name].append(sample)
        return [family(samples) for samples in series.values()]


def family(samples: list[Sample]) -> Metric:
    """Return the samples of one name as a metric; every series gets every label, empty where it has none."""
    first = samples[0]
    labels = sorted({label for sample in samples for label in sample.labels})
    made: CounterMetricFamily | GaugeMetricFamily
    if first.kind == "counter":
        made = CounterMetricFamily(first.name.removesuffix("_total"), first.help, labels=labels)
    else:
        made = GaugeMetricFamily(first.name, first.help, labels=labels)
    for sample in samples:
        made.add_metric([sample.labels.get(label, "") for label in labels], sample.value)
    return made
