"""What every process does beside its work: a start that waits or refuses, health, and metrics for Prometheus."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import structlog
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors import logs
from connectors.control.crypto import SealError
from connectors.kafka.admin import (
    CONFIGURATION_ERROR,
    BrokersUnreachableError,
    TopicsRefusedError,
    ensure_topics,
)
from connectors.kafka.broker_check import check_brokers
from connectors.kafka.client_config import NoBrokerError
from connectors.kafka.settings import KafkaSettings
from connectors.metrics import ScrapedGauge, ScrapedValues, name_process
from connectors.process import CannotListenError, HealthServer
from streams.batches import CannotListen, Metrics, Sample

if TYPE_CHECKING:
    from streams.batches import BatchApp

log = structlog.get_logger(__name__)


class StreamsSettings(BaseSettings):
    """Where a process keeps its state and how it reports. Environment prefix `STREAMS_`.

    A value of the environment goes before one of the file `.env`; unknown names are ignored, as the file has others'.
    """

    model_config = SettingsConfigDict(env_prefix="STREAMS_", env_file=".env", extra="ignore")

    data_dir: Path = Field(
        default=Path(".data"),
        description="Local state: table stores, the embedded broker's log, log files. One per host.",
    )
    log_format: Literal["json", "console"] = Field(default="console", description="Form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_addresses: bool = Field(
        default=False, description="Log e-mail addresses as they are; otherwise each becomes `(address)`."
    )
    health_host: str = Field(default="127.0.0.1", description="Address that /live, /ready and /metrics listen on.")
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /live, /ready and /metrics; 0 = a free one."
    )
    on_lost_records: Literal["halt", "continue"] = Field(
        default="halt",
        description="What a worker does when retention removed records that it had not read: end with code 78, or go "
        "on without them, counted.",
    )
    ready_lag_seconds: float = Field(
        default=0,
        ge=0,
        description="A worker is not ready while the oldest record that it could read is older; 0 = never mind.",
    )
    ready_disk_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="A worker is not ready while less than this share of the disk of STREAMS_DATA_DIR is free.",
    )


def start_process(process: str, *, log_level: str | None = None) -> StreamsSettings:
    """Return the settings of this process, once its log lines have their form and carry the process's name.

    `log_level` replaces the configured level: commands that answer on standard output log warnings only.

    Raises:
        ValidationError: a setting is wrong; the console script turns it into a sentence that names it.
    """
    settings = StreamsSettings()
    logs.configure(
        settings.log_format, log_level or settings.log_level, process=process, addresses=settings.log_addresses
    )
    name_process(process)
    return settings


BROKER_RETRY_SECONDS = (0.2, 2.0)
"""Between two attempts to reach the brokers at the start: while they start as well, and later."""
BROKERS_START_SECONDS = 20.0


@contextlib.contextmanager
def refused_with_a_sentence() -> Iterator[None]:
    """Turn a start that settings or topics forbid into one sentence and exit code 78 (EX_CONFIG).

    The code lets a supervisor know that a restart cannot help before a person has changed something.
    """
    try:
        yield
    except (TopicsRefusedError, NoBrokerError, SealError, CannotListenError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(CONFIGURATION_ERROR)


@contextlib.contextmanager
def fatal_where_taken() -> Iterator[None]:
    """Let an address that cannot be listened on end a worker as its wrong topics do: one line, exit code 78."""
    try:
        yield
    except CannotListenError as refusal:
        raise CannotListen(str(refusal)) from None


def wait_for_topics(kafka: KafkaSettings, settings: StreamsSettings) -> None:
    """Return when the brokers answer and every topic is as it must be. Waits for brokers, with a warning each time.

    Meanwhile /live answers, and /ready with the reason.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        NoBrokerError: no broker is configured.
        CannotListenError: the health port is taken.
    """
    # A loop of its own: the process makes the one that it works in later.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_until_brokers_answer(kafka, settings))
    finally:
        loop.close()


def _check_topics(kafka: KafkaSettings) -> None:
    """Compare the topics where a broker answers; the comparison alone would wait half a minute for one."""
    check_brokers(kafka)
    ensure_topics(kafka)


async def _until_brokers_answer(kafka: KafkaSettings, settings: StreamsSettings) -> None:
    soon, later = BROKER_RETRY_SECONDS
    began = time.monotonic()
    async with HealthServer(host=settings.health_host, port=settings.health_port) as health:
        while True:
            try:
                await asyncio.to_thread(_check_topics, kafka)
                return
            except BrokersUnreachableError as failure:
                reason = str(failure)
            health.ready = lambda reason=reason: reason  # type: ignore[misc]
            log.warning("waiting for the brokers", reason=reason, health=health.port)
            await asyncio.sleep(soon if time.monotonic() - began < BROKERS_START_SECONDS else later)


FindProblem = Callable[[], str | None]
"""What else keeps a process from its work, in a sentence; None: nothing."""


def run_with_health(
    batch_app: "BatchApp",
    settings: StreamsSettings,
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    problem: FindProblem = lambda: None,
) -> NoReturn:
    """Run a worker as `BatchApp.run` does; /live, /ready and /metrics answer from before it reads a topic on."""
    REGISTRY.register(BatchCollector(batch_app.metrics))
    show_disk(settings.data_dir)
    health = HealthServer(
        lambda: "; ".join(worker_reasons(batch_app, settings, problem())) or None,
        host=settings.health_host,
        port=settings.health_port,
    )

    async def start_all() -> None:
        with fatal_where_taken():
            await health.__aenter__()
        log.info("health", url=f"http://{settings.health_host}:{health.port}")
        await start()

    async def stop_all() -> None:
        await stop()
        await health.__aexit__(None, None, None)

    batch_app.run(start=start_all, stop=stop_all)


def worker_reasons(batch_app: "BatchApp", settings: StreamsSettings, problem: str | None) -> list[str]:
    """Return why a worker is not ready: by its own view, by lag and disk, and by `problem`."""
    reasons = list(batch_app.health().reasons)
    lag = 0.0 if batch_app.watchdog is None else batch_app.watchdog.lag.seconds()
    budget = settings.ready_lag_seconds
    if budget and lag > budget:
        reasons.append(f"the oldest unread record is {lag:.0f} s old (STREAMS_READY_LAG_SECONDS is {budget:g})")
    disk = shutil.disk_usage(existing(settings.data_dir))
    if disk.free < settings.ready_disk_share * disk.total:
        left = f"{disk.free / disk.total:.1%} of the disk of {settings.data_dir} is free"
        reasons.append(f"{left} (STREAMS_READY_DISK_SHARE is {settings.ready_disk_share:g})")
    return reasons if problem is None else [*reasons, problem]


DISK_FREE = ScrapedGauge(
    "cm_streams_data_disk_free_bytes",
    "Free space where the local stores are (STREAMS_DATA_DIR). Below a tenth of the size: make room before the worker "
    "ends with code 74.",
    unite="max",
)
DISK = ScrapedGauge("cm_streams_data_disk_bytes", "Size of the disk that the local stores are on.", unite="max")


def show_disk(directory: Path) -> None:
    """Show the disk of a directory from now on."""
    DISK_FREE.add(lambda: _usage(directory, "free"))
    DISK.add(lambda: _usage(directory, "total"))


def _usage(directory: Path, name: str) -> ScrapedValues:
    return [((), float(getattr(shutil.disk_usage(existing(directory)), name)))]


def existing(directory: Path) -> Path:
    """Return the directory, or the nearest above it that has been made."""
    return next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())


class BatchCollector(Collector):
    """Hands the numbers of a `Metrics` registry to prometheus_client at each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return one family for each name."""
        series: dict[str, list[Sample]] = defaultdict(list)
        for sample in self._metrics.snapshot():
            series[sample.declared.name].append(sample)
        return [family(samples) for samples in series.values()]


def family(samples: list[Sample]) -> Metric:
    """Return the samples of one name as a metric."""
    declared = samples[0].declared
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if declared.kind == "histogram":
        metric = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
    elif declared.kind == "counter":
        metric = CounterMetricFamily(declared.name.removesuffix("_total"), declared.help, labels=declared.labels)
    else:
        metric = GaugeMetricFamily(declared.name, declared.help, labels=declared.labels)
    for sample in samples:
        labels = [sample.labels[label] for label in declared.labels]
        if isinstance(metric, HistogramMetricFamily):
            bounds = [*map(float, declared.buckets), float("inf")]
            sums = [sum(sample.counts[: number + 1]) for number in range(len(bounds))]
            buckets = [
                ("+Inf" if bound == float("inf") else repr(bound), count)
                for bound, count in zip(bounds, sums, strict=True)
            ]
            metric.add_metric(labels, buckets, sample.value)
        else:
            metric.add_metric(labels, sample.value)
    return metric
